//! Plans as they are written.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Editor, uri};
use crate::open::{Open, QUIET, labels, offset, position, shown, text_of};
use crate::world::World;

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
        "Give task 1 files of its own: src/",
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
fn a_task_without_files_is_given_a_folder_that_is_there_and_nobodys() {
    let one = r#"{"id": 1, "task": "x"}"#;
    let with = |files: &str| format!(r#"{one}, {{"id": 2, "task": "x", "files": [{files}]}}"#);
    let here: &[&str] = &["docs/a.md", "docs/b.md", "lib/a.rs", ".github/a", "out/a", "[id]/a", "top.txt"];
    let there: &[&str] = &["src/a.rs", "docs/a.md", "docs/b.md"];
    let table = [
        (here, one.to_owned(), Some("docs/")),
        (here, with(r#""docs/a.md""#), Some("[[]id[]]/")),
        (here, with(r#""docs/*.md", "lib", "[[]id[]]/**""#), None),
        (there, one.to_owned(), Some("src/")),
        (there, with(r#""src/a.rs""#), Some("docs/")),
        (&["top.txt"], one.to_owned(), None),
    ];
    for (files, tasks, expected) in table {
        let mut all: Vec<(&str, &str)> = files.iter().map(|file| (*file, "")).collect();
        all.push((".gitignore", "out/\n"));
        let text = format!("{{\"tasks\": [{tasks}], {QUIET}}}");
        let mut open = Open::in_world(World::new(&all), "plan.json", &text);
        let problems = open.problems();
        let mut actions = open.actions(&problems);
        actions.retain(|action| action.get("edit").is_some());
        let titles: Vec<String> =
            actions.iter().map(|action| action["title"].as_str().unwrap().to_owned()).collect();
        let title = expected.map(|folder| format!("Give task 1 files of its own: {folder}"));
        assert_eq!(titles, Vec::from_iter(title), "{text}");
        if let Some(action) = actions.first() {
            let mended = open.edited(&action["edit"]["changes"][uri(&open.path)]);
            assert_eq!(open.change(&mended), Vec::<Value>::new(), "{mended}");
        }
        open.editor.finish();
    }
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
fn a_key_without_a_value_and_a_plan_in_braces_are_mended_to_yaml() {
    let two = |rest: &str| {
        format!(
            "rules: {{spec_first: false, tdd: false}}\ntasks:\n- id: 1\n  task: x\n  files: [src/]\n- id: 2\n  task: x\n  files: [src/a.rs]\n{rest}"
        )
    };
    let flow = |key: &str| {
        two("").replace(
            "- id: 2\n  task: x\n  files: [src/a.rs]\n",
            &format!("- {{id: 2, task: x, files: [src/a.rs], {key}}}\n"),
        )
    };
    let order = "Let task 2 wait for task 1";
    let files = "Give task 2 files of its own: src/";
    let unowned = |files: &str| {
        format!("rules: {{spec_first: false, tdd: false}}\ntasks:\n- id: 2\n  task: x\n{files}")
    };
    let spec = "Name a spec: specs/a.md";
    let task = "[{\"id\": 1, \"task\": \"x\", \"files\": [\"a.test.ts\"]}]";
    let table = [
        (two("  depends_on:\n"), order, "  depends_on: [1]\n"),
        (two("  depends_on:"), order, "  depends_on: [1]"),
        (two("  depends_on: # none\n"), order, "  depends_on: [1] # none\n"),
        (two("  depends_on : \n  priority: 3\n"), order, "  depends_on : [1] \n  priority: 3\n"),
        (two("  reads: # none\n"), order, "  reads: # none\n  depends_on: [1]\n"),
        (flow("depends_on: "), order, ", depends_on: [1] }\n"),
        (flow("reads: "), order, ", reads:, depends_on: [1] }\n"),
        (unowned("  files:\n"), files, "  files: [src/]\n"),
        (unowned("  files: # mine\n"), files, "  files: [src/] # mine\n"),
        ("{tasks: [{id: 1, task: x, files: [a.test.ts]}]}\n".to_owned(), spec, "is to be built'}], tasks: ["),
        (format!("{{\n  \"tasks\": {task}\n}}\n"), spec, "is to be built'}],\n  \"tasks\": ["),
        (
            "  tasks:\n  - id: 1\n    task: x\n    files: [a.test.ts]\n".to_owned(),
            spec,
            "is to be built'}]\n  tasks:\n",
        ),
        (
            "specs:\ntasks:\n- id: 1\n  task: x\n  files: [a.test.ts]\n".to_owned(),
            spec,
            "specs: [{file: specs/a.md, ",
        ),
    ];
    let mut open = Open::new("a.plan.yaml", "");
    for (text, title, expected) in table {
        let problems = open.change(&text);
        let actions = open.actions(&problems);
        let action = actions.iter().find(|action| action["title"] == title);
        let action = action.unwrap_or_else(|| panic!("{text}\n{title}: {actions:#?}\n{problems:#?}"));
        let edited = open.edited(&action["edit"]["changes"][uri(&open.path)]);
        assert!(edited.contains(expected), "{edited}");
        assert_eq!(open.change(&edited), Vec::<Value>::new(), "{edited}");
    }
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
    // A reviewer is a provider, also one that nobody is a worker of.
    let items = open.complete(r#"{"rules": {"review": "|"}}"#);
    assert_eq!(labels(&items), ["claude", "codex", "ollama", "opencode"]);
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
    let unknown = text.replace("[1]", "[99]");
    open.change(&unknown);
    let params = open.at(position(&unknown, unknown.find("99").unwrap()));
    let page = open.editor.result("textDocument/hover", params)["contents"]["value"].clone();
    assert_eq!(page, "This plan has no task 99.");
    open.change(&text);
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
fn plans_that_the_configuration_names_are_registered_for_forming() {
    let config = "[project]\nplans = [\"plans/*\"]\n";
    let text = "{\"tasks\":[]}";
    let world =
        World::new(&[("kapell.toml", config), ("plans/[1].json", text), ("plans/b.yaml", "tasks: []\n")]);
    let mut hello = world.hello();
    hello["capabilities"]["textDocument"] = json!({"formatting": {"dynamicRegistration": true}});
    let mut editor = world.quiet_editor(hello);
    let selectors = |editor: &mut Editor| {
        let asked = editor.wait_for("a registration", |message| {
            message["method"] == "client/registerCapability"
                && message["params"]["registrations"][0]["method"] == "textDocument/formatting"
        });
        asked["params"]["registrations"][0]["registerOptions"]["documentSelector"].clone()
    };
    let by_name = selectors(&mut editor);
    assert_eq!(by_name[1], json!({"scheme": "file", "pattern": "**/*.plan.json"}));
    editor.open(&world.path("plans/b.yaml"), "tasks: []\n");
    let path = world.path("plans/[1].json");
    editor.open(&path, text);
    let pattern = path.to_str().unwrap().replace("[1]", "?1?");
    assert_eq!(selectors(&mut editor), json!([{"scheme": "file", "pattern": pattern}]));
    let params =
        json!({"textDocument": {"uri": uri(&path)}, "options": {"tabSize": 2, "insertSpaces": true}});
    let edits = editor.result("textDocument/formatting", params);
    assert_eq!(edits[0]["newText"], "{\n  \"tasks\": []\n}\n");
    editor.finish();
}

#[test]
fn of_very_many_problems_the_first_are_shown_and_the_others_counted() {
    let tasks: Vec<String> =
        (0..400).map(|id| format!("{{\"id\": {id}, \"task\": \"x\", \"files\": [\"src/\"]}}")).collect();
    let mut open = Open::new("plan.json", &format!("{{\"tasks\": [{}], {QUIET}}}", tasks.join(",\n")));
    let problems = open.problems();
    assert_eq!(problems.len(), 500);
    let last = problems[499]["message"].as_str().unwrap();
    assert!(last.ends_with(" further problems are not shown"), "{last}");
    let size = Value::from(problems).to_string().len();
    assert!(size < 500_000, "{size}");
    // In a cycle through all of them, each place has a few others and what the message begins with.
    let tasks: Vec<String> = (0..400)
        .map(|id| {
            let next = (id + 1) % 400;
            format!("{{\"id\": {id}, \"task\": \"x\", \"files\": [\"f{id}\"], \"depends_on\": [{next}]}}")
        })
        .collect();
    let problems = open.change(&format!("{{\"tasks\": [{}], {QUIET}}}", tasks.join(",\n")));
    assert!(problems[0]["message"].as_str().unwrap().contains("→ 399 → 0"), "{}", problems[0]);
    assert!(!problems[1]["message"].as_str().unwrap().contains("→ 399 → 0"), "{}", problems[1]);
    assert_eq!(problems[1]["relatedInformation"].as_array().unwrap().len(), 5);
    assert_eq!(problems[1]["data"]["tasks"][1], "2");
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
