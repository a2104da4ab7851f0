//! Plans and the configuration as they are written.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Editor, uri};
use crate::world::World;

/// A plan file that is open.
struct Open {
    world: World,
    editor: Editor,
    path: PathBuf,
    text: String,
    version: i32,
}

impl Open {
    fn new(name: &str, text: &str) -> Self {
        Self::in_world(World::new(&[("src/a.rs", ""), ("src/b.rs", ""), ("src/db/c.rs", "")]), name, text)
    }

    fn in_world(world: World, name: &str, text: &str) -> Self {
        let path = world.path(name);
        let mut editor = world.editor();
        editor.open(&path, text);
        Self { world, editor, path, text: text.to_owned(), version: 1 }
    }

    /// Replaces the text and gives what is wrong with it.
    fn change(&mut self, text: &str) -> Vec<Value> {
        self.version += 1;
        self.text = text.to_owned();
        self.editor.change(&self.path, self.version, text);
        self.problems()
    }

    /// What is wrong with the text as it is now.
    fn problems(&mut self) -> Vec<Value> {
        let (uri, version) = (uri(&self.path), self.version);
        let told = self.editor.told("textDocument/publishDiagnostics", |params| {
            params["uri"] == uri.as_str() && params["version"] == version
        });
        told["diagnostics"].as_array().unwrap().clone()
    }

    fn at(&self, position: Value) -> Value {
        json!({"textDocument": {"uri": uri(&self.path)}, "position": position})
    }

    /// The text of a range.
    fn text_of(&self, range: &Value) -> String {
        text_of(&self.text, range)
    }

    /// The text with the edits of an action.
    fn edited(&self, edits: &Value) -> String {
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
    fn actions(&mut self, diagnostics: &[Value]) -> Vec<Value> {
        let range = diagnostics.first().map_or(
            json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}),
            |it| it["range"].clone(),
        );
        let params = json!({"textDocument": {"uri": uri(&self.path)}, "range": range, "context": {"diagnostics": diagnostics}});
        self.editor.result("textDocument/codeAction", params).as_array().unwrap().clone()
    }

    /// What can be typed at `|` in a text: labels, and the text with the first choice of that label.
    fn complete(&mut self, marked: &str) -> Vec<Value> {
        let at = marked.find('|').unwrap();
        let text = marked.replacen('|', "", 1);
        self.change(&text);
        let params = self.at(position(&text, at));
        let answer = self.editor.result("textDocument/completion", params);
        answer.as_array().cloned().unwrap_or_default()
    }
}

/// The offset of a position, all of ASCII.
fn offset(text: &str, position: &Value) -> usize {
    let line = position["line"].as_u64().unwrap() as usize;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    start + position["character"].as_u64().unwrap() as usize
}

fn position(text: &str, offset: usize) -> Value {
    let line = text[..offset].matches('\n').count();
    let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    json!({"line": line, "character": offset - start})
}

fn text_of(text: &str, range: &Value) -> String {
    text[offset(text, &range["start"])..offset(text, &range["end"])].to_owned()
}

fn labels(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["label"].as_str().unwrap()).collect()
}

/// Codes and the texts that they are about, sorted.
fn shown(open: &Open, diagnostics: &[Value]) -> Vec<String> {
    let mut shown: Vec<String> = diagnostics
        .iter()
        .map(|it| format!("{} {}", it["code"].as_str().unwrap(), open.text_of(&it["range"])))
        .collect();
    shown.sort();
    shown
}

const QUIET: &str = r#""rules": {"spec_first": false, "tdd": false}"#;

#[test]
fn every_problem_stands_at_its_text() {
    let mut open = Open::new("plan.json", "{}");
    let path = open.world.write("kapell.toml", "[workers.kept]\nprovider = \"claude\"\nprotected = true\n[workers.w]\nprovider = \"claude\"\n[[project.integrator]]\nfiles = [\"Cargo.lock\"]\ncommand = \"true\"\n");
    assert!(path.exists());
    let task = |rest: &str| format!("{{\"tasks\": [{rest}], {QUIET}}}");
    let table: [(String, &[&str]); 14] = [
        (task(r#"{"id": 1, "task": "x", "files": ["a"]}"#), &[]),
        (
            task(r#"{"id": 1, "task": "x", "files": ["a"]}, {"id": 1, "task": "x", "files": ["b"]}"#),
            &["duplicate-id 1"],
        ),
        (
            task(r#"{"id": 1, "task": "x", "files": ["a"], "depends_on": [2, 3]}"#),
            &["unknown-dependency 2", "unknown-dependency 3"],
        ),
        (
            task(
                r#"{"id": 1, "task": "x", "files": ["a"], "depends_on": [2]}, {"id": 2, "task": "x", "files": ["b"], "depends_on": [3]}, {"id": 3, "task": "x", "files": ["c"], "depends_on": [1]}"#,
            ),
            &["cycle 1", "cycle 2", "cycle 3"],
        ),
        (
            task(
                r#"{"id": 1, "task": "x", "files": ["b", "src/"]}, {"id": 2, "task": "x", "files": ["src/a.rs"]}"#,
            ),
            &["overlap \"src/\"", "overlap \"src/a.rs\""],
        ),
        (task(r#"{"id": 1, "task": "x", "files": []}"#), &["no-files []"]),
        (task(r#"{"id": 1, "task": "x", "files": ["/etc", "a"]}"#), &["bad-path \"/etc\""]),
        (task(r#"{"id": 1, "task": "x", "files": ["Cargo.lock"]}"#), &["shared-file \"Cargo.lock\""]),
        (task(r#"{"id": 1, "task": "x", "files": ["a"], "agent": "claud"}"#), &["unknown-agent \"claud\""]),
        (task(r#"{"id": 1, "task": "x", "files": ["a"], "target": "kept"}"#), &["protected-worker \"kept\""]),
        (
            r#"{"tasks": [{"id": 1, "task": "x", "files": ["a.test.ts"]}]}"#.to_owned(),
            &[r#"no-specs {"tasks": [{"id": 1, "task": "x", "files": ["a.test.ts"]}]}"#],
        ),
        (
            r#"{"rules": {"spec_first": false}, "tasks": [{"id": 1, "task": "x", "files": ["a.ts"]}]}"#
                .to_owned(),
            &["no-tests [\"a.ts\"]"],
        ),
        (task(r#"{"id": 1, "task": "x", "filess": ["a"], "files": ["a"]}"#), &["syntax \"filess\""]),
        (task(r#"{"id": 1 "task": "x", "files": ["a"]}"#), &["syntax \"task\":"]),
    ];
    for (text, expected) in table {
        let problems = open.change(&text);
        assert_eq!(shown(&open, &problems), expected, "{text}\n{problems:#?}");
        for problem in problems {
            assert_eq!(problem["source"], "kapell");
            assert!(!problem["data"]["hint"].as_str().unwrap().is_empty());
        }
    }
    open.editor.finish();
}

#[test]
fn overlaps_and_cycles_lead_to_their_other_ends() {
    let text = format!(
        "{{\"tasks\": [\n{{\"id\": 1, \"task\": \"x\", \"files\": [\"src/\"], \"depends_on\": []}},\n{{\"id\": 2, \"task\": \"x\", \"files\": [\"src/a.rs\"]}}], {QUIET}}}"
    );
    let mut open = Open::new("my.plan.json", &text);
    let problems = open.problems();
    assert_eq!(problems.len(), 2);
    for problem in &problems {
        assert_eq!(problem["severity"], 1);
        assert!(problem["message"].as_str().unwrap().contains("both own src/a.rs"), "{problem}");
        let related = &problem["relatedInformation"];
        assert_eq!(related.as_array().unwrap().len(), 1);
        let other = open.text_of(&related[0]["location"]["range"]);
        assert_ne!(other, open.text_of(&problem["range"]));
        assert_eq!(related[0]["location"]["uri"], uri(&open.path));
    }
    // Three ways to mend it.
    let actions = open.actions(&problems[..1]);
    let titles: Vec<&str> = actions.iter().map(|action| action["title"].as_str().unwrap()).collect();
    assert_eq!(titles[0], "Let task 2 wait for task 1");
    assert_eq!(titles[1], "Let task 1 wait for task 2");
    let first = open.edited(&actions[0]["edit"]["changes"][uri(&open.path)]);
    assert!(first.contains(r#""files": ["src/a.rs"], "depends_on": [1]}"#), "{first}");
    assert_eq!(open.change(&first), Vec::<Value>::new());
    open.change(&text);
    let problems = {
        open.version += 1;
        open.editor.change(&open.path.clone(), open.version, &text);
        open.problems()
    };
    let broad: Vec<Value> =
        problems.into_iter().filter(|it| open.text_of(&it["range"]) == "\"src/\"").collect();
    let actions = open.actions(&broad);
    let split =
        actions.iter().find(|action| action["title"].as_str().unwrap().starts_with("Split src/")).unwrap();
    let text = open.edited(&split["edit"]["changes"][uri(&open.path)]);
    assert!(text.contains(r#""files": ["src/b.rs", "src/db/c.rs"]"#), "{text}");
    assert_eq!(open.change(&text), Vec::<Value>::new());
    open.editor.finish();
}

#[test]
fn what_was_meant_and_what_is_missing_is_written_by_an_action() {
    let mut open = Open::new("plan.json", "{}");
    let mend = |open: &mut Open, text: &str, title: &str| {
        let problems = open.change(text);
        let actions = open.actions(&problems);
        let found = actions.iter().find(|action| action["title"] == title);
        let action = found.unwrap_or_else(|| panic!("{title}: {actions:#?}"));
        open.edited(&action["edit"]["changes"][uri(&open.path)])
    };
    let spec = mend(
        &mut open,
        "{\n  \"tasks\": [{\"id\": 1, \"task\": \"x\", \"files\": [\"a.test.ts\"]}]\n}",
        "Name a spec: specs/plan.md",
    );
    assert!(spec.starts_with("{\n  \"specs\": [{\"file\": \"specs/plan.md\", \"description\": \"What is to be built\"}],\n  \"tasks\""), "{spec}");
    let agent = mend(
        &mut open,
        &format!(
            "{{\"tasks\": [{{\"id\": 1, \"task\": \"x\", \"files\": [\"a\"], \"agent\": \"claud\"}}], {QUIET}}}"
        ),
        "Write claude instead",
    );
    assert!(agent.contains("\"agent\": \"claude\""), "{agent}");
    let key = mend(
        &mut open,
        &format!(
            "{{\"tasks\": [{{\"id\": 1, \"task\": \"x\", \"fils\": [\"a\"], \"files\": [\"a\"]}}], {QUIET}}}"
        ),
        "Write files instead",
    );
    assert!(key.contains("\"files\": [\"a\"], \"files\""), "{key}");
    let files = mend(
        &mut open,
        &format!("{{\"tasks\": [{{\"id\": 1, \"task\": \"x\"}}], {QUIET}}}"),
        "Give task 1 files of its own",
    );
    assert!(files.contains("\"task\": \"x\", \"files\": [\"src/\"]}"), "{files}");
    let id = mend(
        &mut open,
        &format!(
            "{{\"tasks\": [{{\"id\": 1, \"task\": \"x\", \"files\": [\"a\"]}}, {{\"id\": 1, \"task\": \"x\", \"files\": [\"b\"]}}], {QUIET}}}"
        ),
        "Call it 2",
    );
    assert!(id.contains("{\"id\": 2, \"task\": \"x\", \"files\": [\"b\"]}"), "{id}");
    open.editor.finish();
}

#[test]
fn yaml_is_mended_in_its_own_way() {
    let text = "rules: {spec_first: false, tdd: false}\ntasks:\n  - id: 1\n    task: x\n    files:\n      - src/\n  - id: two\n    task: x\n    files:\n      - src/a.rs\n";
    let mut open = Open::new("a.plan.yaml", text);
    let problems = open.problems();
    assert_eq!(shown(&open, &problems), ["overlap src/", "overlap src/a.rs"]);
    let actions = open.actions(&problems);
    let first = open.edited(&actions[0]["edit"]["changes"][uri(&open.path)]);
    assert!(first.contains("      - src/a.rs\n    depends_on: [1]\n"), "{first}");
    assert_eq!(open.change(&first), Vec::<Value>::new());
    open.change(text);
    let broad: Vec<Value> = problems.into_iter().filter(|it| text_of(text, &it["range"]) == "src/").collect();
    let actions = open.actions(&broad);
    let split = actions.iter().find(|action| action["title"].as_str().unwrap().starts_with("Split")).unwrap();
    let split = open.edited(&split["edit"]["changes"][uri(&open.path)]);
    assert!(split.contains("      - src/b.rs\n      - src/db/c.rs\n"), "{split}");
    assert_eq!(open.change(&split), Vec::<Value>::new());
    let problems = open.change("tasks:\n  - id: 1\n    task: x\n    files: [a.test.ts]\n");
    let actions = open.actions(&problems);
    let spec = open.edited(&actions[0]["edit"]["changes"][uri(&open.path)]);
    assert!(spec.starts_with("specs: [{file: specs/a.md, description: "), "{spec}");
    assert_eq!(open.change(&spec), Vec::<Value>::new());
    open.editor.finish();
}

#[test]
fn a_comment_behind_quotes_is_no_part_of_a_yaml_value() {
    let text = "rules: {spec_first: false, tdd: false}\ntasks:\n- id: 'c'   # comment one\n  task: x\n  files: [a.rs]\n- id: 'c'   # comment two\n  task: y\n  files:\n  - 'src/*'   # all of it\n- id: d\n  task: z\n  files: ['src/a.rs']\n";
    let mut open = Open::new("q.plan.yaml", text);
    let problems = open.problems();
    let found = shown(&open, &problems);
    assert!(found.contains(&"duplicate-id 'c'".to_owned()), "{found:?}");
    let twice: Vec<Value> = problems.into_iter().filter(|it| it["code"] == "duplicate-id").collect();
    let actions = open.actions(&twice);
    assert_eq!(actions[0]["title"], "Call it c-2");
    let edited = open.edited(&actions[0]["edit"]["changes"][uri(&open.path)]);
    assert!(edited.contains("- id: 'c-2'   # comment two\n"), "{edited}");
    let problems = open.change(&edited);
    assert!(shown(&open, &problems).contains(&"overlap 'src/*'".to_owned()), "{:?}", shown(&open, &problems));
    let broad: Vec<Value> =
        problems.into_iter().filter(|it| open.text_of(&it["range"]) == "'src/*'").collect();
    let actions = open.actions(&broad);
    let narrow = actions.iter().find(|it| it["title"].as_str().unwrap().starts_with("Narrow")).unwrap();
    assert_eq!(
        narrow["title"],
        "Narrow src/* of task c-2 down to src/b.rs, which the other task does not own"
    );
    let edited = open.edited(&narrow["edit"]["changes"][uri(&open.path)]);
    assert!(edited.contains("  - src/b.rs   # all of it\n"), "{edited}");
    assert_eq!(open.change(&edited), Vec::<Value>::new());
    open.editor.finish();
}

#[test]
fn what_an_action_writes_ends_its_lines_as_the_text_does_and_leaves_comments_where_they_are() {
    // The text, an action, and what stands where in the text afterwards.
    let table = [
        (
            "a.plan.yaml",
            "tasks: # all\n- id: one # the id\n  task: x\n  files: [src/] # theirs\n- id: two\n  files: [\"src/a.rs\"]\n  task: x # last\n",
            "Let task two wait for task one",
            "  task: x # last\n  depends_on: [one]\n",
        ),
        (
            "b.plan.yaml",
            "tasks:\n- id: 1\n  task: x\n  files: [src/]\n- id: 2\n  task: x\n  files: [src/a.rs]\n  depends_on:\n  - 3 # first\n- id: 3\n  task: x\n  files: [docs/]\n",
            "Let task 2 wait for task 1",
            "  - 3 # first\n  - 1\n- id: 3",
        ),
        (
            "c.plan.json",
            "{\n  \"tasks\": [\n    {\"id\": 1, \"task\": \"x\", \"files\": [\"src/\"]},\n    {\n      \"id\": 2,\n      \"task\": \"x\",\n      \"files\": [\"src/a.rs\"] // mine\n    }\n  ]\n}\n",
            "Let task 2 wait for task 1",
            "      \"files\": [\"src/a.rs\"], // mine\n      \"depends_on\": [1]\n    }",
        ),
        (
            "d.plan.yaml",
            "tasks:\n- id: 1\n  task: x\n  files: [a.rs]\n",
            "Name a spec: specs/d.md",
            "description: 'What is to be built'}]\ntasks:\n- id: 1",
        ),
        (
            "e.plan.yaml",
            "tasks:\n- id: 1\n  task: x\n  files:\n  - src/\n- id: 2\n  task: x\n  files: [src/a.rs]\n",
            "Split src/ of task 1 into 2 files, without those of the other task",
            "  - src/b.rs\n  - src/db/c.rs\n- id: 2",
        ),
    ];
    for (name, text, title, expected) in table {
        for line_end in ["\n", "\r\n"] {
            let text = text.replace('\n', line_end);
            let mut open = Open::new(name, &text);
            let problems = open.problems();
            let actions = open.actions(&problems);
            let action = actions.iter().find(|action| action["title"] == title);
            let action = action.unwrap_or_else(|| panic!("{title}: {actions:#?}"));
            let edits = &action["edit"]["changes"][uri(&open.path)];
            let edited = open.edited(edits);
            assert!(edited.contains(&expected.replace('\n', line_end)), "{edited:?}");
            assert_eq!(edited.matches('\n').count(), edited.matches(line_end).count(), "{edited:?}");
            // All else stays: without what was written it is the text from before.
            let written: usize =
                edits.as_array().unwrap().iter().map(|it| it["newText"].as_str().unwrap().len()).sum();
            let is_added = title.starts_with("Split") || edited.len() == text.len() + written;
            assert!(is_added, "{edited:?}");
            open.editor.finish();
        }
    }
}

#[test]
fn half_typed_texts_have_a_problem_and_symbols() {
    let mut open = Open::new("plan.json", "");
    let problems = open.problems();
    assert_eq!(shown(&open, &problems), ["syntax "]);
    let whole = r#"{"tasks": [{"id": 1, "task": "x", "files": ["a"]}, {"id": "b", "task": "y", "files": ["b"], "depends_on": [1]}]}"#;
    for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
        let problems = open.change(&whole[..end]);
        assert!(problems.iter().any(|it| it["code"] == "syntax"), "{}: {problems:?}", &whole[..end]);
        for method in ["documentSymbol", "foldingRange"] {
            let params = json!({"textDocument": {"uri": uri(&open.path)}});
            open.editor.result(&format!("textDocument/{method}"), params);
        }
        let params = open.at(position(&whole[..end], end));
        open.editor.result("textDocument/completion", params.clone());
        open.editor.result("textDocument/hover", params);
    }
    open.change(r#"{"tasks": [{"id": 1, "task": "one", "fi"#);
    let params = json!({"textDocument": {"uri": uri(&open.path)}});
    let symbols = open.editor.result("textDocument/documentSymbol", params);
    assert_eq!((&symbols[0]["name"], &symbols[0]["detail"]), (&json!("task 1"), &json!("one")));
    open.editor.finish();
    let whole = "specs:\n  - file: s.md\ntasks:\n  - id: 1\n    task: 'x'\n    files: [a, \"b\"]\n  - id: b\n    depends_on:\n      - 1\n";
    let mut open = Open::new("plan.yaml", "");
    for end in 0..whole.len() {
        open.change(&whole[..end]);
        let params = json!({"textDocument": {"uri": uri(&open.path)}});
        open.editor.result("textDocument/documentSymbol", params);
        let params = open.at(position(&whole[..end], end));
        open.editor.result("textDocument/completion", params);
    }
    open.change("tasks:\n  - id: 1\n    task: one\n    fi\n  - id: 2\n    task: two\n");
    let params = json!({"textDocument": {"uri": uri(&open.path)}});
    let symbols = open.editor.result("textDocument/documentSymbol", params);
    let names: Vec<&str> =
        symbols.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["task 1", "task 2"]);
    open.editor.finish();
}

/// A plan of so many tasks, each on lines of its own.
fn long_plan(count: usize) -> String {
    let tasks: Vec<String> = (0..count)
        .map(|n| {
            let before = if n == 0 { String::new() } else { (n - 1).to_string() };
            format!("    {{\n      \"id\": {n},\n      \"task\": \"task {n}\",\n      \"files\": [\"src/m{n}/a.rs\", \"src/m{n}/b.rs\", \"tests/m{n}.rs\"],\n      \"depends_on\": [{before}]\n    }}")
        })
        .collect();
    format!("{{\n  {QUIET},\n  \"tasks\": [\n{}\n  ]\n}}\n", tasks.join(",\n"))
}

#[test]
fn long_plans_are_checked_and_huge_ones_do_no_harm() {
    let mut open = Open::new("plan.json", "{}");
    let text = long_plan(500);
    assert_eq!(open.change(&text), Vec::<Value>::new());
    let broken = text.replace("\"depends_on\": [498]", "\"depends_on\": [499, 700]");
    let begun = Instant::now();
    let problems = open.change(&broken);
    let took = begun.elapsed();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    // The program under test is not optimised; the bench holds the figure that counts.
    assert!(took < Duration::from_secs(5), "{took:?}");
    // A hundred thousand lines: what is asked meanwhile is answered, and the newest text is what counts.
    let huge = long_plan(16_500);
    assert!(huge.lines().count() > 99_000);
    open.version += 1;
    open.editor.change(&open.path.clone(), open.version, &huge);
    open.editor.result("kapell/owner", json!({"uri": uri(&open.path)}));
    // A circle through all of them.
    let circle = huge.replacen("\"depends_on\": []", "\"depends_on\": [16499]", 1);
    open.version += 1;
    open.editor.change(&open.path.clone(), open.version, &circle);
    let problems = open.change(&format!("{{\"tasks\": [], {QUIET}}}"));
    assert_eq!(problems[0]["code"], "syntax", "{problems:?}");
    let problems = open.change(&circle);
    assert!(problems.iter().all(|it| it["code"] == "cycle") && problems.len() == 200, "{}", problems.len());
    open.editor.finish();
}

#[test]
fn ids_lead_to_tasks_and_back() {
    let text = "{\"tasks\": [{\"id\": \"one\", \"task\": \"x\", \"files\": [\"a\"]},\n{\"id\": 2, \"depends_on\": [\"one\"]},\n{\"id\": 3, \"depends_on\": [2, \"one\"]}]}";
    let mut open = Open::new("plan.json", text);
    let at = text.rfind("\"one\"").unwrap() + 2;
    let params = open.at(position(text, at));
    let definition = open.editor.result("textDocument/definition", params.clone());
    assert_eq!(offset(text, &definition["range"]["start"]), text.find("\"one\"").unwrap());
    let mut params = params;
    for (declaration, count) in [(true, 3), (false, 2)] {
        params["context"] = json!({"includeDeclaration": declaration});
        let references = open.editor.result("textDocument/references", params.clone());
        assert_eq!(references.as_array().unwrap().len(), count);
        assert!(references.as_array().unwrap().iter().all(|it| open.text_of(&it["range"]) == "\"one\""));
    }
    let params = open.at(position(text, 3));
    assert_eq!(open.editor.result("textDocument/definition", params), Value::Null);
    let params = json!({"textDocument": {"uri": uri(&open.path)}});
    let symbols = open.editor.result("textDocument/documentSymbol", params);
    assert_eq!(symbols.as_array().unwrap().len(), 3);
    assert_eq!(open.text_of(&symbols[1]["range"]), "{\"id\": 2, \"depends_on\": [\"one\"]}");
    assert_eq!(open.text_of(&symbols[1]["selectionRange"]), "2");
    open.change("{\n  \"tasks\": [\n    {\n      \"id\": 1\n    }\n  ]\n}\n");
    let params = json!({"textDocument": {"uri": uri(&open.path)}});
    let folds = open.editor.result("textDocument/foldingRange", params);
    let lines: Vec<(u64, u64)> = folds
        .as_array()
        .unwrap()
        .iter()
        .map(|fold| (fold["startLine"].as_u64().unwrap(), fold["endLine"].as_u64().unwrap()))
        .collect();
    assert_eq!(lines, [(0, 5), (1, 4), (2, 3)]);
    open.editor.finish();
}

#[test]
fn ids_agents_groups_paths_and_keys_are_completed() {
    let world = World::new(&[
        ("src/a.rs", ""),
        ("src/db/c.rs", ""),
        (
            "kapell.toml",
            "[groups.review]\nmembers = [\"w1\"]\n[workers.w1]\nprovider = \"claude\"\n[workers.kept]\nprovider = \"claude\"\nprotected = true\n",
        ),
    ]);
    let mut open = Open::in_world(world, "plan.json", "{}");
    let items = open.complete(r#"{"tasks": [{"id": 1, "task": "first"}, {"id": "two", "depends_on": [|]}]}"#);
    assert_eq!(labels(&items), ["1"]);
    assert_eq!((&items[0]["detail"], &items[0]["textEdit"]["newText"]), (&json!("first"), &json!("1")));
    let items = open.complete(r#"{"tasks": [{"id": "one"}, {"id": 2, "depends_on": ["o|"]}]}"#);
    assert_eq!((labels(&items), &items[0]["textEdit"]["newText"]), (vec!["one"], &json!("\"one\"")));
    assert_eq!(open.text_of(&items[0]["textEdit"]["range"]), "\"o\"");
    let items = open.complete(r#"{"tasks": [{"id": 1, "agent": "|"}]}"#);
    for name in ["auto", "review", "w1", "claude"] {
        assert!(labels(&items).contains(&name), "{name}: {:?}", labels(&items));
    }
    assert!(!labels(&items).contains(&"kept"));
    let items = open.complete(r#"{"tasks": [{"id": 1, "files": ["src/|"]}]}"#);
    assert_eq!(labels(&items), ["src/a.rs", "src/db/"]);
    let items = open.complete(r#"{"tasks": [{"id": 1, "files": ["../|"]}]}"#);
    assert_eq!(labels(&items), Vec::<&str>::new());
    let items = open.complete(r#"{"tasks": [{"id": 1, |}]}"#);
    assert!(labels(&items).contains(&"files") && !labels(&items).contains(&"id"), "{:?}", labels(&items));
    let files = items.iter().find(|item| item["label"] == "files").unwrap();
    assert_eq!(files["textEdit"]["newText"], "\"files\": ");
    assert!(!files["detail"].as_str().unwrap().is_empty());
    let items = open.complete(r#"{"|"}"#);
    assert!(labels(&items).contains(&"tasks") && labels(&items).contains(&"specs"));
    let items = open.complete(r#"{"tasks": [{"rules": {"tdd": |}}]}"#);
    assert_eq!(labels(&items), ["true", "false"]);
    open.editor.finish();
    let world = World::new(&[("src/a.rs", "")]);
    let mut open = Open::in_world(world, "plan.yml", "");
    let items = open.complete("tasks:\n  - id: 1\n  - id: 2\n    depends_on: [|]\n");
    assert_eq!(labels(&items), ["1"]);
    let items = open.complete("tasks:\n  - id: 1\n    files:\n      - sr|\n");
    assert_eq!(
        (labels(&items), &items[0]["textEdit"]["newText"]),
        (vec!["plan.yml", "src/"].into_iter().filter(|name| *name == "src/").collect(), &json!("src/"))
    );
    let items = open.complete("tasks:\n  - id: 1\n    com|\n");
    assert!(labels(&items).contains(&"complexity"));
    // What a task has is not offered once more, and what the plan has is.
    let items = open.complete("rules: {tdd: false}\ntasks:\n  - id: 1\n    |\n    files: [a]\n");
    let found = labels(&items);
    assert!(!found.contains(&"id") && !found.contains(&"files"), "{found:?}");
    assert!(found.contains(&"task") && found.contains(&"rules"), "{found:?}");
    open.editor.finish();
}

#[test]
fn hovers_tell_of_files_holders_tasks_and_keys() {
    let text = format!(
        "{{\"name\": \"p\", \"tasks\": [{{\"id\": 1, \"task\": \"first\", \"files\": [\"src/**\"]}}, {{\"id\": 2, \"task\": \"x\", \"files\": [\"none\"], \"depends_on\": [1]}}], {QUIET}}}"
    );
    let mut open = Open::new("plan.json", &text);
    open.world.claim("robot", "src/db");
    let hover = |open: &mut Open, what: &str| -> String {
        let at = text.find(what).unwrap() + 1;
        let params = open.at(position(&text, at));
        open.editor.result("textDocument/hover", params)["contents"]["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let page = hover(&mut open, "\"src/**\"");
    assert!(page.contains("matches 3 files") && page.contains("- `src/db/c.rs`"), "{page}");
    assert!(page.contains("- robot (agent) as `src/db`"), "{page}");
    assert!(hover(&mut open, "\"none\"").contains("matches no file yet"));
    assert!(hover(&mut open, "[1]").contains("not stored yet"));
    open.world.write("plan.json", &text);
    let output = open.world.run(&["plan", "plan.json"]);
    assert!(output["plan_id"].is_string(), "{output}");
    let page = hover(&mut open, "[1]");
    assert!(page.contains("**Task 1** first") && page.contains("**waiting**"), "{page}");
    assert!(hover(&mut open, "\"files\"").starts_with("`files`: "));
    open.editor.finish();
}

#[test]
fn lenses_check_dispatch_and_tell_how_far_tasks_are() {
    let text = format!("{{\"tasks\": [\n{{\"id\": 1, \"task\": \"x\", \"files\": [\"a\"]}}], {QUIET}}}");
    let world = World::new(&[("plan.json", &text)]);
    let mut open = Open::in_world(world, "plan.json", &text);
    let lenses = |open: &mut Open| -> Vec<Value> {
        let params = json!({"textDocument": {"uri": uri(&open.path)}});
        open.editor.result("textDocument/codeLens", params).as_array().unwrap().clone()
    };
    let title = |lens: &Value| lens["command"]["title"].as_str().unwrap().to_owned();
    assert_eq!(lenses(&mut open).iter().map(title).collect::<Vec<_>>(), ["Check", "Dispatch"]);
    let first = lenses(&mut open)[0]["command"].clone();
    let checked = open.editor.result(
        "workspace/executeCommand",
        json!({"command": first["command"], "arguments": first["arguments"]}),
    );
    assert_eq!(
        (&checked["plan"]["problems"], &checked["plan"]["plan_id"]),
        (&json!([]), &Value::Null),
        "{checked}"
    );
    open.world.run(&["plan", "plan.json"]);
    // The server says when there is something new to ask for.
    open.editor
        .wait_for("a wish for new lenses", |message| message["method"] == "workspace/codeLens/refresh");
    let found = lenses(&mut open);
    assert_eq!(title(found.last().unwrap()), "waiting");
    assert_eq!(found.last().unwrap()["range"]["start"]["line"], 1);
    // Another file of that name is another plan, and steers nothing of this one.
    let other = open.world.write("sub/plan.json", &text.replace("\"x\"", "\"y\""));
    let own = open.path.clone();
    open.editor.open(&other, &std::fs::read_to_string(&other).unwrap());
    open.path = other;
    assert_eq!(lenses(&mut open).iter().map(title).collect::<Vec<_>>(), ["Check", "Dispatch"]);
    open.path = own;
    // What is not saved is not dispatched.
    open.change("{}");
    let refused = open.editor.call(
        "workspace/executeCommand",
        json!({"command": "kapell.dispatchPlan", "arguments": [{"uri": uri(&open.path)}]}),
    );
    assert_eq!(refused["error"]["data"]["kind"], "conflict");
    open.editor.finish();
}

#[test]
fn json_is_formed_and_nothing_else_is() {
    let mut open = Open::new("plan.json", "// mine\n{\"tasks\":[{\"id\":1}]}");
    let params =
        json!({"textDocument": {"uri": uri(&open.path)}, "options": {"tabSize": 2, "insertSpaces": true}});
    let edits = open.editor.result("textDocument/formatting", params.clone());
    assert_eq!(open.edited(&edits), "// mine\n{\n  \"tasks\": [\n    {\"id\": 1}\n  ]\n}\n");
    open.change("{\r\n\"tasks\":[ ] // none\r\n}");
    let edits = open.editor.result("textDocument/formatting", params.clone());
    let formed = open.edited(&edits);
    assert_eq!(formed, "{\r\n  \"tasks\": [] // none\r\n}\r\n");
    open.change(&formed);
    assert_eq!(open.editor.result("textDocument/formatting", params.clone()), json!([]));
    for half in ["{\"tasks\": [", "{\"tasks\": [1 2]}"] {
        open.change(half);
        assert_eq!(open.editor.result("textDocument/formatting", params.clone()), Value::Null, "{half}");
    }
    let other = open.world.path("other.json");
    open.editor.open(&other, "{\"a\":1}");
    let params =
        json!({"textDocument": {"uri": uri(&other)}, "options": {"tabSize": 2, "insertSpaces": true}});
    assert_eq!(open.editor.result("textDocument/formatting", params), Value::Null);
    open.editor.finish();
}

#[test]
fn the_configuration_names_further_plans() {
    let world = World::new(&[("kapell.toml", "[project]\nplans = [\"plans/*.json\"]\n")]);
    let mut open = Open::in_world(world, "plans/next.json", "{");
    let problems = open.problems();
    assert!(problems.is_empty() || problems[0]["code"] == "syntax");
    if problems.is_empty() {
        let path = open.path.clone();
        open.editor.diagnostics(&path, |problems| problems.iter().any(|it| it["code"] == "syntax"));
    }
    // What it names later is a plan from then on, be it open or not.
    let later = open.world.write("work/later.json", "{");
    open.editor.open(&later, "{");
    open.editor.result("kapell/owner", json!({"uri": uri(&later)}));
    let config = open.world.write("kapell.toml", "[project]\nplans = [\"plans/*.json\", \"work/*.json\"]\n");
    open.editor.open(&config, "");
    open.editor.save(&config);
    open.editor.diagnostics(&later, |problems| problems.iter().any(|it| it["code"] == "syntax"));
    open.editor.finish();
}

#[test]
fn every_problem_of_the_configuration_has_its_code_and_its_text() {
    let mut open = Open::new("kapell.toml", "[project]\n");
    let table: [(&str, &[&str]); 22] = [
        ("[rules]\ntdd = \n", &["syntax "]),
        ("[rules]\nlint = cargo test\n", &["syntax cargo test"]),
        ("[rules]\ntdd = true\ntdd = false\n", &["duplicate-key tdd"]),
        ("[project]\n\"is o\" = 1\n", &["unknown-key \"is o\""]),
        ("[providers.mine]\nmodel = \"x\"\n", &["missing-key mine"]),
        ("[[routes]]\nto = \"claude\"\n", &["missing-key [[routes]]"]),
        ("[machine]\nmax_workers = 1\n", &["person-only machine"]),
        ("[rules]\ntdd = [1,\n  2]\n", &["wrong-type [1,\n  2]"]),
        ("[rules]\nmax_attempts = 0\n", &["bad-value 0"]),
        ("[rules]\nlint = \"cargo 'x\" # why\n", &["bad-command \"cargo 'x\""]),
        ("[project]\nplans = [\"a\", \"/etc/x y\"]\n", &["bad-path \"/etc/x y\""]),
        ("[groups.g]\nmatch = 'dev[0'\n", &["bad-pattern ["]),
        ("[workers.\"a b\"]\nprovider = \"claude\"\n", &["bad-name \"a b\""]),
        ("[workers.all]\nprovider = \"claude\"\n", &["bad-name all"]),
        ("[groups.claude]\nmatch = 'x'\n", &["duplicate-name claude"]),
        ("[roles]\njudge = \"nobody at all\"\n", &["unknown-name \"nobody at all\""]),
        (
            "[workers.w]\nprovider = \"claude\"\nprotected = true\n[[routes]]\nmatch = 'x'\nto = \"w\"\n",
            &["protected-worker \"w\""],
        ),
        ("[groups.g]\n", &["empty-group [groups.g]"]),
        (
            "[[routes]]\nmatch = '.*'\nto = \"claude\"\n[[routes]]\nmatch = 'y z'\nto = \"codex\"\n",
            &["unreachable 'y z'"],
        ),
        (
            "[[pipelines.p.stages]]\nname = \"a\"\ntask = \"x\"\ntriggers_on = [\"a\", \"approval\"]\n",
            &["cycle [\"a\", \"approval\"]"],
        ),
        ("[[pipelines.p.stages]]\nname = \"a\"\ntask = \"x\"\nfan_out = true\n", &["bad-stage true"]),
        ("[rules]\ntimeout_s = 10\nstuck_after_s = 20\n", &["contradiction 20"]),
    ];
    let told: Vec<String> = table
        .iter()
        .filter_map(|(text, expected)| {
            let problems = open.change(text);
            let shown = shown(&open, &problems);
            (shown != *expected).then(|| format!("{text}: {shown:?} and not {expected:?}"))
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    open.editor.finish();
}

#[test]
fn the_configuration_is_checked_completed_and_explained() {
    let text = "[project]\nisolaton = \"shared\"\nwall = \"of\"\n[workers.w]\nprovider = \"claud\"\n";
    let mut open = Open::new("kapell.toml", text);
    let problems = open.problems();
    assert_eq!(
        shown(&open, &problems),
        ["bad-value \"of\"", "unknown-key isolaton", "unknown-name \"claud\""]
    );
    // What was meant is written by an action, with the quotes that are there.
    let actions = open.actions(&problems);
    let titles: Vec<&str> = actions.iter().map(|action| action["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Write isolation instead", "Write off instead", "Write claude instead"]);
    let mut mended = text.to_owned();
    for action in actions.iter().rev() {
        let edit = &action["edit"]["changes"][uri(&open.path)][0];
        let (start, end) = (offset(text, &edit["range"]["start"]), offset(text, &edit["range"]["end"]));
        mended = mended.replace(&text[start..end], edit["newText"].as_str().unwrap());
    }
    assert_eq!(
        mended,
        text.replace("isolaton", "isolation").replace("\"of\"", "\"off\"").replace("\"claud\"", "\"claude\"")
    );
    assert_eq!(open.change(&mended), Vec::<Value>::new());
    let items = open.complete("[project]\nmax|");
    assert!(labels(&items).contains(&"max_workers") && !labels(&items).contains(&"provider"));
    let items = open.complete("[project]\nisolation = \"|\"\n");
    assert_eq!(labels(&items), ["worktree", "shared"]);
    assert_eq!(items[0]["textEdit"]["newText"], "\"worktree\"");
    let items = open.complete("[pro|]\n");
    assert!(labels(&items).contains(&"project") && labels(&items).contains(&"rules"));
    let items = open.complete("[workers.w]\n[groups.g]\nmembers = [\"|\"]\n");
    assert_eq!(labels(&items), ["w"]);
    let text = "[providers.mine]\nkind = \"command\"\n\n[workers.w]\nprovider = \"mine\"\n";
    open.change(text);
    let params = open.at(position(text, text.rfind("mine").unwrap() + 1));
    let definition = open.editor.result("textDocument/definition", params);
    assert_eq!(definition["range"]["start"]["line"], 0);
    let params = open.at(position(text, text.rfind("provider").unwrap() + 1));
    let hover = open.editor.result("textDocument/hover", params);
    assert!(hover["contents"]["value"].as_str().unwrap().starts_with("`workers.w.provider`: "), "{hover}");
    let params = json!({"textDocument": {"uri": uri(&open.path)}});
    let symbols = open.editor.result("textDocument/documentSymbol", params);
    assert_eq!(symbols[1]["name"], "workers.w");
    let path: &Path = &open.path;
    assert!(path.ends_with("kapell.toml"));
    open.editor.finish();
}
