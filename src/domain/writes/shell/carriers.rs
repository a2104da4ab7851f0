//! Programs that run others: shells, `env`, `xargs`, `parallel`.

use super::operands::Operands;
use super::run::{Input, Reading, anything};
use super::word::{Arg, replaced};

/// So many names of an input are told one by one.
const MOST_NAMES: usize = 64;

impl Reading<'_> {
    /// `bash -c TEXT`, also `-lc`; else what it reads.
    pub(super) fn shell(&mut self, words: &[Arg], input: Input) {
        let operands = Operands::leading(words, "o:O:", "rcfile init-file");
        let script = operands.paths.first();
        if operands.has("c") {
            if let Some(text) = script {
                // Its own name is the first word behind the text.
                self.within(None, |here| {
                    here.set("0", operands.after(1).get(..1).unwrap_or_default().to_vec());
                    here.apart_arg(text, Some(operands.after(2)));
                });
            }
        } else if (script.is_none_or(|it| it.text() == Some("-")) || operands.has("s"))
            && let Input::Text(text) = input
        {
            self.apart(&text, Some(&operands.paths));
        }
    }

    pub(super) fn apart_arg(&mut self, text: &Arg, positional: Option<&[Arg]>) {
        if let Some(text) = text.text() {
            self.apart(text, positional);
        }
    }

    pub(super) fn env(&mut self, words: &[Arg], input: Input) {
        let operands = Operands::leading(words, "u:C:S:a:", "unset chdir split-string argv0");
        // A lone dash is `-i`.
        let is_assignment = |arg: &&Arg| arg.text().is_some_and(|text| text.contains('=') || text == "-");
        let set = operands.paths.iter().take_while(is_assignment).count();
        self.within(operands.value("C chdir"), |here| match operands.value("S split-string") {
            Some(text) => here.apart_arg(text, None),
            None => here.program(operands.after(set), input),
        });
    }

    pub(super) fn xargs(&mut self, words: &[Arg], input: Input) {
        let operands = Operands::leading(
            words,
            "I:n:P:L:d:E:s:a:i;l;e;",
            "max-args max-procs max-lines delimiter arg-file max-chars",
        );
        let mark = operands.has("I i replace").then(|| {
            let mark = operands.value("I i replace").and_then(Arg::text).filter(|mark| !mark.is_empty());
            mark.unwrap_or("{}").to_owned()
        });
        let told = operands.value("a arg-file").map(|file| match file {
            Arg::Text(path) => Input::File(path.clone()),
            _ => Input::Something,
        });
        let names = match self.settled(told.unwrap_or(input)) {
            Input::Text(text) if operands.has("0 null") => text
                .split(['\0', '\n'])
                .filter(|name| !name.is_empty())
                .map(|name| Arg::Text(name.to_owned()))
                .collect(),
            Input::Text(text) if mark.is_some() || operands.has("d") => {
                text.lines().map(|line| Arg::Text(line.trim().to_owned())).collect()
            }
            Input::Text(text) => text.split_whitespace().map(|word| Arg::Text(word.to_owned())).collect(),
            Input::Names(names) => names,
            _ => vec![anything()],
        };
        self.spread_over(&operands.paths, &names, mark.as_deref());
    }

    pub(super) fn parallel(&mut self, words: &[Arg], input: Input) {
        let operands =
            Operands::leading(words, "j:P:N:n:I:a:S:", "jobs max-args colsep joblog timeout delay");
        let at = operands.paths.iter().position(|word| matches!(word.text(), Some(":::" | ":::+")));
        let (command, names) = match at {
            Some(at) => (&operands.paths[..at], operands.after(at + 1).to_vec()),
            None => {
                let names = match self.settled(input) {
                    Input::Text(text) => text.lines().map(|line| Arg::Text(line.trim().to_owned())).collect(),
                    Input::Names(names) => names,
                    _ => vec![anything()],
                };
                (operands.paths.as_slice(), names)
            }
        };
        // A command in one word is a text.
        if let [Arg::Text(text)] = command
            && text.contains(' ')
        {
            for name in names.iter().take(MOST_NAMES) {
                let name = self.standing_in(name).or_else(|| name.text().map(str::to_owned));
                if let Some(text) = name.and_then(|name| replaced(text, "{}", &name)) {
                    self.apart(&text, None);
                }
            }
            return;
        }
        let has_mark = command.iter().filter_map(Arg::text).any(|word| word.contains("{}"));
        self.spread_over(command, &names, has_mark.then_some("{}"));
    }

    /// The command with names behind it, or in the place of a mark.
    pub(super) fn spread_over(&mut self, command: &[Arg], names: &[Arg], mark: Option<&str>) {
        let Some(mark) = mark else {
            let words = self.paid([command, names].concat());
            self.program(&words, Input::Unknown);
            return;
        };
        for name in names.iter().take(MOST_NAMES) {
            let part = self.standing_in(name).or_else(|| name.text().map(str::to_owned));
            let words = command.iter().map(|word| match word {
                Arg::Text(text) if text == mark => name.clone(),
                Arg::Text(text) if text.contains(mark) => {
                    part.as_ref().and_then(|name| replaced(text, mark, name)).map_or(Arg::Unknown, Arg::Text)
                }
                other => other.clone(),
            });
            let words: Vec<Arg> = words.collect();
            self.program(&words, Input::Unknown);
        }
    }
}
