//! Proof of life: a file whose lock is held as long as a process lives. The kernel lets
//! go of it however the process ends, and no other process can be mistaken for it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::tree::{self, Identity};

/// How the proof of a process's own life begins; every other proof is the path of a file.
const PROCESS: &str = "process ";

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

    /// Writes into the file on whose behalf its holder works.
    ///
    /// # Errors
    /// The system's.
    pub fn tell(&self, whose: &str) -> io::Result<()> {
        std::fs::write(&self.path, whose)
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

/// The proof of life of a process that holds no lock of ours.
pub fn proof_of(process: &Identity) -> String {
    format!("{PROCESS}{} {} {}", process.pid, process.start_time, process.boot_id)
}

/// Whether a proof is that of a process: its end is certain at once, without waiting for a lease.
pub fn is_of_process(proof: &str) -> bool {
    proof.starts_with(PROCESS)
}

/// The proof of life of this process.
pub fn of_this_process() -> Option<String> {
    tree::identity(std::process::id().cast_signed()).as_ref().map(proof_of)
}

/// A hold on the process that a proof names; `None` if it does not live, or the proof is not that of a process.
///
/// # Errors
/// The system's, when it has no handle to give.
pub fn hold(proof: &str) -> io::Result<Option<tree::Handle>> {
    let process = proof.strip_prefix(PROCESS).and_then(|process| process.split(' ').next());
    let Some(pid) = process.and_then(|pid| pid.parse().ok()) else { return Ok(None) };
    // Taken before the proof is looked at: a process of the same number that comes later is not meant.
    Ok(tree::Handle::open(pid)?.filter(|_| holds(proof)))
}

/// Whether what a recorded proof names still lives: the process, or the holder of the file's lock.
pub fn holds(proof: &str) -> bool {
    let Some(process) = proof.strip_prefix(PROCESS) else { return is_held(Path::new(proof)) };
    let mut fields = process.split(' ');
    let pid = fields.next().and_then(|pid| pid.parse().ok());
    let start_time = fields.next().and_then(|start| start.parse().ok());
    let (Some(pid), Some(start_time), Some(boot_id)) = (pid, start_time, fields.next()) else { return false };
    tree::is_running(pid, start_time) && Identity { pid, start_time, boot_id: boot_id.to_owned() }.is_same()
}

/// Waits until what a proof names has ended: the process, or whoever holds the file's lock. Tells whether
/// it has; nothing is known where the system fails. Not for locks that somebody may take without a wait
/// (a plan's, say): for a moment the one who waits holds them too.
pub fn wait_for_end(proof: &str) -> bool {
    const A_WHILE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
    if !is_of_process(proof) {
        let Ok(file) = OpenOptions::new().read(true).open(proof) else { return true };
        loop {
            match flock(&file, FlockOperation::LockShared) {
                Ok(()) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
    let Ok(handle) = hold(proof) else { return false };
    let Some(handle) = handle else { return true };
    loop {
        match handle.wait_for_end(A_WHILE) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(_) => return false,
        }
    }
}

/// On whose behalf the holder of that file works, if it said so.
pub fn on_behalf_of(proof: &str) -> Option<String> {
    if is_of_process(proof) {
        return Some(proof.to_owned());
    }
    std::fs::read_to_string(proof).ok().filter(|whose| is_of_process(whose))
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
        let proof = path.to_str().unwrap().to_owned();
        let waits = std::thread::spawn(move || wait_for_end(&proof));
        drop(life);
        assert!(waits.join().unwrap() && wait_for_end(path.to_str().unwrap()));
        assert!(!is_held(&path));
        assert!(Life::take(&path).unwrap().is_some());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_proves_its_life_by_being_that_process() {
        let me = tree::identity(std::process::id() as i32).unwrap();
        assert!(holds(&proof_of(&me)) && is_of_process(&proof_of(&me)));
        let later = Identity { start_time: me.start_time + 1, ..me.clone() };
        let before = Identity { boot_id: "another".into(), ..me };
        for gone in [proof_of(&later), proof_of(&before), "process 1".into(), "process x y z".into()] {
            assert!(!holds(&gone), "{gone}");
        }
        let folder = tempfile::tempdir().unwrap();
        let life = Life::take(&folder.path().join("life")).unwrap().unwrap();
        let path = life.path().to_str().unwrap();
        assert_eq!(on_behalf_of(path), None);
        life.tell("process 1 2 b").unwrap();
        assert_eq!(on_behalf_of(path).unwrap(), "process 1 2 b");
    }
}
