//! Who is at the other end of a Unix socket.
//!
//! The wall around a worker keeps it from writing files, not from connecting to sockets
//! (Landlock, before its ABI 9). So whoever serves a socket looks whether the peer lives below
//! a shim: a worker cannot leave its shim, which is its subreaper.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Whether a user may be served by a process of the user `own`: the user, and root, who
/// could do all of it anyway.
pub fn is_trusted(user: u32, own: u32) -> bool {
    user == own || user == 0
}

/// Whether the process `pid` is a worker, or was started by one: whether it lives below a
/// shim whose run folder lies in `runs`. Where there is no `/proc`, nobody is.
///
/// # Errors
/// The process is gone.
pub fn is_worker(pid: i32, runs: &Path) -> io::Result<bool> {
    if !cfg!(target_os = "linux") {
        return Ok(false);
    }
    let runs = real(runs);
    let mut at = parent(pid)?;
    // A chain of parents is short; one that is read while it changes may have a circle.
    for _ in 0..1000 {
        if at <= 1 {
            break;
        }
        if is_shim(at, &runs) {
            return Ok(true);
        }
        match parent(at) {
            Ok(next) => at = next,
            // It ended, or belongs to a user whose processes are hidden. A shim is neither while its
            // worker lives.
            Err(_) => break,
        }
    }
    Ok(false)
}

fn parent(pid: i32) -> io::Result<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/status has no PPid")))
}

/// A shim's command line is `kapell shim RUN_DIR`.
fn is_shim(pid: i32, runs: &Path) -> bool {
    let Ok(words) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut words = words.split(|byte| *byte == 0);
    let (_program, verb, folder) = (words.next(), words.next(), words.next());
    verb == Some(b"shim")
        && folder.is_some_and(|folder| real(Path::new(OsStr::from_bytes(folder))).starts_with(runs))
}

/// The path without links: the state folder may have two names. One that is gone keeps its own.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oneself_and_root_are_trusted() {
        let table =
            [(1000, 1000, true), (0, 1000, true), (1001, 1000, false), (1000, 0, false), (0, 0, true)];
        for (user, own, expected) in table {
            assert_eq!(is_trusted(user, own), expected, "{user} at {own}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn below_a_shim_is_a_worker() {
        use std::io::{BufRead as _, BufReader};
        use std::process::Stdio;

        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().canonicalize().unwrap().join("run");
        fs::create_dir_all(runs.join("a-1")).unwrap();
        std::os::unix::fs::symlink(&runs, folder.path().join("also")).unwrap();
        // Its command line is a shim's: `sh` takes "shim" for its script's name.
        fs::write(folder.path().join("shim"), "sh -c 'echo $$; exec cat'; true\n").unwrap();
        let mut shim = crate::sys::process::spawn::program(Path::new("/bin/sh"), folder.path());
        let mut shim = shim
            .arg("shim")
            .arg(runs.join("a-1"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shim.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let worker: i32 = line.trim().parse().unwrap();
        let own = std::process::id().cast_signed();
        assert!(is_worker(worker, &runs).unwrap());
        assert!(is_worker(worker, &folder.path().join("also")).unwrap());
        // Another house's shim, a name that only begins alike, and the shim itself.
        assert!(!is_worker(worker, &folder.path().join("other/run")).unwrap());
        assert!(!is_worker(worker, &folder.path().join("run/a")).unwrap());
        assert!(!is_worker(shim.id().cast_signed(), &runs).unwrap());
        assert!(!is_worker(own, &runs).unwrap());
        drop(shim.stdin.take());
        shim.wait().unwrap();
        // Nobody knows any more what it was.
        assert!(is_worker(worker, &runs).is_err());
    }
}
