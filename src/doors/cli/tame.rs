//! What a service printed, for a terminal: colours stay, whatever else would steer the terminal does not.

/// Keeps where it is in a sequence from one piece to the next.
#[derive(Debug, Default)]
pub struct Tamer {
    state: State,
    /// A sequence that is not over.
    held: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// Behind ESC.
    Escape,
    /// Behind ESC [.
    Control,
    /// In a string that ESC \ or BEL ends: a title, what goes to the clipboard.
    String,
    /// Behind ESC in such a string.
    StringEscape,
}

/// No sequence for colours is longer.
const LONGEST: usize = 64;

impl Tamer {
    /// A piece without what is not for reading.
    pub fn tame(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(piece.len());
        for &byte in piece {
            self.state = match (self.state, byte) {
                (State::Text | State::Escape | State::Control, 0x1b) => {
                    self.held.clear();
                    State::Escape
                }
                (State::Text, b'\n' | b'\t' | b'\r') => {
                    shown.push(byte);
                    State::Text
                }
                (State::Text, 0..=0x1f | 0x7f) => State::Text,
                (State::Text, byte) => {
                    shown.push(byte);
                    State::Text
                }
                (State::Escape, b'[') => State::Control,
                // A title and its like, a device's string, and whoever else takes a string.
                (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
                (State::Escape, 0x20..=0x2f) => State::Escape,
                (State::Escape, _) => State::Text,
                (State::Control, b'm') => {
                    shown.extend_from_slice(b"\x1b[");
                    shown.append(&mut self.held);
                    shown.push(b'm');
                    State::Text
                }
                (State::Control, b'0'..=b'9' | b';' | b':') if self.held.len() < LONGEST => {
                    self.held.push(byte);
                    State::Control
                }
                // Other parameters belong to no colour: whatever ends this is left out.
                (State::Control, 0x20..=0x3f) => State::Control,
                (State::Control, _) => State::Text,
                (State::String | State::StringEscape, 0x07) => State::Text,
                (State::StringEscape, b'\\') => State::Text,
                (State::String | State::StringEscape, 0x1b) => State::StringEscape,
                (State::String | State::StringEscape, _) => State::String,
            };
        }
        shown
    }
}

/// The length of what is whole in UTF-8: behind it are the first bytes of a character whose rest is not there yet.
pub fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => {
            // Something in the middle is no text; the end may still be cut.
            let start = bytes.len().saturating_sub(3);
            (start..bytes.len())
                .find(|at| {
                    bytes[*at] >= 0xc0
                        && std::str::from_utf8(&bytes[*at..]).is_err_and(|it| it.error_len().is_none())
                })
                .unwrap_or(bytes.len())
        }
        Ok(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_get_through() {
        for (printed, expected) in [
            ("a\x1b[1;31mred\x1b[0m\n", "a\x1b[1;31mred\x1b[0m\n"),
            ("\x1b]0;title\x07a\x1b]52;c;aGk=\x1b\\b", "ab"),
            ("\x1b[2J\x1b[10;10Hx\x1b[?1049hy\x1bcz", "xyz"),
            ("ü\x08\x07\x7f\tok\r\n", "ü\tok\r\n"),
            ("\x1bPq..\x1b\\a", "a"),
        ] {
            for cut in 0..printed.len() {
                let mut tamer = Tamer::default();
                let mut shown = tamer.tame(&printed.as_bytes()[..cut]);
                shown.extend(tamer.tame(&printed.as_bytes()[cut..]));
                assert_eq!(String::from_utf8_lossy(&shown), expected, "{printed:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_character_that_is_not_all_there_waits() {
        assert_eq!(whole("für".as_bytes()), 4);
        assert_eq!(whole(b"f\xc3"), 1);
        assert_eq!(whole(b"f\xff\xe2\x82"), 2);
        assert_eq!(whole(b"f\xff"), 2);
        assert_eq!(whole(b""), 0);
    }
}
