//! Proof of life: a file whose lock is held as long as a process lives. The kernel lets
//! go of it however the process ends, and no other process can be mistaken for it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::tree::{self, Identity};
use crate::base::ids::random_tail;

/// How the proof of a process's own life begins; every other proof is the path of a file, perhaps with the
/// process on whose behalf its holder works.
const PROCESS: &str = "process ";

/// Stands between a file and the process on whose behalf its holder works.
const FOR: &str = " for ";

/// A held lock. The file is removed when it is dropped; a process that is killed leaves
/// the file, but not the lock.
#[derive(Debug)]
pub struct Life {
    path: PathBuf,
    lock: File,
}

impl Life {
    /// Takes the lock of `path`, making the file. `None` if another process holds it.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        make_folder(path)?;
        loop {
            if let Some(lock) = appear(path)? {
                return Ok(Some(Self { path: path.to_owned(), lock }));
            }
            // Of somebody who lives, or who was killed.
            let file = match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                // Whoever only looks has it for a moment, and shares it.
                Err(rustix::io::Errno::WOULDBLOCK) if !is_held(path) => {
                    std::thread::yield_now();
                    continue;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            // The holder before may have removed the file between our opening and locking it.
            if is_same_file(&file, path) {
                return Ok(Some(Self { path: path.to_owned(), lock: file }));
            }
        }
    }

    /// The proof of its holder's life.
    pub fn proof(&self, on_behalf_of: Option<&Identity>) -> String {
        let file = self.path.to_string_lossy();
        match on_behalf_of {
            Some(process) => format!("{file}{FOR}{}", proof_of(process)),
            None => file.into_owned(),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file anew where somebody removed it, unless it is another's by now.
    pub fn mend(&mut self) -> io::Result<()> {
        if is_same_file(&self.lock, &self.path) {
            return Ok(());
        }
        make_folder(&self.path)?;
        if let Some(lock) = appear(&self.path)? {
            self.lock = lock;
        }
        Ok(())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // While the lock is still held, so that nobody else's file can be meant. One that somebody removed may be
        // another's by now.
        if is_same_file(&self.lock, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
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

/// Whether somebody whom a recorded proof names still lives: the process, or the holder of the file's lock.
pub fn holds(proof: &str) -> bool {
    let (file, process) = parts(proof);
    file.is_some_and(|file| is_held(Path::new(file))) || process.is_some_and(is_running)
}

/// The file of a proof, and the process, as a proof by itself.
fn parts(proof: &str) -> (Option<&str>, Option<&str>) {
    if is_of_process(proof) {
        return (None, Some(proof));
    }
    match proof.rsplit_once(FOR) {
        Some((file, process)) if is_of_process(process) => (Some(file), Some(process)),
        _ => (Some(proof), None),
    }
}

fn is_running(proof: &str) -> bool {
    let Some(process) = proof.strip_prefix(PROCESS) else { return false };
    let mut fields = process.split(' ');
    let pid = fields.next().and_then(|pid| pid.parse().ok());
    let start_time = fields.next().and_then(|start| start.parse().ok());
    let (Some(pid), Some(start_time), Some(boot_id)) = (pid, start_time, fields.next()) else { return false };
    tree::is_running(pid, start_time) && Identity { pid, start_time, boot_id: boot_id.to_owned() }.is_same()
}

/// Waits until all have ended whom a proof names: the process, and whoever holds the file's lock. Tells whether
/// they have; nothing is known where the system fails. Not for locks that somebody may take without a wait
/// (a plan's, say): for a moment the one who waits holds them too.
pub fn wait_for_end(proof: &str) -> bool {
    const A_WHILE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
    let (file, process) = parts(proof);
    // Without the file nobody holds it.
    if let Some(Ok(file)) = file.map(|file| OpenOptions::new().read(true).open(file)) {
        loop {
            match flock(&file, FlockOperation::LockShared) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
    let Some(process) = process else { return true };
    let Ok(handle) = hold(process) else { return false };
    let Some(handle) = handle else { return true };
    loop {
        match handle.wait_for_end(A_WHILE) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(_) => return false,
        }
    }
}

/// The file of a proof; of a process's own, the whole.
pub fn file(proof: &str) -> &str {
    parts(proof).0.unwrap_or(proof)
}

/// The process that a proof is about, or on whose behalf the holder of its file works: a proof by itself.
pub fn on_behalf_of(proof: &str) -> Option<&str> {
    parts(proof).1
}

fn make_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) => std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder),
        None => Ok(()),
    }
}

/// Makes the file with its lock held: nobody finds it there without, and takes its holder for dead. `None` if
/// there is one.
fn appear(path: &Path) -> io::Result<Option<File>> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", random_tail(8)));
    let aside = PathBuf::from(aside);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&aside)?;
    let linked = match flock(&file, FlockOperation::LockExclusive) {
        Ok(()) => std::fs::hard_link(&aside, path),
        Err(errno) => Err(errno.into()),
    };
    let _ = std::fs::remove_file(&aside);
    match linked {
        Ok(()) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
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
        let proof = path.to_str().unwrap().to_owned();
        let waits = std::thread::spawn(move || wait_for_end(&proof));
        drop(life);
        assert!(waits.join().unwrap() && wait_for_end(path.to_str().unwrap()));
        assert!(!is_held(&path));
        assert!(Life::take(&path).unwrap().is_some());
    }

    #[test]
    fn a_file_that_was_removed_is_made_again_and_anothers_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("life");
        let mut life = Life::take(&path).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!is_held(&path));
        life.mend().unwrap();
        assert!(is_held(&path) && Life::take(&path).unwrap().is_none());
        std::fs::remove_file(&path).unwrap();
        let other = Life::take(&path).unwrap().unwrap();
        life.mend().unwrap();
        drop(life);
        assert!(is_held(&path), "the other's stays");
        drop(other);
        assert!(!path.exists());
    }

    /// Neither is somebody who begins taken for dead, nor does looking keep anybody from beginning.
    #[test]
    fn who_begins_is_never_seen_dead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("life");
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                        is_held(&path);
                    }
                });
            }
            for number in 0..500 {
                if number % 2 == 0 {
                    // As somebody left it who was killed.
                    File::create(&path).unwrap();
                }
                drop(Life::take(&path).unwrap().expect("nobody else takes it"));
            }
            is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
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
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn whoever_works_for_a_process_lives_as_long_as_either() {
        let folder = tempfile::tempdir().unwrap();
        // A folder may be called like the rest of a proof.
        let path = folder.path().join("x for process 1 for ").join("life");
        let me = tree::identity(std::process::id() as i32).unwrap();
        let gone = Identity { start_time: me.start_time + 1, ..me.clone() };
        let life = Life::take(&path).unwrap().unwrap();
        let [alone, for_me, for_gone] = [None, Some(&me), Some(&gone)].map(|process| life.proof(process));
        assert_eq!(on_behalf_of(&alone), None);
        assert_eq!(on_behalf_of(&for_me).unwrap(), proof_of(&me));
        assert_eq!(on_behalf_of(&for_gone).unwrap(), proof_of(&gone));
        assert_eq!(on_behalf_of(&proof_of(&me)).unwrap(), proof_of(&me));
        let live = || [&alone, &for_me, &for_gone].map(|proof| holds(proof));
        assert_eq!(live(), [true, true, true]);
        drop(life);
        assert_eq!(live(), [false, true, false]);
        assert!(wait_for_end(&alone) && wait_for_end(&for_gone));
    }
}
