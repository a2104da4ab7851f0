//! What words become: variables, what commands print, `~`; and the folder that they are seen from.

use super::TOP;
use super::operands::Operands;
use super::run::{Input, LONGEST, Reading, anything, place};
use super::word::{
    Arg, LONGEST_WORD, NUMBER, Part, Variable, Word, arg_text, args_of, changed, globbed, is_name,
    push_escaped, unescaped,
};

/// What words are of which nothing is known.
const UNKNOWN: &[Arg] = &[Arg::Unknown];

/// More variables than these are not followed.
const MOST_VARIABLES: usize = 1000;

impl Reading<'_> {
    pub fn positional(&self) -> Vec<Arg> {
        self.value("@").unwrap_or_else(|| vec![Arg::Unknown])
    }

    fn value(&self, name: &str) -> Option<Vec<Arg>> {
        self.state.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    pub fn set(&mut self, name: &str, value: Vec<Arg>) {
        // Nothing runs any more that could ask for it.
        if self.is_spent() {
            return;
        }
        let length: usize = value.iter().filter_map(Arg::text).map(str::len).sum();
        let value = if length > LONGEST { vec![Arg::Unknown] } else { self.paid(value) };
        let is_room = self.state.variables.len() < MOST_VARIABLES;
        match self.state.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None if is_room => self.state.variables.push((name.to_owned(), value)),
            None => {}
        }
    }

    /// `export NAME=value` and its like.
    pub fn declared(&mut self, args: &[Arg]) {
        for text in args.iter().filter_map(Arg::text) {
            if let Some((name, value)) = text.split_once('=').filter(|(name, _)| is_name(name)) {
                self.set(name, vec![Arg::Text(value.to_owned())]);
            }
        }
    }

    /// `read`: one variable for what one line says, where there is only one.
    pub fn read_into(&mut self, args: &[Arg], input: Input) {
        let operands = Operands::of(args, "d:n:N:p:t:u:i:a:", "");
        let line = match self.settled(input) {
            Input::Unknown => Arg::Unknown,
            Input::Names(names) => <[Arg; 1]>::try_from(names).map_or_else(|_| anything(), |[name]| name),
            Input::Text(text) if text.trim_end().lines().count() <= 1 => Arg::Text(text.trim().to_owned()),
            _ => anything(),
        };
        let names: Vec<&str> = operands.paths.iter().filter_map(Arg::text).collect();
        match (&*names, line) {
            _ if operands.has("a") => self.forgotten(args),
            ([], line) => self.set("REPLY", vec![line]),
            ([name], line) => self.set(name, vec![line]),
            (names, Arg::Text(text)) => {
                let ifs =
                    self.value("IFS").and_then(|ifs| ifs.first().and_then(Arg::text).map(str::to_owned));
                let is_gap = |c: char| match ifs.as_deref() {
                    Some(ifs) if !ifs.is_empty() => ifs.contains(c),
                    _ => c.is_whitespace(),
                };
                // The last one gets what is left, which is a word mostly.
                let mut words = text.split(is_gap).filter(|word| !word.is_empty());
                for name in names {
                    self.set(name, vec![Arg::Text(words.next().unwrap_or_default().to_owned())]);
                }
            }
            // A column of a line.
            (names, Arg::Unknown) => names.iter().for_each(|name| self.set(name, vec![Arg::Unknown])),
            (names, _) => names.iter().for_each(|name| self.set(name, vec![anything()])),
        }
    }

    /// `mapfile`: a list of what the lines say.
    pub fn listed_into(&mut self, args: &[Arg], input: Input) {
        let operands = Operands::of(args, "d:n:O:s:u:C:c:", "");
        let Some(name) = operands.paths.last().and_then(Arg::text).filter(|name| is_name(name)) else {
            return;
        };
        let values = match self.settled(input) {
            Input::Text(text) => text.lines().map(|line| Arg::Text(line.to_owned())).collect(),
            Input::Names(names) => names,
            Input::Unknown => vec![Arg::Unknown],
            _ => vec![anything()],
        };
        self.set(name, values);
    }

    /// Variables that are set to what nobody knows.
    pub fn forgotten(&mut self, args: &[Arg]) {
        for name in args.iter().filter_map(Arg::text).filter(|name| is_name(name)) {
            self.set(name, vec![Arg::Unknown]);
        }
    }

    /// `let`: variables that count.
    pub fn counted(&mut self, sums: &[Arg]) {
        let is_number = |text: &str| text.parse::<i64>().is_ok();
        for name in sums.iter().filter_map(Arg::text).flat_map(assigned) {
            // What is known and no number is not what counts.
            if self.value(name).is_none_or(|it| it.iter().all(|it| it.text().is_none_or(is_number))) {
                self.set(name, vec![Arg::number()]);
            }
        }
    }

    /// `shift`.
    pub fn shift(&mut self) {
        let mut words = self.positional();
        if words != [Arg::Unknown] && !words.is_empty() {
            words.remove(0);
        }
        self.set("@", words);
    }

    pub fn known(&self, name: &str) -> Option<String> {
        (self.outside)(name)
    }

    /// The folder as a path: absolute where the start is known.
    pub fn here(&self) -> Option<String> {
        let folder = self.state.folder.as_deref()?;
        if folder.starts_with('/') {
            return Some(folder.to_owned());
        }
        let start = self.known("PWD").unwrap_or_else(|| ".".to_owned());
        Some(if folder.is_empty() { start } else { format!("{start}/{folder}") })
    }

    /// The top of the checkout.
    pub fn top(&self) -> Option<String> {
        self.state.folder.as_deref().filter(|folder| !folder.starts_with(['/', '.']))?;
        self.known(TOP)
    }

    fn looked_up(&mut self, variable: &Variable) -> Vec<Arg> {
        let inner: Vec<Arg> = variable.inner.iter().flat_map(|part| self.meant(part)).collect();
        let name = variable.name.as_str();
        let value = match name {
            "@" | "*" => Some(self.positional()),
            "PWD" => self.value(name).or_else(|| self.here().map(|here| vec![Arg::Text(here)])),
            _ => match name.parse::<usize>() {
                Ok(0) => self.value(name),
                Ok(at) => {
                    let all = self.state.variables.iter().find(|(known, _)| known == "@");
                    let all = all.map_or(UNKNOWN, |(_, all)| all.as_slice());
                    at.checked_sub(1).and_then(|at| all.get(at)).map(|value| vec![value.clone()])
                }
                Err(_) => self.value(name).or_else(|| self.known(name).map(|value| vec![Arg::Text(value)])),
            },
        };
        let is_list = matches!(name, "@" | "*");
        if let Some((sign, text)) = alternative(&variable.then).filter(|_| is_name(name)) {
            return match value.as_deref() {
                Some([Arg::Text(known), ..]) if !(known.is_empty() && sign.starts_with(':')) => {
                    vec![Arg::Text(known.clone())]
                }
                // What nobody sets is not set.
                None | Some([Arg::Text(_), ..]) => {
                    let value = match (text, &*inner) {
                        (text, []) => Arg::Text(text.to_owned()),
                        ("", [value]) => value.clone(),
                        _ => Arg::Unknown,
                    };
                    if sign.ends_with('=') {
                        self.set(name, vec![value.clone()]);
                    }
                    vec![value]
                }
                _ => vec![Arg::Unknown],
            };
        }
        let Some(mut value) = value else { return vec![Arg::Unknown] };
        match variable.then.as_str() {
            _ if !inner.is_empty() => return vec![Arg::Unknown],
            "[@]" | "[*]" => return value,
            then if then.starts_with('[') => {
                let at = then.trim_matches(['[', ']']).parse::<usize>().ok();
                return vec![at.and_then(|at| value.get(at).cloned()).unwrap_or(Arg::Unknown)];
            }
            "" if !is_list => value.truncate(1),
            "" => return value,
            // The value if there is one, and there is.
            then if then.starts_with(":?") || then.starts_with('?') => match value.first() {
                Some(Arg::Text(text)) if !text.is_empty() => value.truncate(1),
                _ => return vec![Arg::Unknown],
            },
            then if matches!(value.first(), Some(Arg::Found { .. })) => {
                // Without its folder it lies in this one.
                let folder = match value.first() {
                    Some(Arg::Found { folder, .. }) if !then.starts_with('#') => folder.clone(),
                    _ => ".".to_owned(),
                };
                return vec![Arg::Found { folder, name: "*".to_owned() }];
            }
            then => {
                let changed = value.first().and_then(Arg::text).and_then(|value| changed(value, then));
                return vec![changed.map_or(Arg::Unknown, Arg::Text)];
            }
        }
        value
    }

    /// What a part of a word stands for.
    fn meant(&mut self, part: &Part) -> Vec<Arg> {
        match part {
            Part::Text(text) => vec![Arg::Text(unescaped(text))],
            Part::Variable(variable) => {
                if self.is_spent() {
                    return vec![Arg::Unknown];
                }
                let values = self.looked_up(variable);
                let values = self.paid(values);
                let is_text = |part: &Part| matches!(part, Part::Text(_));
                let is_quoted = !variable.inner.is_empty() && variable.inner.iter().all(is_text);
                if variable.is_quoted || is_quoted { values } else { split(values) }
            }
            Part::Run { nodes, is_quoted } => {
                self.isolated(nodes);
                let printed = std::mem::take(&mut self.output);
                match self.settled(printed) {
                    Input::Text(text) => {
                        let value = vec![Arg::Text(text.trim_end_matches('\n').to_owned())];
                        if *is_quoted { value } else { split(value) }
                    }
                    Input::Names(names) if !is_quoted || names.len() == 1 => names,
                    _ => vec![Arg::Unknown],
                }
            }
            Part::Process(nodes) => {
                self.isolated(nodes);
                self.output = Input::Unknown;
                vec![Arg::Unknown]
            }
            Part::Number => vec![Arg::number()],
            Part::Unknown => vec![Arg::Unknown],
        }
    }

    /// The words that a word becomes.
    pub fn expand(&mut self, word: &Word) -> Vec<Arg> {
        if self.is_spent() {
            return vec![Arg::Unknown];
        }
        let words = self.expanded(word);
        if words.len() > 1 { self.paid(words) } else { words }
    }

    fn expanded(&mut self, word: &Word) -> Vec<Arg> {
        match &*word.parts {
            [Part::Text(text)] if text.len() > LONGEST_WORD => return vec![Arg::Unknown],
            [Part::Text(text)] => {
                let Some(text) = self.homely(text) else { return vec![Arg::Unknown] };
                return if text.is_empty() && !word.is_quoted { Vec::new() } else { args_of(&text) };
            }
            // An empty text is what quotes begin with.
            [part] => return self.meant(part),
            [Part::Text(empty), part] if empty.is_empty() => return self.meant(part),
            _ => {}
        }
        let mut fields: Vec<Option<String>> = vec![Some(String::new())];
        for (at, part) in word.parts.iter().enumerate() {
            let texts: Vec<Option<String>> = match part {
                Part::Text(text) if at == 0 => vec![self.homely(text)],
                Part::Text(text) => vec![Some(text.clone())],
                part => self
                    .meant(part)
                    .iter()
                    .map(|arg| self.standing_in(arg).or_else(|| arg_text(arg)))
                    .collect(),
            };
            for (at, text) in texts.into_iter().enumerate() {
                if at > 0 {
                    fields.push(Some(String::new()));
                }
                if let Some(field) = fields.last_mut() {
                    *field = field.take().zip(text).map(|(mut field, text)| {
                        field.push_str(&text);
                        field
                    });
                }
            }
        }
        let length: usize = fields.iter().flatten().map(String::len).sum();
        if length > LONGEST || !self.spend(length) {
            return vec![Arg::Unknown];
        }
        fields
            .iter()
            .flat_map(|field| field.as_ref().map_or_else(|| vec![Arg::Unknown], |f| args_of(f)))
            .collect()
    }

    /// A word as one text, without wildcards: behind `=` or `<<<`.
    pub fn joined(&mut self, word: &Word) -> Arg {
        let mut whole = Some(String::new());
        // The same as a glob, where a part is one.
        let (mut glob, mut is_glob) = (String::new(), false);
        for (at, part) in word.parts.iter().enumerate() {
            let text = match part {
                Part::Text(text) if at == 0 => self.homely(text).map(|text| unescaped(&text)),
                part => {
                    let values = self.meant(part);
                    if let [Arg::Glob(text)] = &*values {
                        glob.push_str(text);
                        is_glob = true;
                        continue;
                    }
                    let mut texts = Vec::new();
                    for value in &values {
                        texts.push(self.standing_in(value).or_else(|| value.text().map(str::to_owned)));
                    }
                    texts.into_iter().collect::<Option<Vec<String>>>().map(|texts| texts.join(" "))
                }
            };
            if let Some(text) = &text {
                push_escaped(&mut glob, text);
            }
            // All parts are looked at: commands in them run.
            whole = whole.zip(text).map(|(mut whole, text)| {
                whole.push_str(&text);
                whole
            });
        }
        match whole {
            Some(text) if text.len() + glob.len() > 2 * LONGEST || !self.spend(text.len()) => Arg::Unknown,
            Some(_) if is_glob => Arg::Glob(glob),
            Some(text) if text.len() <= LONGEST => Arg::Text(text),
            _ => Arg::Unknown,
        }
    }

    /// The text with its `~` replaced; nothing where that is somebody else's home.
    fn homely(&self, text: &str) -> Option<String> {
        let Some(rest) = text.strip_prefix('~') else { return Some(text.to_owned()) };
        if let Some(rest) = rest.strip_prefix('+').filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            let mut here = String::new();
            push_escaped(&mut here, &self.here()?);
            return Some(here + rest);
        }
        if !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let mut home = String::new();
        push_escaped(&mut home, &self.known("HOME")?);
        Some(home + rest)
    }

    /// Runs something in another folder, and comes back.
    pub fn within(&mut self, folder: Option<&Arg>, act: impl FnOnce(&mut Self)) {
        let outer = (self.state.folder.clone(), self.state.before.clone());
        if let Some(folder) = folder {
            self.go(Some(folder));
        }
        act(self);
        (self.state.folder, self.state.before) = outer;
    }

    /// `cd`; without a goal it leads home.
    pub fn go(&mut self, goal: Option<&Arg>) {
        let now = self.state.folder.take();
        self.state.folder = match goal {
            Some(Arg::Text(goal)) if goal == "-" => self.state.before.take(),
            Some(Arg::Text(goal)) => place(now.as_deref(), goal),
            Some(found @ Arg::Found { .. }) => {
                self.standing_in(found).and_then(|goal| place(now.as_deref(), &goal))
            }
            // Of one of those that match it is only known where it lies. Brackets mostly belong to the name: where
            // nothing matches, a word stands for itself.
            Some(Arg::Glob(glob)) if !glob.contains(['*', '?', '\\', NUMBER]) => place(now.as_deref(), glob),
            Some(Arg::Glob(glob)) => {
                let told = glob.find(['*', '?', '[', '\\', NUMBER]).map_or("", |at| &glob[..at]);
                let folder = told.rsplit_once('/').map_or(".", |(folder, _)| folder).to_owned();
                let one = Arg::Found { folder, name: "*".to_owned() };
                self.standing_in(&one).and_then(|goal| place(now.as_deref(), &goal))
            }
            Some(Arg::Unknown) => None,
            None => self.known("HOME"),
        };
        self.state.before = now;
    }

    /// `pushd`.
    pub fn push(&mut self, goal: Option<&Arg>) {
        match goal {
            Some(_) => {
                self.state.stack.push(self.state.folder.clone());
                self.go(goal);
            }
            None => {
                let top = self.state.stack.pop().flatten();
                let now = std::mem::replace(&mut self.state.folder, top);
                self.state.stack.push(now);
            }
        }
    }

    /// `popd`.
    pub fn pop(&mut self) {
        self.state.folder = self.state.stack.pop().flatten();
    }
}

/// The names that a sum gives a value to: `n = …`, `n += …`, `n++`, `--n`.
fn assigned(sum: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let steps = |text: &str| text.ends_with("++") || text.ends_with("--");
    let (mut names, mut rest) = (Vec::new(), sum);
    while let Some(start) = rest.find(is_part) {
        let length = rest[start..].find(|c| !is_part(c)).unwrap_or(rest.len() - start);
        let (before, name) = (rest[..start].trim_end(), &rest[start..start + length]);
        rest = &rest[start + length..];
        let after = rest.trim_start();
        let sign = after.strip_prefix(['+', '-', '*', '/', '%', '&', '|', '^']).unwrap_or(after);
        let is_set = sign.starts_with('=') && !sign.starts_with("==");
        let is_stepped = steps(before) || after.starts_with("++") || after.starts_with("--");
        if (is_set || is_stepped) && is_name(name) {
            names.push(name);
        }
    }
    names
}

/// What stands for a variable that is not set: `:-`, `-`, `:=` or `=`, and the text behind.
fn alternative(then: &str) -> Option<(&str, &str)> {
    let sign = [":-", ":=", "-", "="].into_iter().find(|sign| then.starts_with(sign))?;
    Some(then.split_at(sign.len()))
}

/// What is not quoted falls apart at blanks, and has wildcards.
fn split(values: Vec<Arg>) -> Vec<Arg> {
    let is_plain = |text: &str| !text.contains(|c: char| c.is_whitespace() || "*?[".contains(c));
    if values.iter().all(|value| value.text().is_none_or(|text| is_plain(text) && !text.is_empty())) {
        return values;
    }
    let mut words = Vec::new();
    for value in values {
        match value {
            Arg::Text(text) => words.extend(text.split_whitespace().map(globbed)),
            other => words.push(other),
        }
    }
    words
}
