//! `find`: which files it tells, and what it has done to them.

use super::run::{Input, Reading, anything};
use super::word::{Arg, glob_of, globbed, push_escaped, unescaped};
use crate::domain::writes::as_glob;

/// More files, or folders with names below them, are not told one by one.
const MOST_FOUND: usize = 1024;

/// What one branch of its expression demands of a file, as far as that is of use: what else it asks
/// leaves some of these files, nobody knows which.
#[derive(Default, Clone)]
struct Tests {
    /// Names, or globs of them; none for any.
    names: Vec<String>,
    /// A glob of the whole path.
    path: Option<String>,
    /// No folders below those it was given.
    is_flat: bool,
    /// The letter of the kind that it must be of.
    kind: Option<String>,
}

/// A bracket that is open: what was demanded before it, its branches so far, whether `!` is in front.
type Open = (Tests, Vec<Tests>, bool);

impl Tests {
    /// The files below these folders, as far as they are known.
    fn found(&self, starts: &[Arg]) -> Vec<Arg> {
        let names = if self.names.is_empty() { vec![None] } else { self.names.iter().map(Some).collect() };
        let each = starts.iter().flat_map(|start| names.iter().map(move |name| (start, *name)));
        each.take(MOST_FOUND).map(|(start, name)| self.found_in(start, name.map(String::as_str))).collect()
    }

    fn found_in(&self, start: &Arg, name: Option<&str>) -> Arg {
        let folder = match start {
            Arg::Text(folder) => folder.clone(),
            Arg::Glob(_) if name.is_none() && self.path.is_none() => return start.clone(),
            // What is before its first wildcard.
            Arg::Glob(glob) => {
                let before = unescaped(glob.split(['*', '?', '[']).next().unwrap_or_default());
                before.rsplit_once('/').map_or(".", |(folder, _)| folder).to_owned()
            }
            start => return start.clone(),
        };
        if self.is_flat {
            let mut glob = String::new();
            push_escaped(&mut glob, &folder);
            return match name.map(globbed) {
                Some(Arg::Glob(name)) => Arg::Glob(format!("{glob}/{name}")),
                None => Arg::Glob(format!("{glob}/*")),
                Some(_) => Arg::Text(format!("{folder}/{}", name.unwrap_or_default())),
            };
        }
        let name = match (name.map(globbed), self.path.as_deref()) {
            (Some(Arg::Glob(glob)), _) => glob_of(&glob),
            (Some(_), _) => as_glob(name.unwrap_or_default()),
            (None, Some(path)) => return below(folder, path),
            (None, None) => "*".to_owned(),
        };
        // Of a folder all that is in it.
        let is_folder = self.kind.as_deref() == Some("d") && name != "*";
        Arg::Found { folder, name: if is_folder { name + "/**" } else { name } }
    }

    /// What is demanded by one of these.
    fn any(branches: Vec<Self>) -> Self {
        let mut any = Self::default();
        if let [only] = &*branches {
            any.path.clone_from(&only.path);
        }
        any.kind = branches.first().and_then(|first| first.kind.clone());
        if branches.iter().any(|branch| branch.kind != any.kind) {
            any.kind = None;
        }
        if branches.iter().all(|branch| !branch.names.is_empty()) {
            any.names = branches.into_iter().flat_map(|branch| branch.names).collect();
        }
        any
    }

    /// What is demanded by both.
    fn and(&mut self, other: Self) {
        if self.names.is_empty() {
            self.names = other.names;
        }
        self.path = self.path.take().or(other.path);
        self.kind = self.kind.take().or(other.kind);
    }
}

/// The files below a folder whose path matches such a glob, in which `*` means folders too.
fn below(folder: String, path: &str) -> Arg {
    let is_plain = |text: &str| !text.is_empty() && !text.contains(['*', '?', '[', '\\']);
    if let Some(middle) = path.strip_prefix("*/").and_then(|path| path.strip_suffix("/*"))
        && is_plain(middle)
    {
        return Arg::Found { folder, name: format!("{}/**", as_glob(middle)) };
    }
    let before = path.split(['*', '?', '[', '\\']).next().unwrap_or_default();
    match before.rsplit_once('/') {
        Some((before, _)) if before.len() > folder.len() && before.starts_with(&folder) => {
            Arg::Found { folder: before.to_owned(), name: "*".to_owned() }
        }
        _ => Arg::Found { folder, name: "*".to_owned() },
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
        let words = &words[end..];
        // This one counts for all, wherever it stands.
        let is_flat =
            words.windows(2).any(|it| it[0].text() == Some("-maxdepth") && it[1].text() == Some("1"));
        let fresh = || Tests { is_flat, ..Tests::default() };
        let (mut tests, mut branches, mut open) = (fresh(), Vec::new(), Vec::<Open>::new());
        let (mut is_negated, mut has_acted) = (false, false);
        let mut printed: Option<Vec<Arg>> = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            // Every action may be about all that was found.
            if !self.spend(0) {
                break;
            }
            let was_negated = std::mem::take(&mut is_negated);
            match word.text().unwrap_or_default() {
                "!" | "-not" => is_negated = true,
                "(" => {
                    let before = std::mem::replace(&mut tests, fresh());
                    open.push((before, std::mem::take(&mut branches), was_negated));
                }
                ")" => {
                    branches.push(std::mem::take(&mut tests));
                    let any = Tests::any(std::mem::take(&mut branches));
                    if let Some((before, outer, was_negated)) = open.pop() {
                        (tests, branches) = (before, outer);
                        if !was_negated {
                            tests.and(any);
                        }
                    }
                }
                "-o" | "-or" => branches.push(std::mem::replace(&mut tests, fresh())),
                "-name" | "-iname" => match words.next() {
                    Some(Arg::Text(name)) if !was_negated && tests.names.is_empty() => {
                        tests.names.push(name.clone());
                    }
                    _ => {}
                },
                "-path" | "-ipath" | "-wholename" | "-iwholename" => match words.next() {
                    Some(Arg::Text(path)) if !was_negated => tests.path = Some(path.clone()),
                    _ => {}
                },
                "-type" => match words.next() {
                    Some(Arg::Text(kind)) if !was_negated => tests.kind = Some(kind.clone()),
                    _ => {}
                },
                "-delete" => {
                    has_acted = true;
                    let found = self.paid(tests.found(starts));
                    self.write_all(&found);
                }
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    has_acted = true;
                    let command: Vec<Arg> = words
                        .by_ref()
                        .take_while(|word| !matches!(word.text(), Some(";" | "+")))
                        .cloned()
                        .collect();
                    let mut found = tests.found(starts);
                    // What it is told to walk through may be a folder.
                    let walks = |word: &Arg| {
                        word.text().is_some_and(|text| {
                            text.starts_with('-') && !text.starts_with("--") && text.contains(['r', 'R'])
                        })
                    };
                    if tests.kind.is_none() && command.get(1..).is_some_and(|words| words.iter().any(walks)) {
                        tests.kind = Some("d".to_owned());
                        found.extend(tests.found(starts));
                        tests.kind = None;
                    }
                    found.dedup();
                    let found = self.paid(found);
                    self.spread_over(&command, &found, Some("{}"));
                }
                "-fprint" | "-fprint0" | "-fls" | "-fprintf" => {
                    if let Some(goal) = words.next() {
                        self.write(goal);
                    }
                }
                "-print" | "-print0" => {
                    printed.get_or_insert_default().extend(self.paid(tests.found(starts)));
                }
                "-a" | "-and" | "-depth" | "-prune" | "-xdev" | "-mount" | "-empty" | "-executable"
                | "-readable" | "-writable" | "-follow" | "-noleaf" | "-nouser" | "-nogroup" | "-quit" => {}
                // A test with a value.
                text if text.starts_with('-') => drop(words.next()),
                _ => {}
            }
        }
        if !has_acted {
            branches.push(tests);
            let all = || branches.iter().flat_map(|branch| branch.found(starts)).take(MOST_FOUND).collect();
            let mut names: Vec<Arg> = printed.unwrap_or_else(all);
            if names.contains(&Arg::Unknown) {
                names = vec![anything()];
            }
            self.output = Input::Names(names);
        }
    }
}
