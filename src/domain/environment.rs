//! Environments: what they may be called, which ports they get, what would be lost with one, and when they
//! are cared for.

use std::collections::BTreeSet;

use super::refusal::{Code, Refusal};

/// More than these nobody wants on one machine.
pub const MOST: usize = 100;

/// How far an environment is made, or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is being made, or whoever made it died over it.
    Creating,
    /// It is whole.
    Ready,
    /// It is being taken away.
    Removing,
}

impl Stage {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Removing => "removing",
        }
    }

    /// From how it is stored.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Creating, Self::Ready, Self::Removing].into_iter().find(|stage| stage.as_str() == text)
    }
}

/// What is done at intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Health is looked at, databases are checked.
    Daily,
    /// Everybody follows the main branch, and is backed up.
    Weekly,
    /// Merged branches and old logs go.
    Monthly,
}

impl Care {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Daily, Self::Weekly, Self::Monthly];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// Whether it is to be done again after so many milliseconds. A little early, so that what a timer
    /// starts at the same hour each day is never a second short.
    pub fn is_due(self, millis_since_last: i64) -> bool {
        let days = match self {
            Self::Daily => 1,
            Self::Weekly => 7,
            Self::Monthly => 28,
        };
        let hours = days * 24 - 2;
        millis_since_last >= hours * 3_600_000
    }
}

/// Refuses what cannot be the name of an environment: it becomes part of a folder's and a branch's.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    let is_branch = !name.contains("..") && !name.ends_with('.') && !name.ends_with(".lock");
    if is_plain && is_branch && name.len() <= 40 {
        return Ok(());
    }
    Err(Refusal::new(
        Code::BadPath,
        format!("`{}` cannot be the name of an environment", name.escape_debug()),
        "use at most 40 letters, digits, `_`, `-` and `.`, a letter or digit first",
    ))
}

/// The environments that a call of create means: those that are named, else the first so many, else all
/// that are configured. What the configuration names comes first, then `dev1`, `dev2`, ….
pub fn wanted(configured: &[String], names: &[String], count: Option<u32>) -> Result<Vec<String>, Refusal> {
    let found: Vec<String> = match (names, count) {
        ([], None) if configured.is_empty() => {
            return Err(Refusal::new(
                Code::Usage,
                "no environment is named, here or in the configuration",
                "kapell env create dev1, or --count 2, or names under [environments] in kapell.toml",
            ));
        }
        ([], None) => configured.to_vec(),
        ([], Some(count)) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            if count == 0 || count > MOST {
                let message = format!("{count} environments cannot be made");
                return Err(Refusal::new(Code::Usage, message, format!("1 to {MOST} can")));
            }
            let is_new = |name: &String| !configured.iter().any(|other| other.eq_ignore_ascii_case(name));
            let more = (1..).map(|number| format!("dev{number}")).filter(is_new);
            configured.iter().cloned().chain(more).take(count).collect()
        }
        (_, Some(_)) => {
            let hint = "name them, or say how many";
            return Err(Refusal::new(Code::Usage, "both names and a count were given", hint));
        }
        (names, None) => names.to_vec(),
    };
    found.iter().try_for_each(|name| check_name(name))?;
    let mut wanted: Vec<String> = Vec::with_capacity(found.len());
    for name in found {
        match wanted.iter().find(|other| other.eq_ignore_ascii_case(&name)) {
            None => wanted.push(name),
            Some(same) if *same == name => {}
            Some(other) => {
                let message = format!(
                    "`{other}` and `{name}` differ in case alone, and would be one folder on some systems"
                );
                return Err(Refusal::new(Code::Conflict, message, ONE_CASE));
            }
        }
    }
    Ok(wanted)
}

/// What is to be done about names that differ in their letters' case only.
pub const ONE_CASE: &str = "a name that differs in more than its letters' case is a new one";

/// The position that counts an environment's ports: its place in the configuration where that is free,
/// else the first free one behind all that is configured.
pub fn position(configured: &[String], taken: &BTreeSet<u32>, name: &str) -> u32 {
    let own = configured.iter().position(|other| other == name).and_then(|at| u32::try_from(at).ok());
    let behind = u32::try_from(configured.len()).unwrap_or(u32::MAX);
    own.filter(|at| !taken.contains(at))
        .unwrap_or_else(|| (behind..u32::MAX).find(|at| !taken.contains(at)).unwrap_or(u32::MAX))
}

/// The port of a sub-environment: base and position, else the next one above that is free.
pub fn port(base: u16, position: u32, subs: usize, at: usize, is_free: impl Fn(u16) -> bool) -> Option<u16> {
    let offset = usize::try_from(position).ok()?.checked_mul(subs)?.checked_add(at)?;
    let first = base.checked_add(u16::try_from(offset).ok()?)?;
    (first..=u16::MAX).find(|port| is_free(*port))
}

/// What would be lost with an environment, each a line for people; nothing where nothing would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Files that are changed, staged or new.
    pub changed: Vec<String>,
    /// Commits that no branch of the project has.
    pub unpushed: u64,
    /// Commits that the project's main branch does not have.
    pub unmerged: u64,
    /// Sub-environments that run, with their processes.
    pub running: Vec<(String, Option<i32>)>,
    /// Workers that are at work in it.
    pub workers: Vec<String>,
    /// Files that git ignores, and nobody makes again.
    pub ignored: Vec<String>,
    /// Sub-environments whose database has what no backup has.
    pub databases: Vec<String>,
    /// Databases that a restore or a reset put aside, of which no backup has what is in them.
    pub aside: Vec<String>,
    /// Other worktrees of its repository, whose folders stay without one.
    pub worktrees: Vec<String>,
    /// What somebody is in the middle of: a merge, a rebase.
    pub under_way: Option<&'static str>,
}

impl Losses {
    /// Each in a line.
    pub fn lines(&self) -> Vec<String> {
        let commits =
            |count: u64| if count == 1 { "1 commit".to_owned() } else { format!("{count} commits") };
        let mut lines = Vec::new();
        if let Some(what) = self.under_way {
            lines.push(format!("under way: {what}"));
        }
        if !self.changed.is_empty() {
            lines.push(format!("not committed: {}", some_of(&self.changed)));
        }
        if self.unpushed > 0 {
            lines.push(format!("not pushed: {}", commits(self.unpushed)));
        }
        if self.unmerged > 0 {
            lines.push(format!("not merged: {}", commits(self.unmerged)));
        }
        if !self.databases.is_empty() {
            lines.push(format!("not backed up: the database of {}", self.databases.join(", ")));
        }
        if !self.aside.is_empty() {
            lines.push(format!("put aside and in no backup: {}", some_of(&self.aside)));
        }
        if !self.worktrees.is_empty() {
            lines.push(format!("worktrees of its repository: {}", some_of(&self.worktrees)));
        }
        if !self.ignored.is_empty() {
            lines.push(format!("ignored by git: {}", some_of(&self.ignored)));
        }
        for (sub, pid) in &self.running {
            let pid = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            lines.push(format!("running: {sub}{pid}"));
        }
        lines.extend(self.workers.iter().map(|worker| format!("at work: {worker}")));
        lines
    }
}

/// The first of many names; the rest is only counted.
pub fn some_of(names: &[String]) -> String {
    const NAMED: usize = 5;
    let named: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}

/// Whether what git ignores is made again by the tools that made it, wherever it lies.
pub fn is_made_again(path: &str) -> bool {
    const MADE: [&str; 18] = [
        "node_modules",
        "target",
        "__pycache__",
        ".venv",
        "venv",
        "dist",
        "build",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
        ".tox",
        ".gradle",
        ".next",
        ".cache",
        ".turbo",
        ".eggs",
        ".direnv",
        ".DS_Store",
    ];
    path.split('/').any(|part| MADE.contains(&part) || part.ends_with(".pyc"))
}

/// How one part of an environment is, for the overall verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Somebody has to look.
    Bad(String),
    /// Worth knowing.
    Note(String),
}

/// The overall verdict: `bad`, `attention` or `ok`, and the reason.
pub fn verdict(findings: &[Finding]) -> (&'static str, Option<String>) {
    let of = |is_bad: bool| {
        let texts: Vec<&str> = findings
            .iter()
            .filter_map(|finding| match finding {
                Finding::Bad(text) if is_bad => Some(text.as_str()),
                Finding::Note(text) if !is_bad => Some(text.as_str()),
                _ => None,
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    };
    match (of(true), of(false)) {
        (Some(bad), _) => ("bad", Some(bad)),
        (None, Some(note)) => ("attention", Some(note)),
        (None, None) => ("ok", None),
    }
}

/// Fills in what stands in braces in a word of a command or an address. What is not known stays.
pub fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let known = values.iter().find_map(|(name, value)| {
            let after = from.strip_prefix('{')?.strip_prefix(name)?.strip_prefix('}')?;
            Some((*value, after))
        });
        match known {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn no_name_leads_out_of_its_place() {
        for name in ["dev1", "a", "QA-2", "x.y_z"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(41);
        for name in
            ["", ".", "..", "../x", "a/b", "/a", "-f", "a..b", "a.", "x.lock", "a b", "a\0", "é", &long]
        {
            assert_eq!(check_name(name).unwrap_err().code, Code::BadPath, "{name:?}");
        }
    }

    #[test]
    fn who_is_meant_by_create() {
        let wanted = |configured: &str, said: &str, count| {
            wanted(&names(configured), &names(said), count).map(|found| found.join(" ")).map_err(|no| no.code)
        };
        assert_eq!(wanted("", "", None), Err(Code::Usage));
        assert_eq!(wanted("a b", "", None).as_deref(), Ok("a b"));
        assert_eq!(wanted("", "", Some(2)).as_deref(), Ok("dev1 dev2"));
        assert_eq!(wanted("qa dev1", "", Some(4)).as_deref(), Ok("qa dev1 dev2 dev3"));
        assert_eq!(wanted("Dev1", "", Some(3)).as_deref(), Ok("Dev1 dev2 dev3"));
        assert_eq!(wanted("a", "x x", None).as_deref(), Ok("x"));
        assert_eq!(wanted("a", "x y X", None), Err(Code::Conflict));
        assert_eq!(wanted("a A", "", None), Err(Code::Conflict));
        assert_eq!(wanted("a A", "x", None).as_deref(), Ok("x"));
        assert_eq!(wanted("a", "../x", None), Err(Code::BadPath));
        assert_eq!(wanted("a", "x", Some(1)), Err(Code::Usage));
        assert_eq!(wanted("a", "", Some(0)), Err(Code::Usage));
        assert_eq!(wanted("a", "", Some(101)), Err(Code::Usage));
    }

    #[test]
    fn ports_follow_the_position_and_step_over_the_taken() {
        let configured = names("dev1 dev2");
        assert_eq!(position(&configured, &BTreeSet::new(), "dev2"), 1);
        assert_eq!(position(&configured, &BTreeSet::from([1]), "dev2"), 2);
        assert_eq!(position(&configured, &BTreeSet::from([2]), "other"), 3);
        assert_eq!(port(8081, 1, 3, 1, |_| true), Some(8085));
        assert_eq!(port(8081, 0, 3, 0, |port| port > 8083), Some(8084));
        assert_eq!(port(65535, 0, 3, 1, |_| true), None);
        assert_eq!(port(65535, 0, 3, 0, |_| false), None);
    }

    #[test]
    fn braces_are_filled_once() {
        let values = [("port", "81"), ("database", "/a/{port}")];
        assert_eq!(filled("--port={port}", &values), "--port=81");
        assert_eq!(filled("{database}{port}", &values), "/a/{port}81");
        assert_eq!(filled("{x} {{port}} {", &values), "{x} {81} {");
    }

    #[test]
    fn losses_are_told_in_lines() {
        assert_eq!(Losses::default().lines(), [""; 0]);
        let losses = Losses {
            changed: (0..7).map(|n| format!("f{n}")).collect(),
            unpushed: 1,
            unmerged: 2,
            running: vec![("qa".to_owned(), Some(7))],
            workers: vec!["codex2".to_owned()],
            ignored: vec![".env".to_owned()],
            databases: vec!["dev".to_owned(), "qa".to_owned()],
            aside: vec!["dev.sqlite.before-reset-1".to_owned()],
            worktrees: vec!["/w".to_owned()],
            under_way: Some("a rebase"),
        };
        let lines = [
            "under way: a rebase",
            "not committed: f0, f1, f2, f3, f4 and 2 more",
            "not pushed: 1 commit",
            "not merged: 2 commits",
            "not backed up: the database of dev, qa",
            "put aside and in no backup: dev.sqlite.before-reset-1",
            "worktrees of its repository: /w",
            "ignored by git: .env",
            "running: qa (process 7)",
            "at work: codex2",
        ];
        assert_eq!(losses.lines(), lines);
    }

    #[test]
    fn what_tools_make_again_is_no_loss() {
        for path in ["node_modules/", "web/node_modules/", "target/", "a/__pycache__/", "x.pyc", "b/target/c"]
        {
            assert!(is_made_again(path), "{path}");
        }
        for path in [".env", "uploads/", "targets/", "my.target", "a/.env.local", "builds/x"] {
            assert!(!is_made_again(path), "{path}");
        }
    }

    #[test]
    fn care_is_due_a_little_early() {
        let hours = |hours: i64| hours * 3_600_000;
        assert!(!Care::Daily.is_due(hours(21)) && Care::Daily.is_due(hours(23)));
        assert!(!Care::Weekly.is_due(hours(160)) && Care::Weekly.is_due(hours(167)));
        assert!(!Care::Monthly.is_due(hours(600)) && Care::Monthly.is_due(hours(672)));
    }

    #[test]
    fn the_worst_is_the_verdict() {
        let bad = Finding::Bad("qa crashed".to_owned());
        let note = Finding::Note("2 behind".to_owned());
        assert_eq!(verdict(&[note.clone(), bad]), ("bad", Some("qa crashed".to_owned())));
        assert_eq!(verdict(&[note]), ("attention", Some("2 behind".to_owned())));
        assert_eq!(verdict(&[]), ("ok", None));
    }
}
