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
    pub leads_to: Option<Lead<'a>>,
    /// The other end, if this is one end of a move.
    pub moved: Option<&'a RepoPath>,
}

/// Where a symbolic link leads.
#[derive(Debug, Clone, Copy)]
pub struct Lead<'a> {
    /// As the link says it.
    pub target: &'a [u8],
    /// The path that is found there, of [`end_of`]; none if it leaves the tree.
    pub end: Option<&'a RepoPath>,
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
    /// It could not be saved, and what it is.
    NotSaved(String),
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
    let lead = changed.leads_to.filter(|_| is == Kind::Link)?;
    let stays = lead.end.is_some_and(|end| owned.contains(end));
    (!stays).then(|| Objection::LeadsOut(RepoPath::from_bytes(lead.target)))
}

/// Whether a file of this name says how git treats others: `.gitmodules`, `.gitattributes`.
fn rules_git(path: &RepoPath) -> bool {
    let name = path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    [b".gitmodules".as_slice(), b".gitattributes"].iter().any(|rules| name.eq_ignore_ascii_case(rules))
}

/// So many links are followed, as Linux does (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// The path that a symbolic link leads to, by way of other links of the same tree, as a system finds it; none if it
/// leaves the tree or goes round in a circle. `link_at` tells where a path leads that is a link.
///
/// # Errors
/// Those of `link_at`.
pub fn end_of<E>(
    link: &RepoPath,
    target: &[u8],
    mut link_at: impl FnMut(&RepoPath) -> Result<Option<Vec<u8>>, E>,
) -> Result<Option<RepoPath>, E> {
    let segments = |path: &[u8]| path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut walked = segments(link.as_bytes());
    walked.pop();
    if target.is_empty() || target.starts_with(b"/") {
        return Ok(None);
    }
    // The next one last.
    let mut ahead: Vec<Vec<u8>> = segments(target).into_iter().rev().collect();
    let mut left = MOST_LINKS;
    while let Some(segment) = ahead.pop() {
        match segment.as_slice() {
            b"" | b"." => {}
            b".." => {
                if walked.pop().is_none() {
                    return Ok(None);
                }
            }
            _ => {
                walked.push(segment);
                let path = RepoPath::from_bytes(walked.join(&b'/'));
                if let Some(target) = link_at(&path)? {
                    if left == 0 || target.is_empty() || target.starts_with(b"/") {
                        return Ok(None);
                    }
                    left -= 1;
                    walked.pop();
                    ahead.extend(segments(&target).into_iter().rev());
                }
            }
        }
    }
    Ok(Some(RepoPath::from_bytes(walked.join(&b'/'))))
}

impl Objection {
    /// Whether a person can have the path land after all. What is not saved, or would have others
    /// fetch a repository that is not there, lands for nobody.
    pub fn may_be_approved(&self) -> bool {
        !matches!(self, Self::ForeignCommit | Self::NestedRepository | Self::NotSaved(_))
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
            Self::NotSaved(why) => write!(f, "{why}, and nothing of it is saved"),
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

    /// Where a link leads in a tree of these links.
    fn end(link: &RepoPath, target: &str, links: &[(&str, &str)]) -> Option<RepoPath> {
        let link_at = |path: &RepoPath| {
            let found = links.iter().find(|(at, _)| RepoPath::from(*at) == *path);
            Ok::<_, std::convert::Infallible>(found.map(|(_, to)| to.as_bytes().to_vec()))
        };
        end_of(link, target.as_bytes(), link_at).unwrap()
    }

    #[test]
    fn links_are_followed_as_a_system_follows_them() {
        for (link, target, links, expected) in [
            ("src/l", "k/m/d/../../other/o", &[("src/k/m/d", "..")][..], Some("other/o")),
            ("src/l", "k/m/d/o", &[("src/k/m/d", "..")], Some("src/k/o")),
            ("src/x/l", "out/o", &[("src/x/out", "../../other")], Some("other/o")),
            ("src/x/l", "out", &[("src/x/out", "../../other")], Some("other")),
            ("src/l", "a", &[("src/a", "b"), ("src/b", "c/"), ("src/c", "./d")], Some("src/d")),
            ("src/l", "a/x", &[("src/a", "/etc")], None),
            ("src/l", "a/x", &[("src/a", "../..")], None),
            ("src/l", "l", &[("src/l", "l")], None),
            ("src/l", "a", &[("src/a", "b"), ("src/b", "a")], None),
            ("l", "a/", &[], Some("a")),
            ("l", ".", &[], Some("")),
        ] {
            let expected = expected.map(RepoPath::from);
            assert_eq!(end(&link.into(), target, links), expected, "{link} -> {target}");
        }
    }

    /// What is said of a path that became something else with other content.
    fn said(path: &str, was: Kind, is: Kind, leads_to: Option<&str>, moved: Option<&str>) -> Option<String> {
        let (path, moved) = (RepoPath::from(path), moved.map(RepoPath::from));
        let end = leads_to.and_then(|target| end(&path, target, &[]));
        let lead = leads_to.map(|target| Lead { target: target.as_bytes(), end: end.as_ref() });
        let changed =
            Changed { path: &path, was, is, is_same_content: false, leads_to: lead, moved: moved.as_ref() };
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
