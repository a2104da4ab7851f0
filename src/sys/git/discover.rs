//! Finds the repository of a folder by reading files, without starting a process and without
//! trusting the environment (`GIT_DIR` and its like are ignored).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sys::text;

/// A repository as seen from one of its checkouts. All paths are canonical.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Repository {
    /// What all worktrees share: objects, refs, configuration. It is the identity of a project.
    pub common_dir: PathBuf,
    /// This checkout's own git directory; equals `common_dir` in the main checkout.
    pub git_dir: PathBuf,
    /// The top folder of this checkout; `None` for a bare repository.
    pub top: Option<PathBuf>,
}

impl Repository {
    /// The top folder, or why there is none.
    pub fn require_top(&self) -> Result<&Path, DiscoverError> {
        self.top.as_deref().ok_or_else(|| DiscoverError::Bare { git_dir: self.git_dir.clone() })
    }
}

/// Why a folder has no usable repository.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// Neither the folder nor any above it belongs to a repository.
    #[error("{} is not inside a git repository", start.display())]
    NotARepository {
        /// Where the search began.
        start: PathBuf,
    },
    /// The repository has no files checked out, and files are needed.
    #[error("{} is a bare repository: it has no files to work on", git_dir.display())]
    Bare {
        /// The repository.
        git_dir: PathBuf,
    },
    /// Something that should be a repository is not a whole one.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The `.git` entry, or the folder it leads to.
        path: PathBuf,
        /// What is missing or wrong.
        what: String,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Finds the repository that `start` (a folder or file, existing) belongs to.
///
/// A submodule is a repository of its own. Inside a `.git` folder the answer is that repository.
pub fn discover(start: &Path) -> Result<Repository, DiscoverError> {
    let start = canonical(start)?;
    for folder in start.ancestors() {
        if let Some(repository) = at_entry(folder)? {
            return Ok(repository);
        }
        if looks_like_git_dir(folder) {
            let common_dir = common_dir_of(folder)?;
            let top = top_of_git_dir(folder, &common_dir);
            return Ok(Repository { common_dir, git_dir: folder.to_path_buf(), top });
        }
    }
    Err(DiscoverError::NotARepository { start })
}

/// The repository whose top is `folder`, by the `.git` folder or file in it.
fn at_entry(folder: &Path) -> Result<Option<Repository>, DiscoverError> {
    let entry = folder.join(".git");
    let metadata = match fs::metadata(&entry) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            if entry.is_symlink() {
                return Err(damaged(&entry, "it is a symbolic link to nothing"));
            }
            return Ok(None);
        }
        Err(source) => return Err(DiscoverError::Io { path: entry, source }),
    };
    let git_dir = if metadata.is_dir() {
        if ["HEAD", "objects", "refs"].iter().all(|name| !entry.join(name).exists()) {
            // An empty `.git` is no repository to git either; the search goes on above it.
            return Ok(None);
        }
        canonical(&entry)?
    } else if metadata.is_file() {
        let target = link_target(&entry)?;
        let git_dir = folder.join(target);
        if !git_dir.is_dir() {
            return Err(damaged(&entry, &format!("it leads to {}, which does not exist", git_dir.display())));
        }
        canonical(&git_dir)?
    } else {
        return Err(damaged(&entry, "it is neither a file nor a folder"));
    };
    if !git_dir.join("HEAD").exists() && !git_dir.join("HEAD").is_symlink() {
        return Err(damaged(&git_dir, "HEAD is missing"));
    }
    let common_dir = common_dir_of(&git_dir)?;
    for name in ["objects", "refs"] {
        if !common_dir.join(name).is_dir() {
            return Err(damaged(&common_dir, &format!("the folder {name} is missing")));
        }
    }
    // A `.git` folder may belong to a bare repository that only has linked worktrees.
    let is_bare = git_dir == common_dir && metadata.is_dir() && configured_bare(&common_dir);
    let top = (!is_bare).then(|| folder.to_path_buf());
    Ok(Some(Repository { common_dir, git_dir, top }))
}

/// Whether a folder is itself a git directory: a bare repository, the inside of `.git`, or the
/// administrative folder of a linked worktree.
fn looks_like_git_dir(folder: &Path) -> bool {
    if !folder.join("HEAD").exists() && !folder.join("HEAD").is_symlink() {
        return false;
    }
    let common = common_dir_of(folder).unwrap_or_else(|_| folder.to_path_buf());
    common.join("objects").is_dir() && common.join("refs").is_dir()
}

/// The checkout that a git directory belongs to, when the search began inside that directory.
fn top_of_git_dir(git_dir: &Path, common_dir: &Path) -> Option<PathBuf> {
    if git_dir != common_dir {
        let link = read_line(&git_dir.join("gitdir")).ok()?;
        return canonical(git_dir.join(link).parent()?).ok();
    }
    if git_dir.file_name() == Some(OsStr::new(".git")) && !configured_bare(common_dir) {
        return git_dir.parent().map(Path::to_path_buf);
    }
    None
}

/// What a `.git` file leads to, relative to its folder.
pub(super) fn link_target(file: &Path) -> Result<PathBuf, DiscoverError> {
    let content = fs::read(file).map_err(|source| DiscoverError::Io { path: file.to_path_buf(), source })?;
    let target = content.strip_prefix(b"gitdir:").map(<[u8]>::trim_ascii);
    match target {
        Some(target) if !target.is_empty() => Ok(path_from_bytes(target)),
        _ => Err(damaged(file, "it is a file without a line `gitdir: PATH`")),
    }
}

fn common_dir_of(git_dir: &Path) -> Result<PathBuf, DiscoverError> {
    let file = git_dir.join("commondir");
    match read_line(&file) {
        Ok(target) if target.as_os_str().is_empty() => Err(damaged(&file, "it is empty")),
        Ok(target) => {
            let common = git_dir.join(target);
            if !common.is_dir() {
                return Err(damaged(
                    &file,
                    &format!("it leads to {}, which does not exist", common.display()),
                ));
            }
            canonical(&common)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => canonical(git_dir),
        Err(source) => Err(DiscoverError::Io { path: file, source }),
    }
}

/// Whether the configuration says `core.bare`.
pub(super) fn configured_bare(common_dir: &Path) -> bool {
    let told = configured(&common_dir.join("config"), "bare").map(|value| value.to_ascii_lowercase());
    told.is_some_and(|value| matches!(value.as_str(), "true" | "yes" | "on" | "1"))
}

/// What a configuration says last of a name of its section `core`. Includes are not followed: git writes what is
/// asked for here itself.
pub(super) fn configured(file: &Path, wanted: &str) -> Option<String> {
    let text = text::read_bytes(file).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut in_core = false;
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_core = line.get(..6).is_some_and(|section| section.eq_ignore_ascii_case("[core]"));
        } else if in_core {
            let (name, value) = line.split_once('=').unwrap_or((line, "true"));
            if name.trim().eq_ignore_ascii_case(wanted) {
                found = Some(value.trim().trim_matches('"').to_owned());
            }
        }
    }
    found
}

fn read_line(file: &Path) -> io::Result<PathBuf> {
    let content = text::read_bytes(file)?;
    Ok(path_from_bytes(content.trim_ascii_end()))
}

fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    crate::base::paths::RepoPath::from_bytes(bytes).to_path_buf()
}

fn canonical(path: &Path) -> Result<PathBuf, DiscoverError> {
    fs::canonicalize(path).map_err(|source| DiscoverError::Io { path: path.to_path_buf(), source })
}

fn damaged(path: &Path, what: &str) -> DiscoverError {
    DiscoverError::Damaged { path: path.to_path_buf(), what: what.to_owned() }
}
