//! Reading a small text that anybody may have put there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// No configuration that people write is longer, in bytes.
const MOST: u64 = 4 << 20;

/// The text of a plain file.
///
/// # Errors
/// The system's; the file is none (a pipe, a device, a folder), is too long, or is no UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..at).unwrap_or_default());
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        io::Error::new(io::ErrorKind::InvalidData, NoText { at, line, column })
    })
}

/// Where a text is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no UTF-8 text, at byte {at}, in line {line}")]
pub struct NoText {
    /// The byte, from 0.
    pub at: usize,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// Where a file is no text, if that is why it could not be read.
pub fn no_text(error: &io::Error) -> Option<NoText> {
    error.get_ref().and_then(|inner| inner.downcast_ref()).copied()
}

/// The bytes of a plain file.
///
/// # Errors
/// As [`read`], but for UTF-8.
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file =
        open(path)?.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"))?;
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is longer than 4 MiB"));
    }
    Ok(bytes)
}

/// Opens a plain file; `None` where something else is.
///
/// # Errors
/// The system's.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    // To open a pipe would wait for its writer, be it only put there in the moment between.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_a_sensible_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("plain"), "é\n").unwrap();
        std::os::unix::fs::symlink("plain", at("link")).unwrap();
        assert_eq!(read(&at("link")).unwrap(), "é\n");
        std::fs::write(at("bytes"), b"a\xff").unwrap();
        assert_eq!(read(&at("bytes")).unwrap_err().to_string(), "it is no UTF-8 text, at byte 1, in line 1");
        std::fs::write(at("bytes"), b"a\n\xc3\xa9b\xff\n").unwrap();
        assert_eq!(no_text(&read(&at("bytes")).unwrap_err()), Some(NoText { at: 5, line: 2, column: 3 }));
        File::create(at("long")).unwrap().set_len(MOST + 1).unwrap();
        assert!(read(&at("long")).unwrap_err().to_string().contains("4 MiB"));
        let fifo = at("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("device")).unwrap();
        for name in ["fifo", "device", "."] {
            assert_eq!(read(&at(name)).unwrap_err().to_string(), "it is no plain file", "{name}");
        }
        assert_eq!(read(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
