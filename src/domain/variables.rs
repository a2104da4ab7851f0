//! The lines that Kapell writes into a file of variables that is a person's otherwise.

/// The first of our lines.
const BEGIN: &str = "# kapell: from here to the end mark is written anew";
/// The last of them.
const END: &str = "# kapell: end mark";
/// The variable that names the environment.
const NAME: &str = "KAPELL_ENVIRONMENT";

/// What a file has that is not ours, byte by byte, and where our lines were in it.
fn persons(before: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(before.len());
    let mut is_ours = false;
    for line in before.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        is_ours |= text == BEGIN.as_bytes();
        if is_ours && text == END.as_bytes() {
            is_ours = false;
            continue;
        }
        // Where somebody deleted the end mark, ours end with the first line that we cannot have written.
        is_ours &= text == BEGIN.as_bytes() || is_written(text);
        if !is_ours {
            rest.extend_from_slice(line);
        }
    }
    rest
}

fn is_written(line: &[u8]) -> bool {
    let Some(at) = line.iter().position(|byte| *byte == b'=') else { return false };
    let (name, value) = (&line[..at], &line[at + 1..]);
    let is_quoted = |value: &[u8]| matches!(value, [b'"', .., b'"'] | [b'\'', .., b'\'']);
    name == NAME.as_bytes()
        || name.ends_with(b"_PORT") && !value.is_empty() && value.iter().all(u8::is_ascii_digit)
        || name.ends_with(b"_DATABASE") && is_quoted(value)
}

/// Whether there is anything besides our lines.
pub fn has_persons(before: &[u8]) -> bool {
    !persons(before).trim_ascii().is_empty()
}

/// The file with our lines as they are to be: the name, and the port and database of each sub-environment.
/// What is not ours stays as it is, byte by byte.
pub fn merged(before: &[u8], name: &str, subs: &[(&str, u16, &str)]) -> Vec<u8> {
    let mut text = persons(before);
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let mut ours = format!("{BEGIN}\n{NAME}={name}\n");
    for (sub, port, database) in subs {
        let title = title(sub);
        ours.push_str(&format!("{title}_PORT={port}\n{title}_DATABASE={}\n", quoted(database)));
    }
    ours.push_str(END);
    ours.push('\n');
    text.extend_from_slice(ours.as_bytes());
    text
}

/// The start of the names of a sub-environment's variables.
pub fn title(sub: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = sub.chars().map(letter).collect();
    // No variable begins with a digit.
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// A value that a shell and readers of such files take as it is: nothing in it is expanded or run.
fn quoted(value: &str) -> String {
    let is_special = |c: char| matches!(c, '$' | '`' | '\\' | '"' | '!');
    if !value.contains(is_special) {
        return format!("\"{value}\"");
    }
    if !value.contains('\'') {
        return format!("'{value}'");
    }
    let mut text = String::from('"');
    for c in value.chars() {
        if is_special(c) && c != '!' {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBS: [(&str, u16, &str); 1] = [("dev", 81, "/p/dev.sqlite")];

    fn ours() -> String {
        String::from_utf8(merged(b"", "a", &SUBS)).unwrap()
    }

    #[test]
    fn what_a_person_wrote_stays_byte_by_byte() {
        for before in [&b"A=1\r\nB=2\r\n"[..], b"NAME=M\xfcller\n", b"KEY=1", b"\n\n"] {
            let text = merged(before, "a", &SUBS);
            assert!(text.starts_with(before), "{text:?}");
            assert!(text.ends_with(ours().as_bytes()), "{text:?}");
            assert_eq!(merged(&text, "a", &SUBS), text, "written twice");
            assert_eq!(has_persons(&text), has_persons(before));
        }
        assert!(has_persons(b"A=1") && !has_persons(ours().as_bytes()) && !has_persons(b" \n"));
    }

    #[test]
    fn without_its_end_mark_the_block_ends_with_the_first_line_that_is_not_ours() {
        let cut = ours().replace(END, "MYKEY=1\nOTHER_PORT=80");
        let text = String::from_utf8(merged(cut.as_bytes(), "a", &SUBS)).unwrap();
        assert_eq!(text, format!("MYKEY=1\nOTHER_PORT=80\n{}", ours()));
        // What stands below the block stays below nothing of it.
        let below = format!("X=1\n{}Y=2\n", ours());
        assert_eq!(merged(below.as_bytes(), "a", &SUBS), format!("X=1\nY=2\n{}", ours()).into_bytes());
    }

    #[test]
    fn nothing_in_a_path_is_expanded() {
        for (path, expected) in [
            ("/a b/c", "\"/a b/c\""),
            ("/a$HOME/`id`", "'/a$HOME/`id`'"),
            ("/it's $x", "\"/it's \\$x\""),
            ("/q\"\\", "'/q\"\\'"),
        ] {
            assert_eq!(quoted(path), expected);
        }
        assert_eq!((title("a-b").as_str(), title("1st").as_str()), ("A_B", "_1ST"));
    }
}
