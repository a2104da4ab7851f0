//! The report on a violation, for a person to read and to decide from.

use std::path::{Path, PathBuf};

use super::saving::{Saved, lands_for_nobody};
use crate::base::paths::RepoPath;
use crate::services::Error;
use crate::store::attempts::AttemptRow;

/// Writes the report beside the evidence of the gates, and says where. Again is the same.
pub fn report(attempt: &AttemptRow, saved: &Saved, quarantine: &str) -> Result<PathBuf, Error> {
    let folder = Path::new(&attempt.run_dir).join("evidence");
    let path = folder.join("violation.txt");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, text(attempt, saved, quarantine)))
        .map_err(|error| Error::system(format!("cannot write {}", path.display()), error))?;
    Ok(path)
}

fn text(attempt: &AttemptRow, saved: &Saved, quarantine: &str) -> String {
    let quoted = |path: &RepoPath| shell_words::quote(&path.to_string()).into_owned();
    let is_kept = |path: &RepoPath| lands_for_nobody(&saved.snapshot.changed, &path.to_string()).is_none();
    let (kept, nowhere): (Vec<_>, Vec<_>) =
        saved.outside.iter().map(|(path, _)| path).partition(|it| is_kept(it));
    let all = if nowhere.is_empty() { "All of it" } else { "All of it but what is named last" };
    let mut text = format!(
        "Attempt {} (task {} of plan {}, try {}) changed what it may not.\n\
         Nothing of it landed. {all} is kept as {quarantine}\n\nNot allowed:\n",
        attempt.id, attempt.task, attempt.plan, attempt.number
    );
    for (path, why) in &saved.outside {
        text.push_str(&format!("  {path} {why}\n"));
    }
    let is_outside = |path: &RepoPath| saved.outside.iter().any(|(outside, _)| outside == path);
    let mut allowed =
        saved.snapshot.changed.iter().map(|change| &change.path).filter(|path| !is_outside(path));
    if let Some(first) = allowed.next() {
        text.push_str(&format!("\nWithin its claim:\n  {first}\n"));
        allowed.for_each(|path| text.push_str(&format!("  {path}\n")));
    }
    if let Some(first) = kept.first().map(|path| quoted(path)) {
        text.push_str(&format!(
            "\nTo see it:\n  git --literal-pathspecs diff {} {quarantine} -- {first}\n\
             \nTo land a path after all, with what lies within the claim (the other gates still decide):\n  \
             kapell approve {} --path {first}\n",
            saved.snapshot.base, attempt.id
        ));
        if saved.outside.len() > 1 {
            text.push_str(&format!(
                "What is not approved keeps it from landing; when all that you want is approved, this lands it \
                 without the rest:\n  kapell approve {}\n",
                attempt.id
            ));
        }
    }
    if !nowhere.is_empty() {
        text.push_str("\nIn no commit, so that nobody can approve it:\n");
        nowhere.iter().for_each(|path| text.push_str(&format!("  {path}\n")));
    }
    text
}
