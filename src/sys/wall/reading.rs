//! Hiding by granting the rest: a wall that can only grant, and only whole folders, leaves a secret
//! out by granting everything beside it and beside the folders above it.

use crate::base::sorting;
use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The fewest folders and files that hold everything except `hidden` and the devices of the system, as it
/// is now: what is made later beside a secret is hidden too. Links are none of them, since the rights are those
/// of what a link leads to.
pub(super) fn all_but(hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut hidden: BTreeSet<PathBuf> = real(hidden).into_iter().gather();
    hidden.insert("/dev".into());
    let above = hidden.iter().flat_map(|path| path.ancestors().skip(1)).map(Path::to_owned).gather();
    let mut rest = Vec::new();
    around(Path::new("/"), &hidden, &above, &mut rest);
    rest
}

/// The same within one folder.
pub(super) fn beside(folder: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let is_there = |path: &PathBuf| path.starts_with(&folder) && path.symlink_metadata().is_ok();
    let hidden: BTreeSet<PathBuf> = real(hidden).into_iter().filter(is_there).gather();
    let above = hidden.iter().flat_map(|path| path.ancestors().skip(1)).map(Path::to_owned).gather();
    let mut rest = Vec::new();
    around(&folder, &hidden, &above, &mut rest);
    rest
}

/// What the answer of [`all_but`] depends on: the folders above the secrets, by their names and by their real
/// paths, and when each was last changed. Two equal ones mean the same answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Surroundings(BTreeMap<PathBuf, Option<Change>>);

/// The place of a folder and its last change: device, inode, seconds, nanoseconds.
type Change = (u64, u64, i64, i64);

impl Surroundings {
    /// As they are now. Taken before the folders are read, so that what changes meanwhile tells.
    pub(super) fn of(hidden: &[PathBuf]) -> Self {
        let folders = hidden.iter().filter_map(|path| path.parent()).gather::<BTreeSet<_>>();
        let real = folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect::<Vec<_>>();
        let named = folders.iter().copied().chain(real.iter().map(PathBuf::as_path));
        let all: BTreeSet<&Path> = named.flat_map(Path::ancestors).chain([Path::new("/")]).gather();
        Self(all.into_iter().map(|folder| (folder.to_owned(), last_change(folder))).gather())
    }

    /// Whether they are still so.
    pub(super) fn are_same(&self) -> bool {
        self.0.iter().all(|(folder, change)| last_change(folder) == *change)
    }
}

fn last_change(folder: &Path) -> Option<Change> {
    let found = fs::symlink_metadata(folder).ok()?;
    Some((found.dev(), found.ino(), found.ctime(), found.ctime_nsec()))
}

fn around(folder: &Path, hidden: &BTreeSet<PathBuf>, above: &BTreeSet<PathBuf>, rest: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        // Nothing can be seen here, yet the folders on the way may be passed.
        for below in above.iter().filter(|path| path.parent() == Some(folder)) {
            around(below, hidden, above, rest);
        }
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if hidden.contains(&path) || entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            continue;
        }
        if above.contains(&path) {
            around(&path, hidden, above, rest);
        } else {
            rest.push(path);
        }
    }
}

/// The same places by their real paths: by the name in its real folder, under which one that is missing would
/// appear, and where a link leads to.
pub(super) fn real(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut real = Vec::new();
    let mut folders = BTreeMap::new();
    for path in paths {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
        // To resolve a path is a call for each of its names, and most lie in few folders.
        let folder = folders.entry(folder).or_insert_with(|| folder.canonicalize().ok());
        let Some(path) = folder.as_ref().map(|folder| folder.join(name)) else { continue };
        if path.is_symlink() {
            real.extend(path.canonicalize().ok().filter(|path| path.parent().is_some()));
        }
        real.push(path);
    }
    sorting::sort(&mut real);
    real.dedup();
    real
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn everything_beside_a_secret_is_granted_and_no_folder_above_it() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        for folder in ["home/.ssh", "home/.config/gh", "home/.config/tool", "home/code", "vault/deep"] {
            fs::create_dir_all(top.join(folder)).unwrap();
        }
        for file in ["home/.netrc", "home/notes", "home/.config/gh/token"] {
            fs::write(top.join(file), "").unwrap();
        }
        symlink(top.join("vault"), top.join("home/.gnupg")).unwrap();
        symlink(top.join("home"), top.join("alias")).unwrap();
        let hidden = ["alias/.ssh", "home/.config/gh", "home/.netrc", "home/.gnupg", "home/.aws", "no/where"];
        let rest = all_but(&hidden.map(|path| top.join(path)));
        let ours: BTreeSet<&Path> = rest.iter().filter_map(|path| path.strip_prefix(&top).ok()).gather();
        let expected = ["home/.config/tool", "home/code", "home/notes"];
        assert_eq!(ours, expected.iter().map(Path::new).collect());
        for path in rest.iter().filter(|path| !path.starts_with(&top)) {
            assert!(!top.starts_with(path) && !path.starts_with("/dev"), "{}", path.display());
        }
        assert!(rest.iter().any(|path| path == Path::new("/usr")), "{rest:?}");
    }

    #[test]
    fn a_change_around_a_secret_is_noticed() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("home/.config")).unwrap();
        fs::create_dir_all(top.join("home/code")).unwrap();
        symlink(top.join("home"), top.join("alias")).unwrap();
        let hidden = [top.join("alias/.ssh"), top.join("alias/.config/gh"), top.join("no/where")];
        let changes: [&dyn Fn(); 5] = [
            &|| fs::create_dir(top.join("home/new")).unwrap(),
            &|| fs::write(top.join("home/.config/tool"), "").unwrap(),
            &|| fs::create_dir(top.join("no")).unwrap(),
            &|| fs::remove_file(top.join("alias")).unwrap(),
            &|| symlink(top.join("home/code"), top.join("alias")).unwrap(),
        ];
        for change in changes {
            let before = Surroundings::of(&hidden);
            assert!(before.are_same());
            fs::write(top.join("home/code/file"), "what is beside is no matter").unwrap();
            assert!(before.are_same());
            change();
            assert!(!before.are_same());
        }
    }

    #[test]
    fn a_root_is_never_hidden() {
        assert_eq!(real(&["/".into(), "/usr/..".into(), String::new().into()]), Vec::<PathBuf>::new());
    }
}
