//! A plain folder: a private repository beside the state, whose files are that folder.

use std::fs;
use std::path::Path;

use super::discover::Repository;
use super::exec::{Input, execute};
use super::program::Program;
use super::run::{Git, GitError};
use super::worktree::{Keeper, Worktree};

/// git on a plain folder, so that snapshots, constructions and merges work there too.
#[derive(Debug, Clone)]
pub struct Shadow {
    /// Bound to the private repository.
    pub git: Git,
    /// The folder.
    pub tree: Worktree,
}

impl Shadow {
    /// Opens the private repository at `git_dir` for `folder`, making it if needed. Nothing is written in
    /// the folder.
    pub fn open(program: &Program, git_dir: &Path, folder: &Path) -> Result<Self, GitError> {
        let folder = fs::canonicalize(folder).map_err(GitError::io("read", folder))?;
        if !git_dir.join("HEAD").is_file() {
            fs::create_dir_all(git_dir).map_err(GitError::io("create", git_dir))?;
            let mut environment = program.environment().to_vec();
            environment.extend([
                ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
                ("GIT_CONFIG_GLOBAL".into(), "/dev/null".into()),
            ]);
            let mut args: Vec<_> = ["init", "--quiet", "--bare", "--template=", "--initial-branch=kapell"]
                .map(Into::into)
                .to_vec();
            args.push(git_dir.as_os_str().to_owned());
            let finished = execute(program.path(), &args, &environment, git_dir, Input::Nothing)?;
            if finished.code != Some(0) {
                let args = super::run::shown(&args);
                return Err(GitError::Failed { args, status: finished.status, stderr: finished.stderr });
            }
        }
        let git_dir = fs::canonicalize(git_dir).map_err(GitError::io("read", git_dir))?;
        let repository =
            Repository { common_dir: git_dir.clone(), git_dir: git_dir.clone(), top: Some(folder.clone()) };
        let git = Git::new(program, &repository)?;
        Ok(Self { git, tree: Worktree { path: folder, admin_dir: git_dir, keeper: Keeper::Person } })
    }
}
