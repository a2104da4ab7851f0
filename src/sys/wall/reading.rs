//! Hiding by granting the rest: a wall that can only grant, and only whole folders, leaves a secret
//! out by granting everything beside it and beside the folders above it.

use crate::base::sorting;
use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// What in one folder is granted: a part of an answer.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) folder: PathBuf,
    pub(super) names: Vec<OsString>,
}

impl Granted {
    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.names.iter().map(|name| self.folder.join(name))
    }
}

/// The fewest folders and files that hold everything except `hidden` and the devices of the system, as it
/// is now: what is made later beside a secret is hidden too. Links are none of them, since the rights are those
/// of what a link leads to.
pub(super) fn all_but(hidden: &[PathBuf]) -> Vec<Granted> {
    let mut sight = Sight::default();
    let mut secrets = Place::default();
    sight
        .real(hidden)
        .iter()
        .map(PathBuf::as_path)
        .chain([Path::new("/dev")])
        .for_each(|path| secrets.hide(path));
    let mut rest = Vec::new();
    sight.around(Path::new("/"), &secrets, &mut rest);
    rest
}

/// The same within one folder.
pub(super) fn beside(folder: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let mut sight = Sight::default();
    let mut secrets = Place::default();
    for path in sight.real(hidden) {
        if let Ok(below) = path.strip_prefix(&folder)
            && path.symlink_metadata().is_ok()
        {
            secrets.hide(below);
        }
    }
    let mut rest = Vec::new();
    sight.around(&folder, &secrets, &mut rest);
    rest.iter().flat_map(Granted::paths).collect()
}

/// The same places by their real paths: by the name in its real folder, under which one that is missing would
/// appear, and where a link leads to.
#[cfg(target_os = "macos")]
pub(super) fn real(paths: &[PathBuf]) -> Vec<PathBuf> {
    Sight::default().real(paths)
}

/// What is hidden, and the folders on the way to it: a tree by names, in their order.
#[derive(Debug, Default)]
struct Place {
    is_hidden: bool,
    below: Vec<(OsString, Self)>,
}

impl Place {
    fn hide(&mut self, path: &Path) {
        let mut place = self;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let at = match place.find(name) {
                Ok(at) => at,
                Err(at) => {
                    place.below.insert(at, (name.to_owned(), Self::default()));
                    at
                }
            };
            place = &mut place.below[at].1;
        }
        place.is_hidden = true;
    }

    fn below(&self, name: &OsStr) -> Option<&Self> {
        Some(&self.below[self.find(name).ok()?].1)
    }

    fn find(&self, name: &OsStr) -> Result<usize, usize> {
        self.below.binary_search_by(|(known, _)| known.as_os_str().cmp(name))
    }
}

/// What was seen of the tree so far. Most secrets that are known are not there, and lie in few folders: a call
/// to the system for each name of each path was the greater part of a start.
#[derive(Default)]
struct Sight {
    /// Folders and their real paths.
    real: BTreeMap<PathBuf, Option<PathBuf>>,
    /// What is in folders, by their real paths.
    listed: BTreeMap<PathBuf, Option<Listing>>,
}

/// The names in a folder.
#[derive(Debug, Default)]
struct Listing {
    links: Vec<OsString>,
    others: Vec<OsString>,
}

impl Sight {
    fn real(&mut self, paths: &[PathBuf]) -> Vec<PathBuf> {
        let mut real = Vec::new();
        for path in paths {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let Some(folder) = self.real_folder(folder) else { continue };
            let path = folder.join(name);
            if self.is_link(&folder, name) {
                real.extend(path.canonicalize().ok().filter(|path| path.parent().is_some()));
            }
            real.push(path);
        }
        sorting::sort(&mut real);
        real.dedup();
        real
    }

    /// `None` where there is none.
    fn real_folder(&mut self, folder: &Path) -> Option<PathBuf> {
        if let Some(real) = self.real.get(folder) {
            return real.clone();
        }
        let real = match (folder.parent(), folder.file_name()) {
            (Some(above), Some(name)) => self.real_folder(above).and_then(|above| {
                let path = above.join(name);
                match path.symlink_metadata().ok()?.is_symlink() {
                    true => path.canonicalize().ok(),
                    false => Some(path),
                }
            }),
            // The root, or a way that goes up again.
            _ => folder.canonicalize().ok(),
        };
        self.real.insert(folder.to_owned(), real.clone());
        real
    }

    /// Whether that is a link, in a folder by its real path.
    fn is_link(&mut self, folder: &Path, name: &OsStr) -> bool {
        match self.list(folder) {
            Some(listing) => listing.links.iter().any(|link| link == name),
            None => folder.join(name).is_symlink(),
        }
    }

    /// What is in it, if that can be seen.
    fn list(&mut self, folder: &Path) -> Option<&Listing> {
        if !self.listed.contains_key(folder) {
            let listed = fs::read_dir(folder).ok().map(|entries| {
                let mut listing = Listing::default();
                for entry in entries.flatten() {
                    match entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                        true => listing.links.push(entry.file_name()),
                        false => listing.others.push(entry.file_name()),
                    }
                }
                listing
            });
            self.listed.insert(folder.to_owned(), listed);
        }
        self.listed.get(folder)?.as_ref()
    }

    fn around(&mut self, folder: &Path, secrets: &Place, rest: &mut Vec<Granted>) {
        let Some(listing) = self.list(folder) else {
            // Nothing can be seen here, yet the folders on the way may be passed.
            for (name, place) in secrets.below.iter().filter(|(_, place)| !place.is_hidden) {
                self.around(&folder.join(name), place, rest);
            }
            return;
        };
        let mut names = Vec::new();
        let mut on_the_way = Vec::new();
        for name in &listing.others {
            match secrets.below(name) {
                None => names.push(name.clone()),
                Some(place) if place.is_hidden => {}
                Some(place) => on_the_way.push((folder.join(name), place)),
            }
        }
        rest.push(Granted { folder: folder.to_owned(), names });
        for (path, place) in on_the_way {
            self.around(&path, place, rest);
        }
    }
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
        let granted = all_but(&hidden.map(|path| top.join(path)));
        let rest = granted.iter().flat_map(Granted::paths).collect::<Vec<_>>();
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
        let roots = ["/".into(), "/usr/..".into(), String::new().into()];
        assert_eq!(Sight::default().real(&roots), Vec::<PathBuf>::new());
    }
}
