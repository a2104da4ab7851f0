//! The mark of a paste whose Enter is still to come. It outlives a process that is killed in between: what that one
//! pasted stands in the prompt, and the next text would be entered as one with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Pane, TmuxError};
use crate::sys::process::life;
use crate::sys::process::tree;

/// A paste that is not entered. Dropped without [`Pasting::end`], its mark stays.
#[derive(Debug)]
#[must_use]
pub(super) struct Pasting(PathBuf);

impl Pasting {
    /// Marks that a text is about to be pasted into the pane, by whoever holds the turn of its terminal.
    ///
    /// It is refused where such a mark was left, and the refusal leaves it there. To drop it then, so that the next
    /// send goes through, would be safe for the one who was refused alone: who waits for the turn behind him, or comes
    /// later, was told nothing and would enter both as one after all. What stands in a prompt cannot be read either.
    /// So somebody has to say that he has seen to it, which a script can do as well as a person (`is_cleared`).
    pub(super) fn begin(turn: &Path, pane: &Pane, is_cleared: bool) -> Result<Self, TmuxError> {
        let mark = turn.with_extension("open");
        let own = program(pane);
        let cannot = |error: io::Error| TmuxError::Failed(format!("{}: {error}", mark.display()));
        match fs::read_to_string(&mark) {
            Ok(left) if left == own && !is_cleared => return Err(TmuxError::CutOff),
            // Cleared; or of a program whose terminal this was before, and whose prompt went with it.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }
        // It need not be forced onto the disk: who takes the page cache away takes tmux and the prompt too. One that
        // is written in part is nobody's, and nothing was pasted then.
        fs::write(&mark, own).map_err(cannot)?;
        Ok(Self(mark))
    }

    /// Nothing of it stands in the prompt any more.
    pub(super) fn end(self) {
        // One that cannot be removed makes that the next is refused, which says what to do.
        let _ = fs::remove_file(&self.0);
    }
}

/// What is pasted into. Names of terminals, numbers of panes and those of processes come again.
fn program(pane: &Pane) -> String {
    let process = tree::identity(pane.pid).as_ref().map(life::proof_of);
    format!("{} {}", pane.id, process.unwrap_or_else(|| pane.pid.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_that_was_cut_off_is_in_the_way_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let turn = folder.path().join("dev-pts-1.turn");
        let pane = |id: &str, pid: u32| Pane {
            id: id.to_owned(),
            pid: pid.cast_signed(),
            is_dead: false,
            is_off: false,
            brackets: None,
            tty: "/dev/pts/1".into(),
        };
        let me = pane("%1", std::process::id());
        Pasting::begin(&turn, &me, false).unwrap().end();
        drop(Pasting::begin(&turn, &me, false).unwrap());
        // For whoever comes, however often.
        for _ in 0..2 {
            assert!(matches!(Pasting::begin(&turn, &me, false), Err(TmuxError::CutOff)));
        }
        Pasting::begin(&turn, &me, true).unwrap().end();
        drop(Pasting::begin(&turn, &me, false).unwrap());
        // Another program has that terminal.
        Pasting::begin(&turn, &pane("%1", std::os::unix::process::parent_id()), false).unwrap().end();
        drop(Pasting::begin(&turn, &me, false).unwrap());
        Pasting::begin(&turn, &pane("%2", std::process::id()), false).unwrap().end();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
