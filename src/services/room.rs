//! Whether there is room where Kapell writes: in the state folder and in the repository. Where there is none, or the
//! folder refuses, what ends cannot be recorded or kept, and what is recorded is not how it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::sys::disk;

/// With less than this a disk has no room: git's smallest writes fail.
pub const NONE: u64 = 64 * 1024;

/// With less than this a disk is taken at its word where a program says that it is full: what it was to write was
/// larger than what is left.
pub const SHORT: u64 = 256 << 20;

/// What has all work wait until a person has seen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What is lacking where, in a clause.
    pub what: String,
    /// What does not go on meanwhile.
    pub stops: &'static str,
    /// What to do about it.
    pub next: &'static str,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Lack {
    /// All of it, in a sentence.
    pub fn sentence(&self) -> String {
        format!("{}: {}; {}", self.what, self.stops, self.next)
    }
}

/// Where is written.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The state folder.
    pub root: &'a Path,
    /// The repository.
    pub place: Option<&'a Path>,
}

/// What does not go on where the state folder takes nothing.
pub const UNRECORDED: &str = "what ends cannot be recorded, and nothing begins";
const UNKEPT: &str = "what is done cannot be kept, and nothing begins";

/// What of the state folder nobody works without: its database, and folders.
const NEEDED: [&str; 7] = ["kapell.db", "run", "life", "tmp", "worktrees", "queue", "log"];

impl Places<'_> {
    /// What is lacking now; `None` as long as everything can be written.
    pub fn lacking(&self) -> Option<Lack> {
        self.full(NONE).or_else(|| self.refusing())
    }

    /// That a disk has less room than that, if so: the state folder's if nothing fits on it, else the fuller one.
    pub fn full(&self, least: u64) -> Option<Lack> {
        let room = |place: &Path| disk::room(place).map_or(u64::MAX, |(bytes, _)| bytes);
        let of_root = room(self.root);
        let of_place = self.place.map_or(u64::MAX, room);
        let lack = |place: &Path, stops| Some(Lack { what: full(place), stops, next: NEXT });
        match self.place {
            Some(place) if of_place < least && of_place < of_root && of_root >= NONE => lack(place, UNKEPT),
            _ if of_root < least => lack(self.root, UNRECORDED),
            _ => None,
        }
    }

    /// That a folder of the state, or its database, lets nobody write, if so.
    fn refusing(&self) -> Option<Lack> {
        let within = NEEDED.iter().map(|name| self.root.join(name));
        let (path, error) = std::iter::once(self.root.to_owned())
            .chain(within)
            .find_map(|path| disk::refusal(&path).map(|error| (path, error)))?;
        Some(Lack { what: refused(&path, &error), stops: UNRECORDED, next: NEXT_WRITABLE })
    }
}

fn refused(path: &Path, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => "its disk is read-only",
        _ => "permission is denied",
    };
    format!("{} cannot be written, {why}", tidy(path).display())
}

/// That the disk of a folder is full, in a clause.
pub fn full(folder: &Path) -> String {
    format!("the disk of {} is full", tidy(folder).display())
}

/// Without the slash that a folder's path may end with.
fn tidy(folder: &Path) -> PathBuf {
    folder.components().collect()
}

/// What to do about a full disk.
pub const NEXT: &str = "make room, and it goes on by itself";
/// What to do about a folder that refuses.
pub const NEXT_WRITABLE: &str = "make it writable for you again, and it goes on by itself";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_refuses_is_named_with_what_to_do() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(refused(Path::new("/s/tmp/"), &denied), "/s/tmp cannot be written, permission is denied");
        let read_only = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!(refused(Path::new("/s"), &read_only), "/s cannot be written, its disk is read-only");
    }

    #[test]
    fn a_repository_without_room_is_a_lack_as_a_state_folder_is() {
        let (root, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let places = Places { root: root.path(), place: Some(place.path()) };
        assert_eq!(places.lacking(), None);
        let gone = Places { root: Path::new("/no/such/folder"), ..places };
        // More than any disk has.
        let of_place = gone.full(u64::MAX).unwrap();
        assert_eq!(
            of_place.sentence(),
            format!(
                "the disk of {} is full: what is done cannot be kept, and nothing begins; make room, and it goes on by itself",
                place.path().display()
            )
        );
        let alone = Places { place: None, ..places };
        assert_eq!(alone.full(u64::MAX).unwrap().what, full(root.path()));
    }

    #[test]
    fn a_folder_of_the_state_that_cannot_be_written_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        if rustix::process::geteuid().is_root() {
            eprintln!("NOT TESTED: nothing is denied to root");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let tmp = root.path().join("tmp");
        fs::create_dir(&tmp).unwrap();
        fs::set_permissions(&tmp, fs::Permissions::from_mode(0o500)).unwrap();
        let lack = Places { root: root.path(), place: None }.lacking().unwrap();
        assert_eq!(lack.what, format!("{} cannot be written, permission is denied", tmp.display()));
        assert_eq!(lack.next, NEXT_WRITABLE);
        fs::set_permissions(&tmp, fs::Permissions::from_mode(0o700)).unwrap();
    }
}
