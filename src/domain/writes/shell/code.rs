//! Code for other interpreters that stands in a command: the files whose names it says outright.
//!
//! Python, JavaScript, Ruby, Perl, PHP and awk write files by calls that look alike; their words are
//! read without the grammar of any of them.

use super::run::{Input, Reading};
use super::tokens::{Token, tokens};
use super::word::{Arg, LONGEST_WORD};
use crate::domain::writes::Reach;

/// So many words of a call, or behind a `=`, are looked at.
const LONGEST_CALL: usize = 64;

/// What a call does to its arguments.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    /// Writes the first one.
    First,
    /// Writes the second one.
    Second,
    Both,
    /// Writes all.
    All,
    /// Writes the first, if a mode says so.
    Open,
    /// Runs the first, a shell's text or a list of words.
    Runs,
    /// Goes there.
    Goes,
}

/// Calls by their names, also with what stands before the last dot where the name alone says little.
const CALLS: &[(&str, Does)] = &[
    ("open openSync fopen", Does::Open),
    (
        "writeFileSync writeFile appendFileSync appendFile createWriteStream truncateSync unlinkSync rmSync \
         writeTextFile writeTextFileSync file_put_contents File.write IO.write Bun.write os.remove os.unlink \
         os.truncate os.rmdir shutil.rmtree fs.unlink fs.rm Deno.remove Deno.removeSync",
        Does::First,
    ),
    ("unlink File.delete File.unlink FileUtils.rm FileUtils.rm_f FileUtils.rm_rf FileUtils.touch", Does::All),
    (
        "copyFileSync copyFile cpSync shutil.copy shutil.copy2 shutil.copyfile shutil.copytree FileUtils.cp",
        Does::Second,
    ),
    ("renameSync os.rename os.replace shutil.move FileUtils.mv File.rename fs.rename rename", Does::Both),
    (
        "system os.system os.popen execSync exec subprocess.run subprocess.call subprocess.check_call \
         subprocess.check_output subprocess.Popen",
        Does::Runs,
    ),
    ("os.chdir process.chdir Dir.chdir chdir", Does::Goes),
];

/// What a path of Python's does to itself.
const METHODS: [&str; 6] = ["write_text", "write_bytes", "touch", "unlink", "rename", "replace"];

/// A variable with the texts that it may be; whether they are paths, not plain texts.
struct Known<'a> {
    name: &'a str,
    texts: Vec<String>,
    is_path: bool,
}

impl Reading<'_> {
    pub(super) fn code(&mut self, text: &str, is_awk: bool) {
        if !self.spend(text.len()) {
            return;
        }
        let tokens = tokens(text);
        if is_awk {
            return self.awk(&tokens);
        }
        let folder = self.state.clone();
        let mut known: Vec<Known<'_>> = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let Token::Name(name) = token else { continue };
            match tokens.get(at + 1) {
                Some(Token::Sign('=')) => assign(&mut known, name, &tokens[at + 2..]),
                // `for x in [a, b]`, `for (const x of [a, b])`.
                Some(Token::Name("in" | "of"))
                    if matches!(tokens.get(at + 2), Some(Token::Sign('[' | '('))) =>
                {
                    let texts: Vec<String> = arguments(&tokens[at + 3..])
                        .iter()
                        .flat_map(|argument| texts(argument, &known).0)
                        .collect();
                    set(&mut known, name, texts, false);
                }
                _ => self.call(&tokens, at, name, &known),
            }
        }
        self.state = folder;
    }

    fn call(&mut self, tokens: &[Token<'_>], at: usize, name: &str, known: &[Known<'_>]) {
        let before = |n: usize| at.checked_sub(n).and_then(|at| tokens.get(at));
        let is_method = before(1) == Some(&Token::Sign('.'));
        let receiver = match before(2) {
            Some(Token::Name(receiver)) if is_method => receiver,
            _ => "",
        };
        let is_open = tokens.get(at + 1) == Some(&Token::Sign('('));
        let arguments = match tokens.get(at + 1) {
            Some(Token::Sign('(')) => arguments(&tokens[at + 2..]),
            // Ruby and Perl need no parentheses.
            Some(Token::Text(_) | Token::Name(_))
                if matches!(name, "open" | "unlink" | "system" | "write") =>
            {
                arguments(&tokens[at + 1..])
            }
            _ => return,
        };
        let text_of =
            |n: usize| arguments.get(n).map(|argument| texts(argument, known).0).unwrap_or_default();
        if is_method && is_open && (METHODS.contains(&name) || name == "open") {
            // `Path("x").write_text(…)`, or with a variable.
            let (own, is_path) = match before(2) {
                Some(Token::Name(receiver)) => {
                    let known = known.iter().find(|known| known.name == *receiver);
                    known.map(|known| (known.texts.clone(), known.is_path)).unwrap_or_default()
                }
                Some(Token::Sign(')')) => texts(closed(&tokens[..at - 1]), known),
                _ => Default::default(),
            };
            let is_written = name != "open" || text_of(0).iter().any(|mode| is_mode(mode));
            if is_path && is_written {
                self.told(&own);
                if matches!(name, "rename" | "replace") {
                    self.told(&text_of(0));
                }
                return;
            }
        }
        let is_meant = |names: &str| {
            names.split(' ').any(|known| match known.split_once('.') {
                Some((whose, known)) => known == name && whose == receiver,
                None => known == name,
            })
        };
        let Some((_, does)) = CALLS.iter().find(|(names, _)| is_meant(names)) else { return };
        match does {
            Does::First => self.told(&text_of(0)),
            Does::Second => self.told(&text_of(1)),
            Does::Both => {
                self.told(&text_of(0));
                self.told(&text_of(1));
            }
            Does::All => (0..arguments.len()).for_each(|n| self.told(&text_of(n))),
            Does::Open => {
                let modes: Vec<String> = (1..arguments.len()).flat_map(text_of).collect();
                match modes.first().and_then(|mode| mode.strip_prefix(['>', '+'])) {
                    // Perl: the name behind the sign, or the next word.
                    Some(rest) => match rest.trim_start_matches(['>', '<']).trim() {
                        rest if rest.is_empty() || rest.starts_with(':') => {
                            self.told(modes.get(1).map(std::slice::from_ref).unwrap_or_default());
                        }
                        rest => self.told(&[rest.to_owned()]),
                    },
                    None if modes.iter().any(|mode| is_mode(mode)) => self.told(&text_of(0)),
                    None => {}
                }
            }
            Does::Runs => match arguments.first().and_then(|argument| argument.split_first()) {
                Some((Token::Sign('['), words)) => {
                    let words = self::arguments(words);
                    let words = words.iter().map(|word| match &*texts(word, known).0 {
                        [text] => Arg::Text(text.clone()),
                        _ => Arg::Unknown,
                    });
                    self.program(&words.collect::<Vec<Arg>>(), Input::Unknown);
                }
                // With more than one they are words; Perl and Ruby know that.
                Some(_) if name == "system" && arguments.len() > 1 => {
                    let words = (0..arguments.len()).map(|n| match &*text_of(n) {
                        [text] => Arg::Text(text.clone()),
                        _ => Arg::Unknown,
                    });
                    self.program(&words.collect::<Vec<Arg>>(), Input::Unknown);
                }
                Some(_) => {
                    for text in text_of(0) {
                        self.apart(&text, None);
                    }
                }
                None => {}
            },
            Does::Goes => match &*text_of(0) {
                [folder] => self.go(Some(&Arg::Text(folder.clone()))),
                _ => self.go(Some(&Arg::Unknown)),
            },
        }
    }

    fn told(&mut self, paths: &[String]) {
        for path in paths {
            self.add(path, None, Reach::Path);
        }
    }

    /// `print > "file"`.
    fn awk(&mut self, tokens: &[Token<'_>]) {
        let mut prints = false;
        let mut tokens = tokens.iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                Token::Name("print" | "printf") => prints = true,
                Token::Sign(';' | '{' | '}') => prints = false,
                Token::Sign('>') if prints => {
                    if let Some(Token::Text(path)) = tokens.peek() {
                        self.add(path, None, Reach::Path);
                    }
                }
                _ => {}
            }
        }
    }
}

/// A mode of `open` that writes.
fn is_mode(mode: &str) -> bool {
    mode.len() <= 4
        && mode.starts_with(['w', 'a', 'x', 'r'])
        && mode.chars().all(|c| "waxrbt+".contains(c))
        && mode.contains(['w', 'a', 'x', '+'])
}

/// The expression that ends with the last token, a parenthesis: a call of `Path`, or what it holds.
fn closed<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut depth = 0usize;
    for at in (tokens.len().saturating_sub(LONGEST_CALL)..tokens.len()).rev() {
        match tokens[at] {
            Token::Sign(')') => depth += 1,
            Token::Sign('(') if depth > 1 => depth -= 1,
            Token::Sign('(') => {
                return match at.checked_sub(1).map(|before| &tokens[before]) {
                    Some(Token::Name("Path")) => &tokens[at - 1..],
                    Some(Token::Name(_)) => &[],
                    _ => &tokens[at + 1..tokens.len() - 1],
                };
            }
            _ => {}
        }
    }
    &[]
}

fn set<'a>(known: &mut Vec<Known<'a>>, name: &'a str, mut texts: Vec<String>, is_path: bool) {
    known.retain(|known| known.name != name);
    // One that is made of others could double with every line.
    texts.retain(|text| text.len() <= LONGEST_WORD);
    texts.truncate(LONGEST_CALL);
    if !texts.is_empty() && known.len() < LONGEST_CALL {
        known.push(Known { name, texts, is_path });
    }
}

/// What stands behind a `=`, up to the end of the line.
fn assign<'a>(known: &mut Vec<Known<'a>>, name: &'a str, tokens: &[Token<'a>]) {
    let mut depth = 0usize;
    let end = tokens.iter().take(LONGEST_CALL).position(|token| match token {
        Token::Sign('(' | '[') => {
            depth += 1;
            false
        }
        Token::Sign(')' | ']') if depth > 0 => {
            depth -= 1;
            false
        }
        Token::Sign(';' | ',' | ')' | ']') => depth == 0,
        _ => false,
    });
    let tokens = &tokens[..end.unwrap_or(tokens.len().min(LONGEST_CALL))];
    let (texts, is_path) = texts(tokens, known);
    set(known, name, texts, is_path);
}

/// The texts that an expression may be, as far as they are plain; whether it is a path of Python's.
fn texts(tokens: &[Token<'_>], known: &[Known<'_>]) -> (Vec<String>, bool) {
    let (last, others) = match tokens.split_last() {
        Some(split) => split,
        None => return Default::default(),
    };
    match (others, last) {
        ([], Token::Text(text)) => (vec![text.clone()], false),
        ([], Token::Name(name)) => {
            let known = known.iter().find(|known| known.name == *name);
            known.map(|known| (known.texts.clone(), known.is_path)).unwrap_or_default()
        }
        // `mode="w"`.
        ([Token::Name(_), Token::Sign('=')], Token::Text(text)) => (vec![text.clone()], false),
        // `Path(a) / "b"`.
        ([before @ .., Token::Sign('/')], Token::Text(text)) => {
            let (folders, is_path) = texts(before, known);
            (folders.iter().map(|folder| format!("{folder}/{text}")).collect(), is_path)
        }
        // `pathlib.Path("a")`, `os.path.join("a", "b")`.
        (others, Token::Sign(')')) => {
            let Some(open) = others.iter().position(|token| *token == Token::Sign('(')) else {
                return Default::default();
            };
            let (called, inner) = (&others[..open], &others[open + 1..]);
            // The parenthesis that closes last is the one that opens first.
            let mut depth = 0i32;
            let is_one = inner.iter().all(|token| {
                depth += i32::from(*token == Token::Sign('(')) - i32::from(*token == Token::Sign(')'));
                depth >= 0
            });
            if !is_one {
                return Default::default();
            }
            let is_plain = called.iter().all(|token| matches!(token, Token::Name(_) | Token::Sign('.')));
            let Some(Token::Name(name @ ("Path" | "join"))) = called.last().filter(|_| is_plain) else {
                return Default::default();
            };
            let segments: Vec<Vec<String>> =
                arguments(inner).iter().map(|argument| texts(argument, known).0).collect();
            let mut paths = vec![String::new()];
            for (at, segment) in segments.iter().enumerate() {
                paths = match &**segment {
                    several if at == 0 => several.to_vec(),
                    [one] => paths.iter().map(|path| format!("{path}/{one}")).collect(),
                    _ => Vec::new(),
                };
            }
            (paths.into_iter().filter(|path| !path.is_empty()).collect(), *name == "Path")
        }
        _ => Default::default(),
    }
}

/// What stands behind an opened parenthesis, split at its commas.
fn arguments<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let (mut arguments, mut start, mut depth) = (Vec::new(), 0, 0usize);
    let end = tokens.len().min(LONGEST_CALL);
    for (at, token) in tokens[..end].iter().enumerate() {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') if depth > 0 => depth -= 1,
            Token::Sign(')' | ']' | '}' | ';') if depth == 0 => {
                // Lines may end within a call.
                if *token == Token::Sign(';') && start == at {
                    start = at + 1;
                    continue;
                }
                arguments.extend((start < at).then(|| &tokens[start..at]));
                return arguments;
            }
            Token::Sign(',') if depth == 0 => {
                arguments.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    arguments.extend((start < end).then(|| &tokens[start..end]));
    arguments
}
