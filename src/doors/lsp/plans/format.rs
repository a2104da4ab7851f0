//! JSON in a form of its own: comments are kept, and so is every token; only blanks change. Lines end as
//! they did, and what is formed stays as it is.

use super::super::text::line_end;

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
    /// A comment on a line of its own.
    Comment(&'t str),
    /// A comment behind something on the same line.
    Behind(&'t str),
}

/// The text anew; nothing where it is no JSON yet.
pub fn json(text: &str, indent: &str) -> Option<String> {
    let (mark, rest) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let tokens = tokens(rest)?;
    if !is_whole(&tokens) {
        return None;
    }
    let line_end = line_end(text);
    let mut printer = Printer { tokens: &tokens, at: 0, out: String::new(), indent, line_end };
    printer.print();
    Some(format!("{mark}{}{line_end}", printer.out))
}

/// Whether the tokens are one value: of what is half typed, the rest might change its meaning when blanks do.
/// A comma behind the last item is borne.
fn is_whole(tokens: &[Token<'_>]) -> bool {
    /// What may come next.
    #[derive(Clone, Copy, PartialEq)]
    enum Next {
        Value,
        /// A value, or the end of the list.
        Item,
        /// A key, or the end of the map.
        Key,
        Colon,
        /// A comma, or the end of the list or map.
        Comma,
        Nothing,
    }
    let mut open: Vec<char> = Vec::new();
    let mut next = Next::Value;
    for token in tokens {
        let behind = |open: &[char]| if open.is_empty() { Next::Nothing } else { Next::Comma };
        next = match (token, next) {
            (Token::Comment(_) | Token::Behind(_), next) => next,
            (Token::Open(bracket), Next::Value | Next::Item) => {
                open.push(*bracket);
                if *bracket == '[' { Next::Item } else { Next::Key }
            }
            (Token::Plain(_), Next::Value | Next::Item) => behind(&open),
            (Token::Plain(_), Next::Key) => Next::Colon,
            (Token::Colon, Next::Colon) => Next::Value,
            (Token::Comma, Next::Comma) if open.last() == Some(&'[') => Next::Item,
            (Token::Comma, Next::Comma) => Next::Key,
            (Token::Close(bracket), Next::Item | Next::Key | Next::Comma) => {
                let begun = if *bracket == ']' { '[' } else { '{' };
                if open.pop() != Some(begun) {
                    return false;
                }
                behind(&open)
            }
            _ => return false,
        };
    }
    next == Next::Nothing
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text;
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
    line_end: &'static str,
}

impl Printer<'_> {
    fn print(&mut self) {
        let mut depth = 0;
        // Whether what comes next begins a line: as a rule, or because the line ends with a comment.
        let (mut fresh, mut must) = (true, false);
        // Whether a blank stands before what comes next on the same line.
        let mut gap = false;
        while let Some(token) = self.tokens.get(self.at).copied() {
            self.at += 1;
            if matches!(token, Token::Close(_)) {
                depth -= 1;
            }
            let begins = match token {
                Token::Comma | Token::Colon => must,
                Token::Behind(_) => false,
                Token::Comment(_) => true,
                _ => fresh || must,
            };
            if begins && !self.out.is_empty() {
                self.out.push_str(self.line_end);
                for _ in 0..depth {
                    self.out.push_str(self.indent);
                }
            } else if gap || matches!(token, Token::Behind(_)) {
                self.out.push(' ');
            }
            (fresh, must, gap) = (false, false, false);
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
                Token::Colon => {
                    self.out.push(':');
                    gap = true;
                }
                Token::Plain(text) => self.out.push_str(text),
                Token::Comment(text) | Token::Behind(text) => {
                    self.out.push_str(text);
                    (fresh, must) = (true, text.starts_with("//"));
                }
            }
            // What closes several lines is written on a line of its own.
            fresh |= matches!(self.tokens.get(self.at), Some(Token::Close(_)));
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
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// What is not blank, which forming never changes.
    fn kept(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

    #[test]
    fn blanks_change_and_nothing_else() {
        let table = [
            ("{}", Some("{}\n")),
            ("", None),
            ("{", None),
            ("[}", None),
            ("{\"a\": \"b", None),
            ("[1 2]", None),
            ("{\"a\" \"b\"}", None),
            ("{\"a\": }", None),
            ("{\"a\": 1 \"b\": 2}", None),
            ("[,]", None),
            ("{} {}", None),
            ("// nothing", None),
            ("[1, 2,]", Some("[1, 2,]\n")),
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
            // A comment that ends its line takes neither a comma nor a colon with it.
            ("[{} // note\n, [1] /* n */, 2]", Some("[\n  {} // note\n  ,\n  [1] /* n */,\n  2\n]\n")),
            ("{\"a\" // note\n: 1}", Some("{\n  \"a\" // note\n  : 1\n}\n")),
            ("{\"a\": // note\n1}", Some("{\n  \"a\": // note\n  1\n}\n")),
            ("{\"a\"\n/* m\n n */: 1}", Some("{\n  \"a\"\n  /* m\n n */: 1\n}\n")),
            ("[1\n/* m */]", Some("[\n  1\n  /* m */\n]\n")),
            ("[]// end", Some("[] // end\n")),
            ("{\r\n\"a\":[{}]}", Some("{\r\n  \"a\": [\r\n    {}\r\n  ]\r\n}\r\n")),
            ("\u{feff}{ }", Some("\u{feff}{}\n")),
        ];
        for (text, expected) in table {
            let found = json(text, "  ");
            assert_eq!(found.as_deref(), expected, "{text}");
            if let Some(found) = found {
                assert_eq!(json(&found, "  ").as_deref(), Some(found.as_str()));
                assert_eq!(kept(&found), kept(text));
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_formed_says_the_same_and_stays(pieces in vec(select(&PIECES[..]), 0..24), tab: bool) {
            let (text, indent) = (pieces.concat(), if tab { "\t" } else { "  " });
            if let Some(found) = json(&text, indent) {
                let (before, after) = (tokens(&text).unwrap(), tokens(&found).unwrap());
                // Whether a comment has a line of its own may change, and nothing else.
                let said = |tokens: &[Token<'_>]| tokens.iter().map(|it| match it {
                    Token::Comment(text) | Token::Behind(text) => format!("{text:?}"),
                    other => format!("{other:?}"),
                }).collect::<Vec<_>>();
                prop_assert_eq!(said(&before), said(&after), "{}", text);
                prop_assert_eq!(json(&found, indent), Some(found.clone()), "{}", text);
            }
        }
    }

    /// Pieces of which many rows are JSON.
    const PIECES: [&str; 17] = [
        "[",
        "]",
        "{\"k\": [",
        "]}",
        "{\"a\":",
        "}",
        ",",
        "1",
        "\"x // y\"",
        " ",
        "\n",
        "\r\n",
        "// c\n",
        "/* b */",
        "\n/* m\n n */",
        "1,",
        "\"k\": {},",
    ];
}
