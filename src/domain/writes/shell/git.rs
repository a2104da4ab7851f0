//! What git does to the working tree.

use super::operands::Operands;
use super::programs::spread;
use super::run::{Input, Reading};
use super::word::Arg;
use crate::domain::writes::Reach;

impl Reading<'_> {
    pub(super) fn git(&mut self, words: &[Arg], input: &Input) {
        let global = Operands::leading(words, "C:c:", "git-dir work-tree namespace exec-path config-env");
        let folders = global.values("C");
        let Some((Arg::Text(command), words)) = global.paths.split_first() else { return };
        self.within(None, |here| {
            for folder in &folders {
                here.go(Some(folder));
            }
            here.subcommand(command, words, input);
        });
    }

    fn subcommand(&mut self, command: &str, words: &[Arg], input: &Input) {
        let (short, long) = match command {
            "checkout" => ("b:B:", "orphan conflict pathspec-from-file"),
            "restore" => ("s:", "source conflict pathspec-from-file"),
            "stash" => ("m:", "message pathspec-from-file"),
            "switch" => ("c:C:", "create force-create orphan conflict"),
            "apply" => ("p:C:", "directory exclude include whitespace build-fake-ancestor"),
            "am" => ("p:C:", "directory exclude include whitespace patch-format"),
            "clean" => ("e:", "exclude"),
            "diff" | "log" | "show" | "archive" | "bundle" => ("o:S:G:n:U:", "output format prefix remote"),
            _ => ("", "pathspec-from-file"),
        };
        let operands = Operands::of(words, short, long);
        let after = words.iter().position(|word| word.text() == Some("--")).map(|at| &words[at + 1..]);
        let paths = after.unwrap_or(&operands.paths);
        // These change whatever they find in the working tree.
        let whole = |here: &mut Self| {
            let options = words.iter().filter_map(Arg::text).take(2);
            let by = std::iter::once("git").chain([command]).chain(options).collect::<Vec<_>>().join(" ");
            here.add(".", None, Reach::Checkout(by));
        };
        let has = |names: &str| operands.has(names);
        match command {
            "checkout" if has("b B orphan") => {}
            "checkout" if after.is_none() => match paths.split_first() {
                None if has("f force p patch") => whole(self),
                None => {}
                // A branch to be forced upon the tree, or a file.
                Some((_, [])) if has("f force") => whole(self),
                Some((first, rest)) => {
                    match first {
                        Arg::Text(name) if !name.contains(['*', ':']) && name != "." => {
                            self.add(name, None, Reach::IfThere);
                        }
                        first => self.specs(std::slice::from_ref(first)),
                    }
                    self.specs(rest);
                }
            },
            "restore" if has("staged S") && !has("worktree W") => {}
            "restore" if paths.is_empty() && has("p patch") => whole(self),
            "rm" if has("cached n dry-run") => {}
            "checkout" | "restore" | "rm" => self.specs(paths),
            "mv" if !has("n dry-run") => self.moved("git", &operands, true),
            "switch" if has("f force discard-changes") => whole(self),
            "reset" if has("hard keep merge") => whole(self),
            "clean" if has("n dry-run") => {}
            "clean" if paths.is_empty() => self.add(".", None, Reach::Path),
            "clean" => self.specs(paths),
            "stash" => self.stash(words, &operands, whole),
            "checkout-index" if has("f force") && !has("prefix") => {
                if has("a all") {
                    whole(self);
                } else {
                    self.specs(paths);
                }
            }
            "read-tree" if has("u") => whole(self),
            "apply" if has("check stat numstat summary") || has("cached") && !has("index") => {}
            "am" if has("abort quit skip continue resolved show-current-patch") => {}
            "apply" | "am" => {
                let strip = operands.value("p").and_then(Arg::text).and_then(|n| n.parse().ok()).unwrap_or(1);
                self.within(operands.value("directory"), |here| {
                    if paths.iter().all(|path| path.text() == Some("-")) {
                        here.patched(input, strip);
                    }
                    for path in paths.iter().filter_map(Arg::text).filter(|path| *path != "-") {
                        here.patched(&Input::File(path.to_owned()), strip);
                    }
                });
            }
            "diff" | "log" | "show" | "archive" => self.values(&operands, "o output"),
            "ls-files" if !has("o others d deleted s stage") => {
                let found = |path: &Arg| match path.text().and_then(spread) {
                    Some((folder, name)) => Arg::Found { folder, name },
                    None => path.clone(),
                };
                let all = [Arg::Found { folder: ".".to_owned(), name: "*".to_owned() }];
                let names = if paths.is_empty() { &all[..] } else { paths };
                self.output = Input::Names(names.iter().map(found).collect());
            }
            "rev-parse" if has("show-toplevel") => {
                self.output = self.top().map_or(Input::Unknown, Input::Text);
            }
            _ => {}
        }
    }

    fn stash(&mut self, words: &[Arg], operands: &Operands, whole: impl Fn(&mut Self)) {
        let verb = words.first().and_then(Arg::text).filter(|word| !word.starts_with('-'));
        match verb {
            Some("pop" | "apply" | "branch" | "save") => whole(self),
            None | Some("push") => {
                let paths = operands.after(usize::from(verb.is_some()));
                if paths.is_empty() { whole(self) } else { self.specs(paths) }
            }
            _ => {}
        }
    }

    /// What git takes for paths: it has globs of its own.
    fn specs(&mut self, paths: &[Arg]) {
        for path in paths {
            match path {
                Arg::Text(text) if text.starts_with(":/") || text == ":" => {
                    self.add(".", None, Reach::Checkout("git".to_owned()));
                }
                Arg::Text(text)
                    if text.starts_with(":(") || text.starts_with(":!") || text.starts_with(":^") => {}
                Arg::Text(text) if text.contains(['*', '?']) => {
                    if let Some((folder, name)) = spread(text) {
                        self.add(&folder, None, Reach::Below(name));
                    }
                }
                path => self.write(path),
            }
        }
    }
}
