use proptest::prelude::*;

use super::*;
use crate::domain::plan::Spec;
use crate::domain::plan::dag::tests::any_dag;
use crate::domain::plan::dag::{Order, waves};
use crate::domain::plan::document::{Format, Place, read};
use crate::domain::plan::read::{check_id, read_plan};

fn surroundings() -> Surroundings {
    let target = |name: &str, kind, protected| KnownTarget { name: name.to_owned(), kind, protected };
    Surroundings {
        targets: Some(vec![
            target("claude", TargetKind::Provider, false),
            target("codex", TargetKind::Provider, false),
            target("dev1", TargetKind::Worker, false),
            target("arch_prod", TargetKind::Worker, true),
            target("pr_review", TargetKind::Group, false),
            target("oracle", TargetKind::Role, false),
        ]),
        integrator: ["Cargo.lock", "gen/", "**/index.ts"].map(pattern).to_vec(),
        spec_first: false,
        tdd: false,
        existing_specs: BTreeSet::new(),
        on_overlap: OnOverlap::Reject,
        walls: Walls::Any,
    }
}

/// As it is where nothing is there yet.
fn check(plan: &Plan, places: &Places, around: &Surroundings) -> Vec<Problem> {
    super::check(plan, places, around, &|_| false)
}

fn serialize(plan: &mut Plan, places: &Places) -> Vec<Problem> {
    super::serialize(plan, places, &|_| false)
}

#[test]
fn a_file_that_is_there_meets_nothing_below_it() {
    let text =
        plan_with(&[r#""id": 1, "files": ["README.md", "NEW.md"]"#, r#""id": 2, "files": ["**/*.rs"]"#]);
    let (plan, places) = plan_of(&text, Format::Json);
    let problems = |files: &[&str]| {
        let found = super::check(&plan, &places, &surroundings(), &|path| files.contains(&path));
        let told = found.into_iter().filter(|problem| problem.code == ProblemCode::Overlap);
        told.map(|problem| (problem.path.unwrap_or_default(), problem.hint)).collect::<Vec<_>>()
    };
    assert_eq!(problems(&["README.md", "NEW.md"]), []);
    let one = problems(&["README.md"]);
    assert_eq!((one.len(), one[0].0.as_str()), (1, "NEW.md/a.rs"));
    assert!(
        one[0].1.ends_with(
            "; NEW.md is no file yet and could become a folder: once it is there they do not meet"
        )
    );
    let mut serialized = plan.clone();
    assert_eq!(super::serialize(&mut serialized, &places, &|_| true), []);
    assert!(serialized.tasks.iter().all(|task| task.depends_on.is_empty()));
}

#[test]
fn globs_in_one_folder_are_compared_only_with_those_that_they_could_meet() {
    let shapes: [fn(usize) -> String; 4] = [
        |n| format!("tests/t{n}_*.rs"),
        |n| format!("src/*/m{n}.rs"),
        |n| format!("**/a{n}.rs"),
        |n| format!("docs/ü{n}x.md"),
    ];
    for shape in shapes {
        let tasks: Vec<String> =
            (100..300).map(|n| format!("\"id\": {n}, \"files\": [\"{}\"]", shape(n))).collect();
        let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
        let (plan, _) = plan_of(&plan_with(&tasks), Format::Json);
        let index = overlaps::Index::of(&plan);
        for (at, task) in plan.tasks.iter().enumerate() {
            let near = index.related(&task.files[0]);
            assert_eq!(near, [(at, 0)], "{}", task.files[0]);
        }
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn plan_of(text: &str, format: Format) -> (Plan, Places) {
    let reading = read_plan(&read(text, format).unwrap());
    assert_eq!(reading.problems, [], "{text}");
    (reading.plan.unwrap(), reading.places)
}

/// A plan in JSON, each task on a line of its own from line 2 on; what is given of
/// it starts in column 15.
fn plan_with(tasks: &[&str]) -> String {
    let tasks: Vec<String> = tasks.iter().map(|task| format!("{{\"task\": \"x\", {task}}}")).collect();
    format!("{{\"tasks\": [\n{}]}}", tasks.join(",\n"))
}

fn place(place: Place) -> String {
    format!("{}:{}", place.line, place.column)
}

/// Problems as `error code line:column [related] (task) <path>`. The path in small
/// letters: of two that differ in case, either may be the witness.
fn show(problems: &[Problem]) -> Vec<String> {
    let line = |problem: &Problem| {
        assert!(!problem.hint.is_empty() && problem.message.len() > 10, "{problem:?}");
        let mut line = format!("{} {}", problem.severity.as_str(), problem.code.as_str());
        line.push_str(&problem.place.map_or(" -".to_owned(), |at| format!(" {}", place(at))));
        if !problem.related.is_empty() {
            line.push_str(&format!(
                " [{}]",
                problem.related.iter().map(|at| place(*at)).collect::<Vec<_>>().join(" ")
            ));
        }
        line.push_str(&problem.task.as_ref().map_or(String::new(), |id| format!(" ({id})")));
        line.push_str(
            &problem.path.as_ref().map_or(String::new(), |path| format!(" <{}>", path.to_lowercase())),
        );
        line
    };
    problems.iter().map(line).collect()
}

/// Checks a plan written in JSON, which is YAML too: both must find `expected`.
#[track_caller]
fn check_in(around: &Surroundings, text: &str, expected: &[&str]) -> Vec<Problem> {
    let mut last = Vec::new();
    for format in [Format::Json, Format::Yaml] {
        let (plan, places) = plan_of(text, format);
        last = check(&plan, &places, around);
        assert_eq!(show(&last), expected, "{format:?} {text}\n{last:#?}");
    }
    last
}

#[track_caller]
fn check_tasks(tasks: &[&str], expected: &[&str]) -> Vec<Problem> {
    check_in(&surroundings(), &plan_with(tasks), expected)
}

#[test]
fn codes_have_the_names_of_the_contract() {
    let names = ProblemCode::ALL.map(ProblemCode::as_str);
    assert_eq!(
        names.join(" "),
        "duplicate-id unknown-dependency cycle overlap no-files bad-path shared-file unknown-agent unknown-pipeline no-specs no-tests protected-worker same-plan syntax"
    );
}

#[test]
fn a_sound_plan_has_no_problems() {
    check_tasks(
        &[
            r#""id": 1, "files": ["src/a.rs"], "target": "claude", "role": "oracle""#,
            r#""id": 2, "files": ["src/"], "depends_on": [1], "agent": "auto", "rules": {"review": "codex"}"#,
            r#""id": "c", "files": ["src/a.rs", "lib/*.rs"], "depends_on": [2], "target": "pr_review""#,
        ],
        &[],
    );
}

#[test]
fn no_tasks() {
    check_in(&surroundings(), "{\"name\": \"x\",\n \"tasks\": []}", &["error syntax 2:11"]);
}

#[test]
fn duplicate_ids() {
    let problems = check_tasks(
        &[
            r#""id": 1, "files": ["a"]"#,
            r#""id": 2, "files": ["b"]"#,
            r#""id": "1", "files": ["a"]"#,
            r#""id": 1, "files": ["c"]"#,
        ],
        &["error duplicate-id 4:21 [2:21] (1)", "error duplicate-id 5:21 [2:21] (1)"],
    );
    assert_eq!(problems[0].message, "two tasks have the id 1");
    let problems = check_tasks(
        &[r#""id": "Auth", "files": ["a"]"#, r#""id": "auth", "files": ["b"]"#],
        &["error duplicate-id 3:21 [2:21] (auth)"],
    );
    assert!(problems[0].message.contains("differ in case only"), "{problems:?}");
}

#[test]
fn unknown_dependencies() {
    let problems = check_tasks(
        &[
            r#""id": "auth-api", "files": ["a"], "depends_on": ["b", "auth-apl", 7]"#,
            r#""id": "b", "files": ["b"]"#,
        ],
        &["error unknown-dependency 2:69 (auth-api)", "error unknown-dependency 2:81 (auth-api)"],
    );
    assert_eq!(problems[0].message, "task auth-api depends on \"auth-apl\", which the plan does not have");
    assert_eq!(problems[0].hint, "did you mean auth-api?");
    assert_eq!(problems[1].hint, "the plan has the tasks auth-api, b");
}

#[test]
fn cycles() {
    let problems = check_tasks(
        &[
            r#""id": 1, "files": ["a"], "depends_on": [3]"#,
            r#""id": 2, "files": ["a"], "depends_on": [1]"#,
            r#""id": 3, "files": ["a"], "depends_on": [4, 2]"#,
            r#""id": 4, "files": ["b"], "depends_on": [4]"#,
        ],
        // Tasks of a cycle are no overlap besides.
        &["error cycle 2:55 [4:58 3:55] (1)", "error cycle 5:55 (4)"],
    );
    assert_eq!(problems[0].message, "tasks wait for each other, each for the next: 1 → 3 → 2 → 1");
    assert_eq!(problems[1].message, "task 4 depends on itself: 4 → 4");
}

#[test]
fn no_files() {
    check_tasks(
        &[r#""id": 1, "files": []"#, r#""id": 2"#, r#""id": 3, "files": null"#],
        &["error no-files 2:33 (1)", "error no-files 3:1 (2)", "error no-files 4:33 (3)"],
    );
}

#[test]
fn files_that_were_refused_are_not_missing() {
    let text = plan_with(&[r#""id": 1, "files": ["../a"]"#]);
    let reading = read_plan(&read(&text, Format::Json).unwrap());
    assert_eq!(show(&reading.problems), ["error bad-path 2:34 (1) <../a>"]);
    assert_eq!(show(&check(&reading.plan.unwrap(), &reading.places, &surroundings())), Vec::<String>::new());
}

#[test]
fn overlaps_of_literals() {
    let problems = check_tasks(
        &[
            r#""id": 1, "files": ["src/a.rs", "doc/"]"#,
            r#""id": 2, "files": ["lib", "src/a.rs"]"#,
            r#""id": 3, "files": ["doc/b/c.md"], "depends_on": [2]"#,
            r#""id": 4, "files": ["src/A.rs"], "depends_on": [1]"#,
            r#""id": 5, "files": ["src/a.rsx", "docs", "libx/y"]"#,
        ],
        &[
            "error overlap 3:41 [2:34] (2) <src/a.rs>",
            "error overlap 4:34 [2:46] (3) <doc/b/c.md>",
            "error overlap 5:34 [3:41] (4) <src/a.rs>",
        ],
    );
    assert_eq!(problems[0].message, "tasks 1 and 2 both own src/a.rs, and nothing says which goes first");
    assert!(problems[0].hint.contains("serialize"), "{problems:?}");
}

#[test]
fn overlaps_of_globs_have_a_witness() {
    let tasks = [
        r#""id": 1, "files": ["src/*/mod.rs"]"#,
        r#""id": 2, "files": ["src/db/*.rs"]"#,
        r#""id": 3, "files": ["src/*.rs"]"#,
        r#""id": 4, "files": ["**/*.md"]"#,
        r#""id": 5, "files": ["doc"]"#,
    ];
    let (plan, places) = plan_of(&plan_with(&tasks), Format::Json);
    let problems = check(&plan, &places, &surroundings());
    let pairs: Vec<_> =
        problems.iter().map(|problem| problem.message.split(" both").next().unwrap()).collect();
    assert_eq!(pairs, ["tasks 1 and 2", "tasks 4 and 5"], "{problems:#?}");
    assert_eq!(problems[0].path.as_deref(), Some("src/db/mod.rs"));
    for (problem, (a, b)) in problems.iter().zip([(0, 1), (3, 4)]) {
        let witness = RepoPath::from(problem.path.as_deref().unwrap());
        assert!(plan.tasks[a].files[0].contains(&witness) && plan.tasks[b].files[0].contains(&witness));
    }
}

#[test]
fn two_tasks_overlap_once_however_many_files_they_share() {
    check_tasks(
        &[r#""id": 1, "files": ["a", "b", "c"]"#, r#""id": 2, "files": ["c", "b", "a", "a/x"]"#],
        &["error overlap 3:44 [2:34] (2) <a>"],
    );
}

#[test]
fn a_thousand_overlaps_are_enough() {
    let tasks: Vec<String> = (0..100).map(|id| format!("\"id\": {id}, \"files\": [\"a\"]")).collect();
    let (plan, places) =
        plan_of(&plan_with(&tasks.iter().map(String::as_str).collect::<Vec<_>>()), Format::Json);
    let problems = check(&plan, &places, &surroundings());
    assert_eq!(problems.len(), 1000);
    assert!(problems[999].message.ends_with("further errors are not listed"));
}

#[test]
fn warnings_never_hide_an_error() {
    let mut plan = Plan::default();
    for id in 0..1_500 {
        plan.tasks.push(Task::new(TaskId::number(id), "x", vec![pattern(&format!("f{id}"))]));
    }
    plan.tasks[1_499].target = Some("nobody".to_owned());
    let around = Surroundings { tdd: true, ..surroundings() };
    let problems = check(&plan, &Places::default(), &around);
    assert_eq!(problems.len(), 1_001);
    assert_eq!(problems.iter().filter(|problem| problem.is_error()).count(), 1);
    assert!(problems[1_000].message.ends_with("further warnings are not listed"));
}

#[test]
fn shared_files() {
    let problems = check_tasks(
        &[
            r#""id": 1, "files": ["a", "Cargo.lock"]"#,
            r#""id": 2, "files": ["gen/b.rs"]"#,
            r#""id": 3, "files": ["src/index.ts", "Cargo.locks", "gen.rs"]"#,
            r#""id": 4, "files": ["lib/"]"#,
            r#""id": 5, "files": ["*.lock"], "depends_on": [1]"#,
            r#""id": 6, "files": ["app/*.rs", "CARGO.LOCK"], "depends_on": [5]"#,
        ],
        &[
            "error shared-file 2:39 (1) <cargo.lock>",
            "error shared-file 3:34 (2) <gen/b.rs>",
            "error shared-file 4:34 (3) <src/index.ts>",
            "error shared-file 6:34 (5) <cargo.lock>",
            "error shared-file 7:46 (6) <cargo.lock>",
        ],
    );
    assert!(problems[0].message.contains("regenerated while landing"), "{problems:?}");
}

#[test]
fn agents() {
    let text = format!(
        "{{\"rules\": {{\"review\": \"claud\"}},\n{}",
        &plan_with(&[
            r#""id": 1, "files": ["a"], "agent": "cluade""#,
            r#""id": 2, "files": ["b"], "target": "arch_prod""#,
            r#""id": 3, "files": ["c"], "role": "claude""#,
            r#""id": 4, "files": ["d"], "rules": {"review": "auto"}"#,
            r#""id": 5, "files": ["e"], "target": "oracle""#,
            r#""id": 6, "files": ["f"], "target": "CODEX""#,
        ])[1..]
    );
    let problems = check_in(
        &surroundings(),
        &text,
        &[
            "error unknown-agent 1:22",
            "error unknown-agent 3:49 (1)",
            "error protected-worker 4:50 (2)",
            "error unknown-agent 5:48 (3)",
            "error unknown-agent 6:60 (4)",
            "error unknown-agent 8:50 (6)",
        ],
    );
    let unknown = Surroundings { targets: None, ..surroundings() };
    let nobody = Surroundings { targets: Some(Vec::new()), ..surroundings() };
    let (plan, places) = plan_of(&plan_with(&[r#""id": 1, "files": ["a"], "role": "judge""#]), Format::Json);
    assert_eq!(check(&plan, &places, &nobody)[0].hint, "known are none; kapell.toml can name more");
    assert_eq!(check(&plan, &places, &unknown), []);
    let known = "claude, codex, dev1, pr_review, oracle";
    assert_eq!(problems[0].hint, format!("did you mean claude? Known are {known}, none"));
    assert_eq!(problems[1].hint, format!("did you mean claude? Known are {known}, auto"));
    assert_eq!(
        problems[1].message,
        "task 1: `target` is \"cluade\", and no provider, worker, group or role is called so"
    );
    assert_eq!(problems[3].hint, "known are oracle; kapell.toml can name more");
    assert_eq!(problems[5].hint, format!("did you mean codex? Known are {known}, auto"));
}

#[test]
fn a_strict_wall_asks_for_what_it_can_be_built_around() {
    let tasks = [
        r#""id": 1, "files": ["a", "*.rs", "src/*.rs"]"#,
        r#""id": 2, "files": []"#,
        r#""id": 3, "files": ["**/x.md"]"#,
    ];
    let text = plan_with(&tasks);
    let kept = |walls| {
        let (plan, places) = plan_of(&text, Format::Json);
        let around = Surroundings { on_overlap: OnOverlap::Serialize, walls, ..surroundings() };
        let problems = check(&plan, &places, &around);
        let walled = problems.iter().filter(|problem| problem.message.contains("strict wall"));
        walled.map(|it| (it.code, it.task.as_ref().unwrap().to_string())).collect::<Vec<_>>()
    };
    let (path, files) = (ProblemCode::BadPath, ProblemCode::NoFiles);
    assert_eq!(kept(Walls::Any), []);
    assert_eq!(kept(Walls::Strict), [(path, "1".to_owned()), (path, "3".to_owned())]);
    let all = [(path, "1".to_owned()), (files, "2".to_owned()), (path, "3".to_owned())];
    assert_eq!(kept(Walls::StrictInSharedFolder), all);
}

#[test]
fn specs_and_tests_are_asked_for_by_the_rules() {
    let around = Surroundings { spec_first: true, tdd: true, ..surroundings() };
    let task = r#""id": 1, "files": ["src/a.rs"]"#;
    check_in(&around, &plan_with(&[task]), &["warning no-specs 1:1", "warning no-tests 2:33 (1)"]);
    check_in(&surroundings(), &plan_with(&[task]), &[]);
    // The nearest rule counts.
    let off = format!("{{\"rules\": {{\"spec_first\": false, \"tdd\": false}},{}", &plan_with(&[task])[1..]);
    check_in(&around, &off, &[]);
    let on = r#""id": 1, "files": ["src/a.rs"], "rules": {"spec_first": true, "tdd": true}"#;
    let on = format!(
        "{{\"specs\": [], \"rules\": {{\"spec_first\": false, \"tdd\": false}},{}",
        &plan_with(&[on])[1..]
    );
    check_in(&around, &on, &["warning no-specs 1:11", "warning no-tests 2:33 (1)"]);
    let twins = r#""id": 1, "files": ["src/a.rs"], "tests": ["t.rs"]"#;
    let specs = r#"{"specs": [{"file": "s/a.md"}, {"file": "s/a.md"}, {"file": "s/A.md"}],"#;
    check_in(&around, &format!("{specs}{}", &plan_with(&[twins])[1..]), &["error overlap 1:61"]);
    // Who writes nothing but a spec needs no tests.
    let spec = r#""id": 1, "files": ["s.md"]"#;
    let spec = format!("{{\"specs\": [{{\"file\": \"s.md\"}}],{}", &plan_with(&[spec])[1..]);
    check_in(&around, &spec, &[]);
    // One who writes it with the code would be refused however good it is.
    let mixed = spec.replace(r#"["s.md"]"#, r#"["src/a.rs", "s.md"], "tests": ["t.rs"]"#);
    let (plan, places) = plan_of(&mixed, Format::Json);
    let problems = show(&check(&plan, &places, &around));
    assert!(problems.len() == 1 && problems[0].starts_with("error no-specs"), "{problems:?}");
    let there = Surroundings { existing_specs: BTreeSet::from(["s.md".to_owned()]), ..around.clone() };
    check_in(&there, &mixed, &[]);
    check_in(
        &Surroundings { spec_first: false, ..around },
        &plan_with(&[r#""id": 1, "files": ["a"], "tests": []"#]),
        &["warning no-tests 2:33 (1)"],
    );
}

#[test]
fn tests_are_known_by_their_names() {
    let tests = [
        "tests/a.rs",
        "src/test/x",
        "spec/a.rb",
        "a/__tests__/b.js",
        "src/a.test.ts",
        "src/*.spec.ts",
        "a_test.go",
        "test_a.py",
        "src/ATest.java",
        "tests/",
        "tests",
        "a/test",
        "**/*_test.*",
        "app/a_spec.rb",
    ];
    for name in tests {
        assert!(looks_like_test(name), "{name}");
    }
    for name in [
        "src/a.rs",
        "src/testing.rs",
        "latest.py",
        "contest/a.c",
        "specs/api.md",
        "src/",
        "Test.md",
        "attest_a.py",
    ] {
        assert!(!looks_like_test(name), "{name}");
    }
    let task = r#""id": 1, "files": ["src/a.rs"], "tests": ["src/a.rs"]"#;
    check_in(&Surroundings { tdd: true, ..surroundings() }, &plan_with(&[task]), &[]);
}

/// The tasks with what they depend on, as `1 2:1`.
fn dependencies_of(plan: &Plan) -> String {
    let task = |task: &Task| {
        let ids: Vec<&str> = task.depends_on.iter().map(TaskId::as_str).collect();
        if ids.is_empty() { task.id.to_string() } else { format!("{}:{}", task.id, ids.join(",")) }
    };
    plan.tasks.iter().map(task).collect::<Vec<_>>().join(" ")
}

#[test]
fn serializing_lets_the_later_wait() {
    let text = plan_with(&[
        r#""id": 1, "files": ["a"]"#,
        r#""id": 2, "files": ["a/b"]"#,
        r#""id": 3, "files": ["c"], "depends_on": [4]"#,
        r#""id": 4, "files": ["a", "d"]"#,
        r#""id": 5, "files": ["c", "d"]"#,
    ]);
    let (mut plan, places) = plan_of(&text, Format::Json);
    let around = Surroundings { on_overlap: OnOverlap::Serialize, ..surroundings() };
    assert_eq!(show(&check(&plan, &places, &around)), Vec::<String>::new());
    let problems = serialize(&mut plan, &places);
    assert_eq!(
        show(&problems),
        [
            "warning overlap 3:34 [2:34] (2) <a/b>",
            "warning overlap 5:34 [3:34] (4) <a/b>",
            "warning overlap 6:39 [5:39] (5) <d>",
            "warning overlap 6:34 [4:34] (5) <c>",
        ]
    );
    // 4 waits for 1 through 2; and 3 for 4, as the plan says.
    assert_eq!(dependencies_of(&plan), "1 2:1 3:4 4:2 5:4,3");
    assert_eq!(problems[0].message, "tasks 1 and 2 both own a/b, so 2 waits for 1");
    assert_eq!(waves(&plan).unwrap().len(), 5);
    assert_eq!(show(&check(&plan, &places, &surroundings())), Vec::<String>::new());
}

#[test]
fn serializing_a_plan_with_a_cycle_ends() {
    let text = plan_with(&[
        r#""id": 1, "files": ["a"], "depends_on": [2]"#,
        r#""id": 2, "files": ["a"], "depends_on": [1]"#,
        r#""id": 3, "files": ["a"]"#,
    ]);
    let (mut plan, places) = plan_of(&text, Format::Json);
    assert_eq!(serialize(&mut plan, &places).len(), 1);
    assert_eq!(dependencies_of(&plan), "1:2 2:1 3:2");
}

#[test]
fn ten_thousand_tasks_are_checked_without_all_pairs() {
    let mut plan = Plan::default();
    for id in 0..10_000 {
        let files = [format!("src/m{}/f{id}.rs", id % 100), format!("tests/t{id}.rs")];
        let files = files.iter().map(|file| pattern(file)).collect();
        plan.tasks.push(Task::new(TaskId::number(id), "x", files));
    }
    assert_eq!(check(&plan, &Places::default(), &surroundings()), []);
    // One folder above them, and the last two share a file.
    plan.tasks[0].files = vec![pattern("src/m7")];
    plan.tasks[9_998].files = vec![pattern("tests/t9999.rs")];
    let problems = check(&plan, &Places::default(), &surroundings());
    assert_eq!(problems.len(), 101);
    assert_eq!(problems[100].path.as_deref(), Some("tests/t9999.rs"));
}

#[test]
fn many_tasks_of_one_file_become_one_row() {
    let mut plan = Plan::default();
    for id in 0..1_000 {
        plan.tasks.push(Task::new(TaskId::number(id), "x", vec![pattern("a")]));
    }
    assert_eq!(serialize(&mut plan, &Places::default()).len(), 999);
    assert_eq!(waves(&plan).unwrap().len(), 1_000);
}

/// Runs `spec_tasks` on a plan of these spec files and tasks, gives its dependencies
/// after it and the new tasks' ids and files.
fn with_specs(
    specs: &[&str],
    tasks: &[&str],
    around: &Surroundings,
) -> (String, Vec<(String, String)>, Plan) {
    let (mut plan, _) = plan_of(&plan_with(tasks), Format::Json);
    plan.specs = specs
        .iter()
        .map(|file| Spec { file: (*file).to_owned(), description: format!("What {file} says") })
        .collect();
    let added = spec_tasks(&plan, around);
    let new = added.tasks.iter().map(|task| {
        let files: Vec<&str> = task.files.iter().map(Pattern::as_str).collect();
        (task.id.to_string(), files.join(" "))
    });
    let new = new.collect();
    added.add_to(&mut plan);
    (dependencies_of(&plan), new, plan)
}

fn specs_first() -> Surroundings {
    Surroundings { spec_first: true, ..surroundings() }
}

fn pair(id: &str, file: &str) -> (String, String) {
    (id.to_owned(), file.to_owned())
}

#[test]
fn a_missing_spec_becomes_a_task_before_all_code() {
    let tasks = [
        r#""id": 1, "files": ["src/a.rs"]"#,
        r#""id": 2, "files": ["src/b.rs", "tests/b.rs"], "depends_on": [1]"#,
    ];
    let (order, new, plan) = with_specs(&["specs/api.md", "SPEC.md"], &tasks, &specs_first());
    assert_eq!(order, "1:spec-api,spec-spec 2:1,spec-api,spec-spec spec-api spec-spec");
    assert_eq!(new, [pair("spec-api", "specs/api.md"), pair("spec-spec", "SPEC.md")]);
    let task = &plan.tasks[2];
    assert_eq!(task.rules.tdd, Some(false));
    for said in
        ["specs/api.md", "What specs/api.md says", "- 1: x (src/a.rs)", "- 2: x (src/b.rs, tests/b.rs)"]
    {
        assert!(task.text.contains(said), "{said}: {}", task.text);
    }
    let waves = waves(&plan).unwrap();
    assert_eq!(waves[0], [TaskId::text("spec-api"), TaskId::text("spec-spec")]);
    assert_eq!(waves.len(), 3);
    // The plan stays sound, also to the rules that asked for it.
    let around = Surroundings { tdd: true, ..specs_first() };
    let problems = check(&plan, &Places::default(), &around);
    assert_eq!(show(&problems), ["warning no-tests - (1)"]);
}

#[test]
fn specs_that_exist_or_are_not_wanted_make_no_task() {
    let task = [r#""id": 1, "files": ["a"]"#];
    let existing = Surroundings { existing_specs: BTreeSet::from(["s.md".to_owned()]), ..specs_first() };
    assert_eq!(with_specs(&["s.md"], &task, &existing).0, "1");
    assert_eq!(with_specs(&["s.md", "t.md", "t.md"], &task, &existing).0, "1:spec-t spec-t");
    assert_eq!(with_specs(&["s.md"], &task, &surroundings()).0, "1");
    let mixed = [r#""id": 1, "files": ["a"], "rules": {"spec_first": false}"#, r#""id": 2, "files": ["b"]"#];
    assert_eq!(with_specs(&["s.md"], &mixed, &specs_first()).0, "1 2:spec-s spec-s");
    let one = [r#""id": 1, "files": ["a"], "rules": {"spec_first": true}"#, r#""id": 2, "files": ["b"]"#];
    assert_eq!(with_specs(&["s.md"], &one, &surroundings()).0, "1:spec-s 2 spec-s");
}

#[test]
fn a_task_that_owns_the_spec_writes_it() {
    let tasks = [
        r#""id": 1, "files": ["src/a.rs"]"#,
        r#""id": 2, "files": ["specs/api.md"], "depends_on": [3]"#,
        r#""id": 3, "files": ["src/c.rs"]"#,
        r#""id": 4, "files": ["src/d.rs"], "depends_on": [2]"#,
    ];
    // 3 must be done before 2, so it cannot wait for it; 4 waits already.
    assert_eq!(with_specs(&["specs/api.md"], &tasks, &specs_first()).0, "1:2 2:3 3 4:2");
    // A folder owns it too, and is code besides; the other spec has a task of its own.
    let folder = [r#""id": 1, "files": ["specs/"]"#, r#""id": 2, "files": ["src/a.rs"]"#];
    assert_eq!(
        with_specs(&["specs/api.md", "b.md"], &folder, &specs_first()).0,
        "1:spec-b 2:1,spec-b spec-b"
    );
    // Of two that own it one after the other, the first writes it.
    let two = [
        r#""id": 1, "files": ["specs/"], "depends_on": [2]"#,
        r#""id": 2, "files": ["specs/api.md"]"#,
        r#""id": 3, "files": ["a"]"#,
    ];
    assert_eq!(with_specs(&["specs/api.md"], &two, &specs_first()).0, "1:2 2 3:2");
}

#[test]
fn writers_of_two_specs_do_not_wait_for_each_other() {
    let tasks = [r#""id": 1, "files": ["s.md", "a"]"#, r#""id": 2, "files": ["t.md", "b"]"#];
    let (order, _, plan) = with_specs(&["s.md", "t.md"], &tasks, &specs_first());
    assert_eq!(order, "1 2:1");
    assert!(waves(&plan).is_ok());
}

#[test]
fn ids_of_spec_tasks_are_free_and_valid() {
    let tasks = [r#""id": "spec-api", "files": ["a"]"#, r#""id": "SPEC-API-2", "files": ["b"]"#];
    let long = format!("{}-{}.md", "x".repeat(47), "y".repeat(60));
    let (_, new, _) = with_specs(
        &["specs/api.md", "v2/api.md", "käse.md", "日本.md", "A  b.v2.md", "x/no-end", &long],
        &tasks,
        &specs_first(),
    );
    let ids: Vec<&str> = new.iter().map(|(id, _)| id.as_str()).collect();
    let long = format!("spec-{}", "x".repeat(47));
    assert_eq!(ids, ["spec-api-3", "spec-api-4", "spec-k-se", "spec", "spec-a-b-v2", "spec-no-end", &long]);
    for id in ids {
        assert_eq!(check_id(id), Ok(()));
    }
}

#[test]
fn a_spec_task_is_told_of_a_large_plan_in_short() {
    let tasks: Vec<String> = (0..60).map(|id| format!("\"id\": {id}, \"files\": [\"f{id}\"]")).collect();
    let (_, _, plan) =
        with_specs(&["s.md"], &tasks.iter().map(String::as_str).collect::<Vec<_>>(), &specs_first());
    let text = &plan.tasks[60].text;
    assert!(
        text.contains("- 49: x (f49)\n- and 10 more tasks of the plan\n") && !text.contains("- 50:"),
        "{text}"
    );
}

const A_PLAN: &str = r#"{"specs": [{"file": "s.md"}], "rules": {"test": "a b", "tdd": true},
  "tasks": [{"id": 1, "task": "x", "files": ["a/*.rs"], "depends_on": [2], "priority": "high"},
            {"id": 2, "task": "y", "files": ["a/", "b"], "agent": "claude", "tests": ["t"]}]}"#;

/// Random plans whose tasks own some of few files, so that many overlap.
fn any_plan() -> impl Strategy<Value = Plan> {
    let names = ["a", "a/b", "a/b/c", "a/d", "e", "e/f", "G", "g"];
    let files = prop::collection::vec(prop::collection::vec(prop::sample::select(names.to_vec()), 0..3), 30);
    (any_dag(), files).prop_map(|(mut plan, files)| {
        for (task, files) in plan.tasks.iter_mut().zip(files) {
            task.files = files.into_iter().map(pattern).collect();
        }
        plan
    })
}

/// The pairs of tasks that could run at once and own the same path, found the slow way.
fn unordered_overlaps(plan: &Plan) -> Vec<(usize, usize)> {
    let order = Order::of(plan);
    let meet = |a: &Task, b: &Task| a.files.iter().any(|a| b.files.iter().any(|b| overlap(a, b).is_some()));
    let pairs = (0..plan.tasks.len()).flat_map(|second| (0..second).map(move |first| (first, second)));
    pairs.filter(|&(a, b)| !order.is_ordered(a, b) && meet(&plan.tasks[a], &plan.tasks[b])).collect()
}

#[test]
fn a_budget_of_nothing_or_beyond_the_plans_is_refused_where_it_stands() {
    let problems = |text: &str| {
        let (plan, places) = plan_of(text, Format::Json);
        show(&check(&plan, &places, &surroundings()))
    };
    let task = |budget: &str| {
        format!("{{\"id\": 1, \"task\": \"x\", \"files\": [\"a\"], \"budget_usd\": {budget}}}")
    };
    for (budget, expected) in
        [("0", true), ("0.0", true), ("0.0000001", true), ("0.000001", false), ("2", false)]
    {
        let found = problems(&format!("{{\"tasks\": [\n{}]}}", task(budget)));
        let is_there = vec!["error syntax 2:54 (1)".to_owned()];
        assert_eq!(found, if expected { is_there } else { Vec::new() }, "{budget}");
    }
    let whole = |usd: &str, of_task: &str| {
        problems(&format!("{{\"budget_usd\": {usd}, \"tasks\": [\n{}]}}", task(of_task)))
    };
    assert_eq!(whole("0", "1"), ["error syntax 1:16"]);
    assert_eq!(whole("0.5", "1"), ["error syntax 2:54 (1)"]);
    assert_eq!(whole("1", "1"), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A plan with characters lost and others put in goes all the way, or is refused on it.
    #[test]
    fn a_damaged_plan_is_checked_or_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}:,\"'0-9a-z*. \n]{0,2}"), 1..6),
    ) {
        let mut text: Vec<String> = A_PLAN.chars().map(String::from).collect();
        for (at, edit) in edits {
            let at = at.index(text.len());
            text[at] = edit;
        }
        for format in [Format::Json, Format::Yaml] {
            let Ok(document) = read(&text.concat(), format) else { continue };
            let reading = read_plan(&document);
            prop_assert!(reading.plan.is_some() || reading.problems.iter().any(Problem::is_error));
            let Some(mut plan) = reading.plan else { continue };
            let mut problems = check(&plan, &reading.places, &specs_first());
            problems.extend(reading.problems);
            prop_assert!(problems.iter().all(|problem| problem.place.is_some()), "{:?}", problems);
            let has_cycle = problems.iter().any(|problem| problem.code == ProblemCode::Cycle);
            prop_assert_eq!(waves(&plan).is_err(), has_cycle);
            spec_tasks(&plan, &specs_first()).add_to(&mut plan);
            serialize(&mut plan, &reading.places);
            prop_assert_eq!(waves(&plan).is_err(), has_cycle);
        }
    }

    #[test]
    fn every_unordered_overlap_is_reported(plan in any_plan()) {
        let around = Surroundings { integrator: Vec::new(), ..surroundings() };
        let problems = check(&plan, &Places::default(), &around);
        let reported = problems.iter().filter(|problem| problem.code == ProblemCode::Overlap).count();
        prop_assert_eq!(reported, unordered_overlaps(&plan).len());
    }

    #[test]
    fn a_serialized_plan_has_no_unordered_overlap_and_no_cycle(plan in any_plan()) {
        let before = plan.clone();
        let mut plan = plan;
        let problems = serialize(&mut plan, &Places::default());
        prop_assert!(waves(&plan).is_ok());
        prop_assert_eq!(unordered_overlaps(&plan), []);
        prop_assert_eq!(problems.is_empty(), unordered_overlaps(&before).is_empty());
        let again = serialize(&mut plan, &Places::default());
        prop_assert_eq!(again, []);
        // What was said stays said, and nothing is added twice.
        for (task, old) in plan.tasks.iter().zip(&before.tasks) {
            prop_assert!(task.depends_on.starts_with(&old.depends_on));
        }
    }

    #[test]
    fn specs_never_make_a_cycle(plan in any_plan(), missing in prop::collection::vec(prop::sample::select(vec!["a/b", "a/d", "e", "s.md"]), 0..4)) {
        let mut plan = plan;
        serialize(&mut plan, &Places::default());
        plan.specs = missing.iter().map(|file| Spec { file: (*file).to_owned(), description: String::new() }).collect();
        let added = spec_tasks(&plan, &specs_first());
        let new = added.tasks.len();
        added.add_to(&mut plan);
        prop_assert!(waves(&plan).is_ok());
        prop_assert_eq!(unordered_overlaps(&plan), []);
        // Every code task waits for every spec that got a task of its own.
        let spec_files = specs::spec_files(&plan);
        let all = plan.tasks.len();
        for task in plan.tasks[..all - new].iter().filter(|task| specs::is_code(task, &spec_files)) {
            for spec in &plan.tasks[all - new..] {
                prop_assert!(task.depends_on.contains(&spec.id));
            }
        }
    }
}
