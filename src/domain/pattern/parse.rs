//! From a text to segments, with every reason why not.

use crate::domain::pattern::BadPattern;
use crate::domain::pattern::names::Name;
use crate::domain::pattern::steps::ByteSet;

/// The longest text of a pattern, in bytes: Linux's `PATH_MAX`.
pub const MAX_BYTES: usize = 4096;

/// How many patterns without braces the braces of one may stand for.
pub const MAX_ALTERNATIVES: usize = 64;

/// What a bracket with only this character in it quotes.
pub(super) const QUOTABLE: [char; 6] = ['*', '?', '[', ']', '{', '}'];

/// A name as a pattern's segment: quoted, and with `?` for what no pattern can say there.
pub(super) fn sayable(name: &str, is_first: bool) -> String {
    let last = name.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(name.len());
    for (at, c) in name.chars().enumerate() {
        let is_odd = c == '\\'
            || c.is_control()
            || at == 0 && is_first && c == '!'
            || at == last && (c == ' ' || c == '.') && name != "." && name != "..";
        match c {
            // Which is one byte.
            _ if is_odd => text.extend(std::iter::repeat_n('?', c.len_utf8())),
            c if QUOTABLE.contains(&c) => text.extend(['[', c, ']']),
            c => text.push(c),
        }
    }
    text
}

/// What stands between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// `**`: any number of folders; at the end, everything below.
    Globstar,
    /// One name: never empty, no two texts side by side.
    Name(Vec<Piece>),
}

/// A part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// These characters, unquoted.
    Text(String),
    /// One of these bytes.
    OneOf(ByteSet),
    /// Any bytes but `/`.
    Star,
}

impl Segment {
    /// Its name, if it has no wildcard.
    pub(super) fn literal(&self) -> Option<String> {
        match self {
            Self::Name(pieces) => match pieces.as_slice() {
                [Piece::Text(text)] => Some(text.clone()),
                _ => None,
            },
            Self::Globstar => None,
        }
    }

    /// Whether it has no wildcard.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self, Self::Name(pieces) if matches!(pieces.as_slice(), [Piece::Text(_)]))
    }
}

/// A broken rule, said of the text ("has an empty segment"), and what to write instead.
struct Flaw {
    what: String,
    hint: String,
}

fn flaw<T>(what: impl Into<String>, hint: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw { what: what.into(), hint: hint.into() })
}

/// The alternatives that `text` stands for, and whether it has braces.
pub(super) fn parse(text: &str) -> Result<(Vec<Vec<Segment>>, bool), BadPattern> {
    let parsed = check_whole(text).and_then(|()| expand(text)).and_then(|expanded| {
        let has_braces = expanded != [text];
        let mut alternatives = Vec::with_capacity(expanded.len());
        for expanded in &expanded {
            if expanded.ends_with('/') && !text.ends_with('/') {
                return flaw(
                    "has a choice in braces that ends the pattern with a `/`",
                    "close the braces first: `{src,lib}/`",
                );
            }
            let alternative = segments(expanded)?;
            if !alternatives.contains(&alternative) {
                alternatives.push(alternative);
            }
        }
        Ok((alternatives, has_braces))
    });
    parsed.map_err(|Flaw { what, hint }| {
        // A text of a megabyte is not repeated whole.
        let shown: String = text.chars().take(200).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        BadPattern { reason: format!("{shown:?}{more} {what}"), hint }
    })
}

/// The rules that need no look inside.
fn check_whole(text: &str) -> Result<(), Flaw> {
    if text.is_empty() {
        return flaw("is empty and owns nothing", "write `**` to own the whole repository");
    }
    if text.len() > MAX_BYTES {
        let what = format!("has {} bytes; at most {MAX_BYTES} are allowed", text.len());
        return flaw(what, "split it into several patterns");
    }
    if text.contains(char::is_control) {
        return flaw("has a control character", "match such a name with `?`, or own its folder");
    }
    if text == "~" || text.starts_with("~/") || is_drive(text) {
        return flaw("is absolute", "write it relative to the top of the repository");
    }
    if text.contains('\\') {
        return flaw("has a backslash", "separate folders with `/`; quote a wildcard with brackets: `[*]`");
    }
    if text.starts_with('!') {
        return flaw("is a negation", "list what is owned; a `!` that begins a name is matched by `?`");
    }
    Ok(())
}

fn is_drive(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic())
}

/// The text with its braces written out, in order.
fn expand(text: &str) -> Result<Vec<String>, Flaw> {
    let mut done = Vec::new();
    // Texts with braces left, last first, and where to look for the next one.
    let mut open = vec![(text.to_owned(), 0)];
    while let Some((text, from)) = open.pop() {
        let Some(cuts) = first_brace(&text, from)? else {
            done.push(text);
            continue;
        };
        let (Some(&start), Some(&end)) = (cuts.first(), cuts.last()) else { continue };
        let (before, after) = (&text[..start], &text[end + 1..]);
        for part in cuts.windows(2).rev() {
            let choice = &text[part[0] + 1..part[1]];
            let whole = format!("{before}{choice}{after}");
            // `*{,a}*` is about one name; written out, it would be `**` and own everything.
            let joins = [start, start + choice.len()];
            if joins.iter().any(|&at| whole[..at].ends_with('*') && whole[at..].starts_with('*')) {
                return flaw("has braces that put a `**` together", "write a single `*` there");
            }
            open.push((whole, start));
        }
        // Neither list loses more than the other gains, so this bounds the work as well.
        if done.len() + open.len() > MAX_ALTERNATIVES {
            let what = format!("stands for more than {MAX_ALTERNATIVES} patterns by its braces");
            return flaw(what, "use `*`, or split it into several patterns");
        }
    }
    Ok(done)
}

/// Where the first brace opens, its commas are, and it closes; `None` if there is none.
fn first_brace(text: &str, from: usize) -> Result<Option<Vec<usize>>, Flaw> {
    const HINT: &str = "balance it; a brace that is part of a name is quoted: `[{]`, `[}]`";
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut cuts) = (from, 0_usize, Vec::new());
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'[' => at = bracket_end(text, at)?,
            b']' => {
                return flaw("has a `]` without `[`", "a bracket that is part of a name is quoted: `[]]`");
            }
            b'{' => {
                if depth == 0 {
                    cuts.push(at);
                }
                depth += 1;
            }
            b'}' if depth == 0 => return flaw("has a `}` without `{`", HINT),
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    cuts.push(at);
                    return Ok(Some(cuts));
                }
            }
            b',' if depth == 1 => cuts.push(at),
            _ => {}
        }
        at += 1;
    }
    if depth > 0 { flaw("has a `{` without `}`", HINT) } else { Ok(None) }
}

/// Where the bracket that opens at `open` closes.
fn bracket_end(text: &str, open: usize) -> Result<usize, Flaw> {
    let bytes = text.as_bytes();
    let mut first = open + 1;
    if matches!(bytes.get(first), Some(b'!' | b'^')) {
        first += 1;
    }
    // A `]` in the first place is one of the characters.
    if bytes.get(first) == Some(&b']') {
        first += 1;
    }
    let Some(inside) = bytes.get(first..).and_then(|rest| rest.iter().position(|&byte| byte == b']')) else {
        return flaw("has a `[` without `]`", "a bracket that is part of a name is quoted: `[[]`");
    };
    let end = first + inside;
    if text[open..end].contains('/') {
        return flaw("has a `/` in brackets", "a bracket matches one byte of a name, never a `/`");
    }
    Ok(end)
}

/// The segments of a text without braces.
fn segments(text: &str) -> Result<Vec<Segment>, Flaw> {
    if text.is_empty() {
        return flaw("has an alternative that is empty", "leave no empty choice that is a whole pattern");
    }
    if text.starts_with('/') || is_drive(text) {
        return flaw("is absolute", "write it relative to the top of the repository");
    }
    let (names, is_folder) = match text.strip_suffix('/') {
        Some(names) => (names, true),
        None => (text, false),
    };
    let mut segments = names.split('/').map(segment).collect::<Result<Vec<_>, Flaw>>()?;
    if is_folder {
        segments.push(Segment::Globstar);
    }
    // `a/**/**` owns what `a/**` owns.
    segments.dedup_by(|a, b| *a == Segment::Globstar && *b == Segment::Globstar);
    Ok(segments)
}

fn segment(text: &str) -> Result<Segment, Flaw> {
    match text {
        "" => return flaw("has an empty segment", "write one `/` between two names"),
        "." => return flaw("has a `.` segment", "leave it out; `**` owns the whole repository"),
        ".." => return flaw("has a `..` segment", "write the path that it leads to"),
        "**" => return Ok(Segment::Globstar),
        _ => {}
    }
    let pieces = pieces(text)?;
    if matches!(pieces.last(), Some(Piece::Text(text)) if text.ends_with([' ', '.'])) {
        let what =
            format!("has a name that ends with a blank or a dot ({text:?}), which Windows cannot store");
        return flaw(what, "rename the file, or match its end with `?`");
    }
    if !has_a_name(&pieces) {
        let what = format!("has a segment ({text:?}) that only `.`, `..` or git's own folder can match");
        return flaw(what, "git's folder cannot be owned; name files of the repository");
    }
    Ok(Segment::Name(pieces))
}

/// Whether some file could have such a name.
fn has_a_name(pieces: &[Piece]) -> bool {
    if let [Piece::Text(text)] = pieces {
        return Name::of(text.as_bytes()).may_end();
    }
    let mut reached = vec![Name::Empty];
    for piece in pieces {
        reached = match piece {
            Piece::Text(text) => {
                reached.iter().filter_map(|&name| text.bytes().try_fold(name, Name::after)).collect()
            }
            Piece::OneOf(set) => {
                reached.iter().flat_map(|&name| set.iter().filter_map(move |byte| name.after(byte))).collect()
            }
            // Whatever came before, if anything may follow it, a letter makes it plain.
            Piece::Star if reached.is_empty() => reached,
            Piece::Star => reached.into_iter().chain([Name::Plain]).collect(),
        };
        let mut seen = [false; Name::COUNT];
        reached.retain(|&name| !std::mem::replace(&mut seen[name as usize], true));
    }
    reached.into_iter().any(Name::may_end)
}

fn pieces(text: &str) -> Result<Vec<Piece>, Flaw> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let mut end = at + c.len_utf8();
        let piece = match c {
            '*' if pieces.last() == Some(&Piece::Star) => {
                let what = format!("has a `**` that is not a whole segment ({text:?})");
                return flaw(what, "write `**/` for any folders, or a single `*` within a name");
            }
            '*' => Some(Piece::Star),
            '?' => Some(Piece::OneOf(ByteSet::ANY)),
            '[' => {
                let close = bracket_end(text, at)?;
                end = close + 1;
                one_of(&text[at + 1..close])?
            }
            _ => None,
        };
        match (piece, pieces.last_mut()) {
            (Some(piece), _) => pieces.push(piece),
            (None, last) => {
                // Without its brackets, if it is quoted.
                let plain = if c == '[' { &text[at + 1..end - 1] } else { &text[at..end] };
                match last {
                    Some(Piece::Text(before)) => before.push_str(plain),
                    _ => pieces.push(Piece::Text(plain.to_owned())),
                }
            }
        }
        at = end;
    }
    Ok(pieces)
}

/// The bytes that a bracket with this content matches; `None` if it quotes a character.
fn one_of(content: &str) -> Result<Option<Piece>, Flaw> {
    let mut chars = content.chars();
    if matches!((chars.next(), chars.next()), (Some(only), None) if QUOTABLE.contains(&only)) {
        return Ok(None);
    }
    if !content.is_ascii() {
        let what = format!("has letters of several bytes in brackets (`[{content}]`)");
        return flaw(what, "write them in braces: `{ä,ö}`");
    }
    let mut bytes = content.as_bytes();
    let mut set = ByteSet::EMPTY;
    let is_negated = matches!(bytes.first(), Some(b'!' | b'^'));
    if is_negated {
        bytes = &bytes[1..];
    }
    while let Some((&first, rest)) = bytes.split_first() {
        let last = match rest {
            [b'-', last, after @ ..] => {
                bytes = after;
                *last
            }
            _ => {
                bytes = rest;
                first
            }
        };
        if last < first {
            let what = format!("has a range that ends before it begins (`[{content}]`)");
            return flaw(what, format!("write `{}-{}`", char::from(last), char::from(first)));
        }
        (first..=last).for_each(|byte| set.insert(byte));
    }
    Ok(Some(Piece::OneOf(if is_negated { set.others() } else { set })))
}
