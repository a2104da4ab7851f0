//! Hiding by granting the rest: a wall that can only grant, and only whole folders, leaves a secret
//! out by granting everything beside it and beside the folders above it.

use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
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
    let mut top = Place::default();
    hidden.iter().map(PathBuf::as_path).chain([Path::new("/dev")]).for_each(|path| top.hide(path));
    let mut rest = Vec::new();
    top.around(Path::new("/"), &mut rest);
    rest
}

/// The same within one folder.
pub(super) fn beside(folder: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let mut top = Place::default();
    hidden.iter().filter(|path| path.symlink_metadata().is_ok()).for_each(|path| top.hide(path));
    let mut rest = Vec::new();
    top.at(&folder).around(&folder, &mut rest);
    rest.iter().flat_map(Granted::paths).collect()
}

/// The same places by their real paths: by the name in its real folder, under which one that is missing would
/// appear, and where a link leads to.
#[cfg(target_os = "macos")]
pub(super) fn real(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut top = Place::default();
    paths.iter().for_each(|path| top.hide(path));
    let mut real = Vec::new();
    top.hidden(Path::new("/"), &mut real);
    real
}

/// A folder by its real path, what in it is hidden or leads to that, and what was seen in it: each folder is
/// looked at once. Most secrets that are known are not there, and lie in few folders: a call to the system for
/// each name of each path was the greater part of a start.
#[derive(Debug, Default)]
struct Place {
    is_hidden: bool,
    /// In the order of their names.
    below: Vec<(OsString, Self)>,
    listing: Option<Listing>,
}

/// The names in a folder, as far as they can be seen.
#[derive(Debug)]
enum Listing {
    Names { links: Vec<OsString>, others: Vec<OsString> },
    Unreadable,
}

/// What a name in a folder is.
#[derive(PartialEq, Eq)]
enum Kind {
    Missing,
    Link,
    Other,
}

impl Place {
    /// Hides the file or folder of that path: the name in its real folder, under which one that is missing would
    /// appear, and where a link leads to. Nothing is hidden where no folder is.
    fn hide(&mut self, path: &Path) {
        let mut next = Some(path.to_owned());
        while let Some(path) = next.take().and_then(plain) {
            let text = path.as_os_str().as_bytes();
            let mut place = &mut *self;
            let mut passed = 1;
            for name in text.split(|byte| *byte == b'/').skip(1).map(OsStr::from_bytes) {
                let here = Path::new(OsStr::from_bytes(&text[..passed]));
                passed = text.len().min(passed + name.len() + 1);
                let is_last = passed == text.len();
                let known = place.find(name);
                let kind = match known {
                    // What was passed already is a folder.
                    Ok(at) if !place.below[at].1.is_hidden => Kind::Other,
                    _ => place.kind(here, name, is_last),
                };
                if kind == Kind::Link {
                    let real = here.join(name).canonicalize().ok().filter(|path| path.parent().is_some());
                    next = real.map(|real| real.join(OsStr::from_bytes(&text[passed..])));
                }
                if kind != Kind::Other && !is_last {
                    break;
                }
                let at = known.unwrap_or_else(|at| {
                    place.below.insert(at, (name.to_owned(), Self::default()));
                    at
                });
                place = &mut place.below[at].1;
                place.is_hidden |= is_last;
            }
        }
    }

    /// What the name is in this folder, whose path is `here`. Of the last one of a path only links matter.
    fn kind(&mut self, here: &Path, name: &OsStr, is_last: bool) -> Kind {
        match self.list(here) {
            Listing::Names { links, .. } if links.iter().any(|link| link == name) => Kind::Link,
            Listing::Names { others, .. } if is_last || others.iter().any(|other| other == name) => {
                Kind::Other
            }
            Listing::Names { .. } => Kind::Missing,
            Listing::Unreadable => match here.join(name).symlink_metadata() {
                Ok(found) if found.is_symlink() => Kind::Link,
                Ok(_) => Kind::Other,
                Err(_) => Kind::Missing,
            },
        }
    }

    fn list(&mut self, here: &Path) -> &Listing {
        self.listing.get_or_insert_with(|| {
            let Ok(entries) = fs::read_dir(here) else { return Listing::Unreadable };
            let (mut links, mut others) = (Vec::new(), Vec::new());
            for entry in entries.flatten() {
                match entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                    true => links.push(entry.file_name()),
                    false => others.push(entry.file_name()),
                }
            }
            Listing::Names { links, others }
        })
    }

    fn find(&self, name: &OsStr) -> Result<usize, usize> {
        self.below.binary_search_by(|(known, _)| known.as_os_str().cmp(name))
    }

    /// The place of that real path, or one in which nothing is hidden.
    fn at(mut self, path: &Path) -> Self {
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            self = match self.find(name) {
                Ok(at) => self.below.swap_remove(at).1,
                Err(_) => Self::default(),
            };
        }
        self
    }

    /// Adds what is not hidden in this folder, whose path is `here`.
    fn around(mut self, here: &Path, rest: &mut Vec<Granted>) {
        self.list(here);
        let Some(Listing::Names { others, .. }) = self.listing.take() else {
            // Nothing can be seen here, yet the folders on the way may be passed.
            for (name, place) in self.below.into_iter().filter(|(_, place)| !place.is_hidden) {
                place.around(&here.join(name), rest);
            }
            return;
        };
        let mut names = Vec::new();
        let mut on_the_way = Vec::new();
        for name in others {
            match self.find(&name) {
                Err(_) => names.push(name),
                Ok(at) if self.below[at].1.is_hidden => {}
                Ok(at) => on_the_way.push((here.join(name), std::mem::take(&mut self.below[at].1))),
            }
        }
        rest.push(Granted { folder: here.to_owned(), names });
        for (path, place) in on_the_way {
            place.around(&path, rest);
        }
    }

    /// Adds what is hidden below this folder, whose path is `here`.
    #[cfg(target_os = "macos")]
    fn hidden(&self, here: &Path, all: &mut Vec<PathBuf>) {
        for (name, place) in &self.below {
            let path = here.join(name);
            match place.is_hidden {
                true => all.push(path),
                false => place.hidden(&path, all),
            }
        }
    }
}

/// The path without empty names and dots; in its real folder where it goes up again on its way: what that means
/// only the system knows. `None` where there is no such folder, or nothing but a way up.
fn plain(path: PathBuf) -> Option<PathBuf> {
    let is_odd = |name: &[u8]| matches!(name, b"" | b"." | b"..");
    let text = path.as_os_str().as_bytes();
    if text.strip_prefix(b"/")?.split(|byte| *byte == b'/').any(is_odd) {
        let name = path.file_name()?;
        let folder = match path.components().any(|part| part == Component::ParentDir) {
            true => path.parent()?.canonicalize().ok()?,
            false => path.parent()?.components().collect(),
        };
        return Some(folder.join(name));
    }
    Some(path)
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
            let mut before = Surroundings::of(&hidden);
            // Other tests make their folders beside this one's.
            before.0.retain(|folder, _| folder.starts_with(&top));
            assert!(before.are_same());
            fs::write(top.join("home/code/file"), "what is beside is no matter").unwrap();
            assert!(before.are_same());
            change();
            assert!(!before.are_same());
        }
    }

    #[test]
    fn a_root_is_never_hidden() {
        let everything = all_but(&[]).iter().flat_map(Granted::paths).collect::<Vec<_>>();
        for root in ["/", "/usr/..", "", "usr", "//", "/."] {
            let rest = all_but(&[root.into()]);
            assert_eq!(rest.iter().flat_map(Granted::paths).collect::<Vec<_>>(), everything, "{root}");
        }
    }

    #[test]
    fn ways_by_links_and_up_again_lead_to_what_is_hidden() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        for folder in ["real/deep/keys", "real/deep/beside", "other"] {
            fs::create_dir_all(top.join(folder)).unwrap();
        }
        symlink("real/deep", top.join("one")).unwrap();
        symlink(top.join("other/two"), top.join("to-a-link")).unwrap();
        symlink("../one/keys", top.join("other/two")).unwrap();
        symlink("itself", top.join("itself")).unwrap();
        for way in [
            "one/keys",
            "one/keys/",
            ".//one/./keys//",
            "other/two",
            "to-a-link",
            "other/../one/keys",
            "one/../deep/keys",
        ] {
            let rest = all_but(&[top.join("itself/x"), top.join(way), top.join("itself")]);
            let ours = rest.iter().flat_map(Granted::paths).filter(|path| path.starts_with(top.join("real")));
            assert_eq!(ours.collect::<Vec<_>>(), [top.join("real/deep/beside")], "{way}");
        }
    }

    #[test]
    fn what_is_beside_in_one_folder_is_told_as_far_as_it_is_there() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        for folder in ["cache/gh", "cache/pip", "cache/tool/inner", "elsewhere"] {
            fs::create_dir_all(top.join(folder)).unwrap();
        }
        fs::write(top.join("cache/tool/token"), "").unwrap();
        let hidden = ["cache/gh", "cache/tool/token", "cache/pip/missing", "elsewhere", "no/where"];
        let mut rest = beside(&top.join("cache"), &hidden.map(|path| top.join(path)));
        rest.sort();
        assert_eq!(rest, ["cache/pip", "cache/tool/inner"].map(|path| top.join(path)));
        let all = beside(&top.join("cache/tool"), &[top.join("elsewhere")]);
        assert_eq!(all.len(), 2, "{all:?}");
    }
}
