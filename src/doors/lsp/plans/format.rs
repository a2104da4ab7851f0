//! JSON in a form of its own: comments are kept, and so is every token; only blanks change.

/// A list or map of plain values stands on one line, as long as it fits.
const WIDTH: usize = 100;

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Open(char),
    Close(char),
    Comma,
    Colon,
    /// A text, a number, or a word.
    Plain(&'t str),
    /// A comment, and whether it ends its line.
    Comment(&'t str),
    /// A comment behind something on the same line.
    Behind(&'t str),
}

/// The text anew; nothing where it is no JSON yet.
pub fn json(text: &str, indent: &str) -> Option<String> {
    let tokens = tokens(text)?;
    let mut open = Vec::new();
    for token in &tokens {
        match token {
            Token::Open(bracket) => open.push(*bracket),
            Token::Close(bracket) => {
                let begun = if *bracket == ']' { '[' } else { '{' };
                open.pop().filter(|open| *open == begun)?;
            }
            _ => {}
        }
    }
    if !open.is_empty() || tokens.is_empty() {
        return None;
    }
    let mut printer = Printer { tokens: &tokens, at: 0, out: String::new(), indent };
    printer.print();
    printer.out.push('\n');
    Some(printer.out)
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut fresh_line = true;
    loop {
        let trimmed = rest.trim_start();
        fresh_line |= rest[..rest.len() - trimmed.len()].contains(['\n', '\r']);
        rest = trimmed;
        let Some(first) = rest.chars().next() else { return Some(tokens) };
        let length = match first {
            '{' | '[' | '}' | ']' | ',' | ':' => 1,
            '"' => {
                let mut escaped = false;
                let end = rest[1..].find(|c: char| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends || c == '\n'
                })?;
                if rest[1 + end..].starts_with('\n') {
                    return None;
                }
                end + 2
            }
            '/' if rest.starts_with("//") => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest[2..].find("*/")? + 4,
            _ => rest.find(|c: char| c.is_whitespace() || ",:{}[]\"/".contains(c)).unwrap_or(rest.len()),
        };
        if length == 0 {
            return None;
        }
        let piece = &rest[..length];
        tokens.push(match first {
            '{' | '[' => Token::Open(first),
            '}' | ']' => Token::Close(first),
            ',' => Token::Comma,
            ':' => Token::Colon,
            '/' if fresh_line => Token::Comment(piece.trim_end()),
            '/' => Token::Behind(piece.trim_end()),
            _ => Token::Plain(piece),
        });
        fresh_line = false;
        rest = &rest[length..];
    }
}

struct Printer<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
    out: String,
    indent: &'t str,
}

impl Printer<'_> {
    fn print(&mut self) {
        let mut depth = 0;
        // Whether what comes next begins a line.
        let mut fresh = true;
        while let Some(token) = self.tokens.get(self.at).copied() {
            self.at += 1;
            let closes = matches!(token, Token::Close(_));
            if closes {
                depth -= 1;
            }
            let joins = matches!(token, Token::Comma | Token::Colon | Token::Behind(_));
            if fresh && !joins && !self.out.is_empty() {
                self.out.push('\n');
                for _ in 0..depth {
                    self.out.push_str(self.indent);
                }
            }
            if !joins {
                fresh = false;
            }
            match token {
                Token::Open(bracket) => {
                    if let Some((line, end)) = self.on_one_line(bracket) {
                        self.out.push_str(&line);
                        self.at = end;
                    } else {
                        self.out.push(bracket);
                        depth += 1;
                        fresh = true;
                    }
                }
                Token::Close(bracket) => self.out.push(bracket),
                Token::Comma => {
                    self.out.push(',');
                    fresh = true;
                }
                Token::Colon => self.out.push_str(": "),
                Token::Plain(text) => self.out.push_str(text),
                Token::Comment(text) => {
                    self.out.push_str(text);
                    fresh = true;
                }
                Token::Behind(text) => {
                    self.out.push(' ');
                    self.out.push_str(text);
                    fresh = true;
                }
            }
            // What closes several lines is written on a line of its own.
            let is_empty = matches!(token, Token::Open(_)) && fresh;
            if matches!(self.tokens.get(self.at), Some(Token::Close(_))) && !is_empty {
                fresh = true;
            }
        }
    }

    /// The list or map that begins here, if it holds plain values only and fits on a line.
    fn on_one_line(&self, bracket: char) -> Option<(String, usize)> {
        let mut line = bracket.to_string();
        for (at, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token {
                Token::Plain(text) => line.push_str(text),
                Token::Comma if matches!(self.tokens.get(at + 1), Some(Token::Close(_))) => line.push(','),
                Token::Comma => line.push_str(", "),
                Token::Colon => line.push_str(": "),
                Token::Close(bracket) => {
                    line.push(*bracket);
                    return Some((line, at + 1));
                }
                _ => return None,
            }
            // A map of many things is read better line by line; so is what is too long.
            if line.len() > WIDTH || bracket == '{' && line.contains(", ") && line.len() > WIDTH / 2 {
                return None;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_change_and_nothing_else() {
        let table = [
            ("{}", Some("{}\n")),
            ("", None),
            ("{", None),
            ("[}", None),
            ("{\"a\": \"b", None),
            (
                "{\"tasks\":[{\"id\":1,\"files\":[\"a\",\"b\"]},\n\n{\"id\":2,\"task\":\"long enough to be written on a line of its own, I say\",\"files\":[]}]}",
                Some(
                    "{\n  \"tasks\": [\n    {\n      \"id\": 1,\n      \"files\": [\"a\", \"b\"]\n    },\n    {\n      \"id\": 2,\n      \"task\": \"long enough to be written on a line of its own, I say\",\n      \"files\": []\n    }\n  ]\n}\n",
                ),
            ),
            (
                "// first\n{ \"a\": 1, // behind\n /* on its own */ \"b\": [ // x\n 1 ] }",
                Some(
                    "// first\n{\n  \"a\": 1, // behind\n  /* on its own */\n  \"b\": [ // x\n    1\n  ]\n}\n",
                ),
            ),
        ];
        for (text, expected) in table {
            let found = json(text, "  ");
            assert_eq!(found.as_deref(), expected, "{text}");
            // What is formed stays as it is.
            if let Some(found) = found {
                assert_eq!(json(&found, "  ").as_deref(), Some(found.as_str()));
                let kept = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
                assert_eq!(kept(&found), kept(text));
            }
        }
    }
}
