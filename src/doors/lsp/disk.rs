//! Whether a text in the editor is the one on the disk.

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::time::SystemTime;

/// What was last seen of a file, so that it is not read for every key press.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    now: Option<(Stamp, Content)>,
    /// What was in a file that is gone: whoever still has that in the editor changed nothing.
    once: Option<u64>,
}

/// A file that was not written to since has the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// There is no such file.
    Nothing,
    /// A text of that digest.
    Text(u64),
    /// Something that no editor has as it is: no UTF-8, or UTF-16, which has bytes of 0.
    Other,
}

/// How a text stands to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// It is the same.
    None,
    /// It is another one.
    Some,
    /// That cannot be told.
    Unknown,
}

impl Seen {
    /// Compares a text, as its digest, with its file.
    pub fn compare(&mut self, path: &Path, text: u64) -> Difference {
        match self.content(path) {
            Content::Nothing if text == digest_of("") || self.once == Some(text) => Difference::None,
            Content::Nothing => Difference::Some,
            Content::Text(digest) if digest == text => Difference::None,
            Content::Text(_) => Difference::Some,
            Content::Other => Difference::Unknown,
        }
    }

    /// By what it is seen whether the file was written to since it was looked at; nothing where it was not there.
    pub fn stamp(&self) -> Option<Stamp> {
        self.now.as_ref().map(|(stamp, _)| stamp.clone())
    }

    fn content(&mut self, path: &Path) -> Content {
        let Ok(metadata) = path.metadata() else {
            if let Some((_, Content::Text(digest))) = self.now.take() {
                self.once = Some(digest);
            }
            return Content::Nothing;
        };
        let stamp = Stamp { length: metadata.len(), modified: metadata.modified().ok() };
        if let Some((_, content)) = self.now.as_ref().filter(|(seen, _)| *seen == stamp) {
            return *content;
        }
        let content = match std::fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) if !text.contains('\0') => Content::Text(digest_of(&text)),
            Ok(_) | Err(_) => Content::Other,
        };
        self.now = Some((stamp, content));
        content
    }

    /// Whether nothing is known of a file that is not there.
    pub fn is_blank(&self, path: &Path) -> bool {
        self.once.is_none() && self.now.is_none() && !path.exists()
    }

    /// What was in the file before anybody looked, as somebody else remembers it.
    pub fn remember(&mut self, text: &str) {
        self.once = Some(digest_of(text));
    }
}

/// A digest of what an editor calls the text: without the mark at its start, whatever its lines end with,
/// and whether its last line has an end or not, which some editors add for themselves.
pub fn digest_of(text: &str) -> u64 {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let mut hasher = DefaultHasher::new();
    let mut rest = text;
    while let Some(at) = rest.find("\r\n") {
        hasher.write(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
    }
    hasher.write(rest.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_held_before_it_went_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "a\n").unwrap();
        let mut seen = Seen::default();
        assert_eq!(seen.compare(&path, digest_of("a\n")), Difference::None);
        std::fs::remove_file(&path).unwrap();
        for (text, expected) in [("a\n", Difference::None), ("b", Difference::Some), ("a", Difference::None)]
        {
            assert_eq!(seen.compare(&path, digest_of(text)), expected, "{text}");
        }
        let mut fresh = Seen::default();
        assert!(fresh.is_blank(&path));
        assert_eq!(fresh.compare(&path, digest_of("a")), Difference::Some);
        fresh.remember("a\n");
        assert!(!fresh.is_blank(&path));
        assert_eq!(fresh.compare(&path, digest_of("a")), Difference::None);
    }

    #[test]
    fn a_text_is_held_against_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut seen = Seen::default();
        assert_eq!(seen.compare(&path, digest_of("")), Difference::None);
        assert_eq!(seen.compare(&path, digest_of("a")), Difference::Some);
        let table: [(&[u8], &str, Difference); 10] = [
            (b"a\nb\n", "a\nb\n", Difference::None),
            (b"a\nb\n", "a\nb", Difference::None),
            (b"a\r\nb", "a\nb\n", Difference::None),
            (b"\xef\xbb\xbfa", "a", Difference::None),
            (b"a\nb\n", "a\nc\n", Difference::Some),
            (b"a\n", "a\n\n", Difference::Some),
            (b"a", "", Difference::Some),
            (b"", "\n", Difference::None),
            (b"caf\xe9", "caf\u{e9}", Difference::Unknown),
            (b"a\0b\0", "ab", Difference::Unknown),
        ];
        for (bytes, text, expected) in table {
            std::fs::write(&path, bytes).unwrap();
            // Two writes may fall into one tick of the clock.
            assert_eq!(Seen::default().compare(&path, digest_of(text)), expected, "{text:?}");
        }
    }
}
