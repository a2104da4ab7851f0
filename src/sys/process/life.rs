//! Proof of life: a file whose lock is held as long as a process lives. The kernel lets
//! go of it however the process ends, and no other process can be mistaken for it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A held lock. The file is removed when it is dropped; a process that is killed leaves
/// the file, but not the lock.
#[derive(Debug)]
pub struct Life {
    path: PathBuf,
    _lock: File,
}

impl Life {
    /// Takes the lock of `path`, making the file. `None` if another process holds it.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            // The holder before may have removed the file between our opening and locking it.
            if is_same_file(&file, path) {
                return Ok(Some(Self { path: path.to_owned(), _lock: file }));
            }
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // While the lock is still held, so that nobody else's file can be meant.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether a process holds the lock of that file.
pub fn is_held(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).open(path) else { return false };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => false,
        Err(errno) => errno == rustix::io::Errno::WOULDBLOCK,
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_lives_as_long_as_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/life");
        assert!(!is_held(&path));
        let life = Life::take(&path).unwrap().unwrap();
        assert!(is_held(&path));
        assert!(Life::take(&path).unwrap().is_none());
        drop(life);
        assert!(!is_held(&path));
        assert!(Life::take(&path).unwrap().is_some());
    }
}
