//! Names that are patterns: `app/[id]/page.tsx` is a file to whoever wrote it, and one of two folders to a claim.

use std::path::Path;

use crate::base::paths::RepoPath;
use crate::domain::pattern::Pattern;
use crate::domain::refusal::{Code, Refusal};

/// What a pattern says beyond plain names.
const ODD: [char; 4] = ['*', '?', '[', '{'];

/// What the tree has by the very name that a pattern was written as, all of it or the folder that it begins with,
/// though the pattern does not own it; and the pattern that does.
pub fn meant(top: &Path, pattern: &Pattern) -> Option<(String, Pattern)> {
    let written = pattern.as_str();
    if pattern.is_literal() {
        return None;
    }
    let is_misread = |part: &str| {
        part.contains(ODD)
            && Pattern::parse(part)
                .is_ok_and(|read| !read.is_literal() && !read.contains(&RepoPath::from(part)))
            && top.join(part).symlink_metadata().is_ok()
    };
    let folders = written.match_indices('/').map(|(at, _)| at);
    let ends: Vec<usize> = folders.chain([written.len()]).collect();
    let end = ends.into_iter().rev().find(|end| is_misread(&written[..*end]))?;
    let (there, rest) = written.split_at(end);
    let own = Pattern::of_path(there).and_then(|own| Pattern::parse(&format!("{own}{rest}"))).ok()?;
    Some((there.to_owned(), own))
}

/// Refuses a pattern where a name of the tree is meant: what would be owned is something else.
pub fn refuse(top: &Path, pattern: &Pattern) -> Result<(), Refusal> {
    let Some((there, own)) = meant(top, pattern) else { return Ok(()) };
    let stands = match there.chars().find(|c| ODD.contains(c)) {
        Some('{') => "{ } hold names, each of which is meant",
        Some('[') => "[ ] stand for one letter",
        _ => "* and ? stand for other letters",
    };
    Err(Refusal::new(
        Code::BadPath,
        format!("{there} is there by that very name, but as a pattern it means others: {stands}"),
        format!("write {own}"),
    )
    .with("path", pattern.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_tree_is_told_from_a_pattern() {
        let top = tempfile::tempdir().unwrap();
        for folder in ["app/[id]/[slug]", "src", "odd/*"] {
            std::fs::create_dir_all(top.path().join(folder)).unwrap();
        }
        for file in ["app/[id]/page.tsx", "app/{x}.tsx", "src/a.rs", "app/[id]/[slug]/page.tsx"] {
            std::fs::write(top.path().join(file), "x").unwrap();
        }
        let table = [
            ("app/[id]/page.tsx", Some("app/[[]id[]]/page.tsx")),
            ("app/{x}.tsx", Some("app/[{]x[}].tsx")),
            // A file that is not there yet, in a folder that is.
            ("app/[id]/new.tsx", Some("app/[[]id[]]/new.tsx")),
            ("app/[id]/", Some("app/[[]id[]]/")),
            ("app/[id]/*.tsx", Some("app/[[]id[]]/*.tsx")),
            ("app/[id]/[slug]/page.tsx", Some("app/[[]id[]]/[[]slug[]]/page.tsx")),
            // Patterns that are meant as such.
            ("app/[[]id[]]/page.tsx", None),
            ("src/*.rs", None),
            ("**/*.tsx", None),
            ("{src,app}/", None),
            ("{src/a,app/b}.rs", None),
            ("odd/*", None),
            ("app/[xy]/page.tsx", None),
        ];
        for (written, expected) in table {
            let found = meant(top.path(), &Pattern::parse(written).unwrap());
            assert_eq!(found.map(|(_, own)| own.to_string()).as_deref(), expected, "{written}");
        }
    }
}
