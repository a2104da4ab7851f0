//! A warm worktree in which commands prove things. It keeps what they built before.

use std::path::PathBuf;

use super::Case;
use crate::services::Error;
use crate::services::conductor::launching::link_dependencies;
use crate::sys::git::Oid;
use crate::sys::git::worktree::{self, Ignored, Worktree};
use crate::sys::process::life::Life;

/// More judgements at once than this wait for each other; each is a whole build.
const MOST: usize = 64;

/// A verify worktree, this judgement's alone as long as it is held.
#[derive(Debug)]
pub struct VerifyTree {
    /// Its folder.
    pub path: PathBuf,
    tree: Option<Worktree>,
    _life: Life,
}

impl VerifyTree {
    /// Takes the first verify worktree that nobody uses.
    pub fn take(case: &Case<'_>) -> Result<Self, Error> {
        let house = &case.session.house;
        for number in 0..MOST {
            let life_file = house.life_file(&format!("verify-{}-{number}", case.project.id));
            let life = Life::take(&life_file)
                .map_err(|error| Error::system("cannot lock a verify worktree", error))?;
            if let Some(life) = life {
                let path = case.project.worktrees(house).join(format!("verify-{number}"));
                let tree = Worktree::find(case.git, &path).filter(|_| path.is_dir());
                return Ok(Self { path, tree, _life: life });
            }
        }
        Err(Error::Bug(format!("{MOST} judgements at once")))
    }

    /// The worktree, once something was checked out in it.
    pub fn worktree(&self) -> Option<&Worktree> {
        self.tree.as_ref()
    }

    /// The folder of the last command that ran in it, whoever started that.
    pub fn last_run(&self) -> Option<PathBuf> {
        std::fs::read_to_string(self.path.with_extension("run")).ok().map(PathBuf::from)
    }

    /// Notes which command is about to run in it.
    pub fn note_run(&self, run_dir: &std::path::Path) -> Result<(), Error> {
        let note = self.path.with_extension("run");
        std::fs::write(&note, run_dir.to_string_lossy().as_bytes())
            .map_err(|error| Error::system(format!("cannot write {}", note.display()), error))
    }

    fn set_aside(&self) -> Result<(), Error> {
        let aside = self.path.with_extension(crate::base::ids::random_tail(8));
        std::fs::rename(&self.path, &aside)
            .map_err(|error| Error::system(format!("cannot move {} away", self.path.display()), error))?;
        let _ = worktree::delete_folder(&aside);
        Ok(())
    }

    /// Checks out a commit in it; files that git ignores stay, as they are what a build left.
    pub fn set(&mut self, case: &Case<'_>, commit: &Oid) -> Result<(), Error> {
        if let Some(tree) = &self.tree {
            if worktree::reset(case.git, tree, commit, Ignored::Keep).is_ok() {
                return Ok(());
            }
            // Whatever a command did to it: nobody's work is in it, so it is made anew.
            self.tree = None;
            self.set_aside()?;
        } else if self.path.exists() && Worktree::find(case.git, &self.path).is_none() {
            // Of a repository that was at this place before.
            self.set_aside()?;
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| Error::system(format!("cannot make {}", folder.display()), error))?;
        }
        let guard = case.git.turn()?;
        self.tree = Some(worktree::add(case.git, guard, &self.path, commit).map_err(Error::from_git)?);
        if let Some(top) = &case.project.top {
            link_dependencies(top, &self.path);
        }
        Ok(())
    }
}
