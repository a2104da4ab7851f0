//! Whether the state folder has any room left. Where it has none, what ends cannot be recorded, and what is recorded
//! is not how it is.

use std::path::Path;

use crate::sys::disk;

/// With less than this a disk has no room: git's smallest writes fail.
pub const NONE: u64 = 64 * 1024;

/// That the disk of a folder is full, in a clause; `None` as long as it has room.
pub fn lacking(folder: &Path) -> Option<String> {
    disk::room(folder).is_ok_and(|(bytes, _)| bytes < NONE).then(|| full(folder))
}

/// The same of a disk that is known to be full.
pub fn full(folder: &Path) -> String {
    // Without the slash that a folder's path may end with.
    format!("the disk of {} is full", folder.components().as_path().display())
}

/// What to do about it.
pub const NEXT: &str = "make room, and it goes on by itself";
