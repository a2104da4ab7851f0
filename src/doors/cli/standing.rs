//! `fleet up|down|attach|send`: the standing sessions.

use std::io::IsTerminal as _;

use serde_json::{Value, json};

use super::args::FleetCommand;
use super::calls::stdin_text;
use super::layout::{Page, Style, cell, span};
use super::print::Out;
use crate::api::ApiError;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Session;
use crate::services::standing::{self, Became, Sent};

/// Carries a command out. Gives the exit code.
pub fn run(session: &Session, out: &mut Out, what: FleetCommand) -> Result<u8, ApiError> {
    // Before the configuration, which a wall may hide.
    standing::refuse_inside(&session.house)?;
    let project = session.project()?;
    // What stands is to be reached and ended also while the file is broken; only what is started needs it.
    let config = match what {
        FleetCommand::Up(_) => session.config(&project)?,
        _ => session.config_or_usual(&project)?,
    };
    match what {
        FleetCommand::Up(args) => {
            let became = standing::up(session, &project, &config, &args.names)?;
            show(out, &became);
            if became.iter().any(|it| it.state == "started") {
                out.tip("kapell fleet attach NAME shows one; kapell fleet down ends them");
            }
            Ok(u8::from(became.iter().any(|it| it.state == "failed")))
        }
        FleetCommand::Down(args) => {
            let became = standing::down(session, &project, &config, &args.names)?;
            show(out, &became);
            Ok(u8::from(became.iter().any(|it| matches!(it.state, "failed" | "not-ours"))))
        }
        FleetCommand::Attach { name } => {
            attach(session, out, &standing::look(session, &project, &config, name.as_deref())?)
        }
        FleetCommand::Send { name, text, cleared } => {
            let text = if text == "-" { stdin_text("the text")? } else { text };
            let sent = standing::send(session, &project, &config, &name, &text, cleared)?;
            typed(out, &sent);
            Ok(u8::from(sent.iter().any(|it| it.why_not.is_some())))
        }
    }
}

/// Sessions and what became of them.
fn show(out: &mut Out, became: &[Became]) {
    if out.is_json() {
        out.json(&json!({"sessions": became.iter().map(value).collect::<Vec<_>>()}));
        return;
    }
    let look = out.look();
    let mut page = Page::new(look);
    if became.is_empty() {
        page.line(&cell(Style::Faint, "nothing of Kapell's is up"));
    }
    let wide = became.iter().map(|it| it.worker.chars().count()).max().unwrap_or(0);
    for it in became {
        let style = match it.state {
            "started" | "running" | "found" => Style::Good,
            "failed" | "not-ours" => Style::Bad,
            _ => Style::Faint,
        };
        let word = match it.state {
            "running" => "runs",
            "found" => "there",
            "not-running" => "is down",
            "not-ours" => "left",
            state => state,
        };
        let lead = [span(style, format!("{word:8}")), span(Style::Plain, format!("{:wide$}  ", it.worker))];
        let session = it.session.as_ref().map(|name| format!("tmux session {name}"));
        let about = match it.state {
            "found" => Some("not started by Kapell".to_owned()),
            _ => None,
        };
        let parts: Vec<String> = [session, about, it.why.clone()].into_iter().flatten().collect();
        page.wrapped(&lead, Style::Plain, &parts.join("; "));
    }
    out.result(&page.into_text());
}

fn value(became: &Became) -> Value {
    let mut value = json!({"worker": became.worker, "state": became.state});
    if let Value::Object(fields) = &mut value {
        fields.extend(became.session.as_ref().map(|session| ("session".to_owned(), json!(session))));
        fields.extend(became.why.as_ref().map(|why| ("reason".to_owned(), json!(why))));
    }
    value
}

/// What was typed, and where.
fn typed(out: &mut Out, sent: &[Sent]) {
    if out.is_json() {
        let sent: Vec<Value> = sent
            .iter()
            .map(|it| {
                let why_not = it.why_not.as_ref();
                json!({
                    "worker": it.worker,
                    "session": it.session,
                    "sent": why_not.is_none(),
                    "characters": it.characters,
                    "joined": it.is_joined,
                    "left_out": it.left_out,
                    "code": why_not.and_then(|why| why.code).map(Code::as_str),
                    "reason": why_not.map(|why| &why.reason),
                    "hint": why_not.and_then(|why| why.hint.as_ref()),
                })
            })
            .collect();
        out.json(&json!({"sent": sent}));
        return;
    }
    let mut page = Page::new(out.look());
    for it in sent {
        match &it.why_not {
            Some(why) => {
                let text = format!("{}: {}", it.worker, why.reason);
                page.wrapped(&cell(Style::Bad, "not sent  "), Style::Plain, &text);
                if let Some(hint) = &why.hint {
                    page.wrapped(&cell(Style::Faint, "          "), Style::Faint, hint);
                }
            }
            None => {
                let mut text = format!("{}: {} characters", it.worker, it.characters);
                if it.is_joined {
                    text.push_str(", its lines made one, since the program there takes each for itself");
                }
                if it.left_out > 0 {
                    text.push_str(&format!(", {} control characters left out", it.left_out));
                }
                page.wrapped(&cell(Style::Good, "sent  "), Style::Plain, &text);
            }
        }
    }
    out.result(&page.into_text());
}

/// Shows it at this terminal, or tells how it is shown.
fn attach(session: &Session, out: &mut Out, attach: &standing::Attach) -> Result<u8, ApiError> {
    if out.is_json() {
        let mut value = json!({"session": attach.session, "command": attach.argv});
        if let (Some(window), Value::Object(fields)) = (&attach.window, &mut value) {
            fields.insert("window".to_owned(), json!(window));
        }
        out.json(&value);
        return Ok(0);
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        let hint = format!("run it in a terminal, or there: {}", shell_words::join(&attach.argv));
        return Err(Refusal::new(Code::Unsupported, "there is no terminal here to show it in", hint).into());
    }
    Err(standing::attach(session, attach).into())
}
