//! What git does to the working tree.

use super::operands::{Operands, is_one};
use super::programs::spread;
use super::run::{Input, Reading, anything};
use super::word::{Arg, glob_of, unescaped};
use crate::domain::writes::shell::ALIAS;
use crate::domain::writes::{Brought, Commits, Diff, Reach};

/// Commands that are git's own. Those that are left out are asked about in vain.
const COMMANDS: &str = "add am annotate apply archive bisect blame branch bundle cat-file check-attr check-ignore \
                        checkout checkout-index cherry cherry-pick clean clone commit config describe diff diff-files \
                        diff-index diff-tree fetch filter-branch filter-repo for-each-ref format-patch fsck gc grep \
                        hash-object help init lfs log ls-files ls-remote ls-tree merge merge-base merge-file mv name-rev \
                        notes pull push range-diff read-tree rebase reflog remote reset restore rev-list rev-parse \
                        revert rm shortlog show show-ref sparse-checkout stash status submodule switch symbolic-ref tag \
                        update-index update-ref var version worktree write-tree";

impl Reading<'_> {
    pub(super) fn git(&mut self, words: &[Arg], input: &Input) {
        let global = Operands::leading(words, "C:c:", "git-dir work-tree namespace exec-path config-env");
        // A checkout that is named is the one that is meant, wherever the command runs.
        let folders = global.values("C work-tree");
        let Some((Arg::Text(command), words)) = global.paths.split_first() else { return };
        let words = &words.iter().map(in_full).collect::<Vec<_>>()[..];
        self.within(None, |here| {
            for folder in &folders {
                here.go(Some(folder));
            }
            match here.alias(command, &global.values("c")) {
                Some(text) => here.aliased(&text, words, input),
                None => here.subcommand(command, words, input),
            }
        });
    }

    /// What a command is short for, by an option of this call or by the configuration. Git's own cannot be.
    fn alias(&self, command: &str, settings: &[Arg]) -> Option<String> {
        let is_name = command.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
        if is_one(command, COMMANDS) || !is_name {
            return None;
        }
        let set = |setting: &Arg| {
            let (name, value) = setting.text()?.split_once('=')?;
            (name.strip_prefix("alias.")? == command).then(|| value.to_owned())
        };
        settings.iter().rev().find_map(set).or_else(|| self.known(&format!("{ALIAS}{command}")))
    }

    /// An alias is a command of git, or with `!` one of the shell at the top of the checkout; further words follow.
    fn aliased(&mut self, text: &str, words: &[Arg], input: &Input) {
        if let Some(script) = text.trim_start().strip_prefix('!') {
            let top = self.top().map(Arg::Text);
            let all: Vec<Arg> =
                std::iter::once(Arg::Text("git".to_owned())).chain(words.iter().cloned()).collect();
            self.within(top.as_ref(), |here| here.apart(&format!("{script} \"$@\""), Some(&all[1..])));
            return;
        }
        let Ok(meant) = shell_words::split(text) else { return };
        let git = std::iter::once("git".to_owned()).chain(meant).map(Arg::Text);
        let all: Vec<Arg> = git.chain(words.iter().cloned()).collect();
        self.program(&all, input.clone());
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
            "merge" => ("m:s:X:F:S;", "message strategy strategy-option file into-name cleanup"),
            "cherry-pick" | "revert" => ("m:s:X:S;", "mainline strategy strategy-option cleanup"),
            "rebase" => ("s:X:x:C:S;", "onto strategy strategy-option exec whitespace"),
            "grep" => ("e:f:m:A:B:C:O;", "max-depth threads"),
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
        let by = |option: &str| format!("git {command}{option}");
        let starts = operands.paths.get(..1).unwrap_or_default();
        if has("recurse-submodules") && (has("f force hard") || command == "restore") {
            self.add(".", None, Reach::Repositories(by(" --recurse-submodules")));
        }
        match command {
            // Which files such a list names is not looked up.
            "checkout" | "restore" | "rm" | "stash" if has("pathspec-from-file") => whole(self),
            // What is not committed is thrown away, whatever branch is made of it.
            "checkout" if has("b B orphan") && has("f force") => whole(self),
            "checkout" if has("orphan") => {}
            "checkout" if has("b B") => self.commits(Brought::Unlike, command, starts, whole),
            "checkout" if after.is_none() => match paths.split_first() {
                None if has("f force p patch") => whole(self),
                None => {}
                // A branch to be forced upon the tree, or a file.
                Some((_, [])) if has("f force") => whole(self),
                Some((first, rest)) => {
                    match first {
                        // A revision has none of these.
                        Arg::Text(name) if !name.contains(['*', '?', '[', ':']) && name != "." => {
                            self.add(name, None, Reach::IfThere);
                            if rest.is_empty() {
                                self.commits(Brought::Unlike, command, starts, whole);
                            }
                        }
                        first => self.specs(std::slice::from_ref(first), &Reach::Own),
                    }
                    self.specs(rest, &Reach::Own);
                }
            },
            "restore" if has("staged S") && !has("worktree W") => {}
            "restore" if paths.is_empty() && has("p patch") => whole(self),
            "rm" if has("cached n dry-run") => {}
            // Of a submodule the whole checkout.
            "rm" => self.specs(paths, &Reach::Name),
            "checkout" | "restore" => self.specs(paths, &Reach::Own),
            "mv" if !has("n dry-run") => self.moved("git", &operands, true),
            "switch" if has("f force discard-changes orphan") => whole(self),
            "switch" => self.commits(Brought::Unlike, command, starts, whole),
            // Whoever began it goes on with it; these two throw away what is not committed, whose ever it is.
            "rebase" | "am" if has("abort skip") => whole(self),
            // They throw away what is staged, whose ever it is, and what is not merged, also where somebody resolved it.
            "merge" | "cherry-pick" | "revert" if has("abort skip") => {
                let by = by(if has("abort") { " --abort" } else { " --skip" });
                let revisions = vec!["HEAD".to_owned()];
                self.add(".", None, Reach::Commits(Commits { what: Brought::Staged, revisions, by }));
            }
            "merge" | "cherry-pick" | "revert" | "rebase"
                if has("quit continue edit-todo show-current-patch") => {}
            "rebase" if has("onto root autostash x exec") => whole(self),
            "merge" | "rebase" => {
                let what = if command == "merge" { Brought::Since } else { Brought::Both };
                let upstream = [Arg::Text("@{upstream}".to_owned())];
                let revisions = if operands.paths.is_empty() { &upstream[..] } else { &operands.paths };
                self.commits(what, command, revisions, whole);
            }
            "cherry-pick" | "revert" => self.commits(Brought::Each, command, &operands.paths, whole),
            // What it brings only the other side knows.
            "pull" if !has("dry-run") => {
                self.has_fetched = true;
                whole(self);
            }
            "fetch" | "remote" => self.has_fetched |= command == "fetch" || has_word(words, "update"),
            "bisect" if !has_word(words, "log") && !has_word(words, "view") && operands.paths.len() > 1 => {
                whole(self);
            }
            "bisect"
                if ["good", "bad", "old", "new", "skip", "reset", "run", "replay"]
                    .iter()
                    .any(|it| has_word(words, it)) =>
            {
                whole(self);
            }
            "sparse-checkout"
                if ["set", "add", "reapply", "disable"].iter().any(|it| has_word(words, it)) =>
            {
                whole(self);
            }
            "filter-branch" | "filter-repo" => whole(self),
            "reset" if has("hard keep merge") => whole(self),
            "clean" if has("n dry-run") => {}
            "clean" => {
                let here = [Arg::Text(".".to_owned())];
                let paths = if paths.is_empty() { &here[..] } else { paths };
                self.specs(paths, &Reach::Own);
                // Told once, it leaves other repositories alone.
                if operands.count("f force") > 1 {
                    self.repositories(paths, &by(" -ff"));
                }
            }
            "worktree" => match operands.paths.split_first() {
                // Without force git itself keeps what is not committed.
                Some((verb, [which, ..])) if verb.text() == Some("remove") && has("f force") => {
                    self.repositories(std::slice::from_ref(which), &by(" remove --force"));
                }
                Some((verb, [which, ..])) if verb.text() == Some("move") => {
                    self.repositories(std::slice::from_ref(which), &by(" move"));
                }
                _ => {}
            },
            "submodule" => self.submodule(words, &operands),
            "stash" => self.stash(words, &operands, whole),
            "checkout-index" if has("f force") && !has("prefix") => {
                if has("a all") {
                    whole(self);
                } else {
                    self.specs(paths, &Reach::Own);
                }
            }
            "read-tree" if has("u") => whole(self),
            "apply" if has("check stat numstat summary") || has("cached") && !has("index") => {}
            "am" if has("quit continue resolved show-current-patch") => {}
            "apply" | "am" => {
                let strip = operands.value("p").and_then(Arg::text).and_then(|n| n.parse().ok()).unwrap_or(1);
                let by = format!("git {command}");
                let diff = |is_glob| Diff { strip, is_gits: true, is_glob, by: by.clone() };
                let folder = operands.value("directory").cloned();
                self.within(folder.as_ref(), |here| {
                    if paths.iter().all(|path| path.text() == Some("-")) {
                        here.patched(input, diff(false));
                    }
                    for path in paths.iter().filter(|path| path.text() != Some("-")) {
                        match path {
                            Arg::Text(path) => here.patched(&Input::File(path.clone()), diff(false)),
                            Arg::Glob(glob) => here.add(&glob_of(glob), None, Reach::Diff(diff(true))),
                            _ => here.patched(&Input::Something, diff(false)),
                        }
                    }
                });
            }
            "bundle" if has_word(words, "create") => {
                self.write_all(operands.paths.get(1..2).unwrap_or_default());
            }
            "diff" | "log" | "show" | "archive" => {
                self.values(&operands, "o output");
                if command == "diff"
                    && !has("o output stat numstat shortstat name-status summary quiet check")
                {
                    self.output = Input::Names(told(after.unwrap_or_default()));
                }
            }
            "ls-files" if !has("s stage") => self.output = Input::Names(told(paths)),
            "grep" if has("l files-with-matches name-only L files-without-match") => {
                let named = operands.after(usize::from(!has("e f")));
                self.output = Input::Names(told(after.unwrap_or(named)));
            }
            "rev-parse" if has("show-toplevel") => {
                self.output = self.top().map_or(Input::Unknown, Input::Text);
            }
            _ => {}
        }
    }

    /// What these commits bring.
    fn commits(&mut self, what: Brought, command: &str, revisions: &[Arg], whole: impl Fn(&mut Self)) {
        let revision = |arg: &Arg| match arg.text()? {
            "-" => Some("@{-1}".to_owned()),
            text => Some(text.to_owned()),
        };
        match revisions.iter().map(revision).collect::<Option<Vec<String>>>() {
            Some(revisions) if revisions.is_empty() => {}
            // What was fetched just now is not there yet.
            Some(revisions) if !self.has_fetched => {
                let by = format!("git {command} {}", revisions.join(" "));
                self.add(".", None, Reach::Commits(Commits { what, revisions, by }));
            }
            _ => whole(self),
        }
    }

    fn stash(&mut self, words: &[Arg], operands: &Operands, whole: impl Fn(&mut Self)) {
        let verb = words.first().and_then(Arg::text).filter(|word| !word.starts_with('-'));
        match verb {
            Some("pop" | "apply" | "branch" | "save") => whole(self),
            None | Some("push") => {
                let paths = operands.after(usize::from(verb.is_some()));
                if paths.is_empty() { whole(self) } else { self.specs(paths, &Reach::Own) }
            }
            _ => {}
        }
    }

    /// What lies in the checkouts of submodules.
    fn submodule(&mut self, words: &[Arg], operands: &Operands) {
        let Some((Arg::Text(verb), paths)) = operands.paths.split_first() else { return };
        let by = format!("git submodule {verb}");
        match verb.as_str() {
            "foreach" => {
                let at =
                    words.iter().position(|word| word.text() == Some(verb)).map_or(words.len(), |at| at + 1);
                let carried = Operands::leading(&words[at..], "", "").paths;
                let before = self.writes.len();
                self.within(None, |here| match &*carried {
                    [Arg::Text(text)] => here.apart(text, None),
                    words => here.program(words, Input::Unknown),
                });
                // In which of them it does what it does, only a running git knows.
                let done = self.writes.split_off(before);
                let (elsewhere, within): (Vec<_>, Vec<_>) =
                    done.into_iter().partition(|write| write.path.starts_with('/'));
                self.writes.extend(elsewhere);
                if !within.is_empty() {
                    self.add(".", None, Reach::Repositories(by));
                }
            }
            "update" | "deinit" if operands.has("f force") => {
                let here = [Arg::Text(".".to_owned())];
                self.repositories(if paths.is_empty() { &here } else { paths }, &by);
            }
            _ => {}
        }
    }

    /// The checkouts that these are, or that lie below them.
    fn repositories(&mut self, paths: &[Arg], by: &str) {
        for path in paths {
            match path {
                Arg::Text(path) => self.add(path, None, Reach::Repositories(by.to_owned())),
                Arg::Glob(_) => self.write(path),
                _ => self.add(".", None, Reach::Repositories(by.to_owned())),
            }
        }
    }

    /// What git takes for paths: it has globs of its own.
    fn specs(&mut self, paths: &[Arg], reach: &Reach) {
        for path in paths {
            match path {
                // Such words say where names start, how they are read, or what is left out.
                Arg::Text(text) if text.starts_with(':') => {
                    self.add(".", None, Reach::Checkout("git".to_owned()));
                }
                // A name with brackets is itself, and what they stand for.
                Arg::Text(text) if text.contains('[') && !text.contains(['*', '?', '!', '^', ':']) => {
                    self.add(&unescaped(text), None, reach.clone());
                    self.add(&glob_of(text), None, Reach::Glob);
                    // Of what is not there any more too.
                    if let Some((folder, name)) = spread(text) {
                        self.add(&folder, None, Reach::Below(name));
                    }
                }
                Arg::Text(text) if text.contains(['*', '?', '[']) => match spread(text) {
                    Some((folder, name)) if !text.contains('[') => {
                        self.add(&folder, None, Reach::Below(name));
                    }
                    // What it stands for only git can tell.
                    _ => self.add(".", None, Reach::Checkout("git".to_owned())),
                },
                Arg::Text(text) => self.add(text, None, reach.clone()),
                path => self.write(path),
            }
        }
    }
}

/// An option that throws something away, where only its first letters are given.
fn in_full(word: &Arg) -> Arg {
    let given = word.text().and_then(|text| text.strip_prefix("--")).filter(|given| given.len() > 1);
    let is_meant = |name: &&str| given.is_some_and(|given| name.starts_with(given));
    match "hard keep merge force discard-changes abort skip".split(' ').find(is_meant) {
        Some(name) => Arg::Text(format!("--{name}")),
        None => word.clone(),
    }
}

fn has_word(words: &[Arg], word: &str) -> bool {
    words.iter().any(|it| it.text() == Some(word))
}

/// The names that git tells for such paths: all, if there are none.
fn told(paths: &[Arg]) -> Vec<Arg> {
    let found = |path: &Arg| match path.text().and_then(spread) {
        Some((folder, name)) => Arg::Found { folder, name },
        None => match path {
            Arg::Text(folder) => Arg::Found { folder: folder.clone(), name: "*".to_owned() },
            path => path.clone(),
        },
    };
    if paths.is_empty() { vec![anything()] } else { paths.iter().map(found).collect() }
}
