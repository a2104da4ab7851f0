//! Programs whose options no table can tell: what each of them writes.

use super::operands::Operands;
use super::run::{Input, Reading, place};
use super::word::Arg;
use crate::domain::writes::{Diff, Reach, Write, of_diff};

impl Reading<'_> {
    pub fn packed(&mut self, name: &str, end: &str, operands: &Operands) {
        if operands.has("c stdout to-stdout t test l list") {
            return;
        }
        let unpacks = operands.has("d decompress uncompress")
            || name.starts_with("un")
            || name.starts_with("gun")
            || name.starts_with("bun");
        let keeps = operands.has("k keep") || end == ".zst" && !operands.has("rm");
        for path in &operands.paths {
            let Arg::Text(text) = path else {
                self.write(path);
                continue;
            };
            if !keeps {
                self.write(path);
            }
            match text.strip_suffix(end) {
                Some(plain) if unpacks => self.add(plain, None, Reach::Path),
                None if !unpacks => self.add(&format!("{text}{end}"), None, Reach::Path),
                _ => {}
            }
        }
        self.values(operands, "o");
    }

    pub fn chmod(&mut self, words: &[Arg]) {
        // `-x` is a mode, not an option.
        let is_mode = |text: &str| {
            text.len() > 1 && text.starts_with('-') && text[1..].chars().all(|c| "rwxXst".contains(c))
        };
        let has_mode =
            words.iter().filter_map(Arg::text).any(|text| is_mode(text) || text.starts_with("--reference"));
        let operands = Operands::of(words, "", "");
        self.write_all(operands.after(usize::from(!has_mode)));
    }

    pub fn sed(&mut self, words: &[Arg]) {
        let mut operands = Operands::of(words, "e:f:i;l:s;", "expression file line-length");
        // Other systems want an end of its own for the old file, which is often none.
        if operands.has("i") && operands.paths.first().and_then(Arg::text) == Some("") {
            operands.paths.remove(0);
        }
        let has_script = operands.has("e f expression file");
        let mut scripts = operands.values("e expression");
        scripts.extend(operands.paths.iter().take(usize::from(!has_script)).cloned());
        let texts = scripts.iter().filter_map(Arg::text);
        let goals: Vec<String> =
            texts.flat_map(|script| script.split(['\n', ';'])).filter_map(sed_goal).collect();
        for goal in goals {
            self.add(&goal, None, Reach::Path);
        }
        if operands.has("i in-place") {
            self.write_all(operands.after(usize::from(!has_script)));
        }
    }

    pub fn curl(&mut self, words: &[Arg]) {
        let operands = Operands::of(
            words,
            "o:T:d:H:X:u:A:e:b:c:F:K:m:r:w:x:y:Y:z:C:E:D:P:Q:t:U:h;",
            "output output-dir data data-raw data-binary data-urlencode header request user user-agent cookie \
             cookie-jar form max-time write-out proxy dump-header url retry connect-timeout json cacert cert key",
        );
        let folder = operands.value("output-dir").cloned();
        self.within(folder.as_ref(), |here| {
            here.values(&operands, "o output");
            if operands.has("O remote-name remote-name-all") {
                for url in operands.paths.iter().chain(operands.value("url")).filter_map(Arg::text) {
                    let path = url.split(['?', '#']).next().unwrap_or_default();
                    let path = path.split_once("://").map_or(path, |(_, path)| path);
                    if let Some((_, name)) = path.rsplit_once('/') {
                        here.add(name, None, Reach::Path);
                    }
                }
            }
        });
        self.values(&operands, "D dump-header c cookie-jar");
    }

    pub fn vim(&mut self, words: &[Arg]) {
        let operands = Operands::of(words, "c:S:u:i:T:s;", "cmd");
        // Nobody is there to type: what it does, its commands say.
        let is_save =
            |text: &str| text.starts_with(['w', 'x']) || text.starts_with("up") || text.contains("|w");
        let (mut files, mut saves) = (Vec::new(), operands.has("e E s"));
        for word in operands.values("c") {
            saves |= word.text().is_some_and(is_save);
        }
        for word in operands.paths {
            match word.text().and_then(|text| text.strip_prefix('+')) {
                Some(command) => saves |= is_save(command),
                None => files.push(word),
            }
        }
        if saves {
            self.write_all(&files);
        }
    }

    /// `tar` and `zip`: the archive that is made, or the members that are named.
    pub fn archive(&mut self, name: &str, words: &[Arg]) {
        let mut words = words.to_vec();
        if !name.contains("zip")
            && let Some(Arg::Text(first)) = words.first_mut()
            && !first.starts_with('-')
        {
            first.insert(0, '-');
        }
        match name {
            "zip" => {
                let operands = Operands::of(&words, "b:t:n:x:i:", "exclude include");
                self.write_all(operands.paths.get(..1).unwrap_or_default());
                if operands.has("m move") {
                    self.write_all(operands.after(1));
                }
            }
            "unzip" => {
                let operands = Operands::of(&words, "d:x:P:", "");
                let names = operands.after(1);
                // Without a word it asks before it writes over anything.
                if !operands.has("l t p v Z n") {
                    self.within(operands.value("d"), |here| match names {
                        // What is in it nobody knows before.
                        [] if operands.has("d o") => here.add(".", None, Reach::Below("*".to_owned())),
                        names => here.write_all(names),
                    });
                }
            }
            _ => {
                let operands = Operands::of(
                    &words,
                    "f:C:T:X:I:b:",
                    "file directory exclude strip-components files-from",
                );
                if operands.has("c r u A create append update") {
                    self.values(&operands, "f file");
                } else if operands.has("x extract get")
                    && !operands.has("O to-stdout k keep-old-files skip-old-files")
                {
                    let is_all = operands.paths.is_empty() || operands.has("strip-components T files-from");
                    self.within(operands.value("C directory"), |here| match &operands.paths[..] {
                        _ if is_all => here.add(".", None, Reach::Below("*".to_owned())),
                        names => here.write_all(names),
                    });
                }
            }
        }
    }

    pub fn patch(&mut self, words: &[Arg], input: Input) {
        let operands = Operands::of(
            words,
            "p:i:o:d:D:F:r:B:z:Y:V:g:x:",
            "strip input output directory fuzz reject-file prefix suffix ifdef",
        );
        if operands.has("dry-run C check") {
            return;
        }
        let strip = operands.value("p strip").and_then(Arg::text).map(|n| n.parse().unwrap_or_default());
        let diff = operands.value("i input").or(operands.paths.get(1)).and_then(Arg::text);
        let input = diff.map_or(input, |path| Input::File(path.to_owned()));
        self.within(operands.value("d directory"), |here| {
            if let Some(goal) = operands.value("o output").or(operands.paths.first()) {
                here.write(goal);
            } else {
                // Without a number only the last segment counts.
                let strip = strip.unwrap_or(usize::MAX);
                here.patched(&input, Diff { strip, is_gits: false, is_glob: false, by: "patch".to_owned() });
            }
        });
    }

    /// The files that a diff changes, which may stand in a file.
    pub fn patched(&mut self, input: &Input, diff: Diff) {
        match input {
            Input::Text(text) => {
                // git's own names start from the top, wherever it is called.
                let top = diff.is_gits.then(|| self.top()).flatten().map(Arg::Text);
                let (tops, heres): (Vec<_>, _) = of_diff(text, diff.strip).into_iter().partition(|it| it.1);
                self.within(top.as_ref(), |top| top.named(tops.into_iter().map(|it| it.0).collect()));
                self.named(heres.into_iter().map(|it| it.0).collect());
            }
            Input::File(path) => {
                let at = place(self.state.folder.as_deref(), path);
                let is_made = |write: &Write| {
                    at.as_deref().is_some_and(|at| {
                        at.strip_prefix(&*write.path)
                            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    })
                };
                if self.writes.iter().any(is_made) {
                    self.add(".", None, Reach::Checkout(diff.by));
                } else {
                    self.add(path, None, Reach::Diff(diff));
                }
            }
            // The files that it is about.
            Input::Names(names) => self.write_all(names),
            Input::Something => self.add(".", None, Reach::Checkout(diff.by)),
            Input::Unknown => {}
        }
    }

    pub fn named(&mut self, writes: Vec<Write>) {
        for write in writes {
            self.add(&write.path, None, Reach::Path);
        }
    }
}

/// The file of a command of `sed` that writes one: `w file`, `/re/w file`, `s/a/b/w file`.
fn sed_goal(command: &str) -> Option<String> {
    let command = command.trim_start_matches([' ', '\t', '{', '}']);
    let (before, goal) = command.split_at_checked(command.rfind("w ")?)?;
    let mut chars = before.chars();
    let is_write = match chars.next() {
        None => true,
        Some('s') => {
            let sign = chars.next()?;
            let is_flag = |c: char| "gpiIeMm0123456789".contains(c);
            before.matches(sign).count() >= 3 && before.trim_end_matches(is_flag).ends_with(sign)
        }
        Some('/') => before.matches('/').count() >= 2 && before.trim_end().ends_with(['/', 'I', '!']),
        Some(_) => before.chars().all(|c| c.is_ascii_digit() || "$,! ".contains(c)),
    };
    let goal = goal.get(2..)?.trim();
    (is_write && !goal.is_empty()).then(|| goal.to_owned())
}
