//! `find`: which files it tells, and what it has done to them.

use super::run::{Input, Reading};
use super::word::{Arg, glob_of, globbed, push_escaped};
use crate::domain::writes::as_glob;

/// What one branch of its expression demands of a file.
#[derive(Default)]
struct Tests {
    /// The name, or its glob.
    name: Option<String>,
    /// No folders below those it was given.
    is_flat: bool,
    /// Something else than a name: who knows what is left.
    is_vague: bool,
}

impl Tests {
    /// The files below these folders, as far as they are known.
    fn found(&self, starts: &[Arg]) -> Vec<Arg> {
        let found = starts.iter().map(|start| match (start, &self.name) {
            (Arg::Text(folder), Some(name)) if self.is_flat => match globbed(name) {
                Arg::Glob(name) => {
                    let mut glob = String::new();
                    push_escaped(&mut glob, folder);
                    Arg::Glob(format!("{glob}/{name}"))
                }
                _ => Arg::Text(format!("{folder}/{name}")),
            },
            (Arg::Text(folder), Some(name)) => {
                let name = match globbed(name) {
                    Arg::Glob(glob) => glob_of(&glob),
                    _ => as_glob(name),
                };
                Arg::Found { folder: folder.clone(), name }
            }
            (Arg::Text(folder), None) if !self.is_vague && !self.is_flat => {
                Arg::Found { folder: folder.clone(), name: "*".to_owned() }
            }
            (Arg::Glob(_), None) if !self.is_vague => start.clone(),
            _ => Arg::Unknown,
        });
        found.collect()
    }
}

impl Reading<'_> {
    pub(super) fn find(&mut self, words: &[Arg]) {
        let is_expression = |word: &Arg| {
            word.text()
                .is_some_and(|text| text.starts_with('-') && text.len() > 1 || matches!(text, "(" | "!"))
        };
        let words =
            &words[words.iter().take_while(|word| matches!(word.text(), Some("-H" | "-L" | "-P"))).count()..];
        let end = words.iter().position(is_expression).unwrap_or(words.len());
        let here = [Arg::Text(".".to_owned())];
        let starts = if end == 0 { &here[..] } else { &words[..end] };
        let mut tests = Tests::default();
        let (mut is_negated, mut has_acted) = (false, false);
        let mut words = words[end..].iter();
        while let Some(word) = words.next() {
            let was_negated = std::mem::take(&mut is_negated);
            match word.text().unwrap_or_default() {
                "!" | "-not" => is_negated = true,
                "-o" | "-or" => tests = Tests { is_flat: tests.is_flat, ..Tests::default() },
                "-name" | "-iname" => match words.next() {
                    Some(Arg::Text(name)) if !was_negated => tests.name = Some(name.clone()),
                    _ => tests.is_vague |= tests.name.is_none(),
                },
                "-maxdepth" => tests.is_flat = words.next().and_then(Arg::text) == Some("1"),
                "-type" | "-mindepth" => {
                    let _ = words.next();
                }
                "-delete" => {
                    has_acted = true;
                    self.write_all(&tests.found(starts));
                }
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    has_acted = true;
                    let command: Vec<Arg> = words
                        .by_ref()
                        .take_while(|word| !matches!(word.text(), Some(";" | "+")))
                        .cloned()
                        .collect();
                    self.spread_over(&command, &tests.found(starts), Some("{}"));
                }
                "-fprint" | "-fprint0" | "-fls" | "-fprintf" => {
                    if let Some(goal) = words.next() {
                        self.write(goal);
                    }
                }
                "(" | ")" | "-a" | "-and" | "-print" | "-print0" | "-depth" | "-prune" | "-xdev"
                | "-mount" => {}
                "-empty" | "-executable" | "-readable" | "-writable" => tests.is_vague = true,
                text if text.starts_with('-') => {
                    // A test with a value.
                    let _ = words.next();
                    tests.is_vague = true;
                }
                _ => {}
            }
        }
        if !has_acted {
            self.output = Input::Names(tests.found(starts));
        }
    }
}
