//! Shell commands: their words as a shell would split them, and what well-known programs do to files.

use std::collections::VecDeque;

use super::{Write, of_patch};

/// A command inside a command inside a command: deeper than this nobody writes by hand.
const DEEPEST: usize = 8;

/// Programs that run the rest of their words.
const CARRIERS: [&str; 8] = ["sudo", "command", "exec", "nohup", "time", "env", "nice", "builtin"];

/// The files that a shell command is about to write, in the order of the text.
///
/// Relative paths are relative to the folder in which the command starts: a `cd` on the way is
/// reckoned with. Words that only a shell can know (variables, globs, `~`) are left out.
pub fn of_command(text: &str) -> Vec<Write> {
    let mut reading = Reading { writes: of_patch(text), ..Reading::default() };
    reading.script(text, 0);
    let mut seen = Vec::new();
    for write in reading.writes {
        if !seen.contains(&write) {
            seen.push(write);
        }
    }
    seen
}

/// A piece of a command.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// A word; `None` where only a shell can know it.
    Word(Option<String>),
    /// The next word is the goal of a redirection that writes.
    Into,
    /// The next word is what is read, or a descriptor: no word of the command.
    Other,
    /// The command ends.
    End,
    /// A subshell or group begins, or ends.
    Open,
    Close,
}

/// Where the commands run, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
enum Folder {
    /// Relative to the start; empty is the start itself.
    Known(String),
    Unknown,
}

impl Default for Folder {
    fn default() -> Self {
        Self::Known(String::new())
    }
}

#[derive(Default)]
struct Reading {
    writes: Vec<Write>,
    folder: Folder,
}

impl Reading {
    fn script(&mut self, text: &str, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let (pieces, inner) = split(text);
        for command in inner {
            // What stands in `$(…)` runs in a shell of its own.
            let folder = self.folder.clone();
            self.script(&command, depth + 1);
            self.folder = folder;
        }
        let mut words = Vec::new();
        let mut outer = Vec::new();
        let mut pieces = pieces.into_iter();
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Word(word) => words.push(word),
                Piece::Into => {
                    if let Some(Piece::Word(Some(goal))) = pieces.next() {
                        self.write(&goal, None);
                    }
                }
                Piece::Other => drop(pieces.next()),
                Piece::End => self.command(std::mem::take(&mut words), depth),
                Piece::Open => {
                    words.clear();
                    outer.push(self.folder.clone());
                }
                Piece::Close => {
                    self.command(std::mem::take(&mut words), depth);
                    self.folder = outer.pop().unwrap_or_default();
                }
            }
        }
        self.command(words, depth);
    }

    fn command(&mut self, words: Vec<Option<String>>, depth: usize) {
        let mut words: VecDeque<Option<String>> = words.into();
        loop {
            match words.front() {
                Some(Some(word)) if is_assignment(word) || matches!(word.as_str(), "!" | "{" | "}") => {}
                Some(Some(word)) if is_keyword(word) => {}
                Some(Some(word)) if CARRIERS.contains(&name_of(word)) => {
                    words.pop_front();
                    // Their options with values are not known; what they run is a word that is none.
                    while words.front().is_some_and(|word| word.as_ref().is_some_and(|w| w.starts_with('-')))
                    {
                        words.pop_front();
                    }
                    continue;
                }
                _ => break,
            }
            words.pop_front();
        }
        let Some(Some(program)) = words.pop_front() else { return };
        let words: Vec<Option<String>> = words.into();
        match name_of(&program) {
            "cd" | "pushd" => {
                self.change_folder(words.iter().flatten().find(|word| *word != "--"), words.len());
            }
            "popd" => self.folder = Folder::Unknown,
            "tee" | "rm" | "rmdir" | "unlink" | "shred" => self.all(&Operands::of(&words, &[])),
            "touch" => self.all(&Operands::of(&words, &["-d", "-r", "-t", "--date", "--reference"])),
            "truncate" => self.all(&Operands::of(&words, &["-s", "--size", "-r", "--reference"])),
            "chmod" => self.all(&Operands::of(&words, &[]).after(1)),
            "sed" => self.sed(&words),
            "perl" if words.iter().flatten().any(|word| is_perl_in_place(word)) => {
                let operands = Operands::of(&words, &["-e", "-E", "-pe", "-ne", "-pie", "-i -pe", "-M"]);
                let has_script = words.iter().flatten().any(|word| is_perl_script(word));
                self.all(&operands.after(usize::from(!has_script)));
            }
            "mv" => self.moved(&Operands::of(&words, &["-t", "-S", "--target-directory", "--suffix"]), true),
            "cp" | "install" | "ln" => {
                let valued = ["-t", "-S", "-m", "-o", "-g", "--target-directory", "--suffix", "--mode"];
                self.moved(&Operands::of(&words, &valued), false);
            }
            "dd" => {
                for goal in words.iter().flatten().filter_map(|word| word.strip_prefix("of=")) {
                    self.write(goal, None);
                }
            }
            "git" => self.git(&words),
            "bash" | "sh" | "dash" | "zsh" => self.shell(&words, depth),
            "eval" => {
                let text: Option<Vec<&str>> = words.iter().map(Option::as_deref).collect();
                if let Some(text) = text {
                    self.script(&text.join(" "), depth + 1);
                }
            }
            _ => {}
        }
    }

    fn change_folder(&mut self, goal: Option<&String>, words: usize) {
        self.folder = match (goal, &self.folder) {
            (Some(goal), _) if goal == "-" || words != 1 && goal.starts_with('-') => Folder::Unknown,
            (Some(goal), _) if goal.starts_with('/') => Folder::Known(goal.clone()),
            (Some(goal), Folder::Known(at)) if at.is_empty() => Folder::Known(goal.clone()),
            (Some(goal), Folder::Known(at)) => Folder::Known(format!("{at}/{goal}")),
            _ => Folder::Unknown,
        };
    }

    fn write(&mut self, path: &str, inside: Option<String>) {
        let path = match &self.folder {
            _ if path.is_empty() => return,
            _ if path.starts_with('/') => path.to_owned(),
            Folder::Known(at) if at.is_empty() => path.to_owned(),
            Folder::Known(at) => format!("{at}/{path}"),
            Folder::Unknown => return,
        };
        self.writes.push(Write { path, inside });
    }

    fn all(&mut self, operands: &Operands) {
        for path in operands.paths.iter().flatten() {
            self.write(path, None);
        }
    }

    fn sed(&mut self, words: &[Option<String>]) {
        let flags = || words.iter().flatten().take_while(|word| *word != "--");
        let is_short = |word: &&String| word.starts_with('-') && !word.starts_with("--");
        let in_place = flags().any(|word| word.starts_with("--in-place"))
            || flags().filter(is_short).any(|word| word.split('e').next().is_some_and(|w| w.contains('i')));
        if in_place {
            let has_script = flags()
                .any(|word| word.starts_with("--expression") || word.starts_with("--file"))
                || flags()
                    .filter(is_short)
                    .any(|word| word.split('i').next().is_some_and(|w| w.contains(['e', 'f'])));
            let operands = Operands::of(words, &["-e", "-f", "-ne", "-Ee", "-re", "--expression", "--file"]);
            self.all(&operands.after(usize::from(!has_script)));
        }
    }

    /// `mv`, `cp` and their like: the goal is the last operand, or that of `-t`.
    fn moved(&mut self, operands: &Operands, sources_vanish: bool) {
        let told = ["-t", "--target-directory"].iter().find_map(|option| operands.value(option));
        let (sources, goal) = match (told, operands.paths.split_last()) {
            (Some(goal), _) => (operands.paths.as_slice(), goal),
            (None, Some((goal, sources))) if !sources.is_empty() => (sources, goal.clone()),
            _ => return,
        };
        if sources_vanish {
            for source in sources.iter().flatten() {
                self.write(source, None);
            }
        }
        let Some(goal) = goal else { return };
        for source in sources {
            match source.as_deref().map(|source| name_of(source.trim_end_matches('/'))) {
                Some(name) => self.write(&goal, Some(name.to_owned())),
                // A glob, say: what it becomes in the folder cannot be told.
                None if sources.len() == 1 && !goal.ends_with('/') => self.write(&goal, None),
                None => {}
            }
        }
    }

    fn git(&mut self, words: &[Option<String>]) {
        let outer = self.folder.clone();
        let mut words = words;
        while let Some((Some(word), rest)) = words.split_first() {
            match (word.as_str(), rest.split_first()) {
                ("-C", Some((folder, rest))) => {
                    self.change_folder(folder.as_ref(), 1);
                    words = rest;
                }
                ("-c" | "--git-dir" | "--work-tree", Some((_, rest))) => words = rest,
                (option, _) if option.starts_with('-') => words = rest,
                _ => break,
            }
        }
        if let Some((Some(command), words)) = words.split_first() {
            let has = |names: &[&str]| words.iter().flatten().any(|word| names.contains(&word.as_str()));
            let after =
                words.iter().position(|word| word.as_deref() == Some("--")).map(|at| &words[at + 1..]);
            match (command.as_str(), after) {
                ("checkout" | "restore" | "rm" | "mv", Some(paths)) => {
                    self.all(&Operands { paths: paths.to_vec(), values: Vec::new() });
                }
                ("restore", None) if has(&["--staged", "-S"]) && !has(&["--worktree", "-W"]) => {}
                ("restore", None) => self.all(&Operands::of(words, &["-s", "--source"])),
                ("rm", None) if !has(&["--cached"]) => self.all(&Operands::of(words, &[])),
                ("mv", None) => self.moved(&Operands::of(words, &[]), true),
                // These change whatever they find in the working tree.
                ("checkout" | "switch", None) if has(&["-f", "--force", "--discard-changes", "."]) => {
                    self.write(".", None);
                }
                ("reset", None) if has(&["--hard"]) => self.write(".", None),
                ("clean", _) if !has(&["-n", "--dry-run"]) => self.write(".", None),
                ("stash", _)
                    if matches!(
                        words.first().and_then(Option::as_deref),
                        None | Some("push" | "save" | "-u")
                    ) =>
                {
                    self.write(".", None);
                }
                _ => {}
            }
        }
        self.folder = outer;
    }

    /// `bash -c TEXT`, also `-lc`.
    fn shell(&mut self, words: &[Option<String>], depth: usize) {
        let is_command = |word: &Option<String>| {
            word.as_ref().is_some_and(|w| w.starts_with('-') && !w.starts_with("--") && w.ends_with('c'))
        };
        let text = words.iter().skip_while(|word| !is_command(word)).nth(1);
        if let Some(Some(text)) = text {
            let folder = self.folder.clone();
            self.script(text, depth + 1);
            self.folder = folder;
        }
    }
}

/// The words of a command that are no options.
struct Operands {
    paths: Vec<Option<String>>,
    /// Options with their values.
    values: Vec<(String, Option<String>)>,
}

impl Operands {
    /// `valued` are the options that take the next word.
    fn of(words: &[Option<String>], valued: &[&str]) -> Self {
        let mut operands = Self { paths: Vec::new(), values: Vec::new() };
        let mut words = words.iter();
        let mut is_over = false;
        while let Some(word) = words.next() {
            match word.as_deref() {
                Some("--") if !is_over => is_over = true,
                Some(option) if !is_over && option.len() > 1 && option.starts_with('-') => {
                    if valued.contains(&option) {
                        operands.values.push((option.to_owned(), words.next().cloned().flatten()));
                    } else if let Some((option, value)) = option.split_once('=') {
                        operands.values.push((option.to_owned(), Some(value.to_owned())));
                    }
                }
                _ => operands.paths.push(word.clone()),
            }
        }
        operands
    }

    /// Without the first `n`.
    fn after(mut self, n: usize) -> Self {
        self.paths.drain(..n.min(self.paths.len()));
        self
    }

    fn value(&self, option: &str) -> Option<Option<String>> {
        self.values.iter().find(|(name, _)| name == option).map(|(_, value)| value.clone())
    }
}

fn name_of(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "if" | "then" | "else" | "elif" | "while" | "until" | "do")
}

fn is_perl_in_place(word: &str) -> bool {
    word.starts_with('-')
        && !word.starts_with("--")
        && word.split(['e', 'E', 'M']).next().unwrap_or(word).contains('i')
}

fn is_perl_script(word: &str) -> bool {
    word.starts_with('-') && !word.starts_with("--") && word.contains(['e', 'E'])
}

/// Splits a text into pieces, and gives the commands that stand inside of words.
fn split(text: &str) -> (Vec<Piece>, Vec<String>) {
    let mut splitting = Splitting { rest: text, ..Splitting::default() };
    splitting.run();
    (splitting.pieces, splitting.inner)
}

#[derive(Default)]
struct Splitting<'a> {
    rest: &'a str,
    pieces: Vec<Piece>,
    inner: Vec<String>,
    /// The word so far; none between words.
    word: Option<String>,
    /// Something in the word is only a shell's to know.
    is_unknown: bool,
    /// Ends of here documents whose text begins on the next line.
    documents: Vec<(String, bool)>,
}

impl<'a> Splitting<'a> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        self.rest.strip_prefix(text).map(|rest| self.rest = rest).is_some()
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn unknown(&mut self) {
        self.word.get_or_insert_default();
        self.is_unknown = true;
    }

    fn end_word(&mut self) {
        let is_unknown = std::mem::take(&mut self.is_unknown);
        if let Some(word) = self.word.take() {
            self.pieces.push(Piece::Word((!is_unknown).then_some(word)));
        }
    }

    fn end(&mut self, piece: Piece) {
        self.end_word();
        self.pieces.push(piece);
    }

    fn run(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '\n' => {
                    self.end(Piece::End);
                    self.skip_documents();
                }
                ' ' | '\t' | '\r' => self.end_word(),
                ';' | '|' => self.end(Piece::End),
                '&' if self.rest.starts_with('>') => {
                    self.end_word();
                    let _ = self.next();
                    self.redirected();
                }
                '&' => self.end(Piece::End),
                '(' => self.end(Piece::Open),
                ')' => self.end(Piece::Close),
                '#' if self.word.is_none() => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                '>' | '<' => {
                    // A number in front of it is the descriptor.
                    if self.word.as_ref().is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit())) {
                        self.word = None;
                    }
                    self.end_word();
                    if c == '>' { self.redirected() } else { self.read_from() }
                }
                '\'' => self.single(),
                '"' => self.double(),
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(c) => self.push(c),
                },
                '$' => self.dollar(),
                '`' => self.backticks(),
                '*' | '?' | '[' => self.unknown(),
                '~' if self.word.is_none() => self.unknown(),
                '{' if self.word.is_some() || !self.rest.starts_with([' ', '\n', '\t']) => self.unknown(),
                c => self.push(c),
            }
        }
        self.end_word();
    }

    /// Behind a `>`.
    fn redirected(&mut self) {
        if self.rest.starts_with('(') {
            // `>(…)` is a process; what runs there is read on.
            return;
        }
        let _ = self.eat(">") || self.eat("|");
        if self.eat("&") {
            let is_descriptor = self.rest.trim_start().starts_with(|c: char| c.is_ascii_digit() || c == '-');
            self.pieces.push(if is_descriptor { Piece::Other } else { Piece::Into });
        } else {
            self.pieces.push(Piece::Into);
        }
    }

    /// Behind a `<`.
    fn read_from(&mut self) {
        if self.eat("<<") {
            self.pieces.push(Piece::Other);
        } else if self.eat("<") {
            let is_indented = self.eat("-");
            let word = self.rest.trim_start_matches([' ', '\t']);
            let end = word.find([' ', '\t', '\n', ';', '|', '&', '>', '<', ')']).unwrap_or(word.len());
            let name = word[..end].replace(['\'', '"', '\\'], "");
            self.documents.push((name, is_indented));
            self.rest = &word[end..];
        } else if self.eat(">") {
            self.pieces.push(Piece::Into);
        } else if !self.rest.starts_with('(') {
            let _ = self.eat("&");
            self.pieces.push(Piece::Other);
        }
    }

    fn skip_documents(&mut self) {
        for (name, is_indented) in std::mem::take(&mut self.documents) {
            while !self.rest.is_empty() {
                let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
                self.rest = rest;
                let line = if is_indented { line.trim_start_matches('\t') } else { line };
                if line.trim_end_matches('\r') == name {
                    break;
                }
            }
        }
    }

    fn single(&mut self) {
        self.word.get_or_insert_default();
        while let Some(c) = self.next() {
            match c {
                '\'' => return,
                c => self.push(c),
            }
        }
    }

    fn double(&mut self) {
        self.word.get_or_insert_default();
        while let Some(c) = self.next() {
            match c {
                '"' => return,
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(c @ ('"' | '\\' | '$' | '`')) => self.push(c),
                    Some(c) => {
                        self.push('\\');
                        self.push(c);
                    }
                },
                '$' => self.dollar(),
                '`' => self.backticks(),
                c => self.push(c),
            }
        }
    }

    fn dollar(&mut self) {
        match self.rest.chars().next() {
            Some('(') => {
                let _ = self.next();
                self.unknown();
                let end = closing(self.rest);
                // With two parentheses it is a sum.
                if !self.rest.starts_with('(') {
                    self.inner.push(self.rest[..end].to_owned());
                }
                self.rest = self.rest.get(end + 1..).unwrap_or_default();
            }
            Some('{') => {
                self.unknown();
                let end = self.rest.find('}').map_or(self.rest.len(), |end| end + 1);
                self.rest = &self.rest[end..];
            }
            Some('\'') => {
                // Its escapes are the shell's to know.
                self.unknown();
                let _ = self.next();
                while let Some(c) = self.next() {
                    match c {
                        '\'' => break,
                        '\\' => drop(self.next()),
                        _ => {}
                    }
                }
            }
            Some(c) if c.is_ascii_alphanumeric() || "_@*#?$!-".contains(c) => self.unknown(),
            _ => self.push('$'),
        }
    }

    fn backticks(&mut self) {
        self.unknown();
        let end = self.rest.find('`').unwrap_or(self.rest.len());
        self.inner.push(self.rest[..end].to_owned());
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
    }
}

/// Where the parenthesis closes that was opened just before, reckoning with quotes; else the end.
fn closing(text: &str) -> usize {
    let (mut depth, mut quote, mut is_escaped) = (0usize, None, false);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            _ if is_escaped => is_escaped = false,
            ('\\', None | Some('"')) => is_escaped = true,
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('(', None) => depth += 1,
            (')', None) if depth == 0 => return at,
            (')', None) => depth -= 1,
            _ => {}
        }
    }
    text.len()
}
