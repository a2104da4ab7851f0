//! The files that a write names: globs and diffs are looked up where they lie.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Asked, brought};
use crate::base::paths::RepoPath;
use crate::domain::pattern::Pattern;
use crate::domain::writes::{Diff, Reach, Write, of_diff};
use crate::sys::git::discover::discover;

/// How many entries of a folder are looked through for a glob: a hook has to answer in milliseconds.
const MOST_ENTRIES: usize = 10_000;

/// How many files a glob may stand for; of more it is asked as of what a program finds.
const MOST_MATCHES: usize = 1000;

/// A diff above this is not read: it may be about any file.
const LARGEST_DIFF: u64 = 1 << 20;

/// How much of a place is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::services) enum Extent {
    /// All of it.
    Whole,
    /// All of it that git knows.
    Known,
    /// All of it, and should there be nothing yet, a folder may come of it.
    Tree,
    /// The same, of what lies nowhere else by then.
    Moved,
    /// It is a folder; some of the files below that have such a name, nobody knows which.
    Found(String),
    /// It is the top of a checkout, of which this command changes what it finds.
    Checkout(String),
    /// This command brings another content of it, or takes it away.
    Brought(String),
}

/// The files of a write, as paths that may have links and dots.
pub(super) fn files(asked: &Asked<'_>, write: &Write) -> Vec<(PathBuf, Extent)> {
    let file = asked.cwd.join(&write.path);
    let inside = write.inside.as_deref();
    let whole = |files: Vec<PathBuf>| files.into_iter().map(|file| (file, Extent::Whole)).collect();
    match &write.reach {
        Reach::Path | Reach::Name | Reach::Tree | Reach::Like(_) | Reach::Moved(_) | Reach::Own => {
            let extent = match &write.reach {
                Reach::Like(source) if asked.cwd.join(source).is_dir() => Extent::Tree,
                Reach::Moved(source) if is_folder(&asked.cwd.join(source)) => Extent::Moved,
                Reach::Tree => Extent::Tree,
                Reach::Own => Extent::Known,
                _ => Extent::Whole,
            };
            let file = match inside.filter(|_| file.is_dir()) {
                Some(name) => file.join(name),
                None => file,
            };
            vec![(file, extent)]
        }
        Reach::IfThere if file.symlink_metadata().is_err() => Vec::new(),
        Reach::IfThere => whole(vec![file]),
        Reach::Glob => {
            let is_deep = write.path.split('/').any(|segment| segment == "**");
            match matching(asked.cwd, &write.path) {
                Ok(files) => {
                    let goals = |file: PathBuf| -> Vec<PathBuf> {
                        let Some(names) = inside.filter(|_| file.is_dir()) else { return vec![file] };
                        let sources = match literal(names) {
                            Some(name) => Ok(vec![name.into()]),
                            None => matching(asked.cwd, names),
                        };
                        match sources {
                            Ok(sources) => {
                                sources.iter().filter_map(|it| Some(file.join(it.file_name()?))).collect()
                            }
                            Err(TooMany { .. }) => vec![file],
                        }
                    };
                    // Where nothing matches, a word with brackets is the name itself.
                    let named = if files.is_empty() { literal(&write.path) } else { None };
                    let files = files.into_iter().chain(named.map(|name| asked.cwd.join(name)));
                    let mut files = whole(files.flat_map(goals).collect());
                    // Some shells, and others that were told, look at every depth for it.
                    if is_deep {
                        let TooMany { folder, name, .. } = too_many(asked.cwd, &write.path);
                        files.extend(found_in(folder, name, is_deep));
                    }
                    files
                }
                // Some of them are held one by one, and all are asked about.
                Err(TooMany { folder, name, some }) => {
                    let mut files = whole(some);
                    files.extend(found_in(folder, name, is_deep));
                    files
                }
            }
        }
        Reach::Names if file.is_dir() => match matching(asked.cwd, inside.unwrap_or_default()) {
            Ok(sources) => {
                whole(sources.iter().filter_map(|source| Some(file.join(source.file_name()?))).collect())
            }
            Err(TooMany { name, .. }) => vec![(file, Extent::Found(name))],
        },
        Reach::Names => whole(vec![file]),
        Reach::Below(name) if file.is_dir() => vec![(file, Extent::Found(name.clone()))],
        Reach::Below(_) => whole(vec![file]),
        Reach::Checkout(by) => vec![(file, Extent::Checkout(by.clone()))],
        // Looked for where they lie.
        Reach::Repositories(_) => Vec::new(),
        Reach::Commits(commits) => brought::files(asked, &file, commits),
        Reach::Diff(diff) => {
            let folder = asked.cwd.join(inside.unwrap_or_default());
            let diffs = if diff.is_glob { matching(asked.cwd, &write.path) } else { Ok(vec![file]) };
            match diffs {
                Ok(diffs) => diffs.iter().flat_map(|file| diffed(file, &folder, diff)).collect(),
                Err(TooMany { .. }) => vec![(folder, Extent::Checkout(diff.by.clone()))],
            }
        }
    }
}

/// A glob as the text that it was written as, if brackets are all that is special in it.
fn literal(glob: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        // `[[]`: one that is quoted, in the words of a claim's pattern.
        let quoted = rest.get(1..2).filter(|_| c == '[' && rest.get(2..3) == Some("]"));
        match (c, quoted.filter(|it| "*?[]{}".contains(*it))) {
            (_, Some(quoted)) => text.push_str(quoted),
            ('*' | '?' | '{', _) => return None,
            (c, _) => text.push(c),
        }
        rest = &rest[if quoted.is_some_and(|it| "*?[]{}".contains(it)) { 3 } else { c.len_utf8() }..];
    }
    Some(text)
}

/// What lies in a folder under such a name; where that is meant at every depth, a folder of it with all below it.
fn found_in(folder: PathBuf, name: String, is_deep: bool) -> Vec<(PathBuf, Extent)> {
    let below = (is_deep && name != "*").then(|| (folder.clone(), Extent::Found(format!("{name}/**"))));
    below.into_iter().chain([(folder, Extent::Found(name))]).collect()
}

/// Whether it is a folder, and no link to one.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// The files that a diff changes which is applied in a folder.
fn diffed(file: &Path, folder: &Path, diff: &Diff) -> Vec<(PathBuf, Extent)> {
    let Some(found) = file.metadata().ok().filter(std::fs::Metadata::is_file) else { return Vec::new() };
    let whole = || vec![(folder.to_owned(), Extent::Checkout(diff.by.clone()))];
    if found.len() > LARGEST_DIFF {
        return whole();
    }
    let named = of_diff(&String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()), diff.strip);
    if named.len() > MOST_MATCHES {
        return whole();
    }
    let is_topmost = diff.is_gits && named.iter().any(|(_, is_gits)| *is_gits);
    let top = if is_topmost { discover(folder).ok().and_then(|found| found.top) } else { None };
    let place = |(write, is_gits): (Write, bool)| {
        let start = top.as_deref().filter(|_| is_gits).unwrap_or(folder);
        (start.join(write.path), Extent::Whole)
    };
    named.into_iter().map(place).collect()
}

/// A glob stands for more files than are asked about one by one.
#[derive(Debug, PartialEq)]
struct TooMany {
    /// Where all of them lie.
    folder: PathBuf,
    /// A glob that matches their names.
    name: String,
    /// The first of them.
    some: Vec<PathBuf>,
}

/// Where a glob starts, and its parts.
fn parts<'a>(cwd: &'a Path, glob: &'a str) -> (&'a Path, impl DoubleEndedIterator<Item = &'a str>) {
    let start = if glob.starts_with('/') { Path::new("/") } else { cwd };
    (start, glob.split('/').filter(|segment| !matches!(*segment, "" | ".")))
}

fn too_many(cwd: &Path, glob: &str) -> TooMany {
    let (start, segments) = parts(cwd, glob);
    let before = segments.take_while(|segment| !segment.contains(['*', '?', '[', '{']));
    let folder = before.fold(start.to_owned(), |folder, segment| folder.join(segment));
    let name = parts(cwd, glob).1.next_back().filter(|name| *name != "**").unwrap_or("*");
    TooMany { folder, name: name.to_owned(), some: Vec::new() }
}

/// What matches a glob, as a shell would list it.
fn matching(cwd: &Path, glob: &str) -> Result<Vec<PathBuf>, TooMany> {
    let too_many = || too_many(cwd, glob);
    let (start, segments) = parts(cwd, glob);
    let mut found = vec![start.to_owned()];
    let mut segments = segments.peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        // What no pattern can say is no glob either.
        let pattern = Pattern::parse(segment).ok();
        let literal = match &pattern {
            _ if !segment.contains(['*', '?', '[']) => Some(segment),
            Some(pattern) if pattern.is_literal() => Some(pattern.literal_path()),
            _ => None,
        };
        let mut next = BTreeSet::new();
        for folder in found {
            match (literal, &pattern) {
                (Some(name), _) => {
                    let path = folder.join(name);
                    if path.symlink_metadata().is_ok() {
                        next.insert(path);
                    }
                }
                (None, Some(pattern)) => {
                    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                    for (at, entry) in entries.enumerate() {
                        if at == MOST_ENTRIES {
                            return Err(too_many());
                        }
                        let name = entry.file_name();
                        let bytes = name.as_bytes();
                        if (segment.starts_with('.') || !bytes.starts_with(b"."))
                            && pattern.contains(&RepoPath::from_bytes(bytes))
                        {
                            next.insert(folder.join(name));
                        }
                    }
                }
                (None, None) => {}
            }
            if next.len() > MOST_MATCHES {
                let some = if is_last { next.into_iter().take(MOST_MATCHES).collect() } else { Vec::new() };
                return Err(TooMany { some, ..too_many() });
            }
        }
        found = next.into_iter().collect();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_and_diffs_are_looked_up() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = &folder.path().canonicalize().unwrap();
        for name in ["a.txt", "b.txt", ".c.txt", "sub/a.rs", "sub/b[1].rs", "sub/deep/x.rs", "goal/old"] {
            std::fs::create_dir_all(cwd.join(name).parent().unwrap()).unwrap();
            std::fs::write(cwd.join(name), "").unwrap();
        }
        std::fs::write(cwd.join("p.diff"), "--- a/x\n+++ b/x\n--- /dev/null\n+++ b/sub/new\n").unwrap();
        std::fs::write(
            cwd.join("git.patch"),
            "diff --git a/top b/top\n--- a/top\n+++ b/top\ndiff -u x y\n--- a/sub/own\n+++ b/sub/own\n",
        )
        .unwrap();
        for name in [".git/objects", ".git/refs"] {
            std::fs::create_dir_all(cwd.join(name)).unwrap();
        }
        std::fs::write(cwd.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        let diff =
            |is_gits, is_glob| Reach::Diff(Diff { strip: 1, is_gits, is_glob, by: "git apply".to_owned() });
        let table: &[(Reach, &str, Option<&str>, &[&str])] = &[
            (Reach::Glob, "*.txt", None, &["a.txt", "b.txt"]),
            (Reach::Glob, ".*.txt", None, &[".c.txt"]),
            (Reach::Glob, "./?.txt", None, &["a.txt", "b.txt"]),
            (Reach::Glob, "[!a].txt", None, &["b.txt"]),
            (Reach::Glob, "sub/*.rs", None, &["sub/a.rs", "sub/b[1].rs"]),
            (Reach::Glob, "s*/*/*.rs", None, &["sub/deep/x.rs"]),
            (Reach::Glob, "sub/b[[]1[]]*", None, &["sub/b[1].rs"]),
            (Reach::Glob, "sub/../*.diff", None, &["sub/../p.diff"]),
            (Reach::Glob, "*.none", None, &[]),
            (Reach::Glob, "[z-a]", None, &["[z-a]"]),
            // A name with brackets, as it stands, where no other name is meant.
            (Reach::Glob, "app/[id]/new.tsx", None, &["app/[id]/new.tsx"]),
            (Reach::Glob, "app/[[]id[]]/[i]?", None, &[]),
            (Reach::Glob, "[[][a][]]", None, &["[[a]]"]),
            (Reach::Glob, "g[o]al", Some("x"), &["goal/x"]),
            (Reach::Glob, "[a].txt", Some("x"), &["a.txt"]),
            (Reach::Glob, "go*", Some("sub/*.rs"), &["goal/a.rs", "goal/b[1].rs"]),
            (Reach::Glob, "{[0-9],[0-9][0-9]}.txt", None, &[]),
            (Reach::Names, "goal", Some("sub/*.rs"), &["goal/a.rs", "goal/b[1].rs"]),
            (Reach::Names, "goal/new", Some("*.txt"), &["goal/new"]),
            (Reach::IfThere, "a.txt", None, &["a.txt"]),
            (Reach::IfThere, "main", None, &[]),
            (Reach::Below("*.rs".to_owned()), "a.txt", None, &["a.txt"]),
            (diff(false, false), "p.diff", Some(""), &["x", "sub/new"]),
            (diff(false, false), "p.diff", Some("goal"), &["goal/x", "goal/sub/new"]),
            (diff(false, false), "none.diff", Some(""), &[]),
            (diff(true, false), "git.patch", Some("sub"), &["top", "sub/sub/own"]),
            (diff(false, false), "git.patch", Some("sub"), &["sub/top", "sub/sub/own"]),
            (diff(true, true), "p*.diff", Some(""), &["x", "sub/new"]),
            (Reach::Path, "goal", Some("x"), &["goal/x"]),
            (Reach::Path, "new", Some("x"), &["new"]),
        ];
        for (reach, path, inside, expected) in table {
            let write =
                Write { path: (*path).to_owned(), inside: inside.map(str::to_owned), reach: reach.clone() };
            let asked = Asked { house: None, folder: cwd, cwd, writes: &[] };
            let found = files(&asked, &write);
            assert!(found.iter().all(|(_, extent)| *extent == Extent::Whole), "{write:?}");
            let found: Vec<&str> =
                found.iter().map(|(file, _)| file.strip_prefix(cwd).unwrap().to_str().unwrap()).collect();
            // Dots are not taken away by a look-up.
            let found: Vec<&str> = found.iter().map(|path| path.trim_start_matches("./")).collect();
            assert_eq!(found, *expected, "{write:?}");
        }
    }

    #[test]
    fn of_what_is_too_much_to_be_told_one_by_one_all_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        std::fs::create_dir_all(cwd.join("many/goal")).unwrap();
        for n in 0..=MOST_MATCHES {
            std::fs::write(cwd.join(format!("many/f{n}")), "").unwrap();
        }
        let found = |reach: Reach, path: &str, inside: Option<&str>| {
            let write = Write { path: path.to_owned(), inside: inside.map(str::to_owned), reach };
            files(&Asked { house: None, folder: cwd, cwd, writes: &[] }, &write)
        };
        let some = |path: &str, name: &str| vec![(cwd.join(path), Extent::Found(name.to_owned()))];
        for (glob, folder, name) in
            [("many/f*", "many", "f*"), ("m*/f?*", "", "f?*"), ("many/**", "many", "*")]
        {
            let mut found = found(Reach::Glob, glob, None);
            assert_eq!(found.split_off(MOST_MATCHES), some(folder, name), "{glob}");
            assert!(found.iter().all(|(_, extent)| *extent == Extent::Whole), "{glob}");
        }
        assert_eq!(found(Reach::Names, "many/goal", Some("many/f*")), some("many/goal", "f*"));
        assert_eq!(found(Reach::Glob, "many/f1??", None).len(), 100);
        let folders = found(Reach::Glob, "many/**/*.x", None);
        assert_eq!(folders, [some("many", "*.x/**"), some("many", "*.x")].concat());
        let by = "git apply".to_owned();
        let diff = Reach::Diff(Diff { strip: 1, is_gits: true, is_glob: true, by: by.clone() });
        assert_eq!(found(diff, "many/*", Some("")), [(cwd.join(""), Extent::Checkout(by))]);
    }
}
