//! Code as words, without the grammar of any language.

/// A word, or a sign.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    Name(&'a str),
    Text(String),
    /// A text with something in it that is reckoned first.
    Vague,
    Sign(char),
    /// `==`, `=>` and their like.
    Other,
}

/// The words of a text.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        let length = rest.len() - word.len();
        match c {
            '\n' => {
                tokens.push(Token::Sign(';'));
                rest = &rest[1..];
            }
            c if c.is_whitespace() => rest = &rest[c.len_utf8()..],
            '#' => rest = &rest[rest.find('\n').unwrap_or(rest.len())..],
            '/' if rest.starts_with("//") => rest = &rest[rest.find('\n').unwrap_or(rest.len())..],
            '"' | '\'' | '`' => {
                let (token, after) = string(rest, "");
                tokens.push(token);
                rest = after;
            }
            _ if length > 0 => {
                let name = &rest[..length];
                let is_prefix = length <= 2
                    && word.starts_with(['"', '\''])
                    && name.chars().all(|c| "rRbBfFuU".contains(c));
                if is_prefix {
                    let (token, after) = string(word, name);
                    tokens.push(token);
                    rest = after;
                } else {
                    tokens.push(Token::Name(name));
                    rest = word;
                }
            }
            // A variable of Perl's or PHP's is its name.
            '$' | '@' => rest = &rest[1..],
            '=' | '!' | '<' | '>' if rest[1..].starts_with(['=', '~']) || rest.starts_with("=>") => {
                tokens.push(Token::Other);
                rest = &rest[2..];
            }
            '>' if rest.starts_with(">>") => {
                tokens.push(Token::Sign('>'));
                rest = &rest[2..];
            }
            c => {
                tokens.push(Token::Sign(c));
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    tokens
}

/// A text in quotes, and what is behind it.
fn string<'a>(text: &'a str, prefix: &str) -> (Token<'a>, &'a str) {
    let quote = text.chars().next().unwrap_or('"');
    let three: String = std::iter::repeat_n(quote, 3).collect();
    let end = if text.starts_with(&three) { three } else { quote.to_string() };
    let mut value = String::new();
    let mut rest = &text[end.len()..];
    let is_raw = prefix.contains(['r', 'R']);
    let mut is_vague = false;
    while !rest.starts_with(&*end) {
        let mut chars = rest.chars();
        match chars.next() {
            None => break,
            Some('\\') if !is_raw => match chars.next() {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some(c) => value.push(c),
                None => {}
            },
            Some(c) => {
                is_vague |= c == '{' && prefix.contains(['f', 'F'])
                    || matches!(c, '$' | '#') && chars.as_str().starts_with('{') && quote != '\'';
                value.push(c);
            }
        }
        rest = chars.as_str();
    }
    let rest = rest.strip_prefix(&*end).unwrap_or(rest);
    (if is_vague { Token::Vague } else { Token::Text(value) }, rest)
}
