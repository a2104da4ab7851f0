//! Names that no file of a repository has: empty, `.`, `..`, and what some system takes for `.git`.
//!
//! git refuses, beside `.git` in any case: `.git` and its short name `git~1` with trailing dots and
//! blanks or a stream (`.git::$INDEX_ALLOCATION`) for NTFS, and `.git` with ignorable characters
//! in it for HFS+.

/// What is known of a segment after some of its bytes. Small and `Copy`, so that a search
/// over patterns can carry it and never proposes a name that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain) enum Name {
    /// Nothing yet.
    Empty,
    Dot,
    DotDot,
    DotG,
    DotGi,
    G,
    Gi,
    Git,
    GitTilde,
    /// `.git` or `git~1`, and dots and blanks after it.
    GitFolder,
    /// Any other name: whatever follows, it is allowed.
    Plain,
}

impl Name {
    /// How many states there are.
    pub(in crate::domain) const COUNT: usize = Name::Plain as usize + 1;

    /// The state after one more byte, which is not `/`; `None` if no continuation is allowed.
    #[inline(always)]
    pub(in crate::domain) fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte.to_ascii_lowercase()) {
            (Self::Empty, b'.') => Self::Dot,
            (Self::Empty, b'g') => Self::G,
            (Self::Dot, b'.') => Self::DotDot,
            (Self::Dot, b'g') => Self::DotG,
            (Self::DotG, b'i') => Self::DotGi,
            (Self::G, b'i') => Self::Gi,
            (Self::Gi, b't') => Self::Git,
            (Self::Git, b'~') => Self::GitTilde,
            (Self::DotGi, b't') | (Self::GitTilde, b'1') | (Self::GitFolder, b'.' | b' ') => Self::GitFolder,
            (Self::GitFolder, b':') => return None,
            _ => Self::Plain,
        })
    }

    /// Whether the segment may end here.
    #[inline(always)]
    pub(in crate::domain) fn may_end(self) -> bool {
        !matches!(self, Self::Empty | Self::Dot | Self::DotDot | Self::GitFolder)
    }

    /// The state after a whole segment; [`Name::GitFolder`] if a continuation was not allowed.
    pub(super) fn of(segment: &[u8]) -> Self {
        let name = match std::str::from_utf8(segment) {
            Ok(text) if !text.is_ascii() => {
                let visible: String = text.chars().filter(|&c| !is_ignorable(c)).collect();
                visible.bytes().try_fold(Self::Empty, Self::after)
            }
            _ => segment.iter().copied().try_fold(Self::Empty, Self::after),
        };
        name.unwrap_or(Self::GitFolder)
    }
}

/// Whether HFS+ skips this character when it compares names (git's `next_hfs_char`).
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// Whether git could store this path.
pub(super) fn is_ownable(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').all(|segment| Name::of(segment).may_end())
}
