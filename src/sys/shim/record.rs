//! The record of the end, `exit.json`: whole or absent, even on a full disk.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use super::files;
use super::job::Exit;
use crate::base::failpoint::Point;

/// Room for any exit, taken while there is some.
const ROOM: [u8; 4096] = [b' '; 4096];

/// The longest reason that is recorded, in bytes; what is behind it is cut off.
const LONGEST_REASON: usize = 1024;

/// The room for `exit.json` in the current folder. Only one process ever gets it,
/// so it is also what makes a run happen at most once.
pub(super) struct Record {
    file: File,
}

impl Record {
    /// Whether somebody already took the room in the current folder.
    pub(super) fn is_taken() -> bool {
        [files::EXIT_ROOM, files::EXIT].iter().any(|name| fs::symlink_metadata(name).is_ok())
    }

    /// Takes the room; `None` when somebody already did.
    pub(super) fn take() -> io::Result<Option<Self>> {
        let created = File::options().write(true).create_new(true).mode(0o600).open(files::EXIT_ROOM);
        match created {
            Ok(file) => {
                file.write_all_at(&ROOM, 0)?;
                Ok(Some(Self { file }))
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts `exit` into the room and gives it its name.
    ///
    /// It is not forced onto the disk, which takes 20 ms on a busy one while the conductor waits: it
    /// records the end durably itself. Should the power fail in between, the room is found blank or
    /// not at all, and the run is taken for interrupted.
    pub(super) fn write(self, mut exit: Exit) -> io::Result<()> {
        if let Some(reason) = &mut exit.reason {
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        }
        let mut text = serde_json::to_vec(&exit)?;
        text.push(b'\n');
        self.file.write_all_at(&text, 0)?;
        self.file.set_len(text.len() as u64)?;
        Point::ShimWritten.reach()?;
        fs::rename(files::EXIT_ROOM, files::EXIT)
    }
}
