//! The files of a working tree, as git sees them.

use std::path::Path;

use crate::base::paths::RepoPath;

/// All files below `top` that git does not ignore, in no particular order. What cannot be
/// read is left out: this list is for showing, never for deciding.
pub fn files(top: &Path) -> Vec<RepoPath> {
    use std::os::unix::ffi::OsStrExt;
    let walk = ignore::WalkBuilder::new(top)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    walk.filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_some_and(|kind| !kind.is_dir()))
        .filter_map(|entry| {
            let path = entry.path().strip_prefix(top).ok()?;
            Some(RepoPath::from_bytes(path.as_os_str().as_bytes()))
        })
        .collect()
}
