//! The file of a conductor's socket: private to the user, and gone when the conductor is.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::base::ids::PlanId;

/// The longest path that fits into a socket's address everywhere (108 bytes on Linux, 104 on macOS,
/// with the NUL at its end).
const LONGEST: usize = 100;

/// The file; it is removed when this is dropped, unless another's lies in its place by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Its device and its number there: what makes it this one.
    identity: (u64, u64),
}

/// Where the socket of a plan lies.
pub fn path(root: &Path, plan: &PlanId) -> PathBuf {
    root.join("sock").join(format!("{plan}.sock"))
}

/// Binds the socket of a plan, `<root>/sock/<plan>.sock`, in place of one that a dead conductor
/// left. Only for whoever holds the plan's life lock: nobody else may be listening there.
///
/// # Errors
/// The folder cannot be made, or something that is no socket lies in the way.
pub fn bind(root: &Path, plan: &PlanId) -> io::Result<(UnixListener, SocketFile)> {
    let path = path(root, plan);
    let folder = root.join("sock");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    // Its files are as private as their folder, also at the moment at which they are made.
    fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    let name = format!("{plan}.sock");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = bind_in(&folder, &name)?;
    let file = SocketFile { identity: identity(&path)?, path };
    fs::set_permissions(&file.path, Permissions::from_mode(0o600))?;
    Ok((listener, file))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let there = fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

/// Binds `name` in `folder`, also where the path is too long for a socket's address.
fn bind_in(folder: &Path, name: &str) -> io::Result<UnixListener> {
    let path = folder.join(name);
    if path.as_os_str().len() <= LONGEST || !cfg!(target_os = "linux") {
        return UnixListener::bind(path);
    }
    use std::os::fd::AsRawFd as _;
    let folder = File::open(folder)?;
    UnixListener::bind(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

impl SocketFile {
    /// Whether it still lies where it was made.
    pub fn is_there(&self) -> bool {
        identity(&self.path).is_ok_and(|there| there == self.identity)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
            // Whoever comes next replaces one that cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileTypeExt as _;
    use std::os::unix::net::UnixStream;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn it_is_private_and_goes_with_its_owner() {
        let root = tempfile::tempdir().unwrap();
        let plan = PlanId::new("p-1");
        // A folder that was open to all is closed.
        fs::create_dir(root.path().join("sock")).unwrap();
        fs::set_permissions(root.path().join("sock"), Permissions::from_mode(0o777)).unwrap();
        let (_listener, file) = bind(root.path(), &plan).unwrap();
        let path = root.path().join("sock/p-1.sock");
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
        UnixStream::connect(&path).unwrap();
        assert!(file.is_there());
        drop(file);
        assert!(!path.exists());
        // Another's in the same place is left alone.
        let (_first, file) = bind(root.path(), &plan).unwrap();
        let (_second, other) = bind(root.path(), &plan).unwrap();
        assert!(!file.is_there() && other.is_there());
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn what_a_dead_conductor_left_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let plan = PlanId::new("p-1");
        let (dead, file) = bind(root.path(), &plan).unwrap();
        std::mem::forget(file);
        drop(dead);
        let path = root.path().join("sock/p-1.sock");
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
        assert!(UnixStream::connect(&path).is_err());
        let (_listener, _file) = bind(root.path(), &plan).unwrap();
        UnixStream::connect(&path).unwrap();
        // A folder in the way is nobody's socket.
        fs::create_dir(root.path().join("sock/p-2.sock")).unwrap();
        assert!(bind(root.path(), &PlanId::new("p-2")).is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_long_path_is_bound_all_the_same() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("d".repeat(60)).join("e".repeat(60));
        fs::create_dir_all(&root).unwrap();
        let (_listener, file) = bind(&root, &PlanId::new("p-1")).unwrap();
        assert!(file.is_there());
        let path = path(&root, &PlanId::new("p-1"));
        assert_eq!(mode(&path), 0o600);
        assert!(UnixStream::connect(&path).is_err(), "the path fits into no address");
        // As somebody in its folder reaches it.
        use std::os::fd::AsRawFd as _;
        let folder = File::open(root.join("sock")).unwrap();
        UnixStream::connect(format!("/proc/self/fd/{}/p-1.sock", folder.as_raw_fd())).unwrap();
    }
}
