//! What of a worker's change may not land by itself, each with its own reason.

use std::fmt;

use super::pattern::PatternSet;
use crate::base::paths::RepoPath;

/// What a path is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing is there.
    Absent,
    /// A file.
    File,
    /// A file that can be executed.
    Executable,
    /// A symbolic link.
    Link,
    /// A commit of another repository.
    Commit,
}

/// One changed path.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    /// Which.
    pub path: &'a RepoPath,
    /// What it was.
    pub was: Kind,
    /// What it is.
    pub is: Kind,
    /// Whether it holds what it held.
    pub is_same_content: bool,
    /// Where it leads, if it is a link.
    pub leads_to: Option<&'a [u8]>,
    /// The other end, if this is one end of a move.
    pub moved: Option<&'a RepoPath>,
}

/// Why a changed path may not land. Shown after the path, it makes a sentence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Objection {
    /// Somebody else's, or nobody's.
    NotOwned,
    /// Only whether it can be executed changed, of a file that is not owned.
    ModeNotOwned,
    /// It was moved to this path; the task does not own it.
    MovedAway(RepoPath),
    /// It is what was at this path; the task does not own the new name.
    MovedHere(RepoPath),
    /// A symbolic link that leads out of the claim, and where to.
    LeadsOut(RepoPath),
    /// A commit of another repository.
    ForeignCommit,
    /// A repository inside the tree; nothing of it could be saved.
    NestedRepository,
    /// It changes how git treats other files.
    GitRules,
    /// It differs from this path only in case or normal form.
    Twin(RepoPath),
}

/// What speaks against a change, if anything does.
pub fn objection(changed: &Changed<'_>, owned: &PatternSet) -> Option<Objection> {
    let Changed { path, was, is, .. } = *changed;
    if !owned.contains(path) {
        let is_mode = changed.is_same_content
            && matches!((was, is), (Kind::File, Kind::Executable) | (Kind::Executable, Kind::File));
        return Some(match changed.moved {
            _ if is_mode => Objection::ModeNotOwned,
            Some(other) if is == Kind::Absent => Objection::MovedAway(other.clone()),
            Some(other) => Objection::MovedHere(other.clone()),
            None => Objection::NotOwned,
        });
    }
    if is == Kind::Commit && was != Kind::Commit {
        return Some(Objection::ForeignCommit);
    }
    if rules_git(path) {
        return Some(Objection::GitRules);
    }
    let target = changed.leads_to.filter(|_| is == Kind::Link)?;
    (!stays_within(path, target, owned)).then(|| Objection::LeadsOut(RepoPath::from_bytes(target)))
}

/// Whether a file of this name says how git treats others: `.gitmodules`, `.gitattributes`.
fn rules_git(path: &RepoPath) -> bool {
    let name = path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    [b".gitmodules".as_slice(), b".gitattributes"].iter().any(|rules| name.eq_ignore_ascii_case(rules))
}

/// Whether a symbolic link leads to a path that the same claim owns.
fn stays_within(link: &RepoPath, target: &[u8], owned: &PatternSet) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return false;
    }
    let mut segments: Vec<&[u8]> = link.as_bytes().split(|&byte| byte == b'/').collect();
    segments.pop();
    for segment in target.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                if segments.pop().is_none() {
                    return false;
                }
            }
            name => segments.push(name),
        }
    }
    owned.contains(&RepoPath::from_bytes(segments.join(&b'/')))
}

impl Objection {
    /// Whether a person can have the path land after all. What is not saved, or would have others
    /// fetch a repository that is not there, lands for nobody.
    pub fn may_be_approved(&self) -> bool {
        !matches!(self, Self::ForeignCommit | Self::NestedRepository)
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOwned => f.write_str("is not owned by the task"),
            Self::ModeNotOwned => {
                f.write_str("is not owned by the task, and whether it can be executed was changed")
            }
            Self::MovedAway(to) => write!(f, "is not owned by the task, and was moved to {to}"),
            Self::MovedHere(from) => write!(f, "is not owned by the task, and is {from} moved there"),
            Self::LeadsOut(target) => write!(f, "is a symbolic link that leaves the claim: {target}"),
            Self::ForeignCommit => f.write_str("is a link to a commit of another repository"),
            Self::NestedRepository => f.write_str("is a repository of its own inside the tree"),
            Self::GitRules => {
                f.write_str("changes how git treats other files, which a person has to approve")
            }
            Self::Twin(other) => write!(f, "has the same name as {other}, but for case or normal form"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pattern::Pattern;
    use Kind::{Absent, Commit, Executable, File, Link};

    fn owned() -> PatternSet {
        PatternSet::new(vec![Pattern::parse("src/a").unwrap(), Pattern::parse("lib/*.rs").unwrap()])
    }

    /// What is said of a path that became something else with other content.
    fn said(path: &str, was: Kind, is: Kind, leads_to: Option<&str>, moved: Option<&str>) -> Option<String> {
        let (path, moved) = (RepoPath::from(path), moved.map(RepoPath::from));
        let changed = Changed {
            path: &path,
            was,
            is,
            is_same_content: false,
            leads_to: leads_to.map(str::as_bytes),
            moved: moved.as_ref(),
        };
        objection(&changed, &owned()).map(|objection| objection.to_string())
    }

    #[test]
    fn what_speaks_against_a_change() {
        let rules = "changes how git treats other files, which a person has to approve";
        for (path, was, is, moved, expected) in [
            ("src/a/x", File, File, None, None),
            ("src/a/x", File, Absent, None, None),
            ("src/a/x", File, Executable, None, None),
            ("lib/x.rs", Absent, File, Some("old.rs"), None),
            ("lib/x.rs", Absent, Commit, None, Some("is a link to a commit of another repository")),
            ("lib/x.rs", Commit, Commit, None, None),
            ("src/A/x", File, File, None, Some("is not owned by the task")),
            ("lib/deep/x.rs", Absent, File, None, Some("is not owned by the task")),
            ("b", File, Absent, Some("src/a/b"), Some("is not owned by the task, and was moved to src/a/b")),
            (
                "b",
                Absent,
                File,
                Some("src/a/b"),
                Some("is not owned by the task, and is src/a/b moved there"),
            ),
            ("src/a/.gitattributes", Absent, File, None, Some(rules)),
            ("src/a/.gitattributes", File, Absent, None, Some(rules)),
            ("src/a/x/.GitModules", File, File, None, Some(rules)),
            (".gitmodules", Absent, File, None, Some("is not owned by the task")),
            ("src/a/gitattributes", Absent, File, None, None),
        ] {
            assert_eq!(said(path, was, is, None, moved).as_deref(), expected, "{path} {was:?} {is:?}");
        }
    }

    #[test]
    fn a_foreign_file_that_only_became_executable_is_told_as_that() {
        let path = RepoPath::from("run.sh");
        for (was, is, is_same_content, expected) in [
            (File, Executable, true, Objection::ModeNotOwned),
            (Executable, File, true, Objection::ModeNotOwned),
            (File, Executable, false, Objection::NotOwned),
            (File, Link, true, Objection::NotOwned),
        ] {
            let changed = Changed { path: &path, was, is, is_same_content, leads_to: None, moved: None };
            assert_eq!(objection(&changed, &owned()), Some(expected), "{was:?} {is:?} {is_same_content}");
        }
    }

    #[test]
    fn a_link_must_lead_to_what_is_owned() {
        for (link, target, stays) in [
            ("src/a/link", "b.rs", true),
            ("src/a/link", "./sub/../b.rs", true),
            ("src/a/deep/link", "../b.rs", true),
            ("src/a/link", "../b/c.rs", false),
            ("src/a/link", "/etc/passwd", false),
            ("src/a/link", "../../../x", false),
            ("src/a/link", "../../.git/config", false),
            ("src/a/link", "", false),
        ] {
            let expected = (!stays).then(|| format!("is a symbolic link that leaves the claim: {target}"));
            assert_eq!(said(link, Absent, Link, Some(target), None), expected, "{link} -> {target}");
            assert_eq!(said(link, Link, Link, Some(target), None), expected, "{link} -> {target}");
        }
    }
}
