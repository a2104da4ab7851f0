//! Finding programs as a shell would, without one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file that `name` means: itself if it has a slash, else the first executable file
/// of that name in the folders of `path` (as in the variable `PATH`).
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return is_executable(Path::new(name)).then(|| PathBuf::from(name));
    }
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(folder).join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
