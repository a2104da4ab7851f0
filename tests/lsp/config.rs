//! The configuration as it is written, and plans beside one that is changed or cannot be used.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::uri;
use crate::open::{Open, QUIET, labels, offset, position, shown, text_of};
use crate::world::World;

#[test]
fn a_plan_is_checked_as_far_as_it_can_be_without_a_configuration() {
    let config = "[workers.w]\nprovider = \"claude\"\n[rules]\n\"tdd ü\" = true\n";
    let world = World::new(&[("kapell.toml", config), ("src/a.rs", "")]);
    let text = r#"{"tasks": [
{"id": 1, "task": "x", "files": ["src/"], "agent": "w", "pipeline": 1},
{"id": 2, "task": "x", "files": ["src/a.rs"], "agent": "nobody", "depends_on": [3]}]}"#;
    let mut open = Open::in_world(world, "plan.json", text);
    let problems = open.problems();
    let found = shown(&open, &problems);
    assert_eq!(
        found,
        [
            "overlap \"src/\"",
            "overlap \"src/a.rs\"",
            "syntax \"pipeline\"",
            "unchecked {\"tasks\": [",
            "unknown-dependency 3",
        ]
    );
    let unchecked = problems.iter().find(|it| it["code"] == "unchecked").unwrap();
    assert_eq!((&unchecked["severity"], unchecked["range"]["start"]["line"].as_u64()), (&json!(2), Some(0)));
    assert!(unchecked["message"].as_str().unwrap().contains("kapell.toml:4:1: "), "{unchecked}");
    assert!(unchecked["data"]["hint"].as_str().unwrap().contains("kapell config check"), "{unchecked}");
    let place = &unchecked["relatedInformation"][0]["location"];
    assert_eq!(place["uri"], uri(&open.world.path("kapell.toml")));
    assert_eq!(text_of(&config.replace('ü', "u"), &place["range"]), "\"tdd u\"");
    // What the plan says itself is held against it.
    let problems = open.change(
        r#"{"rules": {"tdd": true, "spec_first": true}, "tasks": [{"id": 1, "task": "x", "files": ["a.ts"]}]}"#,
    );
    let codes: Vec<&str> = problems.iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["unchecked", "no-specs", "no-tests"]);
    let problems = open.change("{");
    assert_eq!(problems.iter().map(|it| &it["code"]).collect::<Vec<_>>(), ["unchecked", "syntax"]);
    open.editor.finish();
}

#[test]
fn a_configuration_that_another_program_changes_is_looked_at_again() {
    // The editor watches no files for its servers, as Neovim on Linux does not.
    let world = World::new(&[("src/a.rs", "")]);
    let own = world.root().join(".config/kapell");
    let text = format!(
        "{{\"tasks\": [{{\"id\": 1, \"task\": \"x\", \"files\": [\"a\"], \"agent\": \"w\"}}], {QUIET}}}"
    );
    let mut open = Open::in_world(world, "plan.json", &text);
    let codes = |open: &mut Open, expected: &[&str]| {
        let path = open.path.clone();
        open.editor.diagnostics(&path, |shown| shown.iter().map(|it| &it["code"]).eq(expected));
    };
    codes(&mut open, &["unknown-agent"]);
    let worker = "[workers.w]\nprovider = \"claude\"\n";
    open.world.write("kapell.toml", worker);
    codes(&mut open, &[]);
    open.world.write("kapell.toml", "[workers.w\n");
    codes(&mut open, &["unchecked"]);
    // As programs do that replace a file by another.
    let beside = open.world.write("kapell.toml.new", worker);
    std::fs::rename(beside, open.world.path("kapell.toml")).unwrap();
    codes(&mut open, &[]);
    std::fs::remove_file(open.world.path("kapell.toml")).unwrap();
    codes(&mut open, &["unknown-agent"]);
    // The person's own names workers too.
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("config.toml"), worker).unwrap();
    codes(&mut open, &[]);
    std::fs::remove_file(own.join("config.toml")).unwrap();
    codes(&mut open, &["unknown-agent"]);
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
    // And what it names no more is none.
    let config = open.world.write("kapell.toml", "[project]\nplans = [\"plans/*.json\"]\n");
    open.editor.save(&config);
    open.editor.diagnostics(&later, <[_]>::is_empty);
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
    let items = open.complete("[workers.w]\nprovider = \"|\"\n");
    assert_eq!(labels(&items), ["claude", "codex", "opencode", "ollama"]);
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

#[test]
fn of_very_many_mistakes_the_first_are_shown_and_the_others_counted() {
    let text: String = (0..2000).map(|at| format!("[workers.a{at}]\nprovider = \"x{at}\"\n")).collect();
    let mut open = Open::new("kapell.toml", &text);
    let problems = open.problems();
    assert_eq!(problems.len(), 500);
    let last = problems[499]["message"].as_str().unwrap();
    assert!(
        last.contains("names `x499`") && last.ends_with("\n1500 further problems are not shown"),
        "{last}"
    );
    open.editor.finish();
}
