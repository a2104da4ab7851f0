//! The file of a conductor's socket: private to the user, and gone when the conductor is.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::base::ids::PlanId;

/// The longest path that fits into a socket's address everywhere (108 bytes on Linux, 104 on macOS,
/// with the NUL at its end).
const LONGEST: usize = 100;

/// The file; it is removed when this is dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
}

/// Binds the socket of a plan, `<root>/sock/<plan>.sock`, in place of one that a dead conductor
/// left. Only for whoever holds the plan's life lock: nobody else may be listening there.
///
/// # Errors
/// The folder cannot be made, or something that is no socket lies in the way.
pub fn bind(root: &Path, plan: &PlanId) -> io::Result<(UnixListener, SocketFile)> {
    let folder = root.join("sock");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    // Its files are as private as their folder, also at the moment at which they are made.
    fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    let name = format!("{plan}.sock");
    let path = folder.join(&name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = bind_in(&folder, &name)?;
    let file = SocketFile { path };
    fs::set_permissions(&file.path, Permissions::from_mode(0o600))?;
    Ok((listener, file))
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
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever comes next replaces one that cannot be removed.
        let _ = fs::remove_file(&self.path);
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
        assert_eq!(file.path(), path);
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
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
        assert_eq!(mode(file.path()), 0o600);
        assert!(UnixStream::connect(file.path()).is_err(), "the path fits into no address");
        // As somebody in its folder reaches it.
        use std::os::fd::AsRawFd as _;
        let folder = File::open(root.join("sock")).unwrap();
        UnixStream::connect(format!("/proc/self/fd/{}/p-1.sock", folder.as_raw_fd())).unwrap();
    }
}
