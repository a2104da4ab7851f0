//! A shell's text as commands: what a shell would read, without the meaning of any of them.
//!
//! One pass over the text. What is no shell's text is read as well as it goes, never refused.

use std::cell::OnceCell;
use std::rc::Rc;

use super::word::Word;

/// Commands within commands are read to this depth; who writes by hand needs a handful.
pub(super) const DEEPEST: usize = 24;

/// One thing that runs.
#[derive(Debug)]
pub(super) enum Node {
    Command(Command),
    /// `(…)`, which leaves nothing behind, or `{…}` and a loop: its condition and its body.
    Group {
        body: Vec<Node>,
        is_subshell: bool,
        /// It reads what the command before it prints.
        is_piped: bool,
        /// It may run more than once.
        is_loop: bool,
    },
    /// One of these runs: `if`, `case`.
    Either(Vec<Vec<Node>>),
    For {
        name: String,
        values: Vec<Word>,
        body: Vec<Node>,
    },
    Function {
        name: String,
        body: Rc<Vec<Node>>,
    },
}

#[derive(Debug, Default)]
pub(super) struct Command {
    pub words: Vec<Word>,
    /// `NAME=(…)`.
    pub lists: Vec<(String, Vec<Word>)>,
    pub redirects: Vec<Redirect>,
    /// It reads what the command before it prints.
    pub is_piped: bool,
}

#[derive(Debug)]
pub(super) enum Redirect {
    /// A file that is written; whether by what the command prints.
    Into(Word, bool),
    /// A file that is read.
    From(Word),
    /// `<<< word`.
    Text(Word),
    /// `<< END`, whose text stands in the lines below.
    Document(Rc<OnceCell<Document>>),
}

/// The text of a here document.
#[derive(Debug)]
pub(super) struct Document {
    pub text: String,
    /// Its text, where variables and commands in it count.
    pub word: Option<Word>,
}

/// A here document whose text was not reached yet.
struct Pending {
    end: String,
    is_indented: bool,
    is_quoted: bool,
    goal: Rc<OnceCell<Document>>,
}

/// Reads a text; `depth` is how deep it stands in others.
pub(super) fn read(text: &str, depth: usize) -> Vec<Node> {
    let mut reader = Reader { rest: text, pending: Vec::new(), depth, parens: 0 };
    reader.list(&[]).0
}

pub(super) struct Reader<'a> {
    pub rest: &'a str,
    pending: Vec<Pending>,
    pub depth: usize,
    /// How many lists around this one end with `)`.
    parens: usize,
}

/// The nodes of a list so far, and the command that is being read.
#[derive(Default)]
struct List {
    nodes: Vec<Node>,
    command: Command,
}

impl List {
    fn flush(&mut self) {
        let command = std::mem::take(&mut self.command);
        if !(command.words.is_empty() && command.lists.is_empty() && command.redirects.is_empty()) {
            self.nodes.push(Node::Command(command));
        }
    }

    fn is_fresh(&self) -> bool {
        self.command.words.is_empty() && self.command.lists.is_empty() && self.command.redirects.is_empty()
    }
}

impl Command {
    /// Whether all of it is redirections: those of the group before it.
    pub fn is_bare(&self) -> bool {
        self.words.is_empty() && self.lists.is_empty()
    }

    /// Whether it is `read`.
    pub fn reads(&self) -> bool {
        self.words.iter().any(|word| word.keyword().as_deref() == Some("read"))
    }
}

impl Reader<'_> {
    pub fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    pub fn eat(&mut self, text: &str) -> bool {
        self.rest.strip_prefix(text).map(|rest| self.rest = rest).is_some()
    }

    pub fn blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
            if !self.eat("\\\n") {
                return;
            }
        }
    }

    /// Blanks, ends of lines and comments.
    fn gap(&mut self) {
        loop {
            self.blanks();
            match self.peek() {
                Some('\n') => self.end_line(),
                Some(';') => drop(self.next()),
                Some('#') => self.comment(),
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    /// A list that ends with one of these words or signs; which one it was, if any.
    fn list(&mut self, stops: &[&'static str]) -> (Vec<Node>, Option<&'static str>) {
        let mut list = List::default();
        let stop = self.items(&mut list, stops);
        list.flush();
        (list.nodes, stop)
    }

    /// A list in a list; nothing of it where it is too deep for anybody to have meant it.
    pub fn nested(&mut self, stops: &[&'static str]) -> (Vec<Node>, Option<&'static str>) {
        if self.depth >= DEEPEST {
            self.rest = "";
            return (Vec::new(), None);
        }
        self.depth += 1;
        let is_paren = usize::from(stops == [")"]);
        self.parens += is_paren;
        let read = self.list(stops);
        self.parens -= is_paren;
        self.depth -= 1;
        read
    }

    fn items(&mut self, list: &mut List, stops: &[&'static str]) -> Option<&'static str> {
        loop {
            self.blanks();
            match self.peek()? {
                '\n' => {
                    let is_piped = list.is_fresh() && list.command.is_piped;
                    list.flush();
                    list.command.is_piped = is_piped;
                    self.end_line();
                }
                ';' => {
                    let _ = self.next();
                    list.flush();
                    let is_double = self.eat(";") || self.rest.starts_with('&') && self.eat("&");
                    if is_double && stops.contains(&";;") {
                        let _ = self.eat("&");
                        return Some(";;");
                    }
                }
                '|' => {
                    let _ = self.next();
                    list.flush();
                    if !self.eat("|") {
                        let _ = self.eat("&");
                        list.command.is_piped = true;
                    }
                }
                '&' => {
                    let _ = self.next();
                    if self.rest.starts_with('>') {
                        self.redirect(list, true);
                    } else {
                        let _ = self.eat("&");
                        list.flush();
                    }
                }
                '(' => self.paren(list),
                ')' => {
                    if stops == [")"] {
                        let _ = self.next();
                        return Some(")");
                    }
                    if self.parens > 0 {
                        return None;
                    }
                    let _ = self.next();
                    list.flush();
                }
                '#' => self.comment(),
                '<' | '>' if !self.rest[1..].starts_with('(') => self.redirect(list, true),
                c if c.is_ascii_digit() && self.is_descriptor() => {
                    let digits = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
                    let is_output = self.rest.len() - digits.len() == 1 && c == '1';
                    self.rest = digits;
                    self.redirect(list, is_output);
                }
                _ => {
                    let word = self.word();
                    if list.is_fresh()
                        && let Some(keyword) = word.keyword()
                    {
                        if let Some(stop) = stops.iter().find(|stop| **stop == keyword) {
                            return Some(stop);
                        }
                        if self.keyword(list, &keyword) {
                            continue;
                        }
                    }
                    match word.list_name().filter(|_| self.rest.starts_with('(')) {
                        Some(name) => {
                            let _ = self.next();
                            let values = self.words_until_paren();
                            list.command.lists.push((name, values));
                        }
                        None => list.command.words.push(word),
                    }
                }
            }
        }
    }

    /// Digits with a redirection right behind them.
    fn is_descriptor(&self) -> bool {
        self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['<', '>'])
    }

    /// What begins with one of the shell's own words; `false` where it is a command like any other.
    fn keyword(&mut self, list: &mut List, keyword: &str) -> bool {
        match keyword {
            "if" => {
                let (condition, _) = self.nested(&["then"]);
                list.nodes.extend(condition);
                self.branches(list);
            }
            "while" | "until" => {
                let is_piped = std::mem::take(&mut list.command.is_piped);
                let (mut body, stop) = self.nested(&["do"]);
                if stop.is_some() {
                    body.extend(self.nested(&["done"]).0);
                }
                list.nodes.push(Node::Group { body, is_subshell: false, is_piped, is_loop: true });
            }
            // Behind `do` and without it these are nothing.
            "then" | "else" | "elif" | "fi" | "done" | "esac" | "}" | "!" | "coproc" => {}
            "do" => self.group(list, "done"),
            "{" => self.group(list, "}"),
            "for" | "select" => self.each(list),
            "case" => self.case(list),
            "function" => {
                self.blanks();
                let name = self.word().keyword().unwrap_or_default();
                self.blanks();
                if self.eat("(") {
                    self.blanks();
                    let _ = self.eat(")");
                }
                self.function(list, name);
            }
            "[[" => {
                // Its signs compare.
                let mut words = Vec::new();
                while let Some(c) = self.peek().filter(|c| !matches!(c, '\n' | ';')) {
                    match c {
                        ' ' | '\t' | '\r' | '<' | '>' | '(' | ')' | '&' | '|' => drop(self.next()),
                        _ => {
                            let word = self.word();
                            if word.keyword().as_deref() == Some("]]") {
                                break;
                            }
                            words.push(word);
                        }
                    }
                }
                // The commands in its words run; it writes nothing itself.
                list.command.words.push(Word::text("["));
                list.command.words.extend(words);
            }
            _ => return false,
        }
        true
    }

    fn group(&mut self, list: &mut List, stop: &'static str) {
        let is_piped = std::mem::take(&mut list.command.is_piped);
        let (body, _) = self.nested(&[stop]);
        list.nodes.push(Node::Group { body, is_subshell: false, is_piped, is_loop: false });
    }

    /// Behind the `then` of an `if`.
    fn branches(&mut self, list: &mut List) {
        let mut branches = Vec::new();
        let mut branch = Vec::new();
        let mut has_else = false;
        loop {
            let (body, stop) = self.nested(&["elif", "else", "fi"]);
            branch.extend(body);
            branches.push(std::mem::take(&mut branch));
            match stop {
                Some("elif") => branch = self.nested(&["then"]).0,
                Some("else") => has_else = true,
                _ => break,
            }
        }
        if !has_else {
            branches.push(Vec::new());
        }
        list.nodes.push(Node::Either(branches));
    }

    fn each(&mut self, list: &mut List) {
        self.blanks();
        if self.rest.starts_with("((") && self.counts(list) {
            // The body follows with its `do`.
            return;
        }
        let name = self.word().keyword().unwrap_or_default();
        self.gap();
        let mut values = Vec::new();
        let mut word = self.word();
        if word.keyword().as_deref() == Some("in") {
            loop {
                self.blanks();
                if self.peek().is_none_or(|c| matches!(c, '\n' | ';' | '&' | '|' | '(' | ')')) {
                    break;
                }
                if self.rest.starts_with(['<', '>']) && !self.rest[1..].starts_with('(') {
                    break;
                }
                values.push(self.word());
            }
            self.gap();
            word = self.word();
        } else {
            values.push(Word::all_words());
        }
        match word.keyword().as_deref() {
            Some("do") => {
                let (body, _) = self.nested(&["done"]);
                list.nodes.push(Node::For { name, values, body });
            }
            Some("{") => {
                let (body, _) = self.nested(&["}"]);
                list.nodes.push(Node::For { name, values, body });
            }
            _ if word.parts.is_empty() => {}
            _ => list.command.words.push(word),
        }
    }

    fn case(&mut self, list: &mut List) {
        self.blanks();
        list.command.words.push(Word::text("["));
        let about = self.word();
        list.command.words.push(about);
        list.flush();
        self.gap();
        if self.word().keyword().as_deref() != Some("in") {
            return;
        }
        let mut branches = vec![Vec::new()];
        loop {
            self.gap();
            let _ = self.eat("(");
            self.blanks();
            // The pattern.
            let mut is_first = true;
            loop {
                match self.peek() {
                    None => break,
                    Some(')') => {
                        let _ = self.next();
                        break;
                    }
                    Some(' ' | '\t' | '\r' | '|') => drop(self.next()),
                    Some('\n' | ';' | '&' | '(' | '<' | '>') => break,
                    Some(_) => {
                        let word = self.word();
                        if is_first && word.keyword().as_deref() == Some("esac") {
                            list.nodes.push(Node::Either(branches));
                            return;
                        }
                        is_first = false;
                    }
                }
            }
            let (body, stop) = self.nested(&[";;", "esac"]);
            branches.push(body);
            if stop != Some(";;") {
                list.nodes.push(Node::Either(branches));
                return;
            }
        }
    }

    /// `((…))` is `let` with that as one word; `false`, and nothing read, where it is none.
    fn counts(&mut self, list: &mut List) -> bool {
        let Some(sum) = self.sum(2).map(str::to_owned) else { return false };
        let mut word = Word::default();
        word.push_quoted(&sum);
        let words = vec![Word::text("let"), word];
        list.nodes.push(Node::Command(Command { words, ..Command::default() }));
        true
    }

    fn paren(&mut self, list: &mut List) {
        if list.is_fresh() && self.rest.starts_with("((") && self.counts(list) {
            return;
        }
        let _ = self.next();
        if list.is_fresh() {
            let is_piped = std::mem::take(&mut list.command.is_piped);
            let (body, _) = self.nested(&[")"]);
            list.nodes.push(Node::Group { body, is_subshell: true, is_piped, is_loop: false });
            return;
        }
        self.blanks();
        if let [name] = &*list.command.words
            && self.rest.starts_with(')')
        {
            let name = name.keyword().unwrap_or_default();
            let _ = self.next();
            list.command = Command::default();
            self.function(list, name);
        } else {
            list.flush();
        }
    }

    /// The body of a function.
    fn function(&mut self, list: &mut List, name: String) {
        self.gap();
        let body = if self.eat("(") {
            self.nested(&[")"]).0
        } else {
            let before = self.rest;
            if self.word().keyword().as_deref() != Some("{") {
                self.rest = before;
                return;
            }
            self.nested(&["}"]).0
        };
        list.nodes.push(Node::Function { name, body: Rc::new(body) });
    }

    fn words_until_paren(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                None => return words,
                Some(')') => {
                    let _ = self.next();
                    return words;
                }
                Some('\n') => self.end_line(),
                Some('#') => self.comment(),
                Some(';' | '&' | '|' | '(' | '<' | '>') => drop(self.next()),
                Some(_) => words.push(self.word()),
            }
        }
    }

    /// At a `<` or `>`.
    fn redirect(&mut self, list: &mut List, is_output: bool) {
        let is_read = self.next() == Some('<');
        if is_read && self.eat("<<") {
            let word = self.goal();
            list.command.redirects.push(Redirect::Text(word));
        } else if is_read && self.eat("<") {
            self.document(list);
        } else if is_read && !self.eat(">") {
            let is_descriptor = self.eat("&");
            let word = self.goal();
            if !is_descriptor {
                list.command.redirects.push(Redirect::From(word));
            }
        } else {
            let _ = self.eat(">") || self.eat("|");
            let is_both = self.eat("&");
            self.blanks();
            let is_descriptor = is_both && self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            let word = self.goal();
            if !is_descriptor {
                list.command.redirects.push(Redirect::Into(word, is_output));
            }
        }
    }

    fn goal(&mut self) -> Word {
        self.blanks();
        self.word()
    }

    /// Behind a `<<`.
    fn document(&mut self, list: &mut List) {
        let is_indented = self.eat("-");
        let word = self.goal();
        let goal = Rc::new(OnceCell::new());
        list.command.redirects.push(Redirect::Document(Rc::clone(&goal)));
        let end = word.raw();
        self.pending.push(Pending { end, is_indented, is_quoted: word.is_quoted, goal });
    }

    /// At the end of a line: the here documents begin below it.
    fn end_line(&mut self) {
        let _ = self.next();
        for pending in std::mem::take(&mut self.pending) {
            let mut text = String::new();
            while !self.rest.is_empty() {
                let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
                self.rest = rest;
                let line = if pending.is_indented { line.trim_start_matches('\t') } else { line };
                if line.trim_end_matches('\r') == pending.end {
                    break;
                }
                text.push_str(line);
                text.push('\n');
            }
            let counts = !pending.is_quoted && self.depth < DEEPEST && text.contains(['$', '`']);
            let word = counts.then(|| {
                let mut word = Word::default();
                let mut reader =
                    Reader { rest: &text, pending: Vec::new(), depth: self.depth + 1, parens: 0 };
                reader.double(&mut word, false);
                word
            });
            let _ = pending.goal.set(Document { text, word });
        }
    }
}
