//! JSON as JavaScript writes it where a text was cut in the middle of a character.
//!
//! Its strings may end with half of a surrogate pair, and `JSON.stringify` writes that as `\ud83d` (ECMA-262,
//! `QuoteJSONString`). RFC 8259 (section 8.2) leaves open what a reader makes of it; ours refuses the whole message.

/// What stands for what is no character.
const REPLACEMENT: &str = "\\ufffd";

/// The JSON with U+FFFD for each half of a character, as JavaScript itself writes them to a file; `None` where there
/// is none.
pub fn mended(json: &str) -> Option<String> {
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let length = match unit(escape) {
            Some(0xD800..=0xDBFF) if matches!(escape.get(6..).and_then(unit), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                mended.push_str(REPLACEMENT);
                rest = &escape[6..];
                continue;
            }
            // What is escaped may be a backslash.
            _ => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&escape[..length]);
        rest = &escape[length..];
    }
    mended.push_str(rest);
    (mended != json).then_some(mended)
}

/// The number of an escape `\uXXXX` that a text begins with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn halves_become_the_sign_for_no_character() {
        for (json, expected) in [
            (r#""\ud83d""#, Some("\u{fffd}")),
            (r#""\uDE00x""#, Some("\u{fffd}x")),
            (r#""\ud83d\ud83d\ude00""#, Some("\u{fffd}😀")),
            (r#""\ud83d\n""#, Some("\u{fffd}\n")),
            (r#""\\\ud83d\\""#, Some("\\\u{fffd}\\")),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d""#, None),
            ("\"\\é\"", None),
            ("", None),
        ] {
            let mended = mended(json);
            let read = mended.as_deref().map(|json| serde_json::from_str::<String>(json).unwrap());
            assert_eq!(read.as_deref(), expected, "{json}");
        }
        // Cut short, it stays no JSON.
        for json in ["\\", "\\u", "\\ud8", "\"\\ud83", "\\ud83d\\u"] {
            assert!(serde_json::from_str::<String>(&mended(json).unwrap_or_default()).is_err());
        }
    }

    proptest! {
        #[test]
        fn whatever_javascript_writes_can_be_read(units in proptest::collection::vec(any::<u16>(), 0..40)) {
            let written: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("\"{written}\"");
            let mended = mended(&json).unwrap_or(json);
            let read: String = serde_json::from_str(&mended).unwrap();
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }

        #[test]
        fn what_can_be_read_stays_as_it_is(text in ".*") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(mended(&json), None);
        }
    }
}
