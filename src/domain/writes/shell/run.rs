//! Walks through commands as a shell would run them, and keeps what is known on the way: the folder,
//! variables, functions, and what a command prints for the next one to read.

use std::rc::Rc;

use super::CONTENT;
use super::read::{Command, DEEPEST, Node, Redirect, read};
use super::word::{Arg, Part, Word, glob_of};
use crate::domain::writes::{Reach, Write, as_glob};

/// What reading may cost, in commands and in pieces of text: loops and functions repeat themselves.
const BUDGET: usize = 20_000;

/// So many bytes of a text cost as much as a command.
const PIECE: usize = 64;

/// What a word costs as a piece of text, however short it is.
const WORD: usize = 8;

/// More files than these are not asked about one by one: of the rest it is asked as of what a program finds.
const MOST_WRITES: usize = 1024;

/// The longest text that a variable or a pipe is followed with.
pub(super) const LONGEST: usize = 1 << 16;

/// So many lines of a list are told one by one.
pub(super) const MOST_LINES: usize = 64;

/// What a command reads from the one before it, or from a here document.
#[derive(Debug, Clone, Default)]
pub(super) enum Input {
    /// Nothing that is of interest: nobody gave it anything.
    #[default]
    Unknown,
    /// Something that only a running shell can know.
    Something,
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
    pub folder: Option<String>,
    pub before: Option<String>,
    pub stack: Vec<Option<String>>,
    pub variables: Vec<(String, Vec<Arg>)>,
}

pub(super) struct Reading<'a> {
    pub writes: Vec<Write>,
    pub outside: &'a dyn Fn(&str) -> Option<String>,
    pub state: State,
    functions: Vec<(String, Rc<Vec<Node>>)>,
    depth: usize,
    left: usize,
    /// What the last command printed.
    pub output: Input,
    /// What the commands of a group read that are given nothing else.
    pub stdin: Input,
    /// Files that a program finds, by the numbers in their stand-ins.
    pub found: Vec<(String, String)>,
    /// What the refs of others are is not what it was before this command.
    pub has_fetched: bool,
}

impl<'a> Reading<'a> {
    pub fn new(known: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let state = State { folder: Some(String::new()), ..State::default() };
        Self {
            writes: Vec::new(),
            outside: known,
            state,
            functions: Vec::new(),
            depth: 0,
            left: BUDGET,
            output: Input::Unknown,
            stdin: Input::Unknown,
            found: Vec::new(),
            has_fetched: false,
        }
    }

    /// Takes from the budget; `false` when it is used up.
    pub fn spend(&mut self, bytes: usize) -> bool {
        let cost = 1 + bytes / PIECE;
        let is_left = self.left >= cost;
        self.left = self.left.saturating_sub(cost);
        is_left
    }

    /// Words that few letters stood for, as far as the budget reaches.
    pub fn paid(&mut self, words: Vec<Arg>) -> Vec<Arg> {
        let bytes = words.iter().map(|word| WORD + word.text().map_or(0, str::len)).sum();
        if self.spend(bytes) { words } else { vec![Arg::Unknown] }
    }

    /// Whether nothing is left of the budget.
    pub fn is_spent(&self) -> bool {
        self.left == 0
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
        let mut nodes = nodes.iter().peekable();
        while let Some(node) = nodes.next() {
            if !self.spend(0) {
                break;
            }
            match (node, nodes.peek()) {
                (Node::Command(command), _) => self.command(command),
                (_, Some(Node::Command(then))) if then.is_bare() => self.compound(node, Some(then)),
                _ => self.compound(node, None),
            }
        }
        self.depth -= 1;
    }

    /// More than one command, with the redirections behind it.
    fn compound(&mut self, node: &Node, then: Option<&Command>) {
        let printed = std::mem::take(&mut self.output);
        let is_piped = matches!(node, Node::Group { is_piped: true, .. });
        let mut given = is_piped.then(|| piped(printed));
        for redirect in then.iter().flat_map(|then| &then.redirects) {
            given = self.read_from(redirect).or(given);
        }
        let outer = given.map(|given| std::mem::replace(&mut self.stdin, given));
        match node {
            Node::Group { body, is_subshell: false, .. } if matches!(body.first(), Some(Node::Command(it)) if it.reads()) =>
            {
                self.lines(body);
            }
            node => self.node(node),
        }
        if let Some(outer) = outer {
            self.stdin = outer;
        }
        self.output = Input::Unknown;
    }

    /// A loop that reads lines: it runs for each that is known.
    fn lines(&mut self, body: &[Node]) {
        let stdin = std::mem::take(&mut self.stdin);
        let stdin = self.settled(stdin);
        let lines = match &stdin {
            Input::Text(text) => text.lines().map(|line| Arg::Text(line.to_owned())).collect(),
            Input::Names(names) => names.clone(),
            other => {
                self.stdin = other.clone();
                return self.again_and_again(body);
            }
        };
        let is_more = lines.len() > MOST_LINES;
        for line in lines.into_iter().take(MOST_LINES).chain(is_more.then(anything)) {
            if !self.spend(0) {
                break;
            }
            self.stdin = Input::Names(vec![line]);
            self.nodes(body);
        }
        self.stdin = Input::Unknown;
    }

    /// A loop of which nobody knows how often it runs: once, and with what its variables are after that.
    fn again_and_again(&mut self, body: &[Node]) {
        let before = self.state.variables.clone();
        self.nodes(body);
        if self.spend(before.len() * PIECE / 4) && self.state.variables != before {
            self.nodes(body);
        }
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Command(command) => return self.command(command),
            Node::Group { body, is_subshell: true, .. } => self.isolated(body),
            Node::Group { body, is_loop: true, .. } => self.again_and_again(body),
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

    pub fn isolated(&mut self, nodes: &[Node]) {
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
        let mut input = if command.is_piped {
            piped(printed)
        } else {
            match &self.stdin {
                Input::Unknown => Input::Unknown,
                stdin => {
                    let stdin = stdin.clone();
                    if self.spend(stdin.length()) { stdin } else { Input::Something }
                }
            }
        };
        let (mut args, mut assigned) = (Vec::new(), Vec::new());
        for word in &command.words {
            let assignment = if args.is_empty() { word.assignment() } else { None };
            match assignment {
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
                redirect => input = self.read_from(redirect).unwrap_or(input),
            }
        }
        if args.is_empty() {
            for (name, value) in assigned {
                match name.strip_suffix('+') {
                    Some(name) => self.set(name, vec![Arg::Unknown]),
                    None => self.set(&name, value),
                }
            }
            // `$(< LIST)` is what the file says.
            if is_printed && !command.redirects.is_empty() {
                self.program(&[Arg::Text("cat".to_owned())], input);
            }
            return;
        }
        if assigned.is_empty() {
            self.program(&args, input);
        } else {
            // Only this program has them.
            let mut outer = Vec::new();
            for (name, value) in assigned {
                let is_more = name.ends_with('+');
                let name = name.trim_end_matches('+');
                let known = self.state.variables.iter().position(|(known, _)| known == name);
                outer.push((name.to_owned(), known.map(|at| self.state.variables[at].1.clone())));
                self.set(name, if is_more { vec![Arg::Unknown] } else { value });
            }
            self.program(&args, input);
            for (name, value) in outer.into_iter().rev() {
                match value {
                    Some(value) => self.set(&name, value),
                    None => self.state.variables.retain(|(known, _)| *known != name),
                }
            }
        }
        if !is_printed {
            self.output = Input::Unknown;
        }
    }

    /// What a redirection gives to read.
    fn read_from(&mut self, redirect: &Redirect) -> Option<Input> {
        match redirect {
            Redirect::Into(..) => None,
            Redirect::From(word) => Some(match process(word) {
                Some(nodes) => {
                    self.isolated(&nodes);
                    piped(std::mem::take(&mut self.output))
                }
                None => match &*self.expand(word) {
                    [Arg::Text(path)] => Input::File(path.clone()),
                    _ => Input::Something,
                },
            }),
            Redirect::Text(word) => Some(match self.joined(word) {
                Arg::Text(text) => Input::Text(text),
                _ => Input::Something,
            }),
            Redirect::Document(document) => {
                let document = document.get()?;
                let text = document.word.as_ref().map(|word| self.joined(word));
                // With a variable that is not known the rest of it still says something.
                let text = text.as_ref().and_then(Arg::text).unwrap_or(&document.text);
                Some(if self.spend(text.len()) { Input::Text(text.to_owned()) } else { Input::Something })
            }
        }
    }

    /// The text of a file, where it lies there and this command does not write it first.
    pub fn settled(&mut self, input: Input) -> Input {
        let Input::File(path) = &input else { return input };
        let text = place(self.state.folder.as_deref(), path).and_then(|path| {
            let is_new = self.writes.iter().any(|write| write.path == path);
            (!is_new).then(|| self.known(&format!("{CONTENT}{path}"))).flatten()
        });
        text.filter(|text| self.spend(text.len())).map_or(Input::Something, Input::Text)
    }

    /// A program with its words.
    pub fn program(&mut self, args: &[Arg], input: Input) {
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

    pub fn add(&mut self, path: &str, inside: Option<String>, reach: Reach) {
        if path.is_empty() || self.writes.len() > MOST_WRITES {
            return;
        }
        if self.writes.len() == MOST_WRITES {
            // What is beyond may be any of what lies here.
            let reach = Reach::Below("*".to_owned());
            self.writes.push(Write { path: ".".to_owned(), inside: None, reach });
            return;
        }
        let path = here_by_proc(path);
        let folder = match (&self.state.folder, &reach) {
            _ if path.starts_with('/') => Some(String::new()),
            (Some(folder), Reach::Glob) => Some(as_glob(folder)),
            (folder, _) => folder.clone(),
        };
        let Some(mut path) = folder.and_then(|folder| place(Some(&folder), path)) else { return };
        let (mut inside, mut reach) = (inside, reach);
        // A folder that was found may lie in one that was.
        while let Some((folder, name)) = self.found_at(&path, inside.as_deref(), reach == Reach::Glob) {
            (path, inside, reach) = (folder, None, Reach::Below(name));
        }
        if let Reach::Like(source) | Reach::Moved(source) = &reach {
            let made = if matches!(reach, Reach::Like(_)) { Reach::Like } else { Reach::Moved };
            let source = place(self.state.folder.as_deref(), here_by_proc(source));
            reach = source.map_or(Reach::Path, made);
        }
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
        if !self.writes.contains(&write) {
            self.writes.push(write);
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

    /// These names go, as `reach` says.
    pub fn remove_all(&mut self, args: &[Arg], reach: &Reach) {
        for arg in args {
            match arg {
                Arg::Text(path) => self.add(path, None, reach.clone()),
                other => self.write(other),
            }
            // A folder of that name goes with all below it.
            if let (Arg::Found { folder, name }, Reach::Tree) = (arg, reach)
                && !name.ends_with('*')
            {
                self.add(folder, None, Reach::Below(format!("{name}/**")));
            }
        }
    }

    pub fn write_all(&mut self, args: &[Arg]) {
        for arg in args {
            self.write(arg);
        }
    }
}

impl Input {
    /// How long it is, about.
    fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Names(names) => names.len() * PIECE,
            _ => 0,
        }
    }
}

/// What comes through a pipe.
fn piped(printed: Input) -> Input {
    match printed {
        Input::Unknown => Input::Something,
        printed => printed,
    }
}

/// Any file below the folder, nobody knows which.
pub(super) fn anything() -> Arg {
    Arg::Found { folder: ".".to_owned(), name: "*".to_owned() }
}

/// The commands of a word that is `<(…)`.
fn process(word: &Word) -> Option<Rc<Vec<Node>>> {
    match &*word.parts {
        [Part::Process(nodes)] => Some(Rc::clone(nodes)),
        [Part::Text(text), Part::Process(nodes)] if text.is_empty() => Some(Rc::clone(nodes)),
        _ => None,
    }
}

/// A path that leads to the folder by way of `/proc` without that way: there it is the folder of the shell.
fn here_by_proc(path: &str) -> &str {
    let below = ["/proc/self/cwd", "/proc/thread-self/cwd"].iter().find_map(|way| path.strip_prefix(way));
    match below {
        Some("" | "/") => ".",
        Some(below) if below.starts_with('/') => below.trim_start_matches('/'),
        _ => path,
    }
}

/// A path seen from a folder.
pub(super) fn place(folder: Option<&str>, path: &str) -> Option<String> {
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
