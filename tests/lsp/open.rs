//! A plan or a configuration that is open in an editor.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::client::{Editor, uri};
use crate::world::World;

/// A plan file that is open.
pub struct Open {
    pub world: World,
    pub editor: Editor,
    pub path: PathBuf,
    pub text: String,
    pub version: i32,
}

impl Open {
    pub fn new(name: &str, text: &str) -> Self {
        Self::in_world(World::new(&[("src/a.rs", ""), ("src/b.rs", ""), ("src/db/c.rs", "")]), name, text)
    }

    pub fn in_world(world: World, name: &str, text: &str) -> Self {
        let path = world.path(name);
        let mut editor = world.editor();
        editor.open(&path, text);
        Self { world, editor, path, text: text.to_owned(), version: 1 }
    }

    /// Replaces the text and gives what is wrong with it.
    pub fn change(&mut self, text: &str) -> Vec<Value> {
        self.version += 1;
        self.text = text.to_owned();
        self.editor.change(&self.path, self.version, text);
        self.problems()
    }

    /// What is wrong with the text as it is now.
    pub fn problems(&mut self) -> Vec<Value> {
        let (uri, version) = (uri(&self.path), self.version);
        let told = self.editor.told("textDocument/publishDiagnostics", |params| {
            params["uri"] == uri.as_str() && params["version"] == version
        });
        told["diagnostics"].as_array().unwrap().clone()
    }

    pub fn at(&self, position: Value) -> Value {
        json!({"textDocument": {"uri": uri(&self.path)}, "position": position})
    }

    /// The text of a range.
    pub fn text_of(&self, range: &Value) -> String {
        text_of(&self.text, range)
    }

    /// The text with the edits of an action.
    pub fn edited(&self, edits: &Value) -> String {
        let mut text = self.text.clone();
        let mut edits: Vec<&Value> = edits.as_array().unwrap().iter().collect();
        edits.sort_by_key(|edit| std::cmp::Reverse(offset(&self.text, &edit["range"]["start"])));
        for edit in edits {
            let span = offset(&self.text, &edit["range"]["start"])..offset(&self.text, &edit["range"]["end"]);
            text.replace_range(span, edit["newText"].as_str().unwrap());
        }
        text
    }

    /// The code actions for these diagnostics.
    pub fn actions(&mut self, diagnostics: &[Value]) -> Vec<Value> {
        let range = diagnostics.first().map_or(
            json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}),
            |it| it["range"].clone(),
        );
        let params = json!({"textDocument": {"uri": uri(&self.path)}, "range": range, "context": {"diagnostics": diagnostics}});
        let mut actions = self.editor.result("textDocument/codeAction", params).as_array().unwrap().clone();
        // Whoever holds the file can let go of it too, which is so from the moment in which the server claimed it.
        actions.retain(|action| !action["title"].as_str().unwrap().starts_with("Release "));
        actions
    }

    /// What can be typed at `|` in a text: labels, and the text with the first choice of that label.
    pub fn complete(&mut self, marked: &str) -> Vec<Value> {
        let at = marked.find('|').unwrap();
        let text = marked.replacen('|', "", 1);
        self.change(&text);
        let params = self.at(position(&text, at));
        let answer = self.editor.result("textDocument/completion", params);
        answer.as_array().cloned().unwrap_or_default()
    }
}

/// The offset of a position, all of ASCII.
pub fn offset(text: &str, position: &Value) -> usize {
    let line = position["line"].as_u64().unwrap() as usize;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    start + position["character"].as_u64().unwrap() as usize
}

pub fn position(text: &str, offset: usize) -> Value {
    let line = text[..offset].matches('\n').count();
    let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    json!({"line": line, "character": offset - start})
}

pub fn text_of(text: &str, range: &Value) -> String {
    text[offset(text, &range["start"])..offset(text, &range["end"])].to_owned()
}

pub fn labels(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["label"].as_str().unwrap()).collect()
}

/// Codes and the texts that they are about, sorted.
pub fn shown(open: &Open, diagnostics: &[Value]) -> Vec<String> {
    let mut shown: Vec<String> = diagnostics
        .iter()
        .map(|it| format!("{} {}", it["code"].as_str().unwrap(), open.text_of(&it["range"])))
        .collect();
    shown.sort();
    shown
}

/// Rules that want neither specs nor tests.
pub const QUIET: &str = r#""rules": {"spec_first": false, "tdd": false}"#;
