//! Programs that print names of files, or pass on some of those that they are given.

use super::operands::Operands;
use super::run::{Input, Reading, anything};
use super::word::{Arg, glob_of, globbed, unescaped};
use crate::domain::writes::as_glob;

/// What begins and ends a text that stands for files that a program finds, with their number between.
const BEGIN: char = '\u{1}';
const END: char = '\u{2}';

/// More of them than these are not told apart.
const MOST_FOUND: usize = 256;

impl Reading<'_> {
    /// A text in the place of files that a program finds, to be a part of another one.
    pub(super) fn standing_in(&mut self, arg: &Arg) -> Option<String> {
        let Arg::Found { folder, name } = arg else { return None };
        let found = (folder.clone(), name.clone());
        let at = match self.found.iter().position(|known| *known == found) {
            Some(at) => at,
            None if self.found.len() >= MOST_FOUND => return None,
            // A text of the command that looks like one: it would lie in itself.
            None if number(folder).is_some_and(|(_, at, _)| at >= self.found.len()) => return None,
            None => {
                self.found.push(found);
                self.found.len() - 1
            }
        };
        Some(format!("{BEGIN}{at}{END}"))
    }

    /// The folder and the names that a path with such a text means.
    pub(super) fn found_at(
        &self,
        path: &str,
        inside: Option<&str>,
        is_glob: bool,
    ) -> Option<(String, String)> {
        let globbed = |text: &str| if is_glob { text.to_owned() } else { as_glob(text) };
        let read = |text: &str| {
            let (before, at, after) = number(text)?;
            Some((before.to_owned(), self.found.get(at)?.clone(), after.to_owned()))
        };
        let Some((before, (folder, name), after)) = read(path) else {
            return inside.and_then(read).map(|_| (path.to_owned(), "*".to_owned()));
        };
        let folder = match before.rsplit_once('/') {
            None => folder,
            Some(("", _)) => format!("/{folder}"),
            Some((before, _)) => format!("{before}/{folder}"),
        };
        let is_whole = (before.is_empty() || before.ends_with('/')) && !name.contains('/');
        // Into the folder of that name.
        let within = inside.filter(|it| after.ends_with('/') && !it.contains(BEGIN) && !it.contains('/'));
        let after = after.trim_end_matches('/').to_owned();
        let name = match after.rsplit_once('/') {
            _ if after.contains(BEGIN) => "*".to_owned(),
            _ if within.is_some() => within.map(as_glob).unwrap_or_default(),
            Some((_, "" | "." | "..")) => "*".to_owned(),
            Some((_, last)) => globbed(last),
            None if is_whole => name + &globbed(&after),
            None => "*".to_owned(),
        };
        // Two stars together are no glob.
        Some((folder, name.replace("**", "*")))
    }

    /// What is left of the lines of an input, or of a file: some of them.
    pub(super) fn passed(&self, name: &str, words: &[Arg], input: &Input) -> Input {
        let (short, skipped) = match name {
            "head" | "tail" => ("n:c:", 0),
            "sort" => ("o:k:t:S:T:", 0),
            "shuf" => ("o:n:i:", 0),
            "uniq" => ("f:s:w:", 0),
            // Its operands are letters.
            "tr" => ("", usize::MAX),
            "tee" => ("", usize::MAX),
            _ => ("", 0),
        };
        let operands = Operands::of(words, short, "lines bytes key field-separator output head-count");
        if operands.has("c count o output e echo i input-range") && !matches!(name, "tr" | "tee") {
            return Input::Unknown;
        }
        match (operands.after(skipped), input) {
            // It changes letters, and so the names in a text.
            ([], Input::Text(_) | Input::File(_)) if name == "tr" => Input::Something,
            ([], input) => input.clone(),
            ([Arg::Text(path)], _) => Input::File(path.clone()),
            _ => Input::Unknown,
        }
    }

    /// `grep` and its like: the files in which something is found, or lines of the input.
    pub(super) fn searched(&mut self, program: &str, words: &[Arg], input: Input) {
        let walks = matches!(program, "rg" | "ag" | "ack");
        // A glob in an option is no list of names.
        let words: Vec<Arg> = words
            .iter()
            .map(|word| match word {
                Arg::Glob(text) if text.starts_with('-') => Arg::Text(unescaped(text)),
                word => word.clone(),
            })
            .collect();
        let short = if walks { "e:f:g:t:T:A:B:C:m:j:M:E:d:r:" } else { "e:f:m:A:B:C:D:d:" };
        let long = "include exclude exclude-dir regexp file max-count context after-context before-context glob \
                    iglob type type-not replace max-depth";
        let operands = Operands::of(&words, short, long);
        let lists_all = walks && operands.has("files");
        let has_pattern = lists_all || operands.has("e f regexp file");
        let lists = lists_all || operands.has("l files-with-matches L files-without-match");
        let files = operands.after(usize::from(!has_pattern));
        let is_recursive = walks || operands.has("r R recursive dereference-recursive");
        if !lists {
            let (reads, input) = match files {
                [] => (!is_recursive || !matches!(input, Input::Unknown), input),
                [Arg::Text(path)] if !is_recursive => (true, Input::File(path.clone())),
                _ => (false, input),
            };
            let is_sum = operands.has("c count q quiet silent o only-matching n line-number");
            let pattern = operands.paths.first().and_then(Arg::text).filter(|_| !has_pattern);
            self.output = match self.settled(input) {
                _ if !reads || is_sum => Input::Unknown,
                Input::Text(text) => match pattern.filter(|pattern| is_plain(pattern)) {
                    Some(pattern) if !operands.has("i ignore-case w x v invert-match") => {
                        let lines = text.lines().filter(|line| line.contains(pattern));
                        Input::Text(lines.collect::<Vec<_>>().join("\n"))
                    }
                    _ => Input::Text(text),
                },
                input => input,
            };
            return;
        }
        let told = operands.values("include g glob");
        let name = names(told.iter().filter_map(Arg::text));
        let found = |path: &Arg| match path {
            Arg::Text(folder) if is_recursive => Arg::Found { folder: folder.clone(), name: name.clone() },
            path => path.clone(),
        };
        self.output = match files {
            [] if is_recursive => {
                Input::Names(vec![Arg::Found { folder: ".".to_owned(), name: name.clone() }])
            }
            [] => Input::Unknown,
            files => Input::Names(files.iter().map(found).collect()),
        };
    }

    /// `fd`, which may have something done to what it finds.
    pub(super) fn fd(&mut self, words: &[Arg]) {
        let is_act = |word: &Arg| matches!(word.text(), Some("-x" | "-X" | "--exec" | "--exec-batch"));
        let at = words.iter().position(is_act);
        let operands = Operands::of(
            &words[..at.unwrap_or(words.len())],
            "e:t:d:E:S:o:c:j:",
            "extension type max-depth min-depth exclude size changed-within changed-before base-directory",
        );
        let ends: Vec<String> = operands
            .values("e extension")
            .iter()
            .filter_map(Arg::text)
            .map(|end| format!("*.{end}"))
            .collect();
        let name = names(ends.iter().map(String::as_str));
        let found = |folder: &str| Arg::Found { folder: folder.to_owned(), name: name.clone() };
        let found: Vec<Arg> = match operands.after(1) {
            [] => vec![found(".")],
            folders => folders.iter().map(|folder| folder.text().map_or_else(anything, found)).collect(),
        };
        match at {
            Some(at) => {
                let command = &words[at + 1..];
                let has_mark = command.iter().filter_map(Arg::text).any(|word| word.contains("{}"));
                self.spread_over(command, &found, has_mark.then_some("{}"));
            }
            None => self.output = Input::Names(found),
        }
    }
}

/// The number of the files that a text stands for, with what is before and behind it.
fn number(text: &str) -> Option<(&str, usize, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (at, after) = rest.split_once(END)?;
    Some((before, at.parse().ok()?, after))
}

/// Whether a pattern is itself and nothing else.
fn is_plain(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '/'))
}

/// One glob for names that are told by several; `*` where a folder is in one, or where one only leaves out.
fn names<'a>(told: impl Iterator<Item = &'a str>) -> String {
    let told: Vec<&str> = told.collect();
    let globs: Option<Vec<String>> = told.iter().map(|text| name_of(text)).collect();
    match globs.as_deref() {
        Some([one]) => one.clone(),
        Some(several @ [_, ..]) => format!("{{{}}}", several.join(",")),
        _ => "*".to_owned(),
    }
}

/// A name, or its glob, in the words of a claim's pattern.
fn name_of(text: &str) -> Option<String> {
    if text.is_empty() || text.contains('/') || text.starts_with('!') {
        return None;
    }
    Some(match globbed(text) {
        Arg::Glob(glob) => glob_of(&glob),
        _ => as_glob(text),
    })
}
