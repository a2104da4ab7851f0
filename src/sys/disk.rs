//! How much room a disk has left, and whether a folder can be written.

use std::io;
use std::path::Path;

/// Bytes and files that can still be written on the disk of `path`, by whoever is not root. Some file systems
/// count no files and say 0.
///
/// # Errors
/// The system's, when the path is not there or its file system tells nothing.
pub fn room(path: &Path) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(path)?;
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_favail))
}

/// Why a file or folder that is there lets this process write nothing; `None` if it does, or is not there.
pub fn refusal(path: &Path) -> Option<io::Error> {
    let mut wanted = rustix::fs::Access::WRITE_OK;
    if path.is_dir() {
        wanted |= rustix::fs::Access::EXEC_OK;
    }
    let error = io::Error::from(rustix::fs::access(path, wanted).err()?);
    let refuses = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
    refuses.contains(&error.kind()).then_some(error)
}

/// How programs say that there was no room: the system's own words, git's, and SQLite's.
const FULL: [&str; 4] =
    ["No space left on device", "Disk quota exceeded", "Out of diskspace", "database or disk is full"];

/// Whether what a program said of its failure is that there was no room.
pub fn says_full(said: &str) -> bool {
    FULL.iter().any(|full| said.contains(full))
}
