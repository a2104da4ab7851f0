use proptest::prelude::*;

use super::*;
use crate::domain::plan::CommandLine;
use crate::domain::plan::document::{Format, read};

/// The plan object that TOOLS.md promises to accept unchanged.
const PROMISED: &str = r#"{"specs": [{"file": "specs/api.md", "description": "OpenAPI spec"}],
 "tasks": [{"id": 1, "agent": "claude", "task": "Implement JWT auth",
            "files": ["src/api/auth.ts", "tests/api/auth.test.ts"], "depends_on": []}]}"#;

fn reading(text: &str, format: Format) -> Reading {
    read_plan(&read(text, format).unwrap_or_else(|error| panic!("{text}: {error:?}")))
}

fn json(text: &str) -> Reading {
    reading(text, Format::Json)
}

/// Every problem on a line: `error syntax 1:2 (task 1) message`.
fn show(problems: &[Problem]) -> Vec<String> {
    let line = |problem: &Problem| {
        assert!(!problem.hint.is_empty(), "{problem:?}");
        let place = problem.place.map_or("-".to_owned(), |place| format!("{}:{}", place.line, place.column));
        let task = problem.task.as_ref().map_or(String::new(), |id| format!(" ({id})"));
        // Why a path cannot be owned is the pattern's own sentence; here it counts which one it is.
        let message = match &problem.path {
            Some(path) => format!("{path:?}"),
            None => problem.message.clone(),
        };
        format!("{} {} {place}{task} {message}", problem.severity.as_str(), problem.code.as_str())
    };
    problems.iter().map(line).collect()
}

fn command(words: &[&str]) -> CommandLine {
    CommandLine(words.iter().map(|word| (*word).to_owned()).collect())
}

fn strs(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(Pattern::as_str).collect()
}

#[test]
fn the_promised_shape_is_accepted_unchanged() {
    let reading = json(PROMISED);
    assert_eq!(show(&reading.problems), Vec::<String>::new());
    let plan = reading.plan.unwrap();
    assert_eq!(
        plan.specs,
        [Spec { file: "specs/api.md".to_owned(), description: "OpenAPI spec".to_owned() }]
    );
    let [task] = plan.tasks.as_slice() else { panic!("one task") };
    assert_eq!((task.id.as_str(), task.id.is_number()), ("1", true));
    assert_eq!(task.target.as_deref(), Some("claude"));
    assert_eq!(task.text, "Implement JWT auth");
    assert_eq!(strs(&task.files), ["src/api/auth.ts", "tests/api/auth.test.ts"]);
    assert_eq!((task.depends_on.len(), task.priority, task.tests.is_none()), (0, None, true));
    let place = |part, field| reading.places.field(part, field).map(|place| (place.line, place.column));
    assert_eq!(place(Part::Plan, "tasks"), Some((2, 11)));
    assert_eq!(place(Part::Task(0), "id"), Some((2, 19)));
    assert_eq!(place(Part::Task(0), "target"), Some((2, 31)));
    assert_eq!(place(Part::Task(0), "priority"), Some((2, 12)), "the task where the field is not written");
    let file = reading.places.item(Part::Task(0), "files", 1).unwrap();
    assert_eq!((file.line, file.column), (3, 42));
    let added_later = reading.places.item(Part::Task(0), "files", 2).unwrap();
    assert_eq!((added_later.line, added_later.column), (3, 22), "the list it is in");
    assert_eq!(place(Part::Spec(0), "file"), Some((1, 21)));
}

#[test]
fn every_field_is_read_from_yaml_too() {
    let reading = reading(
        r#"
name: Auth
base: HEAD~2
target: feature/auth@2
pipeline: feature
rules:
  spec_first: false
  tdd: true
  lint: cargo clippy -- -D warnings
  test: [cargo, test]
  build: 'make "all of it"'
  custom: [./check.sh, ["./audit.sh", "a b"]]
  max_attempts: 20
  review: claude
  timeout_s: 1800
  stuck_after_s: 300
specs:
  - file: specs/api.md
tasks:
  - id: auth-1.a_B
    target: dev1
    role: oracle
    task: |
      One
      two
    files: [src/a.rs]
    tests: [tests/a.rs]
    reads: [docs]
    depends_on: [2, '3']
    priority: high
    timeout_s: 60
    budget_usd: 2
    environment: dev1
    complexity: complex
    rules: {tdd: false, custom: make check, max_attempts: 1}
  - {id: 2, task: x, files: [b], priority: 0, agent: auto, target: auto, budget_usd: 0.5, complexity: simple}
  - {id: '3', task: x, files: [c], priority: low, tests: [], name: null, depends_on: null, complexity: normal}
"#,
        Format::Yaml,
    );
    assert_eq!(show(&reading.problems), ["warning syntax 37:62 (3) task 3: the key \"name\" is not known"]);
    let plan = reading.plan.unwrap();
    assert_eq!(plan.name.as_deref(), Some("Auth"));
    assert_eq!(plan.base.as_deref(), Some("HEAD~2"));
    assert_eq!(plan.target.as_deref(), Some("feature/auth@2"));
    assert_eq!(plan.pipeline.as_deref(), Some("feature"));
    assert_eq!(
        plan.rules,
        Rules {
            spec_first: Some(false),
            tdd: Some(true),
            lint: Some(command(&["cargo", "clippy", "--", "-D", "warnings"])),
            test: Some(command(&["cargo", "test"])),
            build: Some(command(&["make", "all of it"])),
            custom: Some(vec![command(&["./check.sh"]), command(&["./audit.sh", "a b"])]),
            max_attempts: Some(20),
            review: Some("claude".to_owned()),
            timeout_s: Some(1800),
            stuck_after_s: Some(300),
        }
    );
    assert_eq!(plan.specs, [Spec { file: "specs/api.md".to_owned(), description: String::new() }]);
    let [first, second, third] = plan.tasks.as_slice() else { panic!("three tasks") };
    assert_eq!((first.id.as_str(), first.id.is_number()), ("auth-1.a_B", false));
    assert_eq!(first.text, "One\ntwo\n");
    assert_eq!((first.target.as_deref(), first.role.as_deref()), (Some("dev1"), Some("oracle")));
    assert_eq!(first.depends_on, [TaskId::number(2), TaskId::number(3)]);
    assert_eq!([first, second, third].map(|task| task.priority), [9, 0, 2].map(|it| Some(Priority(it))));
    assert_eq!(strs(first.tests.as_ref().unwrap()), ["tests/a.rs"]);
    assert_eq!(strs(&first.reads), ["docs"]);
    assert_eq!((first.timeout_s, first.budget_usd, second.budget_usd), (Some(60), Some(2.0), Some(0.5)));
    assert_eq!(first.environment.as_deref(), Some("dev1"));
    assert_eq!(
        [first.complexity, second.complexity, third.complexity],
        [Complexity::Complex, Complexity::Simple, Complexity::Normal]
    );
    assert_eq!((first.rules.tdd, first.rules.max_attempts), (Some(false), Some(1)));
    assert_eq!(first.rules.custom, Some(vec![command(&["make", "check"])]));
    assert_eq!(second.target.as_deref(), Some("auto"));
    assert_eq!((third.tests.as_ref().map(Vec::len), third.depends_on.len()), (Some(0), 0));
}

/// Reads a task with `field` on line 2 and gives its problems.
#[track_caller]
fn check_task(field: &str, expected: &[&str]) {
    let text = format!("{{\"tasks\": [{{\"id\": 1, \"task\": \"x\", \"files\": [\"a\"],\n{field}}}]}}");
    assert_eq!(show(&json(&text).problems), expected, "{field}");
    // The same line is YAML, and means the same at the same place.
    assert_eq!(show(&reading(&text, Format::Yaml).problems), expected, "{field}");
}

#[test]
fn wrong_types_and_values_say_what_was_expected_and_found() {
    let cases = [
        (
            "\"priority\": 11",
            "`priority` must be a whole number from 0 to 10, or high, medium or low, but is the number 11",
        ),
        (
            "\"priority\": -1",
            "`priority` must be a whole number from 0 to 10, or high, medium or low, but is the number -1",
        ),
        (
            "\"priority\": \"urgent\"",
            "`priority` must be a whole number from 0 to 10, or high, medium or low, but is the text \"urgent\"",
        ),
        ("\"timeout_s\": 0", "`timeout_s` must be a whole number from 1 to 31622400, but is the number 0"),
        (
            "\"timeout_s\": 1.5",
            "`timeout_s` must be a whole number from 1 to 31622400, but is the number 1.5",
        ),
        (
            "\"timeout_s\": \"60\"",
            "`timeout_s` must be a whole number from 1 to 31622400, but is the text \"60\"",
        ),
        ("\"budget_usd\": -0.1", "`budget_usd` must be a number, 0 or more, but is the number -0.1"),
        ("\"budget_usd\": 1e999", "`budget_usd` must be a number, 0 or more, but is the number inf"),
        ("\"budget_usd\": true", "`budget_usd` must be a number, 0 or more, but is true"),
        (
            "\"complexity\": \"hard\"",
            "`complexity` must be simple, normal or complex, but is the text \"hard\"",
        ),
        ("\"reads\": \"src\"", "`reads` must be a list, but is the text \"src\""),
        ("\"depends_on\": 2", "`depends_on` must be a list, but is the number 2"),
        ("\"role\": 1", "`role` must be a text, but is the number 1"),
        ("\"role\": \" \"", "`role` is empty"),
        ("\"role\": [\"a\"]", "`role` must be a text, but is a list"),
        ("\"rules\": []", "`rules` must be a map, but is a list"),
    ];
    for (field, message) in cases {
        let column = field.find(": ").unwrap() + 3;
        check_task(field, &[&format!("error syntax 2:{column} (1) task 1: {message}")]);
    }
    check_task(
        "\"environment\": \"a\\nb\"",
        &["error syntax 2:16 (1) task 1: `environment` is more than one line"],
    );
    check_task(
        "\"reads\": [\"a\", 1], \"depends_on\": [1.5, null]",
        &[
            "error syntax 2:16 (1) task 1: `reads` must be a list of texts, but is the number 1",
            "error syntax 2:35 (1) task 1: `depends_on` must be a list of ids, but is the number 1.5",
            "error syntax 2:40 (1) task 1: `depends_on` must be a list of ids, but is nothing",
        ],
    );
    check_task(
        "\"agent\": \"claude\", \"target\": \"codex\"",
        &[
            "error syntax 2:30 (1) task 1: `target` is \"codex\", but `agent`, which is the same thing, is \"claude\"",
        ],
    );
}

#[test]
fn rules_are_checked_like_fields() {
    let cases = [
        ("\"tdd\": \"yes\"", "`rules.tdd` must be true or false, but is the text \"yes\""),
        (
            "\"max_attempts\": 0",
            "`rules.max_attempts` must be a whole number from 1 to 20, but is the number 0",
        ),
        (
            "\"max_attempts\": 21",
            "`rules.max_attempts` must be a whole number from 1 to 20, but is the number 21",
        ),
        ("\"lint\": \"\"", "`rules.lint` is an empty command"),
        ("\"lint\": \"  \"", "`rules.lint` is an empty command"),
        ("\"lint\": []", "`rules.lint` is an empty command"),
        ("\"lint\": [\"\", \"a\"]", "`rules.lint` names no program"),
        ("\"lint\": \"'' a\"", "`rules.lint` names no program"),
        ("\"lint\": \"a 'b\"", "`rules.lint` has a quote that is never closed"),
        ("\"lint\": \"a\\u0000\"", "`rules.lint` has a NUL in it"),
        ("\"lint\": true", "`rules.lint` must be a command: a list of texts, or one text, but is true"),
        ("\"custom\": []", "`rules.custom` is an empty command"),
    ];
    for (rule, message) in cases {
        // YAML reads the NUL in the same way, so `check_task` compares both.
        let column = 10 + rule.find(": ").unwrap() + 3;
        check_task(
            &format!("\"rules\": {{{rule}}}"),
            &[&format!("error syntax 2:{column} (1) task 1: {message}")],
        );
    }
    check_task(
        "\"rules\": {\"custom\": [[\"a\"], [], \"\", 3]}",
        &[
            "error syntax 2:29 (1) task 1: `rules.custom` is an empty command",
            "error syntax 2:33 (1) task 1: `rules.custom` is an empty command",
            "error syntax 2:37 (1) task 1: `rules.custom` must be a command: a list of texts, or one text, but is the number 3",
        ],
    );
}

#[test]
fn custom_commands_are_told_apart() {
    let custom = |text: &str| {
        let reading = json(&format!("{{\"rules\": {{\"custom\": {text}}}, \"tasks\": []}}"));
        (reading.plan.unwrap().rules.custom.unwrap(), show(&reading.problems))
    };
    let one = vec![command(&["make", "check"])];
    let two = vec![command(&["make", "check"]), command(&["lint"])];
    assert_eq!(custom("\"make check\""), (one.clone(), vec![]));
    assert_eq!(custom("[\"make check\"]"), (one.clone(), vec![]));
    assert_eq!(custom("[[\"make\", \"check\"]]"), (one.clone(), vec![]));
    assert_eq!(custom("[\"make check\", \"lint\"]"), (two.clone(), vec![]));
    assert_eq!(custom("[[\"make\", \"check\"], \"lint\"]"), (two, vec![]));
    assert_eq!(custom("[\"lint\"]"), (vec![command(&["lint"])], vec![]));
    // It could also be two commands, so it is said how it was understood.
    let warning = "warning syntax 1:22 the plan: `rules.custom` is read as the one command make check";
    assert_eq!(custom("[\"make\", \"check\"]"), (one, vec![warning.to_owned()]));
}

#[test]
fn unknown_keys_are_warnings_with_a_suggestion() {
    let text = "{\"taks\": 1, \"tasks\": [{\"id\": 1, \"task\": \"x\", \"files\": [],\n  \"dependson\": [], \"zebra\": 1, \"rules\": {\"TDD\": true}}], \"specs\": [{\"file\": \"a.md\", \"desc\": 1}]}";
    let reading = json(text);
    let hints: Vec<_> = reading.problems.iter().map(|problem| problem.hint.as_str()).collect();
    assert_eq!(
        show(&reading.problems),
        [
            "warning syntax 1:2 the plan: the key \"taks\" is not known",
            "warning syntax 2:3 (1) task 1: the key \"dependson\" is not known",
            "warning syntax 2:20 (1) task 1: the key \"zebra\" is not known",
            "warning syntax 2:42 (1) task 1: the key \"TDD\" is not known",
            "warning syntax 2:85 specs[0]: the key \"desc\" is not known",
        ]
    );
    assert!(hints[0].starts_with("did you mean `tasks`?"), "{hints:?}");
    assert!(hints[1].starts_with("did you mean `depends_on`?"), "{hints:?}");
    assert!(hints[2].starts_with("the key is ignored; known here are id, agent, target, task"), "{hints:?}");
    assert!(hints[3].starts_with("did you mean `tdd`?"), "{hints:?}");
    assert_eq!(reading.plan.unwrap().tasks.len(), 1);
}

#[test]
fn what_is_no_plan_is_told_kindly() {
    let cases = [
        ("[]", "error syntax 1:1 a plan must be a map with the key `tasks`, but this is a list"),
        ("null", "error syntax 1:1 a plan must be a map with the key `tasks`, but this is nothing"),
        ("\"x\"", "error syntax 1:1 a plan must be a map with the key `tasks`, but this is the text \"x\""),
        ("{}", "error syntax 1:1 the plan: `tasks` is missing"),
        ("{\"tasks\": null}", "error syntax 1:1 the plan: `tasks` is missing"),
        ("{\"tasks\": {}}", "error syntax 1:11 the plan: `tasks` must be a list, but is a map"),
        ("{\"tasks\": [1]}", "error syntax 1:12 the plan: `tasks[0]` must be a map, but is the number 1"),
    ];
    for (text, expected) in cases {
        let reading = json(text);
        assert_eq!(show(&reading.problems), [expected]);
        assert!(reading.plan.is_none(), "{text}");
    }
    let hint = &json("[]").problems[0].hint;
    assert!(hint.contains("\"tasks\""), "{hint}");
    let many = format!("{{\"tasks\": [], \"specs\": [{}]}}", vec!["1"; MAX_SPECS + 1].join(","));
    assert_eq!(
        show(&json(&many).problems),
        ["error syntax 1:24 the plan: `specs` has 201 specs, and a plan has at most 200"]
    );
    let many = format!("{{\"tasks\": [{}]}}", vec!["1"; MAX_TASKS + 1].join(","));
    assert_eq!(
        show(&json(&many).problems),
        ["error syntax 1:11 the plan: `tasks` has 20001 tasks, and a plan has at most 20000"]
    );
}

#[test]
fn an_empty_list_of_tasks_is_left_to_the_check() {
    let reading = json("{\"tasks\": []}");
    assert_eq!(show(&reading.problems), Vec::<String>::new());
    assert!(reading.plan.is_some());
}

#[test]
fn all_problems_of_a_document_are_found_in_its_order() {
    let text = r#"{
  "name": 7,
  "specs": [{"description": "x"}, {"file": "specs/"}, {"file": "../a.md"}, "b.md"],
  "base": "--upload-pack=x",
  "target": "main~1",
  "tasks": [
    {"task": "x", "files": ["a"]},
    {"id": 1.5, "task": "", "files": "a"},
    {"id": "a", "files": ["../x", "ok", 3]},
    {"id": "b/c", "task": "x", "files": ["b"]},
    {"id": "d", "task": "x", "files": ["d"], "depends_on": ["b/c", "a"]}
  ]
}"#;
    let reading = json(text);
    assert_eq!(
        show(&reading.problems),
        [
            "error syntax 2:11 the plan: `name` must be a text, but is the number 7",
            "error syntax 3:13 specs[0]: `file` is missing",
            "error bad-path 3:44 \"specs/\"",
            "error bad-path 3:64 \"../a.md\"",
            "error syntax 3:76 the plan: `specs[3]` must be a map, but is the text \"b.md\"",
            "error syntax 4:11 the plan: `base` \"--upload-pack=x\" is no name in git",
            "error syntax 5:13 the plan: `target` \"main~1\" is no name of a branch",
            "error syntax 7:5 tasks[0]: `id` is missing",
            "error syntax 8:12 tasks[1]: `id` must be a whole number or a text, but is the number 1.5",
            "error syntax 8:25 tasks[1]: `task` is empty",
            "error syntax 8:38 tasks[1]: `files` must be a list, but is the text \"a\"",
            "error syntax 9:5 (a) task a: `task` is missing",
            "error bad-path 9:27 (a) \"../x\"",
            "error syntax 9:41 (a) task a: `files` must be a list of texts, but is the number 3",
            "error syntax 10:12 tasks[3]: `id` \"b/c\" has characters other than letters, digits, dot, underscore and dash",
        ]
    );
    // What is left serves for further checks: the place of each part is its own.
    let plan = reading.plan.unwrap();
    assert_eq!(plan.tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["a", "d"]);
    assert_eq!(plan.tasks[1].depends_on, [TaskId::text("a")], "the refused id is not unknown");
    assert_eq!(reading.places.item(Part::Task(0), "files", 0).map(|place| place.column), Some(35));
    assert!(!reading.places.is_misread(Part::Task(1), "id"), "that was the task before");
    assert!(reading.places.is_misread(Part::Plan, "specs"));
}

#[test]
fn a_refused_spec_leaves_no_trace_on_the_next() {
    let reading = json("{\"tasks\": [], \"specs\": [{\"file\": \"*\"}, {\"file\": \"a.md\"}]}");
    assert_eq!(show(&reading.problems), ["error bad-path 1:34 \"*\""]);
    assert_eq!(reading.plan.unwrap().specs.len(), 1);
    assert!(!reading.places.is_misread(Part::Spec(0), "file"));
}

#[test]
fn a_document_of_mistakes_lists_a_thousand_of_each_severity() {
    let keys: String = (0..2_000).map(|key| format!("\"k{key}\": 1, ")).collect();
    let text = format!("{{{keys}\"tasks\": [{}]}}", vec!["1"; 2_000].join(","));
    let problems = json(&text).problems;
    assert_eq!(problems.iter().filter(|problem| problem.is_error()).count(), 1_000);
    assert_eq!(problems.len(), 2_000);
}

#[test]
fn ids_become_parts_of_refs() {
    for id in ["1", "0", "a", "A.b-c_d", "a.lock.b", &"x".repeat(64), "feature-1.2"] {
        assert_eq!(check_id(id), Ok(()), "{id}");
    }
    let refused = [
        "", ".", "..", "...", ".a", "-a", "-1", "a..b", "a.", "a.lock", "a.LOCK", "a b", "a/b", "a\n", "ä",
        "a~", "@{",
    ];
    for id in refused.into_iter().chain([x65().as_str()]) {
        assert!(check_id(id).is_err(), "{id:?}");
    }
    assert_eq!(
        show(&json("{\"tasks\": [{\"id\": -1, \"task\": \"x\", \"files\": [\"a\"]}]}").problems),
        ["error syntax 1:19 tasks[0]: `id` \"-1\" starts with a dot or a dash"]
    );
}

fn x65() -> String {
    "x".repeat(65)
}

#[test]
fn git_names_cannot_be_options_or_ranges() {
    let problems = |base: &str, target: &str| {
        let text = format!("{{\"base\": {base:?}, \"target\": {target:?}, \"tasks\": []}}");
        json(&text).problems.len()
    };
    for good in ["main", "feature/a-b", "v1.2", "0123abcd", "käse"] {
        assert_eq!(problems(good, good), 0, "{good}");
    }
    for bad in ["-x", "a b", "a..b", "a:b", "a*", "/a", "a/", "a.", "a\\b", "a\tb"] {
        assert_eq!(problems(bad, bad), 2, "{bad}");
    }
    for only_base in ["HEAD~1", "main^", "main@{1}"] {
        assert_eq!(problems(only_base, only_base), 1, "{only_base}");
    }
}

#[test]
fn a_plan_that_came_from_no_text_has_problems_without_places() {
    let map = |entries: Vec<(&str, Value)>| {
        let entries = entries.into_iter();
        let entry = |(key, value)| (crate::domain::plan::document::Key::bare(key), Node::bare(value));
        Value::Map(entries.map(entry).collect())
    };
    let task = map(vec![("id", Value::Int(1)), ("task", Value::Int(2))]);
    let document = Node::bare(map(vec![("tasks", Value::List(vec![Node::bare(task)]))]));
    let reading = read_plan(&document);
    assert_eq!(
        show(&reading.problems),
        ["error syntax - (1) task 1: `task` must be a text, but is the number 2"]
    );
    assert_eq!(reading.places.field(Part::Task(0), "files"), None);
}

proptest! {
    /// Whatever is written in a plan's fields, reading ends, and a plan without
    /// errors has only ids that can be refs.
    #[test]
    fn random_fields_are_read_or_refused(
        values in prop::collection::vec(
            prop::sample::select(vec!["1", "-1", "1.5", "\"\"", "\"a b\"", "\"../a\"", "[]", "{}", "[1]", "[\"a\"]", "[[\"a\"]]", "null", "true"]),
            TASK.len(),
        )
    ) {
        let fields: Vec<String> = TASK.iter().zip(&values).map(|(key, value)| format!("\"{key}\": {value}")).collect();
        let text = format!("{{\"tasks\": [{{{}}}]}}", fields.join(", "));
        let reading = json(&text);
        if !reading.problems.iter().any(Problem::is_error) {
            for task in reading.plan.unwrap().tasks {
                prop_assert_eq!(check_id(task.id.as_str()), Ok(()));
                prop_assert!(!task.text.is_empty());
            }
        }
        prop_assert_eq!(show(&json(&text).problems), show(&reading_yaml(&text)));
    }
}

fn reading_yaml(text: &str) -> Vec<Problem> {
    reading(text, Format::Yaml).problems
}

#[test]
fn a_document_that_is_read_again_says_the_same() {
    let mut patterns = Patterns::default();
    let texts = [
        r#"{"tasks": [{"id": 1, "task": "x", "files": ["a/", "b/*.rs", "../c"]}]}"#,
        r#"{"tasks": [{"id": 1, "task": "xy", "files": ["a/", "b/*.rs", "../c"]}]}"#,
        r#"{"tasks": [{"id": 1, "task": "x", "files": ["a/d", "a/d", "b/*.rs"]}]}"#,
        r#"{"tasks": []}"#,
        r#"{"tasks": [{"id": 1, "task": "x", "files": ["a/"]}]}"#,
    ];
    for text in texts {
        let document = read(text, Format::Json).unwrap();
        let (again, anew) = (read_plan_again(&document, &mut patterns), read_plan(&document));
        assert_eq!(format!("{:?}", again.plan), format!("{:?}", anew.plan), "{text}");
        assert_eq!(again.problems, anew.problems, "{text}");
    }
}

#[test]
fn what_is_left_out_of_a_list_moves_no_other_place() {
    let reading = json(
        r#"{"tasks": [{"id": "a b", "task": "x", "files": ["a"]},
  {"id": 2, "task": "x", "files": ["b"], "depends_on": ["a b", "y", "a b", "zzz"]}]}"#,
    );
    let plan = reading.plan.unwrap();
    assert_eq!(plan.tasks[0].depends_on, [TaskId::text("y"), TaskId::text("zzz")]);
    let at = |index| reading.places.item(Part::Task(0), "depends_on", index).map(|place| place.column);
    assert_eq!((at(0), at(1)), (Some(64), Some(76)));
}
