//! Walks through commands as a shell would run them, and keeps what is known on the way: the folder,
//! variables, functions, and what a command prints for the next one to read.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::read::{Command, DEEPEST, Node, Redirect, read};
use super::word::{Arg, Part, Variable, Word, arg_text, args_of, changed, glob_of, is_name, push_escaped};
use super::TOP;
use crate::domain::writes::{Reach, Write, as_glob};

/// What reading may cost, in commands and in pieces of text: loops and functions repeat themselves.
const BUDGET: usize = 20_000;

/// So many bytes of a text cost as much as a command.
const PIECE: usize = 64;

/// More files than these are not asked about one by one.
const MOST_WRITES: usize = 1024;

/// The longest text that a variable or a pipe is followed with.
const LONGEST: usize = 1 << 16;

/// What a command reads from the one before it, or from a here document.
#[derive(Debug, Clone, Default)]
pub(super) enum Input {
    #[default]
    Unknown,
    Text(String),
    /// Names, a line each.
    Names(Vec<Arg>),
    /// What this file holds.
    File(String),
}

/// What a subshell does not leave behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    /// Relative to the start; empty is the start itself, none is unknown.
    folder: Option<String>,
    before: Option<String>,
    stack: Vec<Option<String>>,
    variables: Vec<(String, Vec<Arg>)>,
}

pub(super) struct Reading<'a> {
    pub writes: BTreeSet<Write>,
    pub order: Vec<Write>,
    known: &'a dyn Fn(&str) -> Option<String>,
    pub state: State,
    functions: Vec<(String, Rc<Vec<Node>>)>,
    depth: usize,
    left: usize,
    /// What the last command printed.
    pub output: Input,
}

impl<'a> Reading<'a> {
    pub fn new(known: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let state = State { folder: Some(String::new()), ..State::default() };
        Self {
            writes: BTreeSet::new(),
            order: Vec::new(),
            known,
            state,
            functions: Vec::new(),
            depth: 0,
            left: BUDGET,
            output: Input::Unknown,
        }
    }

    /// Takes from the budget; `false` when it is used up.
    fn spend(&mut self, bytes: usize) -> bool {
        let cost = 1 + bytes / PIECE;
        let is_left = self.left >= cost;
        self.left = self.left.saturating_sub(cost);
        is_left
    }

    /// A text that runs in this shell, as with `eval`.
    pub fn script(&mut self, text: &str) {
        if self.depth < DEEPEST && self.spend(text.len()) {
            self.nodes(&read(text, self.depth));
        }
    }

    /// A text that runs in a shell of its own.
    pub fn apart(&mut self, text: &str, positional: Option<&[Arg]>) {
        let outer = self.state.clone();
        if let Some(words) = positional {
            self.set("@", words.to_vec());
        }
        self.script(text);
        self.state = outer;
    }

    fn nodes(&mut self, nodes: &[Node]) {
        if self.depth >= DEEPEST {
            return;
        }
        self.depth += 1;
        for node in nodes {
            if !self.spend(0) {
                break;
            }
            self.node(node);
        }
        self.depth -= 1;
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Command(command) => return self.command(command),
            Node::Group { body, is_subshell: true } => self.isolated(body),
            Node::Group { body, .. } => self.nodes(body),
            Node::Either(branches) => self.either(branches),
            Node::For { name, values, body } => {
                let values: Vec<Arg> = values.iter().flat_map(|word| self.expand(word)).collect();
                for value in values {
                    if !self.spend(0) {
                        break;
                    }
                    self.set(name, vec![value]);
                    self.nodes(body);
                }
            }
            Node::Function { name, body } => {
                // What it would do: who defines one calls it, with words that may be told then.
                let outer = self.state.clone();
                self.set("@", vec![Arg::Unknown]);
                self.nodes(body);
                self.state = outer;
                self.functions.retain(|(known, _)| known != name);
                self.functions.push((name.clone(), Rc::clone(body)));
            }
        }
        self.output = Input::Unknown;
    }

    fn isolated(&mut self, nodes: &[Node]) {
        if self.spend(self.state.variables.len() * PIECE / 4) {
            let outer = self.state.clone();
            self.nodes(nodes);
            self.state = outer;
        }
    }

    /// Each branch on its own; what they leave different is unknown afterwards.
    fn either(&mut self, branches: &[Vec<Node>]) {
        let start = self.state.clone();
        let mut after: Option<State> = None;
        for branch in branches {
            if !self.spend(self.state.variables.len() * PIECE / 4) {
                return;
            }
            self.state = start.clone();
            self.nodes(branch);
            let ended = std::mem::take(&mut self.state);
            after = Some(match after {
                None => ended,
                Some(after) => both(after, &ended),
            });
        }
        self.state = after.unwrap_or(start);
    }

    fn command(&mut self, command: &Command) {
        let printed = std::mem::take(&mut self.output);
        let mut input = if command.is_piped { printed } else { Input::Unknown };
        let (mut args, mut assigned) = (Vec::new(), Vec::new());
        for word in &command.words {
            match word.assignment().filter(|_| args.is_empty()) {
                Some((name, value)) => {
                    let value = self.joined(&value);
                    assigned.push((name, vec![value]));
                }
                None => args.extend(self.expand(word)),
            }
        }
        for (name, words) in &command.lists {
            let values = words.iter().flat_map(|word| self.expand(word)).collect();
            assigned.push((name.clone(), values));
        }
        let mut is_printed = true;
        for redirect in &command.redirects {
            match redirect {
                Redirect::Into(word, is_output) => {
                    is_printed &= !is_output;
                    let goals = self.expand(word);
                    self.write_all(&goals);
                }
                Redirect::From(word) => {
                    input = match &*self.expand(word) {
                        [Arg::Text(path)] => Input::File(path.clone()),
                        _ => Input::Unknown,
                    };
                }
                Redirect::Text(word) => {
                    input = match self.joined(word) {
                        Arg::Text(text) => Input::Text(text),
                        _ => Input::Unknown,
                    };
                }
                Redirect::Document(document) => {
                    let Some(document) = document.get() else { continue };
                    let text = document.word.as_ref().map(|word| self.joined(word));
                    // With a variable that is not known the rest of it still says something.
                    let text = text.as_ref().and_then(Arg::text).unwrap_or(&document.text);
                    input = Input::Text(text.to_owned());
                }
            }
        }
        if args.is_empty() {
            for (name, value) in assigned {
                match name.strip_suffix('+') {
                    Some(name) => self.set(name, vec![Arg::Unknown]),
                    None => self.set(&name, value),
                }
            }
            return;
        }
        self.program(args, input);
        if !is_printed {
            self.output = Input::Unknown;
        }
    }

    /// A program with its words.
    pub fn program(&mut self, args: Vec<Arg>, input: Input) {
        self.output = Input::Unknown;
        if self.depth >= DEEPEST || !self.spend(0) {
            return;
        }
        let function = args.first().and_then(Arg::text).and_then(|name| {
            self.functions.iter().find(|(known, _)| known == name).map(|(_, body)| Rc::clone(body))
        });
        self.depth += 1;
        match function {
            Some(body) => {
                let outer = self.positional();
                self.set("@", args[1..].to_vec());
                self.nodes(&body);
                self.set("@", outer);
                self.output = Input::Unknown;
            }
            None => self.well_known(args, input),
        }
        self.depth -= 1;
    }

    // What is known.

    fn positional(&self) -> Vec<Arg> {
        self.value("@").unwrap_or_else(|| vec![Arg::Unknown])
    }

    fn value(&self, name: &str) -> Option<Vec<Arg>> {
        self.state.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    pub fn set(&mut self, name: &str, value: Vec<Arg>) {
        let length: usize = value.iter().filter_map(Arg::text).map(str::len).sum();
        let value = if length > LONGEST || !self.spend(length) { vec![Arg::Unknown] } else { value };
        match self.state.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.state.variables.push((name.to_owned(), value)),
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

    /// Variables that are set to what nobody knows.
    pub fn forgotten(&mut self, args: &[Arg]) {
        for name in args.iter().filter_map(Arg::text).filter(|name| is_name(name)) {
            self.set(name, vec![Arg::Unknown]);
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
        (self.known)(name)
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
                Ok(at) => {
                    let all = self.positional();
                    at.checked_sub(1).and_then(|at| all.into_iter().nth(at)).map(|value| vec![value])
                }
                Err(_) => self.value(name).or_else(|| self.known(name).map(|value| vec![Arg::Text(value)])),
            },
        };
        let Some(mut value) = value else { return vec![Arg::Unknown] };
        let is_list = matches!(name, "@" | "*");
        match variable.then.as_str() {
            _ if !inner.is_empty() => return vec![Arg::Unknown],
            "[@]" | "[*]" => return value,
            "" if !is_list => value.truncate(1),
            "" => return value,
            // The value if there is one, and there is.
            then if then.starts_with([':', '-']) && !then.starts_with(":+") => match value.first() {
                Some(Arg::Text(text)) if !text.is_empty() && then[1..].starts_with(['-', '=', '?']) => {}
                _ => return vec![Arg::Unknown],
            },
            then => {
                let changed = value.first().and_then(Arg::text).and_then(|value| changed(value, then));
                return vec![changed.map_or(Arg::Unknown, Arg::Text)];
            }
        }
        value
    }

    // Words.

    /// What a part of a word stands for.
    fn meant(&mut self, part: &Part) -> Vec<Arg> {
        match part {
            Part::Text(text) => vec![Arg::Text(super::word::unescaped(text))],
            Part::Variable(variable) => {
                let values = self.looked_up(variable);
                if variable.is_quoted { values } else { split(values) }
            }
            Part::Run { nodes, is_quoted } => {
                self.isolated(nodes);
                match std::mem::take(&mut self.output) {
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
            Part::Unknown => vec![Arg::Unknown],
        }
    }

    /// The words that a word becomes.
    fn expand(&mut self, word: &Word) -> Vec<Arg> {
        match &*word.parts {
            [Part::Text(text)] => {
                let Some(text) = self.homely(text) else { return vec![Arg::Unknown] };
                return if text.is_empty() && !word.is_quoted { Vec::new() } else { args_of(&text) };
            }
            [part] => return self.meant(part),
            _ => {}
        }
        let mut fields: Vec<Option<String>> = vec![Some(String::new())];
        for (at, part) in word.parts.iter().enumerate() {
            let texts: Vec<Option<String>> = match part {
                Part::Text(text) if at == 0 => vec![self.homely(text)],
                Part::Text(text) => vec![Some(text.clone())],
                part => self.meant(part).iter().map(arg_text).collect(),
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
        fields.iter().flat_map(|field| field.as_ref().map_or_else(|| vec![Arg::Unknown], |f| args_of(f))).collect()
    }

    /// A word as one text, without wildcards: behind `=` or `<<<`.
    fn joined(&mut self, word: &Word) -> Arg {
        let mut whole = Some(String::new());
        for (at, part) in word.parts.iter().enumerate() {
            let text = match part {
                Part::Text(text) if at == 0 => {
                    self.homely(text).map(|text| super::word::unescaped(&text))
                }
                part => {
                    let values = self.meant(part);
                    let texts: Option<Vec<&str>> = values.iter().map(Arg::text).collect();
                    texts.map(|texts| texts.join(" "))
                }
            };
            // All parts are looked at: commands in them run.
            whole = whole.zip(text).map(|(mut whole, text)| {
                whole.push_str(&text);
                whole
            });
        }
        match whole {
            Some(text) if text.len() <= LONGEST && self.spend(text.len()) => Arg::Text(text),
            _ => Arg::Unknown,
        }
    }

    /// The text with its `~` replaced; nothing where that is somebody else's home.
    fn homely(&self, text: &str) -> Option<String> {
        let Some(rest) = text.strip_prefix('~') else { return Some(text.to_owned()) };
        if !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let mut home = String::new();
        push_escaped(&mut home, &self.known("HOME")?);
        Some(home + rest)
    }

    // Folders.

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
            Some(_) => None,
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

    // What is written.

    pub fn add(&mut self, path: &str, inside: Option<String>, reach: Reach) {
        if path.is_empty() || self.order.len() >= MOST_WRITES {
            return;
        }
        let folder = match (&self.state.folder, &reach) {
            _ if path.starts_with('/') => Some(String::new()),
            (Some(folder), Reach::Glob) => Some(as_glob(folder)),
            (folder, _) => folder.clone(),
        };
        let Some(path) = folder.and_then(|folder| place(Some(&folder), path)) else { return };
        // A relative glob, or the folder that a diff's names start from, lies in this folder too.
        let inside = match (inside, &reach) {
            (Some(names), Reach::Names) if !names.starts_with('/') => {
                match self.state.folder.as_deref().and_then(|folder| place(Some(&as_glob(folder)), &names)) {
                    Some(names) => Some(names),
                    None => return,
                }
            }
            (None, Reach::Diff(_)) => match &self.state.folder {
                Some(folder) => Some(folder.clone()),
                None => return,
            },
            (inside, _) => inside,
        };
        let write = Write { path, inside, reach };
        if self.writes.insert(write.clone()) {
            self.order.push(write);
        }
    }

    /// This path, or these.
    pub fn write(&mut self, arg: &Arg) {
        match arg {
            Arg::Text(path) => self.add(path, None, Reach::Path),
            Arg::Glob(glob) => self.add(&glob_of(glob), None, Reach::Glob),
            Arg::Found { folder, name } => self.add(folder, None, Reach::Below(name.clone())),
            Arg::Unknown => {}
        }
    }

    pub fn write_all(&mut self, args: &[Arg]) {
        for arg in args {
            self.write(arg);
        }
    }
}

/// A path seen from a folder.
fn place(folder: Option<&str>, path: &str) -> Option<String> {
    match folder {
        _ if path.starts_with('/') => Some(path.to_owned()),
        Some("") => Some(path.to_owned()),
        Some(folder) if folder.len() + path.len() > LONGEST => None,
        Some(folder) => Some(format!("{}/{path}", folder.trim_end_matches('/'))),
        None => None,
    }
}

/// What two ways have in common.
fn both(mut one: State, other: &State) -> State {
    if one.folder != other.folder {
        one.folder = None;
    }
    if one.before != other.before {
        one.before = None;
    }
    if one.stack != other.stack {
        one.stack.clear();
    }
    let unknown = vec![Arg::Unknown];
    for (name, value) in &mut one.variables {
        if other.variables.iter().find(|(known, _)| known == name).is_none_or(|(_, known)| known != value) {
            value.clone_from(&unknown);
        }
    }
    for (name, _) in &other.variables {
        if one.variables.iter().all(|(known, _)| known != name) {
            one.variables.push((name.clone(), unknown.clone()));
        }
    }
    one
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
            Arg::Text(text) => words.extend(text.split_whitespace().map(super::word::globbed)),
            other => words.push(other),
        }
    }
    words
}
