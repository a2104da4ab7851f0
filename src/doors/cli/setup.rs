//! The commands around the methods: init, doctor, config, completions.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use serde_json::{Value, json};

use super::args::{Cli, ConfigCommand, Init};
use super::layout::{Page, Style, cell, span};
use super::print::Out;
use crate::api::ApiError;
use crate::domain::refusal::{Code, Refusal};
use crate::services::configuring::{self, Files};
use crate::services::diagnosing::{self, Check, Outcome};
use crate::services::initialising::{self, Change};
use crate::services::{Error, Session};
use crate::sys::config::ConfigProblem;

/// Unchanged lines shown around what changes.
const CONTEXT: usize = 2;

/// `init`.
pub fn init(session: &Session, out: &mut Out, args: &Init) -> Result<u8, ApiError> {
    if args.undo {
        return undo(session, out, args.force);
    }
    let prepared = initialising::prepare(session, !args.no_agents)?;
    let preview = page_of(out, |page| {
        for (what, path) in &prepared.in_place {
            page.line(&[
                span(Style::Good, "in place"),
                span(Style::Plain, format!("  {} ({})", path.display(), what.as_str())),
            ]);
        }
    });
    if !out.is_json() {
        out.result(&preview);
    }
    let mut taken: Vec<Change> = Vec::new();
    let can_ask = out.can_ask() && std::io::IsTerminal::is_terminal(&std::io::stdin());
    for change in &prepared.changes {
        if !out.is_json() {
            let text = page_of(out, |page| show_change(page, change));
            out.result(&text);
        }
        if args.yes || !args.dry_run && !out.is_json() && can_ask && agrees(out, change)? {
            taken.push(change.clone());
        }
    }
    if !taken.is_empty() {
        initialising::apply(session, &taken)?;
    }
    let state = |change: &Change| match () {
        () if taken.contains(change) => "done",
        () if args.dry_run || !can_ask || out.is_json() => "would-change",
        () => "declined",
    };
    if out.is_json() {
        let changes: Vec<Value> = prepared
            .changes
            .iter()
            .map(|change| json!({"path": shown(&change.path), "state": state(change)}))
            .collect();
        let in_place =
            prepared.in_place.iter().map(|(_, path)| json!({"path": shown(path), "state": "in-place"}));
        out.json(&json!({"files": in_place.chain(changes).collect::<Vec<_>>()}));
    } else if !taken.is_empty() {
        let text = page_of(out, |page| {
            for change in &taken {
                page.line(&[
                    span(Style::Good, "written"),
                    span(Style::Plain, format!("  {}", change.path.display())),
                ]);
            }
        });
        out.result(&text);
        out.tip("kapell doctor looks whether all works; kapell init --undo takes it back");
    } else if can_ask && !args.dry_run && !prepared.changes.is_empty() {
        out.result("nothing was written\n");
    }
    let nobody_asked =
        !args.yes && !args.dry_run && !prepared.changes.is_empty() && (!can_ask || out.is_json());
    if nobody_asked {
        return Err(Refusal::new(
            Code::NotAllowed,
            "nothing was changed: there is nobody to ask",
            "kapell init --yes makes these changes, --dry-run only shows them",
        )
        .into());
    }
    Ok(0)
}

fn undo(session: &Session, out: &mut Out, force: bool) -> Result<u8, ApiError> {
    let undone = initialising::undo(session, force)?;
    if out.is_json() {
        let shown = |paths: &[PathBuf]| paths.iter().map(|path| shown(path)).collect::<Vec<_>>();
        out.json(&json!({"restored": shown(&undone.restored), "left": shown(&undone.left)}));
    } else {
        let text = page_of(out, |page| {
            for path in &undone.restored {
                page.line(&[
                    span(Style::Good, "restored"),
                    span(Style::Plain, format!("  {}", path.display())),
                ]);
            }
            if undone.restored.is_empty() && undone.left.is_empty() {
                page.line(&[span(Style::Plain, "nothing of what kapell init wrote is there any more")]);
            }
        });
        out.result(&text);
    }
    if undone.left.is_empty() {
        return Ok(0);
    }
    let left: Vec<String> = undone.left.iter().map(|path| path.display().to_string()).collect();
    Err(Refusal::new(
        Code::Conflict,
        format!("changed since, and left alone: {}", left.join(", ")),
        "mend them by hand, or kapell init --undo --force restores the text from before",
    )
    .into())
}

/// Asks about one change. Anything but yes is no.
fn agrees(out: &mut Out, change: &Change) -> Result<bool, ApiError> {
    out.ask(&format!("{}? [y/N]", change.what.as_str()));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Error::system("reading the answer", error))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// A path as JSON can hold it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn page_of(out: &mut Out, fill: impl FnOnce(&mut Page)) -> String {
    let mut page = Page::new(out.look());
    fill(&mut page);
    page.into_text()
}

/// What a change does to its file, as a difference of lines.
pub fn show_change(page: &mut Page, change: &Change) {
    let verb = if change.before.is_some() { "change" } else { "make" };
    page.line(&[
        span(Style::Warn, verb),
        span(Style::Strong, format!("  {}", change.path.display())),
        span(Style::Faint, format!("  {}", change.what.as_str())),
    ]);
    let before: Vec<&str> = change.before.as_deref().unwrap_or_default().lines().collect();
    let after: Vec<&str> = change.after.lines().collect();
    // Entries are added in one place, so what is the same at both ends frames the whole change.
    let same_before = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let rest = before.len().min(after.len()) - same_before;
    let same_after =
        before.iter().rev().zip(after.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let mut show = |mark: &str, style: Style, lines: &[&str]| {
        for line in lines {
            // Whole, however narrow the terminal: it is what one agrees to.
            let line = line.replace('\t', "    ");
            let indent = line.len() - line.trim_start().len();
            let lead = format!("  {mark} {}", &line[..indent]);
            page.wrapped_if_wide(&[span(style, lead)], style, &line[indent..]);
        }
    };
    show(" ", Style::Faint, &after[same_before.saturating_sub(CONTEXT)..same_before]);
    show("-", Style::Bad, &before[same_before..before.len() - same_after]);
    show("+", Style::Good, &after[same_before..after.len() - same_after]);
    let tail = after.len() - same_after;
    show(" ", Style::Faint, &after[tail..(tail + CONTEXT).min(after.len())]);
}

/// `doctor`.
pub fn doctor(session: &Session, out: &mut Out) -> u8 {
    let checks = diagnosing::diagnose(session, &mut |what| out.progress(&format!("looking at {what}")));
    if out.is_json() {
        let checks: Vec<Value> = checks
            .iter()
            .map(|check| {
                let mut value =
                    json!({"name": check.name, "outcome": check.outcome.as_str(), "found": check.found});
                if let (Some(next), Value::Object(fields)) = (&check.next, &mut value) {
                    fields.insert("next".to_owned(), json!(next));
                }
                value
            })
            .collect();
        out.json(&json!({"checks": checks}));
    } else {
        let text = page_of(out, |page| show_checks(page, &checks));
        out.result(&text);
    }
    u8::from(checks.iter().any(|check| check.outcome == Outcome::Fail))
}

/// Every check with what was found, and the next step where there is one.
pub fn show_checks(page: &mut Page, checks: &[Check]) {
    let wide = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let style = match check.outcome {
            Outcome::Ok => Style::Good,
            Outcome::Warn => Style::Warn,
            Outcome::Fail => Style::Bad,
        };
        let lead = [
            span(style, format!("{:4}", check.outcome.as_str())),
            span(Style::Plain, format!("  {:wide$}  ", check.name)),
        ];
        page.wrapped(&lead, Style::Plain, &check.found);
        if let Some(next) = &check.next {
            page.wrapped(&cell(Style::Faint, "      next: "), Style::Plain, next);
        }
    }
}

/// `config`.
pub fn config(session: &Session, out: &mut Out, what: ConfigCommand) -> Result<u8, ApiError> {
    if matches!(what, ConfigCommand::Schema) {
        if out.is_json() {
            out.json(&configuring::schema());
        } else {
            let text = serde_json::to_string_pretty(&configuring::schema())
                .map_err(|error| Error::Bug(format!("the schema is no JSON: {error}")))?;
            out.result(&format!("{text}\n"));
        }
        return Ok(0);
    }
    let files = Files::read(&session.house, &session.project()?)?;
    // Whoever names a file means it. (Our own processes name the usual place, be there a file or not.)
    let named = session.house.environment.get("KAPELL_CONFIG").filter(|path| !path.is_empty());
    if let Some(named) = named.filter(|_| !session.house.person_config.exists()) {
        let message = format!("KAPELL_CONFIG names {named}, and there is no such file");
        return Err(
            Refusal::new(Code::NotFound, message, "give the path of a file, or unset KAPELL_CONFIG").into()
        );
    }
    match what {
        ConfigCommand::Check => Ok(check(out, &files)),
        _ => show(out, &files),
    }
}

fn check(out: &mut Out, files: &Files) -> u8 {
    let problems = files.check();
    if out.is_json() {
        out.json(&json!({"problems": problems.iter().map(problem_json).collect::<Vec<_>>()}));
    } else {
        let text = page_of(out, |page| {
            problems.iter().for_each(|problem| show_problem(page, problem));
            let faulty = |path: &Path| problems.iter().any(|problem| problem.file == path);
            for path in files.paths().filter(|path| !faulty(path)) {
                page.line(&[span(Style::Good, "ok"), span(Style::Plain, format!("  {}", path.display()))]);
            }
            if files.paths().next().is_none() {
                page.line(&[span(Style::Good, "ok"), span(Style::Plain, "  no files, only defaults")]);
            }
        });
        out.result(&text);
    }
    u8::from(problems.iter().any(ConfigProblem::is_error))
}

fn show(out: &mut Out, files: &Files) -> Result<u8, ApiError> {
    let shown = match files.show() {
        Ok(shown) => shown,
        Err(problems) => {
            if !out.is_json() {
                out.aside(|page| problems.iter().for_each(|problem| show_problem(page, problem)));
            }
            return Err(Refusal::new(
                Code::Unsupported,
                "the configuration cannot be used",
                "kapell config check explains every error with its place",
            )
            .into());
        }
    };
    if out.is_json() {
        out.json(&shown.json);
    } else {
        let text =
            page_of(out, |page| shown.toml.lines().for_each(|line| page.line(&cell(Style::Plain, line))));
        out.result(&text);
    }
    Ok(0)
}

fn problem_json(problem: &ConfigProblem) -> Value {
    json!({
        "severity": problem.severity.as_str(),
        "code": problem.code.as_str(),
        "file": shown(&problem.file),
        "line": problem.line,
        "column": problem.column,
        "end_line": problem.end_line,
        "end_column": problem.end_column,
        "key": problem.key,
        "message": problem.message,
        "hint": problem.hint,
    })
}

fn show_problem(page: &mut Page, problem: &ConfigProblem) {
    let ConfigProblem { severity, file, line, column, message, hint, .. } = problem;
    let style = if problem.is_error() { Style::Bad } else { Style::Warn };
    page.line(&[
        span(style, severity.as_str()),
        span(Style::Plain, format!("  {}:{line}:{column}", file.display())),
    ]);
    page.wrapped(&cell(Style::Plain, "  "), Style::Plain, message);
    if !hint.is_empty() {
        page.wrapped(&cell(Style::Faint, "  next: "), Style::Plain, hint);
    }
}

/// `completions`.
pub fn completions(out: &mut Out, shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kapell", &mut script);
    out.result(&String::from_utf8_lossy(&script));
}
