//! What a program with its words writes: by the table, and those that no table can tell.

use super::operands::{Operands, is_one};
use super::packages;
use super::run::{Input, MOST_LINES, Reading, anything, place};
use super::table::{Rule, row};
use super::word::{Arg, glob_of, globbed};
use crate::domain::writes::{Reach, as_glob, of_patch};

/// What runs text as code: its options with values, long ones too, and those whose value is the code.
const INTERPRETERS: [(&str, &str, &str, &str); 7] = [
    ("python pypy", "c:m:W:X:Q:", "", "c"),
    ("node nodejs bun", "e:p:r:", "eval print require import input-type", "e eval p print"),
    ("deno", "", "", ""),
    ("ruby", "e:r:I:C:i;M:", "", "e"),
    ("perl", "e:E:i;M:m:I:F;", "", "e E"),
    ("php", "r:d:f:", "", "r"),
    ("awk gawk mawk nawk", "F:v:f:i:l:e:", "field-separator assign file include source", "e source"),
];

impl Reading<'_> {
    /// A program that is no function of the script.
    pub(super) fn well_known(&mut self, args: &[Arg], input: Input) {
        let Some(program) = args.first().and_then(Arg::text) else { return };
        // A package may be named with its version.
        let name = name_of(program);
        let name = name.split_once('@').map_or(name, |(name, _)| name);
        let words = &packages::in_order(name, &args[1..])[..];
        match name {
            "cd" | "chdir" => {
                let operands = Operands::of(words, "", "");
                // A lone dash is an operand.
                self.go(operands.paths.first());
            }
            "pushd" => self.push(Operands::of(words, "", "").paths.first()),
            "popd" => self.pop(),
            "export" | "declare" | "typeset" | "local" | "readonly" => self.declared(words),
            "read" => self.read_into(words, input),
            "mapfile" | "readarray" => self.listed_into(words, input),
            "getopts" | "unset" => self.forgotten(words),
            "shift" => self.shift(),
            "let" => self.counted(words),
            "set" => {
                if let Some(at) = words.iter().position(|word| word.text() == Some("--")) {
                    self.set("@", words[at + 1..].to_vec());
                }
            }
            "seq" => self.output = numbers(words),
            "echo" | "printf" | "cat" | "pwd" | "ls" | "realpath" | "readlink" | "dirname" | "basename" => {
                self.output = self.printed(name, words, input);
            }
            "eval" => self.joined_script(words),
            "trap" => {
                if let Some(text) = words.first().and_then(Arg::text) {
                    self.apart(text, None);
                }
            }
            "watch" => {
                let operands = Operands::leading(words, "n:d", "interval");
                self.joined_script(&operands.paths);
            }
            "su" | "runuser" | "script" => {
                if let Some(text) = Operands::of(words, "c:s:g:G:w:", "command shell").value("c command") {
                    self.apart_arg(text, None);
                }
            }
            "nix" | "nix-shell" => {
                let text = Operands::of(words, "p:I:A:", "run command").value("run").cloned();
                let at = words.iter().position(|it| matches!(it.text(), Some("-c" | "--command")));
                match (text, at) {
                    (Some(text), _) => self.apart_arg(&text, None),
                    (None, Some(at)) if name == "nix" => self.program(&words[at + 1..], input),
                    (None, at) => {
                        if let Some(text) = at.and_then(|at| words.get(at + 1)) {
                            self.apart_arg(&text.clone(), None);
                        }
                    }
                }
            }
            "bash" | "sh" | "dash" | "zsh" | "ksh" | "ash" | "fish" => self.shell(words, input),
            "env" => self.env(words, input),
            "xargs" | "gxargs" => self.xargs(words, input),
            "parallel" => self.parallel(words, input),
            "find" | "gfind" => self.find(words),
            "fd" | "fdfind" => self.fd(words),
            "grep" | "egrep" | "fgrep" | "rg" | "ag" | "ack" => self.searched(name, words, input),
            "head" | "tail" | "tac" | "sort" | "uniq" | "shuf" | "tr" | "tee" => {
                let passed = self.passed(name, words, &input);
                self.listed(name, words, input);
                self.output = passed;
            }
            "git" => self.git(words, &input),
            "apply_patch" | "applypatch" => {
                let text = words.first().and_then(Arg::text).map(str::to_owned);
                let input = text.map_or(input, Input::Text);
                if let Input::Text(text) = input {
                    self.named(of_patch(&text));
                }
            }
            "patch" | "gpatch" => self.patch(words, input),
            "chmod" => self.chmod(words),
            "sed" | "gsed" => self.sed(words),
            "dd" => {
                for goal in words.iter().filter_map(Arg::text).filter_map(|word| word.strip_prefix("of=")) {
                    self.add(goal, None, Reach::Path);
                }
            }
            "curl" => self.curl(words),
            "wget" => {
                let operands =
                    Operands::of(words, "O:o:P:U:T:t:e:", "output-document output-file user-agent header");
                self.values(&operands, "O output-document o output-file");
            }
            "vim" | "vi" | "nvim" => self.vim(words),
            "tar" | "gtar" | "bsdtar" | "unzip" | "zip" => self.archive(name, words),
            "command" if Operands::leading(words, "", "").has("v V") => {}
            _ if self.interpreted(name, words, &input) => {}
            _ => self.listed(name, words, input),
        }
    }

    /// A program of the table.
    fn listed(&mut self, name: &str, words: &[Arg], input: Input) {
        let Some((row, is_second)) = row(name, words.first().and_then(Arg::text)) else { return };
        let rule = row.3;
        let (short, long) = match is_second {
            true => packages::options(name, row),
            false => (row.1.to_owned(), row.2.to_owned()),
        };
        let words = &words[usize::from(is_second)..];
        if let Rule::Carry(skipped) = rule {
            let operands = Operands::leading(words, &short, &long);
            let is_assignment =
                |arg: &&Arg| arg.text().is_some_and(|text| text.contains('=') && !text.contains('/'));
            let set = operands.after(skipped).iter().take_while(is_assignment).count();
            let mut carried = operands.after(skipped + set).to_vec();
            // `npm exec PROGRAM -- --option`
            if is_one(name, "npm npx pnpm yarn bun") && carried.get(1).and_then(Arg::text) == Some("--") {
                carried.remove(1);
            }
            // `npx --package`: `-c` has a text.
            // `flock FILE -c TEXT`.
            if let [first, text, ..] = &carried[..]
                && first.text() == Some("-c")
            {
                self.apart_arg(&text.clone(), None);
                return;
            }
            match operands.value("c call").filter(|_| carried.is_empty()) {
                Some(text) => self.apart_arg(&text.clone(), None),
                None => {
                    let folder = operands.value(packages::FOLDERS).filter(|_| is_second).cloned();
                    self.within(folder.as_ref(), |here| match name {
                        // No function, whatever its name.
                        "command" | "builtin" => here.well_known(&carried, input),
                        _ => here.program(&carried, input),
                    });
                }
            }
            return;
        }
        let operands = Operands::of(words, &short, &long);
        match rule {
            Rule::Operands(n) => self.write_all(operands.after(n)),
            Rule::Remove(options) => {
                let reach = if operands.has(options) { Reach::Tree } else { Reach::Name };
                self.remove_all(&operands.paths, &reach);
            }
            Rule::If(options, n) if operands.has(options) => self.write_all(operands.after(n)),
            Rule::Unless(options, n) if !operands.has(options) => self.write_all(operands.after(n)),
            Rule::Values(options) => self.values(&operands, options),
            Rule::Copy | Rule::Move => self.moved(name, &operands, matches!(rule, Rule::Move)),
            Rule::Pack(end) => self.packed(name, end, &operands),
            Rule::Format(on, off, names) => {
                let is_off = |word: &Arg| {
                    // Programs in Go take one dash for two.
                    let name = word.text().filter(|text| text.starts_with('-'));
                    let name = name.map(|text| text.trim_start_matches('-'));
                    name.is_some_and(|name| !name.is_empty() && is_one(name, off))
                };
                if (on.is_empty() || operands.has(on)) && !operands.has(off) && !words.iter().any(is_off) {
                    // What stands behind cargo's options is for another program.
                    self.formatted(if name == "cargo" { &[] } else { &operands.paths }, names);
                }
            }
            Rule::Find(on, names) if on.is_empty() || operands.has(on) => {
                self.add(".", None, Reach::Below(names.to_owned()));
            }
            Rule::Own(least, off, names) => self.own(name, &operands, (least, off, names)),
            Rule::If(..) | Rule::Unless(..) | Rule::Find(..) | Rule::Carry(_) => {}
        }
    }

    pub(super) fn values(&mut self, operands: &Operands, options: &str) {
        for goal in &operands.values(options) {
            if goal.text() != Some("-") {
                self.write(goal);
            }
        }
    }

    /// What formatters find below folders, or in what they are named.
    fn formatted(&mut self, paths: &[Arg], names: &str) {
        let found = || Reach::Below(names.to_owned());
        if paths.is_empty() {
            self.add(".", None, found());
        }
        for path in paths {
            match path {
                // Globs that the program itself expands, and Go's dots.
                Arg::Text(text) if text.contains('*') || text.ends_with("...") => {
                    let before = text.split(['*', '{']).next().unwrap_or_default();
                    let folder =
                        before.trim_end_matches("...").rsplit_once('/').map_or(".", |(folder, _)| folder);
                    self.add(folder, None, found());
                }
                Arg::Text(text) => self.add(text, None, found()),
                Arg::Found { folder, name } if name == "*" => self.add(folder, None, found()),
                other => self.write(other),
            }
        }
    }

    /// `mv`, `cp` and their like: the goal is the last operand, or that of `-t`.
    pub(super) fn moved(&mut self, name: &str, operands: &Operands, sources_vanish: bool) {
        let is_dry = name == "rsync" && operands.has("n dry-run list-only")
            || name.ends_with("install") && operands.has("d");
        let links = matches!(name, "ln" | "gln" | "link");
        let told = operands.value("t target-directory").filter(|_| !name.starts_with("rsync"));
        let (sources, goal) = match (told, operands.paths.split_last()) {
            _ if is_dry => return,
            (Some(goal), _) => (operands.paths.as_slice(), goal),
            (None, Some((goal, sources))) if !sources.is_empty() => (sources, goal),
            // Into this folder.
            (None, Some((_, []))) if links => (operands.paths.as_slice(), &Arg::Text(".".to_owned())),
            _ => return,
        };
        // Two names for one file: who writes to one writes to the other.
        let is_hard = links && !operands.has("s symbolic") || name.ends_with("cp") && operands.has("l link");
        if is_hard {
            self.write_all(sources);
        } else if sources_vanish || operands.has("remove-source-files") {
            self.remove_all(sources, &Reach::Name);
        }
        let Arg::Text(goal) = goal else { return self.moved_to(goal, sources) };
        // A link to a folder is replaced then.
        let is_itself = links && operands.has("n T no-dereference no-target-directory");
        // Of a folder these make another one.
        let takes_folders = sources_vanish
            || name == "rsync"
            || name.ends_with("cp") && operands.has("r R a recursive archive");
        let is_remote = |path: &str| path.split('/').next().is_some_and(|host| host.contains(':'));
        let copies_far = matches!(name, "rsync" | "scp");
        if copies_far && is_remote(goal) {
            return;
        }
        if copies_far && operands.has("delete del delete-after delete-before delete-during delete-excluded") {
            self.add(goal, None, Reach::Below("*".to_owned()));
        }
        for source in sources {
            match source {
                // What a folder holds, not the folder.
                Arg::Text(text) if text.ends_with("/.") || name == "rsync" && text.ends_with('/') => {
                    let folder = as_glob(text.trim_end_matches('.').trim_end_matches('/'));
                    self.add(goal, Some(format!("{folder}/*")), Reach::Names);
                }
                Arg::Text(text) => {
                    let name = name_of(text.trim_end_matches('/'));
                    let reach = match takes_folders {
                        true if sources_vanish => Reach::Moved(text.clone()),
                        true => Reach::Like(text.clone()),
                        false if links => Reach::Name,
                        false => Reach::Path,
                    };
                    self.add(goal, (!name.is_empty() && !is_itself).then(|| name.to_owned()), reach);
                }
                Arg::Glob(glob) => self.add(goal, Some(glob_of(glob)), Reach::Names),
                Arg::Found { name, .. } => {
                    let name = if name.contains('/') { "*" } else { name };
                    self.add(goal, None, Reach::Below(name.to_owned()));
                }
                // What it becomes in the folder cannot be told.
                _ if sources.len() == 1 && !goal.ends_with('/') => {
                    self.add(goal, None, if links { Reach::Name } else { Reach::Path });
                }
                _ => {}
            }
        }
    }

    /// The same with a goal that only a shell or a program finds: one that matches, or a folder.
    fn moved_to(&mut self, goal: &Arg, sources: &[Arg]) {
        let Arg::Glob(glob) = goal else { return self.write(goal) };
        let here = self.state.folder.as_deref().map(as_glob);
        for source in sources {
            let names = match source {
                Arg::Text(text) if text.ends_with("/.") => {
                    place(here.as_deref(), &as_glob(&text[..text.len() - 1])).map(|folder| folder + "*")
                }
                Arg::Text(text) => Some(as_glob(name_of(text.trim_end_matches('/')))),
                Arg::Glob(glob) => place(here.as_deref(), &glob_of(glob)),
                Arg::Found { .. } | Arg::Unknown => None,
            };
            self.add(&glob_of(glob), names.filter(|it| !it.is_empty()), Reach::Glob);
        }
    }

    /// What these print, as far as it is known.
    fn printed(&self, name: &str, words: &[Arg], input: Input) -> Input {
        let operands = Operands::of(words, "", "");
        let texts: Option<Vec<&str>> = operands.paths.iter().map(Arg::text).collect();
        match (name, texts.as_deref()) {
            ("ls", _) if operands.has("l R g o n s i recursive") => Input::Unknown,
            ("ls", Some([])) => Input::Names(vec![Arg::Glob("*".to_owned())]),
            ("echo", Some([])) => Input::Unknown,
            ("echo", Some(texts)) => {
                let text = texts.join(" ");
                Input::Text(if operands.has("e") { text.replace("\\n", "\n") } else { text })
            }
            ("echo" | "ls", None) => Input::Names(operands.paths),
            ("printf", Some([text])) if !text.contains('%') => Input::Text(text.replace("\\n", "\n")),
            ("printf", Some(["%s" | "%b", text])) => Input::Text((*text).to_owned()),
            ("printf", _) => match operands.paths.split_first() {
                Some((Arg::Text(form), rest)) if matches!(&**form, "%s\\n" | "%s\\0" | "%b\\n" | "%s ") => {
                    Input::Names(rest.to_vec())
                }
                _ => Input::Unknown,
            },
            ("cat", Some([] | ["-"])) => input,
            ("cat", Some([path])) => Input::File((*path).to_owned()),
            ("pwd", _) => self.here().map_or(Input::Unknown, Input::Text),
            ("realpath" | "readlink", Some([path])) => Input::Text((*path).to_owned()),
            ("dirname", Some([path])) => {
                let path = path.trim_end_matches('/');
                Input::Text(path.rsplit_once('/').map_or(".", |(folder, _)| folder).to_owned())
            }
            ("basename", Some([path])) => Input::Text(name_of(path).to_owned()),
            ("basename", Some([path, end])) => {
                let name = name_of(path);
                Input::Text(name.strip_suffix(end).unwrap_or(name).to_owned())
            }
            _ => Input::Unknown,
        }
    }

    /// Code for another interpreter than the shell; `false` where the program is none.
    fn interpreted(&mut self, program: &str, words: &[Arg], input: &Input) -> bool {
        let plain = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let Some((names, short, long, options)) =
            INTERPRETERS.iter().find(|(names, ..)| is_one(plain, names))
        else {
            return false;
        };
        if matches!(plain, "deno" | "bun")
            && words
                .first()
                .and_then(Arg::text)
                .is_some_and(|word| word != "eval" && row(plain, Some(word)).is_some())
        {
            return false;
        }
        let operands = if names.starts_with("awk") || matches!(plain, "perl" | "ruby") {
            Operands::of(words, short, long)
        } else {
            Operands::leading(words, short, long)
        };
        let is_awk = names.starts_with("awk");
        if let Some(Arg::Text(module)) = operands.value("m").filter(|_| names.starts_with("python")) {
            let mut carried = vec![Arg::Text(module.clone())];
            let at =
                words.iter().position(|word| word.text() == Some(module)).map_or(words.len(), |at| at + 1);
            carried.extend_from_slice(words.get(at..).unwrap_or_default());
            self.program(&carried, Input::Unknown);
            return true;
        }
        let has_code = operands.has(options);
        let in_place = if is_awk {
            operands.values("i include").iter().any(|value| value.text() == Some("inplace"))
        } else {
            matches!(plain, "perl" | "ruby") && operands.has("i")
        };
        if in_place {
            self.write_all(operands.after(usize::from(!has_code && !operands.has("f file"))));
        }
        let mut codes: Vec<String> =
            operands.values(options).iter().filter_map(Arg::text).map(str::to_owned).collect();
        let first = operands.paths.first().and_then(Arg::text);
        match (first, input) {
            _ if has_code => {}
            (Some(code), _) if is_awk && !operands.has("f file") => codes.push(code.to_owned()),
            (Some("eval"), _) if plain == "deno" => {
                codes.extend(operands.paths.get(1).and_then(Arg::text).map(str::to_owned));
            }
            (None | Some("-"), Input::Text(text)) if !is_awk => codes.push(text.clone()),
            _ => {}
        }
        for code in codes {
            self.code(&code, is_awk);
        }
        true
    }

    /// `eval`: the words are one text.
    fn joined_script(&mut self, words: &[Arg]) {
        let texts: Option<Vec<&str>> = words.iter().map(Arg::text).collect();
        if let Some(texts) = texts {
            self.script(&texts.join(" "));
        }
    }
}

/// The last segment.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A glob that git reads, as the folder it begins in and the names that it means.
pub(super) fn spread(text: &str) -> Option<(String, String)> {
    let Arg::Glob(glob) = globbed(text) else { return None };
    let (folder, name) = text.rsplit_once('/').unwrap_or((".", text));
    (!folder.contains(['*', '?', '['])).then(|| {
        let name = if folder == "." { glob_of(&glob) } else { glob_of(name) };
        (folder.to_owned(), name)
    })
}

/// What `seq` prints: few whole numbers one by one.
fn numbers(words: &[Arg]) -> Input {
    let told: Option<Vec<i64>> = words.iter().map(|word| word.text()?.parse().ok()).collect();
    let (from, step, to) = match told.as_deref() {
        Some(&[to]) => (1, 1, to),
        Some(&[from, to]) => (from, 1, to),
        Some(&[from, step, to]) => (from, step, to),
        // In whatever form it is told.
        _ if words.iter().any(|word| word.text().is_some_and(|it| it.starts_with("-f"))) => {
            return Input::Names(vec![anything()]);
        }
        _ => return Input::Names(vec![Arg::number()]),
    };
    let many = to.saturating_sub(from).checked_div(step).unwrap_or(i64::MAX);
    match usize::try_from(many) {
        Ok(many) if many < MOST_LINES => {
            let numbers = (0..=many).map(|at| (from + step * at as i64).to_string());
            Input::Text(numbers.collect::<Vec<_>>().join("\n"))
        }
        Ok(_) => Input::Names(vec![Arg::number()]),
        // It counts away from its goal.
        Err(_) => Input::Text(String::new()),
    }
}
