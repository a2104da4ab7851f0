//! Delegation: whether a worker may hand a part of its claim to a child task.

use crate::base::ids::TaskId;
use crate::base::paths::RepoPath;
use crate::domain::overlap::{IsFile, overlap_of};
use crate::domain::pattern::Pattern;
use crate::domain::refusal::{Code, Refusal};

/// A child of a child is the last: work that is cut up further costs more to explain than to do.
pub const MOST_DEPTH: usize = 2;

/// Children of one task, over its whole life.
pub const MOST_CHILDREN: usize = 8;

/// What is known of the task that wants to delegate.
#[derive(Debug, Clone)]
pub struct Parent<'a> {
    /// Its id.
    pub task: &'a TaskId,
    /// How many tasks above it delegated: 0 for one of the plan's own.
    pub depth: usize,
    /// What it owns.
    pub owned: &'a [Pattern],
    /// How many children it has or had.
    pub children: usize,
    /// What children of it own that are not done.
    pub lent: &'a [(TaskId, Vec<Pattern>)],
    /// What its worker changed so far.
    pub changed: &'a [RepoPath],
}

/// Decides whether a child may have `files`, for as long as it takes, where it is known which paths are files.
///
/// # Errors
/// The limits are reached; a file is not the parent's, is lent already, or was changed by the parent.
pub fn decide(parent: &Parent<'_>, files: &[Pattern], is_file: &IsFile<'_>) -> Result<(), Refusal> {
    let task = parent.task;
    if parent.depth >= MOST_DEPTH {
        return Err(Refusal::new(
            Code::NotAllowed,
            format!("task {task} is itself delegated, {MOST_DEPTH} deep: it may not delegate further"),
            "do this part yourself",
        ));
    }
    if parent.children >= MOST_CHILDREN {
        return Err(Refusal::new(
            Code::NotAllowed,
            format!("task {task} has had {MOST_CHILDREN} children, as many as allowed"),
            "do the rest yourself",
        ));
    }
    for file in files {
        if !parent.owned.iter().any(|own| is_within(file, own)) {
            return Err(Refusal::new(
                Code::NotAllowed,
                format!("{} is not within what task {task} owns", file.as_str()),
                "delegate part of your own claim; claim-files asks for more, and a folder or file by its name is surely within one",
            )
            .with("path", file.as_str()));
        }
        for (child, theirs) in parent.lent {
            if let Some(witness) = theirs.iter().find_map(|their| overlap_of(file, their, is_file)) {
                return Err(Refusal::new(
                    Code::Conflict,
                    format!("{witness} is lent to task {child} already"),
                    format!("wait until {child} is done (status), or leave it out"),
                )
                .with("path", witness));
            }
        }
        if let Some(path) = parent.changed.iter().find(|path| file.contains(path)) {
            return Err(Refusal::new(
                Code::Conflict,
                format!("{path} was changed by task {task} itself, and a child would not see that"),
                "delegate before you change it, or put it back as it was first",
            )
            .with("path", path));
        }
    }
    Ok(())
}

/// Whether all that `part` owns surely lies within `whole`.
fn is_within(part: &Pattern, whole: &Pattern) -> bool {
    if part == whole {
        return true;
    }
    let (path, around) = (part.literal_path(), whole.literal_path());
    if whole.is_literal() {
        return match path.strip_prefix(around) {
            // A folder of that name is within a path of that name, and not the other way round.
            Some("") => !whole.is_folder() || part.is_folder() || !part.is_literal(),
            Some(rest) => rest.starts_with('/'),
            None => false,
        };
    }
    part.is_literal() && !part.is_folder() && whole.contains(&RepoPath::from(path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    }

    #[test]
    fn only_what_is_surely_within_the_claim_can_be_lent() {
        let table = [
            ("src", "src", true),
            ("src/a.rs", "src", true),
            ("src/", "src", true),
            ("src", "src/", false),
            ("src/a.rs", "src/", true),
            ("src/**/*.rs", "src/", true),
            ("src/**/*.rs", "src", true),
            ("srcs", "src", false),
            ("src", "src/a.rs", false),
            ("lib", "src", false),
            ("Src/a.rs", "src", false),
            ("src/*.rs", "src/*.rs", true),
            ("src/a.rs", "src/*.rs", true),
            ("src/a.c", "src/*.rs", false),
            ("src/a*.rs", "src/*.rs", false),
            ("**", "src", false),
            ("*.rs", "src", false),
        ];
        for (part, whole, expected) in table {
            let [part, whole] = [part, whole].map(|text| Pattern::parse(text).unwrap());
            assert_eq!(is_within(&part, &whole), expected, "{} in {}", part.as_str(), whole.as_str());
        }
    }

    #[test]
    fn each_limit_is_told_by_its_name() {
        let task = TaskId::text("a");
        let owned = patterns(&["src", "docs/*.md"]);
        let lent = [(TaskId::text("a.1"), patterns(&["src/db"]))];
        let changed = [RepoPath::from("src/main.rs")];
        let parent =
            Parent { task: &task, depth: 0, owned: &owned, children: 1, lent: &lent, changed: &changed };
        let said = |parent: &Parent<'_>, files: &[&str]| match decide(parent, &patterns(files), &|path| {
            path == "docs/a.md"
        }) {
            Ok(()) => String::new(),
            Err(refusal) => refusal.message,
        };
        let table: [(&[&str], &str); 5] = [
            (&["src/api", "docs/api.md"], ""),
            (&["src/api", "tests"], "tests is not within what task a owns"),
            (&["src/db/a.rs"], "src/db/a.rs is lent to task a.1 already"),
            (&["src/*.rs"], "src/main.rs was changed by task a itself, and a child would not see that"),
            (&["src"], "src/db is lent to task a.1 already"),
        ];
        for (files, expected) in table {
            assert_eq!(said(&parent, files), expected, "{files:?}");
        }
        // Below a file there is nothing that two could own.
        let lent = [(TaskId::text("a.1"), patterns(&["docs/a.md"]))];
        let owned = patterns(&["docs"]);
        let of_file = Parent { owned: &owned, lent: &lent, ..parent.clone() };
        assert_eq!(said(&of_file, &["docs/**/*.rs"]), "");
        assert_eq!(said(&of_file, &["docs/*.md"]), "docs/a.md is lent to task a.1 already");
        assert!(said(&Parent { depth: MOST_DEPTH, ..parent.clone() }, &["src/api"]).contains("2 deep"));
        assert!(said(&Parent { children: MOST_CHILDREN, ..parent.clone() }, &["src/api"]).contains("had 8"));
    }

    proptest! {
        #[test]
        fn what_a_child_owns_its_parent_owned(
            part in "(src|lib)(/(a|b|\\*|\\*\\*)){0,2}/?", whole in "(src|lib)(/(a|b|\\*|\\*\\*)){0,2}/?",
            path in "(src|lib)(/(a|b)){0,3}",
        ) {
            let [part, whole] = [part, whole].map(|text| Pattern::parse(&text));
            let (Ok(part), Ok(whole)) = (part, whole) else { return Ok(()) };
            let path = RepoPath::from(path.as_str());
            // A file is lent by a glob without the folder that it is not.
            let is_below = part.is_literal() && path.as_bytes() != part.literal_path().as_bytes();
            if (whole.is_literal() || !is_below) && part.contains(&path) && is_within(&part, &whole) {
                prop_assert!(whole.contains(&path), "{} in {}: {path}", part.as_str(), whole.as_str());
            }
        }
    }
}
