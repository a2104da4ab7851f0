//! What is being typed at a place of a plan: a key, or the value of one.

use std::ops::Range as Span;

use super::super::documents::{Document, Kind};
use crate::domain::plan::document::Format;
use crate::domain::plan::outline::{End, Item, Shape, Step};

/// A place where something is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The keys above it, without lists.
    pub path: Vec<String>,
    /// What is typed.
    pub what: What,
    /// The bytes that what is chosen takes the place of.
    pub replace: Span<usize>,
}

/// What is typed at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A key.
    Key,
    /// A value, or an item of a list of them; its key is the last of the path.
    Value,
}

/// What is being typed at an offset.
pub fn at(document: &Document, offset: usize) -> Option<Slot> {
    match document.kind {
        Kind::Plan(Format::Json) => in_json(document.outline()?, &document.text, offset),
        Kind::Plan(Format::Yaml) => in_yaml(&document.text, offset),
        Kind::Config | Kind::Other => None,
    }
}

fn in_json(root: &Item, text: &str, offset: usize) -> Option<Slot> {
    let way = root.way_to(offset);
    let mut path: Vec<String> = way
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some((*key).to_owned()),
            Step::Item(_) => None,
        })
        .collect();
    match way.end {
        End::Key(_, entry) => Some(Slot { path, what: What::Key, replace: entry.key_span.clone() }),
        End::Value(Item { shape: Shape::Scalar(_), span }) => {
            Some(Slot { path, what: What::Value, replace: span.clone() })
        }
        End::Value(item @ Item { shape: Shape::List(_), span }) => {
            // Behind the bracket nothing is typed any more.
            let is_within = span.start < offset && (offset < span.end || !is_closed(text, item));
            // A list of maps wants a map, which is begun by hand.
            is_within.then_some(Slot { path, what: What::Value, replace: offset..offset })
        }
        End::Value(Item { shape: Shape::Map(entries), span }) => {
            if offset == span.start {
                return None;
            }
            let before = text[span.start..offset].trim_end();
            if before.ends_with(':') {
                let entry = entries.iter().rev().find(|entry| entry.key_span.end <= offset)?;
                path.push(entry.key.clone());
                return Some(Slot { path, what: What::Value, replace: offset..offset });
            }
            before.ends_with(['{', ',']).then_some(Slot { path, what: What::Key, replace: offset..offset })
        }
    }
}

fn is_closed(text: &str, item: &Item) -> bool {
    item.span.len() > 1 && text[..item.span.end].ends_with([']', '}'])
}

/// A line of YAML without its dashes.
struct Line<'t> {
    /// The column of the first dash, if there is one.
    dash: Option<usize>,
    /// The column where what is written begins.
    column: usize,
    content: &'t str,
}

impl<'t> Line<'t> {
    fn of(line: &'t str) -> Self {
        let mut rest = line.trim_start_matches(' ');
        let mut column = line.len() - rest.len();
        let mut dash = None;
        while rest == "-" || rest.starts_with("- ") {
            dash.get_or_insert(column);
            let after = rest[1..].trim_start_matches(' ');
            column += rest.len() - after.len();
            rest = after;
        }
        Self { dash, column, content: rest }
    }

    /// The key that it begins with, and the length of what stands before its value.
    fn key(&self) -> Option<(&'t str, usize)> {
        let end = self.content.find(": ").or_else(|| self.content.strip_suffix(':').map(str::len))?;
        let key = self.content[..end].trim_matches(['"', '\'']);
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        is_key.then_some((key, end + 1))
    }
}

/// By lines and columns alone: what is half typed is no YAML yet.
fn in_yaml(text: &str, offset: usize) -> Option<Slot> {
    let start = text[..offset].rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let end = text[offset..].find(['\n', '\r']).map_or(text.len(), |at| offset + at);
    let line = Line::of(&text[start..offset]);
    if line.content.starts_with('#') {
        return None;
    }
    let above: Vec<&str> = text[..start].lines().collect();
    if let Some((key, length)) = line.key() {
        let mut path = parents(&above, line.column, false);
        path.push(key.to_owned());
        let value = line.content[length..].trim_start();
        return Some(Slot { path, what: What::Value, replace: word(text, offset, value, end) });
    }
    let path = parents(&above, line.dash.unwrap_or(line.column), line.dash.is_some());
    let replace = word(text, offset, line.content, end);
    // An item of a list of texts, or a key of a map.
    let is_value = line.dash.is_some() && !matches!(path.last().map(String::as_str), Some("tasks" | "specs"));
    Some(Slot { path, what: if is_value { What::Value } else { What::Key }, replace })
}

/// The keys that stand beside what is typed at an offset of YAML, in the same map; by lines and columns as well.
pub fn beside_in_yaml(text: &str, offset: usize) -> Vec<&str> {
    let start = text[..offset].rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let end = text[offset..].find(['\n', '\r']).map_or(text.len(), |at| offset + at);
    let own = Line::of(&text[start..offset]);
    let is_said = |line: &Line<'_>| !line.content.is_empty() && !line.content.starts_with('#');
    let mut keys = Vec::new();
    // The first key of an item has nothing above it.
    if own.dash.is_none() {
        for line in text[..start].lines().rev().map(Line::of).filter(is_said) {
            if line.column < own.column {
                break;
            }
            if line.column == own.column {
                keys.extend(line.key().map(|(key, _)| key));
            }
            if line.dash.is_some_and(|dash| dash < own.column) {
                break;
            }
        }
    }
    for line in text[end..].lines().map(Line::of).filter(is_said) {
        if line.column < own.column || line.dash.is_some_and(|dash| dash < own.column) {
            break;
        }
        if line.column == own.column && line.dash.is_none() {
            keys.extend(line.key().map(|(key, _)| key));
        }
    }
    keys
}

/// The word at the end of what is typed of a value, up to where it ends.
fn word(text: &str, offset: usize, typed: &str, line_end: usize) -> Span<usize> {
    let begun = typed.rfind(['[', ',']).map_or(typed, |at| typed[at + 1..].trim_start());
    let rest = &text[offset..line_end];
    let length = rest.find(|c: char| c.is_whitespace() || ",]:#".contains(c)).unwrap_or(rest.len());
    offset - begun.len()..offset + length
}

/// The keys that the lines above put around a column.
fn parents(above: &[&str], mut column: usize, mut is_item: bool) -> Vec<String> {
    let mut path = Vec::new();
    for line in above.iter().rev().map(|line| Line::of(line)) {
        let Some((key, _)) = line.key() else { continue };
        // The items of a list may stand in the column of its key.
        let is_around =
            if is_item { line.column <= column && line.dash != Some(column) } else { line.column < column };
        if is_around {
            path.push(key.to_owned());
            (column, is_item) = match line.dash {
                Some(dash) => (dash, true),
                None => (line.column, false),
            };
        }
        if column == 0 && !is_item {
            break;
        }
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::outline;

    /// The slot at `|`: its path, whether it is a key, and what is replaced.
    fn shown(text: &str, format: Format) -> String {
        let offset = text.find('|').unwrap();
        let text = text.replacen('|', "", 1);
        let slot = match format {
            Format::Json => outline::read(&text, format).and_then(|root| in_json(&root, &text, offset)),
            Format::Yaml => in_yaml(&text, offset),
        };
        slot.map_or_else(
            || "nothing".to_owned(),
            |slot| format!("{} {:?} {:?}", slot.path.join("/"), slot.what, &text[slot.replace]),
        )
    }

    #[test]
    fn what_is_typed_in_json_is_known() {
        let table = [
            (r#"{|"#, r#" Key """#),
            (r#"{"ta|": 1}"#, r#" Key "\"ta\"""#),
            (r#"{"tasks": [{"id": 1, |}]}"#, r#"tasks Key """#),
            (r#"{"tasks": [{"id": 1, "depends_on": [|]}]}"#, r#"tasks/depends_on Value """#),
            (r#"{"tasks": [{"id": 1, "depends_on": [1, |"#, r#"tasks/depends_on Value """#),
            (r#"{"tasks": [{"id": 1, "agent": "cl|"}]}"#, r#"tasks/agent Value "\"cl\"""#),
            (r#"{"tasks": [{"id": 1, "agent": |}]}"#, r#"tasks/agent Value """#),
            (r#"{"tasks": [{"rules": {"|"}}]}"#, r#"tasks/rules Key "\"\"""#),
            (r#"{"tasks": [{"id": 1} |]}"#, r#"tasks Value """#),
            (r#"{"tasks": []|}"#, "nothing"),
            (r#"|{}"#, "nothing"),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text, Format::Json), expected, "{text}");
        }
    }

    #[test]
    fn the_keys_beside_what_is_typed_in_yaml_are_known() {
        let table = [
            ("name: x\n|\ntasks:\n- id: 1\n", "name tasks"),
            (
                "tasks:\n  - id: 1\n    rules:\n      tdd: true\n    |\n    # x: 1\n    files:\n    - a: b\n  - id: 2\n    task: x\n",
                "rules id files",
            ),
            ("tasks:\n- id: 1\n  task: x\n- |\n  role: y\n- agent: z\n", "role"),
            ("tasks:\n- id: 1\n  fi|: 2\n\n  task: x\nname: y\n", "id task"),
        ];
        for (text, expected) in table {
            let offset = text.find('|').unwrap();
            assert_eq!(beside_in_yaml(&text.replacen('|', "", 1), offset).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn what_is_typed_in_yaml_is_known() {
        let table = [
            ("|", r#" Key """#),
            ("ta|", r#" Key "ta""#),
            ("tasks:\n  - i|", r#"tasks Key "i""#),
            ("tasks:\n- id: 1\n  fi|: 2", r#"tasks Key "fi""#),
            ("tasks:\n  - id: 1\n    agent: cl|\n", r#"tasks/agent Value "cl""#),
            ("tasks:\n  - id: 1\n    depends_on: [a, b|, c]\n", r#"tasks/depends_on Value "b""#),
            ("tasks:\n  - id: 1\n    depends_on: [|]\n", r#"tasks/depends_on Value """#),
            ("tasks:\n  - id: 1\n    files:\n      - src/|\n", r#"tasks/files Value "src/""#),
            ("tasks:\n  - id: 1\n    files:\n    - src/a|.rs\n", r#"tasks/files Value "src/a.rs""#),
            ("tasks:\n- id: 1\n  files:\n  - a\n  - |\n", r#"tasks/files Value """#),
            ("tasks:\n  - id: 1\n    rules:\n      td|", r#"tasks/rules Key "td""#),
            ("specs:\n  - file: sp|\ntasks:\n", r#"specs/file Value "sp""#),
            ("# a: |", "nothing"),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text, Format::Yaml), expected, "{text}");
        }
    }
}
