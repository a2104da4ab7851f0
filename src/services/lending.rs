//! What a worker lent: its hook is told by a file in the run folder, since it cannot read the record,
//! and asks its shim only where a file that is edited was lent.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::base::clock::Time;
use crate::domain::pattern::Pattern;

/// The file in the run folder of a worker that delegated: a line of JSON for each child. What is over by
/// now is still in it.
pub const LENT: &str = "lent.jsonl";

/// More than this is not what Kapell wrote.
const LARGEST: u64 = 1 << 20;

/// What a child of a task was lent.
#[derive(Debug, Clone, PartialEq)]
pub struct Lent {
    /// The child's id.
    pub task: String,
    /// What it does.
    pub text: String,
    /// What it owns for as long as it is open.
    pub files: Vec<Pattern>,
    /// Since when.
    pub since: String,
}

/// Notes in a worker's run folder what it lends from now on.
///
/// # Errors
/// The system's: the hook will then not know of it, and the landing will.
pub fn note(run_dir: &Path, task: &str, text: &str, files: &[Pattern]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let files: Vec<&str> = files.iter().map(Pattern::as_str).collect();
    let text = text.lines().next().unwrap_or_default();
    let line = json!({"task": task, "text": text, "files": files, "since": Time::now().to_string()});
    // Without a wall the worker may have put anything there.
    let no_tricks = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut options = File::options();
    let options = options.append(true).create(true).mode(0o600).custom_flags(no_tricks.bits() as i32);
    options.open(run_dir.join(LENT))?.write_all(format!("{line}\n").as_bytes())
}

/// What a worker lent, or had lent once; nothing, mostly. Lines that say nothing are passed over.
pub fn noted(run_dir: &Path) -> Vec<Lent> {
    let path = run_dir.join(LENT);
    let is_ours = std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= LARGEST);
    let text = is_ours.then(|| std::fs::read_to_string(&path).ok()).flatten().unwrap_or_default();
    text.lines().filter_map(lent).collect()
}

fn lent(line: &str) -> Option<Lent> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let files = line["files"].as_array()?.iter();
    Some(Lent {
        task: text("task")?,
        text: text("text").unwrap_or_default(),
        files: files.filter_map(|file| Pattern::parse(file.as_str()?).ok()).collect(),
        since: text("since").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again_and_nonsense_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(noted(folder.path()), []);
        let files = [Pattern::parse("src/a.rs").unwrap(), Pattern::parse("docs/").unwrap()];
        note(folder.path(), "a.1", "first\nsecond", &files).unwrap();
        let mut file = File::options().append(true).open(folder.path().join(LENT)).unwrap();
        file.write_all(b"nonsense\n{\"task\":1}\n[]\n{\"task\":\"x\"}\n").unwrap();
        note(folder.path(), "a.2", "", &files[..1]).unwrap();
        let noted = noted(folder.path());
        let short: Vec<_> = noted.iter().map(|it| (&*it.task, &*it.text, it.files.len())).collect();
        assert_eq!(short, [("a.1", "first", 2), ("a.2", "", 1)]);
        assert!(noted[0].since.ends_with('Z'));
    }
}
