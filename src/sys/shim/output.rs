//! Reading what a worker prints while it prints it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The lines of a file that grows. Lines longer than a limit are cut, never kept whole,
/// so that a worker that prints a gigabyte without a newline costs nothing here.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: Option<File>,
    line: Vec<u8>,
    longest: usize,
    is_cut: bool,
    /// Where bytes are read to; none until there are any.
    buffer: Vec<u8>,
}

/// Bytes that are read at once.
const AT_ONCE: usize = 64 << 10;

impl Lines {
    /// Reads `path` from its start; it need not exist yet.
    pub fn new(path: &Path, longest: usize) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            line: Vec::new(),
            longest,
            is_cut: false,
            buffer: Vec::new(),
        }
    }

    /// Hands over every line that is complete by now, and whether it was cut; says how many bytes came.
    pub fn read(&mut self, take: &mut dyn FnMut(&[u8], bool)) -> io::Result<u64> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &mut self.file else { return Ok(0) };
        if self.buffer.is_empty() {
            // Most looks find nothing new, and nothing is looked at before it is written.
            if file.metadata()?.len() == 0 {
                return Ok(0);
            }
            self.buffer = vec![0; AT_ONCE];
        }
        let mut total = 0;
        loop {
            let read = match file.read(&mut self.buffer) {
                Ok(0) => return Ok(total),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            total += read as u64;
            for part in self.buffer[..read].split_inclusive(|&byte| byte == b'\n') {
                let (text, is_complete) = match part.strip_suffix(b"\n") {
                    Some(text) => (text, true),
                    None => (part, false),
                };
                let room = self.longest.saturating_sub(self.line.len());
                self.is_cut |= text.len() > room;
                self.line.extend_from_slice(&text[..text.len().min(room)]);
                if is_complete {
                    take(&self.line, self.is_cut);
                    self.line.clear();
                    self.is_cut = false;
                }
            }
        }
    }

    /// Hands over what came after the last newline, once nothing more will come.
    pub fn finish(&mut self, take: &mut dyn FnMut(&[u8], bool)) -> io::Result<u64> {
        let total = self.read(take)?;
        if !self.line.is_empty() {
            take(&self.line, self.is_cut);
            self.line.clear();
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_come_once_whole_and_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout");
        let mut lines = Lines::new(&path, 5);
        let mut seen = Vec::new();
        let mut take = |line: &[u8], cut: bool| seen.push((String::from_utf8_lossy(line).into_owned(), cut));
        assert_eq!(lines.read(&mut take).unwrap(), 0);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"a\nbb").unwrap();
        assert_eq!(lines.read(&mut take).unwrap(), 4);
        file.write_all(b"cc\n123456789\n\nrest").unwrap();
        lines.read(&mut take).unwrap();
        lines.finish(&mut take).unwrap();
        let expected = [("a", false), ("bbcc", false), ("12345", true), ("", false), ("rest", false)];
        let expected: Vec<_> = expected.iter().map(|(line, cut)| ((*line).to_owned(), *cut)).collect();
        assert_eq!(seen, expected);
    }
}
