//! What nobody should do, and somebody does.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::bench::{AGENT, Bench, KAPELL, Plan, task};

fn one() -> Plan {
    Plan::new([task("a", &["a.txt"], &["write a.txt a"])])
}

#[test]
fn a_repository_without_a_commit_is_refused_with_what_to_do() {
    let bench = Bench::bare_machine();
    bench.git(["init", "-q", "-b", "main"]);
    let plan = bench.plan(&one());
    let refusal = bench.rpc().refused("dispatch", json!({"plan_id": plan}));
    assert_eq!(refusal.kind, "unsupported");
    assert!(refusal.message.contains("no commit"), "{refusal:?}");
    assert!(refusal.data["hint"].as_str().unwrap().contains("git commit"), "{refusal:?}");
    // What was made of the file is kept, and whoever runs it is told so.
    bench.write("p.json", &one().params()["plan"].to_string());
    let run = bench.command(KAPELL).args(["run", "p.json"]).output().unwrap();
    let told = String::from_utf8_lossy(&run.stderr).replace('\n', " ");
    let draft = told.split("kept as the draft ").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    let status = bench.rpc().ok("status", json!({"scope": "plan", "id": draft}));
    assert_eq!(status["state"], "draft", "{told}");
}

#[test]
fn a_bare_repository_is_refused() {
    let bench = Bench::bare_machine();
    bench.git(["init", "-q", "--bare"]);
    let mut rpc = bench.rpc();
    let refusal = rpc.refused("plan", one().params());
    assert_eq!(refusal.kind, "unsupported");
    assert!(refusal.message.contains("bare"), "{refusal:?}");
}

#[test]
fn on_a_detached_head_work_lands_beside_it() {
    let bench = Bench::new();
    bench.git(["checkout", "-q", "--detach"]);
    let plan = bench.start(&one());
    assert_eq!(bench.at_rest(&plan)["state"], "done");
    assert_eq!(bench.landed(&plan), ["a"]);
    let refusal = bench.rpc().refused("control", json!({"action": "land", "target": plan}));
    assert!(refusal.message.contains("no target branch"), "{refusal:?}");
}

#[test]
fn a_dirty_checkout_is_neither_seen_by_workers_nor_changed() {
    let bench = Bench::new();
    bench.write("src/lib.txt", "mine\n");
    bench.write("new.txt", "mine\n");
    let before = bench.git(["status", "--porcelain"]);
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["run test ! -e new.txt", "write a.txt a"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "done");
    assert_eq!(bench.git(["status", "--porcelain"]), before);
    assert_eq!(bench.on_branch(&plan, "src/lib.txt"), "one");
    let refusal = bench.rpc().refused("control", json!({"action": "land", "target": plan}));
    assert!(refusal.message.contains("changes in the way: src/lib.txt"), "{refusal:?}");
    assert_eq!(bench.git(["status", "--porcelain"]), before);
    // A new file that is in nobody's way may stay.
    bench.git(["checkout", "-q", "src/lib.txt"]);
    bench.control("land", &plan);
    assert_eq!(bench.git(["status", "--porcelain"]), "?? new.txt");
    assert_eq!(fs::read_to_string(bench.project.join("a.txt")).unwrap(), "a\n");
}

#[test]
fn every_name_that_a_file_can_have_lands() {
    let bench = Bench::new();
    let names = [
        "odd/a blank",
        "odd/\"quoted\"",
        "odd/'single'",
        "odd/new\\nline",
        "odd/no\\xff\\xfetext",
        "odd/-dash",
        "odd/$(x)",
    ];
    let lines: Vec<String> =
        names.iter().map(|name| format!("write {} x", shell_words::quote(name))).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let plan = bench.start(&Plan::new([task("a", &["odd/**"], &lines)]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let listed = bench.git(["ls-tree", "-r", "--name-only", &format!("kapell/{plan}"), "odd/"]);
    assert_eq!(listed.lines().count(), names.len(), "{listed}");
    assert!(listed.contains(r#""odd/no\377\376text""#), "{listed}");
    bench.control("land", &plan);
    assert_eq!(bench.git(["status", "--porcelain"]), "");
}

#[test]
fn links_and_modes_land_only_where_they_stay_within_the_claim() {
    let bench = Bench::new();
    let plan = bench.start(
        &Plan::new([
            task(
                "good",
                &["good/"],
                &["write good/run.sh x", "chmod 755 good/run.sh", "symlink run.sh good/link"],
            ),
            task("bad", &["bad/"], &["symlink ../src/lib.txt bad/link"]),
            task("twins", &["twins/"], &["write twins/Name x", "write twins/name y"]),
            task("nested", &["nested/"], &["run git init -q nested", "write nested/file x"]),
            task("gone", &["gone/"], &["write gone/file x", "delete README", "chmod 755 src/lib.txt"]),
        ])
        .rule("max_attempts", json!(1)),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    assert_eq!(bench.landed(&plan), ["good"]);
    let good = bench.git(["ls-tree", "-r", &format!("kapell/{plan}"), "good/"]);
    assert!(good.contains("120000") && good.contains("100755"), "{good}");
    let reason = |task: &str| bench.task(&plan, task)["reason"].as_str().unwrap().to_owned();
    assert!(reason("bad").contains("symbolic link that leaves the claim"), "{}", reason("bad"));
    assert!(reason("nested").contains("a repository of its own"), "{}", reason("nested"));
    assert!(reason("gone").contains("README"), "{}", reason("gone"));
    assert_eq!(bench.task(&plan, "gone")["attempts"][0]["outside_claim"], json!(["README", "src/lib.txt"]));
    assert!(reason("twins").contains("same name"), "{}", reason("twins"));
}

#[test]
fn an_agent_that_is_not_installed_fails_the_task_with_its_name() {
    let bench = Bench::new();
    bench.configure("[providers.absent]\nkind = \"command\"\ncommand = [\"no-such-agent\"]\n");
    // Of one that no file names it is the same: it has no worker, for that reason.
    let codex =
        bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"]).with("agent", json!("codex"))]));
    assert_eq!(bench.at_rest(&codex)["state"], "failed");
    let why = bench.task(&codex, "a")["reason"].clone();
    let reason = "provider codex has no worker: `codex` is not on the PATH; install it, then retry the task";
    assert_eq!(why, reason);
    let plan =
        bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"]).with("agent", json!("absent"))]));
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let task = bench.task(&plan, "a");
    let reason = task["reason"].as_str().unwrap();
    assert!(reason.contains("no-such-agent") && reason.contains("install it"), "{reason}");
    assert_eq!(task["attempts"], json!([]), "no try finds it");
    // Whoever sends a task is told at once; of a group, those who can do it do.
    let refusal = bench.rpc().refused("dispatch", json!({"task": "x", "target": "absent"}));
    assert!(refusal.message.contains("no-such-agent"), "{refusal:?}");
    assert!(refusal.message.ends_with("install it, then send it again"), "nothing is kept: {refusal:?}");
    let members = ["absent", "fake"].map(|name| format!("[workers.of_{name}]\nprovider = \"{name}\"\n"));
    let group = "[groups.both]\nmembers = [\"of_absent\", \"of_fake\"]\nstrategy = \"round-robin\"\n";
    bench.write("kapell.toml", &format!("{}{group}[rules]\ntdd = false\n", members.concat()));
    bench.commit("a group");
    for name in ["b", "c"] {
        let task = json!({"task": format!("write {name} {name}"), "target": "both", "files": [name]});
        let sent = bench.rpc().ok("dispatch", task);
        let (plan, id) = (sent["plan_id"].as_str().unwrap(), sent["started"].clone());
        bench.at_rest(plan);
        assert!(bench.landed(plan).len() > usize::from(name == "c"), "{id} {}", bench.story());
    }
}

#[test]
fn whatever_an_agent_prints_is_data() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("garbage", &["a.txt"], &["garbage", "write a.txt a"]),
        task(
            "long",
            &["b.txt"],
            &["big-line 100", "say {\"kapell\":\"result\",\"text\":\"done\"}", "write b.txt b"],
        ),
        task("quiet", &["c.txt"], &["write c.txt c"]),
        task("lies", &["d.txt"], &["say {\"kapell\":\"result\",\"text\":\"all done\"}"])
            .with("rules", json!({"max_attempts": 1})),
    ]));
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let mut landed = bench.landed(&plan);
    landed.sort();
    assert_eq!(landed, ["garbage", "long", "quiet"], "{}", bench.story());
    assert_eq!(bench.task(&plan, "long")["attempts"][0]["said"], "done");
    assert!(bench.task(&plan, "lies")["reason"].as_str().unwrap().contains("nothing was changed"));
}

#[test]
fn a_state_folder_that_cannot_be_written_is_told() {
    let bench = Bench::new();
    // Root writes everywhere but here.
    fs::write(bench.state(), "a file").unwrap();
    let refusal = bench.rpc().refused("status", json!({}));
    assert!(refusal.message.contains(bench.state().to_str().unwrap()), "{refusal:?}");
    assert_eq!(fs::read(bench.state()).unwrap(), b"a file");
}

#[test]
fn a_newer_database_is_refused_and_not_touched() {
    let bench = Bench::new();
    bench.rpc().ok("status", json!({}));
    let path = bench.state().join("kapell.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch("PRAGMA user_version = 999; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(database);
    let before = fs::read(&path).unwrap();
    for (method, params) in [("status", json!({})), ("plan", one().params())] {
        let refusal = bench.rpc().refused(method, params);
        assert_eq!(refusal.kind, "state-newer", "{refusal:?}");
        assert!(refusal.message.contains("999"), "{refusal:?}");
    }
    assert!(fs::read(&path).unwrap() == before, "the newer database was changed");
}

#[test]
fn a_damaged_database_is_refused_and_not_touched() {
    let bench = Bench::new();
    let plan = bench.plan(&one());
    let path = bench.state().join("kapell.db");
    let database = Connection::open(&path).unwrap();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(database);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..middle].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let refusal = bench.rpc().refused("dispatch", json!({"plan_id": plan}));
    assert_eq!(refusal.kind, "store-damaged", "{refusal:?}");
    assert!(refusal.data["hint"].as_str().unwrap().contains("refs/kapell"), "{refusal:?}");
    assert!(fs::read(&path).unwrap() == bytes, "the damaged database was changed");
}

/// Says that the provider is limited until long after this test.
const LIMITED: &str = r#"as first say {"kapell":"rate-limited","resets_at":"2999-01-01T00:00:00Z"}"#;

#[expect(clippy::needless_pass_by_value, reason = "it is made for the call")]
fn two_providers(bench: &Bench, chain: Value) {
    let provider = |name: &str| {
        format!(
            "[providers.{name}]\nkind = \"command\"\ncommand = [\"{AGENT}\"]\nset_env = {{ FAKE_NAME = \"{name}\" }}\n"
        )
    };
    bench.configure(&format!("{}{}[failover]\nchain = {chain}\n", provider("first"), provider("second")));
}

#[test]
fn what_one_provider_is_refused_too_often_goes_to_the_next_and_then_to_a_person() {
    let bench = Bench::new();
    two_providers(&bench, json!(["first", "second"]));
    let plan = |good: &str| {
        let lines = ["as first write a.txt bad".to_owned(), format!("as second write a.txt {good}")];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        Plan::new([task("a", &["a.txt"], &lines).with("agent", json!("first"))])
            .rule("test", json!(["grep", "-q", "good", "a.txt"]))
            .rule("max_attempts", json!(2))
    };
    let tries = |plan: &str| -> Vec<String> {
        let task = bench.task(plan, "a");
        let attempts = task["attempts"].as_array().unwrap();
        attempts.iter().map(|it| it["provider"].as_str().unwrap().to_owned()).collect()
    };
    let mended = bench.start(&plan("good"));
    assert_eq!(bench.at_rest(&mended)["state"], "done", "{}", bench.story());
    assert_eq!(tries(&mended), ["first", "first", "second"]);
    let hopeless = bench.start(&plan("bad"));
    assert_eq!(bench.at_rest(&hopeless)["state"], "failed");
    assert_eq!(tries(&hopeless), ["first", "first", "second", "second"]);
    let why = bench.task(&hopeless, "a")["reason"].clone();
    assert!(why.as_str().unwrap().starts_with("4 tries, the last:"), "{why}");
    // On a person's word whoever it was for tries again, once.
    bench.control("retry", &format!("{hopeless}/a"));
    assert_eq!(bench.at_rest(&hopeless)["state"], "failed");
    assert_eq!(tries(&hopeless), ["first", "first", "second", "second", "first"]);
}

#[test]
fn a_limited_provider_is_left_alone_and_the_next_takes_over() {
    let bench = Bench::new();
    two_providers(&bench, json!(["first", "second"]));
    let limited = |id: &str, file: &str, is_told: &[&str]| {
        let (begin, end) = (format!("as first append {file} begun"), format!("append {file} done"));
        let says = r#"as first say {"kapell":"progress","text":"the first half is there"}"#;
        let lines = [&[&begin, says, LIMITED, "as first exit 1"], is_told, &[&end]].concat();
        task(id, &[file], &lines).with("agent", json!("first"))
    };
    let told = [
        "expect first worked at this before you and had to stop",
        "expect - the first half is there",
        "expect +begun",
    ];
    let plan =
        bench.start(&Plan::new([limited("a", "a.txt", &told), limited("b", "b.txt", &[]).after(&["a"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "a.txt"), "begun\ndone", "it did not go on from what was there");
    let a = bench.task(&plan, "a");
    let tries: Vec<(&str, &str)> = a["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["provider"].as_str().unwrap(), it["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(tries, [("first", "rate-limited"), ("second", "submitted")]);
    let [first, second] = [0, 1].map(|at| &a["attempts"][at]);
    assert_ne!(first["ref"], second["ref"]);
    // The folder was put away, and none is named that is not there.
    assert_eq!((&first["worktree"], &second["worktree"]), (&Value::Null, &Value::Null));
    // The next task does not even ask the provider that said no.
    assert_eq!(bench.task(&plan, "b")["attempts"][0]["provider"], "second");
    let budget = bench.rpc().ok("status", json!({"scope": "budget"}));
    let first = budget["budget"].as_array().unwrap().iter().find(|it| it["provider"] == "first").unwrap();
    assert_eq!(first["state"], "rate-limited", "{budget:#}");
}

#[test]
fn when_all_providers_are_limited_the_task_waits_and_says_for_what() {
    let bench = Bench::new();
    two_providers(&bench, json!(["first"]));
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &[LIMITED, "as first exit 1"]).with("agent", json!("first"))
    ]));
    let waits = bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |task| {
        task["state"] == "ready"
            && task["reason"].as_str().is_some_and(|reason| reason.starts_with("rate-limit"))
    });
    // No limit is believed to last for centuries, and a person lifts it.
    assert!(!waits["reason"].as_str().unwrap().contains("2999-01-01"), "{waits:#}");
    let lifted = bench.control("resume", "first");
    assert!(lifted["message"].as_str().unwrap().contains("is asked again"), "{lifted}");
    bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |task| {
        task["attempts"].as_array().unwrap().len() == 2
    });
    bench.control("stop", &plan);
    assert_eq!(bench.at_rest(&plan)["state"], "stopped");
}

#[test]
fn work_goes_on_when_the_limit_is_over() {
    let bench = Bench::new();
    two_providers(&bench, json!(["first"]));
    // Long enough to be seen waiting, and not about as long as a conductor rests.
    let reset = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(7);
    let limited = format!(r#"say {{"kapell":"rate-limited","resets_at":"{reset}"}}"#);
    let plan = bench.start(&Plan::new([task(
        "a",
        &["a.txt"],
        // The tree of the try before is there already in the second one.
        &[&format!("without a.txt {limited}"), "without a.txt leave a.txt 1", "append a.txt done"],
    )
    .with("agent", json!("first"))]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let attempts = bench.task(&plan, "a")["attempts"].clone();
    assert_eq!(attempts.as_array().unwrap().len(), 2);
    // As soon as it is, and not when it is looked for other reasons.
    let again: jiff::Timestamp = attempts[1]["started_at"].as_str().unwrap().parse().unwrap();
    let late = again.duration_since(reset);
    assert!(!late.is_negative() && late.as_millis() < 1500, "{late:?} late");
}

#[test]
fn who_refuses_again_after_it_said_it_would_not_is_left_alone_for_longer() {
    let bench = Bench::new();
    // In a second it will be over, it says each time.
    let says = r#"printf '{"kapell":"rate-limited","resets_at":"%s"}\n' $(date -u -d '+1 second' +%FT%T.%NZ); exit 1"#;
    bench
        .configure(&format!("[providers.first]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", {says:?}]\n"));
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &[]).with("agent", json!("first"))]));
    let limited = || bench.events(None).into_iter().filter(|event| event.0 == "provider.limited").count();
    bench.until(json!({"scope": "plan", "id": plan}), |_| limited() > 1);
    let task = bench.task(&plan, "a");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 2, "{task:#}");
    let until: jiff::Timestamp = bench.rpc().ok("status", json!({"scope": "budget"}))["budget"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|it| it["until"].as_str())
        .unwrap()
        .parse()
        .unwrap();
    let rest = until.duration_since(jiff::Timestamp::now());
    assert!(rest.as_secs() >= 5, "{rest:?}");
    bench.control("stop", &plan);
}

#[test]
fn a_base_that_is_none_is_told_by_the_plan() {
    let bench = Bench::new();
    for (base, is_one) in [("nope", false), ("a b\n--x", false), ("main", true)] {
        let planned = bench.rpc().ok("plan", one().with("base", json!(base)).params());
        assert_eq!(planned["plan_id"].is_string(), is_one, "{planned:#}");
    }
}

#[test]
fn a_program_that_is_not_there_is_told_by_the_plan() {
    let bench = Bench::new();
    bench.configure("[providers.ghost]\nkind = \"command\"\ncommand = \"no-such-program-anywhere x\"\n");
    let to = |agent: &str| task(agent, &[agent], &[]).with("agent", json!(agent));
    let planned = bench.rpc().ok("plan", Plan::new([to("ghost"), to("fake")]).params());
    let problems: Vec<&Value> = planned["problems"].as_array().unwrap().iter().collect();
    assert_eq!(problems.len(), 1, "{planned:#}");
    assert_eq!(
        (&problems[0]["code"], &problems[0]["severity"]),
        (&json!("unknown-agent"), &json!("warning"))
    );
    assert!(problems[0]["message"].as_str().unwrap().contains("`no-such-program-anywhere`"), "{planned:#}");
    // It is a warning: who installs it meanwhile is not held up.
    assert!(planned["plan_id"].is_string());
}

#[test]
fn a_pipe_is_no_plan_file_and_holds_nobody_up() {
    let bench = Bench::new();
    let pipe = bench.project.join("plan.json");
    assert!(bench.command("mkfifo").arg(&pipe).status().unwrap().success());
    let refusal = bench.rpc().refused("plan", json!({"file": "plan.json"}));
    assert!(refusal.message.contains("plan.json"), "{refusal:?}");
}

#[test]
fn what_git_ignores_is_told_and_kept() {
    let bench = Bench::new();
    bench.write(".gitignore", "*.env\nbuild/\nlib/\nnode_modules/\n");
    bench.commit("rules");
    let owning = ["secret.env", "src/", "build/web/*.js"];
    let lines = [
        "write secret.env key",
        "write src/more.txt x",
        "write src/own.env y",
        "write src/lib/util.py z",
        "write src/node_modules/p/made.js z",
    ];
    let plan = Plan::new([task("a", &owning, &lines)]);
    let planned = bench.rpc().ok("plan", plan.params());
    let problem = &planned["problems"][0];
    assert_eq!(
        (&problem["code"], &problem["severity"]),
        (&json!("bad-path"), &json!("warning")),
        "{planned:#}"
    );
    assert!(problem["message"].as_str().unwrap().contains("git ignores secret.env"), "{planned:#}");
    let problem = &planned["problems"][1];
    assert!(problem["message"].as_str().unwrap().contains("git ignores build/web/*.js"), "{planned:#}");
    let id = planned["plan_id"].as_str().unwrap();
    bench.dispatch(id);
    assert_eq!(bench.at_rest(id)["state"], "done", "{}", bench.story());
    let attempt = bench.task(id, "a")["attempts"][0].clone();
    let run = bench.state().join("run").join(attempt["attempt"].as_str().unwrap());
    for (file, text) in [("secret.env", "key\n"), ("src/own.env", "y\n"), ("src/lib/util.py", "z\n")] {
        assert_eq!(fs::read_to_string(run.join("ignored").join(file)).unwrap(), text);
    }
    let told = bench.rpc().ok("status", json!({"scope": "attempt", "id": attempt["attempt"]}));
    let why = told["gates"].as_array().unwrap().iter().find(|gate| gate["name"] == "ownership").unwrap();
    let why = why["why"].as_str().unwrap();
    assert!(why.starts_with("1 changed file") && why.contains("ignores 3 files (secret.env"), "{why}");
}

#[test]
fn files_that_a_filter_makes_are_told_by_the_plan() {
    let bench = Bench::new();
    bench.write(".gitattributes", "# large\n*.psd filter=lfs diff=lfs -text\n");
    let owning = |files: &[&str]| {
        let planned = bench.rpc().ok("plan", Plan::new([task("a", files, &[])]).params());
        planned["problems"].to_string()
    };
    let told = owning(&["art/"]);
    assert!(told.contains("*.psd passes through the filter lfs"), "{told}");
    assert_eq!(owning(&["a.txt"]), "[]");
}

#[test]
fn pointers_of_large_files_come_through_as_they_are() {
    let bench = Bench::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    bench.write(".gitattributes", "*.psd filter=lfs diff=lfs merge=lfs -text\n");
    bench.write("art/a.psd", pointer);
    bench.write("art/b.psd", pointer);
    bench.commit("pointers");
    // From now on there is a filter, as `git lfs install` makes it; without its program, and with one.
    let filter = |clean: &str, smudge: &str| {
        bench.git(["config", "filter.lfs.required", "true"]);
        bench.git(["config", "filter.lfs.clean", clean]);
        bench.git(["config", "filter.lfs.smudge", smudge]);
    };
    let table = [
        ("no-such-git-lfs clean".to_owned(), "no-such-git-lfs smudge".to_owned()),
        ("tr a-z A-Z".to_owned(), "tr A-Z a-z".to_owned()),
    ];
    for (round, (clean, smudge)) in table.iter().enumerate() {
        filter(clean, smudge);
        let name = format!("text-{round}.txt");
        let plan = bench.start(&Plan::new([
            task("text", &[&name], &[&format!("write {name} x")]),
            task("art", &["art/a.psd"], &[&format!("append art/a.psd round-{round}")]),
        ]));
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
        let at = |file: &str| bench.git(["show", &format!("kapell/{plan}:{file}")]);
        assert_eq!(at("art/b.psd"), pointer.trim_end(), "round {round}");
        assert!(
            at("art/a.psd").starts_with(pointer.trim_end()) && at("art/a.psd").contains("round"),
            "{round}"
        );
        assert_eq!(at(&name), "x");
    }
}

#[test]
fn what_a_missing_filter_cannot_write_is_not_landed_and_nothing_is_lost() {
    let bench = Bench::new();
    bench.write(".gitattributes", "*.psd filter=lfs -text\n");
    bench.write("a.psd", "pointer\n");
    bench.commit("a pointer");
    let before = bench.git(["rev-parse", "HEAD"]);
    bench.git(["config", "filter.lfs.required", "true"]);
    for key in ["clean", "smudge"] {
        bench.git(["config", &format!("filter.lfs.{key}"), "cat"]);
    }
    let plan =
        bench.start(&Plan::new([task("a", &["a.psd", "b.txt"], &["write a.psd other", "write b.txt b"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    for missing in [["clean", "smudge"].as_slice(), &["smudge"]] {
        for key in ["clean", "smudge"] {
            let program = if missing.contains(&key) { "no-such-git-lfs" } else { "cat" };
            bench.git(["config", &format!("filter.lfs.{key}"), program]);
        }
        let landed = bench.command(KAPELL).args(["land", &plan]).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&landed.stdout), String::from_utf8_lossy(&landed.stderr));
        assert_eq!(landed.status.code(), Some(1), "{said}");
        assert!(said.contains("lfs") && said.contains("a.psd") && !said.contains("half moved"), "{said}");
        // The checkout is as it was, and the work is where it was.
        assert_eq!(bench.git(["rev-parse", "HEAD"]), before);
        assert_eq!(fs::read_to_string(bench.project.join("a.psd")).unwrap(), "pointer\n");
        assert!(!bench.project.join("b.txt").exists());
        assert_eq!(bench.git(["show", &format!("kapell/{plan}:a.psd")]), "other");
    }
    // Once the program is there it lands.
    for key in ["clean", "smudge"] {
        bench.git(["config", &format!("filter.lfs.{key}"), "cat"]);
    }
    let landed = bench.command(KAPELL).args(["land", &plan]).output().unwrap();
    assert_eq!(landed.status.code(), Some(0), "{landed:?}");
    assert_eq!(fs::read_to_string(bench.project.join("a.psd")).unwrap().trim_end(), "other");
}

#[test]
fn a_plan_of_which_nothing_is_done_has_nothing_to_land() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["exit 1"])]).rule("max_attempts", json!(1)));
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let refused = bench.rpc().refused("control", json!({"action": "land", "target": plan}));
    assert!(refused.message.contains("nothing to land"), "{refused:?}");
    // Asked again, it is the same: nobody need try.
    let refused = bench.rpc().refused("control", json!({"action": "stop", "target": plan}));
    assert_eq!(refused.data["retryable"], false, "{refused:?}");
    let refused = bench.rpc().refused("judge", json!({"plan_id": plan, "gates": []}));
    assert!(refused.message.contains("nothing would be judged"), "{refused:?}");
}

#[test]
fn a_database_that_was_emptied_is_not_taken_for_new() {
    let bench = Bench::new();
    let plan = bench.start(&one());
    bench.at_rest(&plan);
    let database = bench.state().join("kapell.db");
    for file in ["kapell.db-wal", "kapell.db-shm"] {
        let _ = fs::remove_file(bench.state().join(file));
    }
    fs::write(&database, "").unwrap();
    assert_eq!(bench.rpc().refused("status", json!({})).kind, "store-damaged");
    assert_eq!(fs::metadata(&database).unwrap().len(), 0);
}

#[test]
fn a_file_whose_name_reads_as_a_pattern_is_told_with_its_right_spelling() {
    let bench = Bench::new();
    bench.write("app/[slug]/page.tsx", "x\n");
    bench.commit("page");
    let owning = |file: &str| Plan::new([task("a", &[file], &["write app/[slug]/page.tsx y"])]);
    let planned = bench.rpc().ok("plan", owning("app/[slug]/page.tsx").params());
    let problem = &planned["problems"][0];
    assert_eq!((&planned["plan_id"], &problem["code"]), (&Value::Null, &json!("bad-path")), "{planned:#}");
    assert!(problem.to_string().contains("app/[[]slug[]]/page.tsx"), "{problem}");
    let refusal = bench.rpc().refused("claim-files", json!({"paths": ["app/[slug]/page.tsx"]}));
    assert!(refusal.data["hint"].as_str().unwrap().contains("app/[[]slug[]]/page.tsx"), "{refusal:?}");
    // Braces too, and a file that is not there yet in a folder that is.
    bench.write("app/{x}.tsx", "x\n");
    let table = [("app/{x}.tsx", "app/[{]x[}].tsx"), ("app/[slug]/new.tsx", "app/[[]slug[]]/new.tsx")];
    for (written, own) in table {
        for check_only in [false, true] {
            let wish = json!({"paths": [written], "check_only": check_only});
            let refusal = bench.rpc().refused("claim-files", wish);
            assert_eq!(refusal.data["hint"], format!("write {own}"), "{refusal:?}");
        }
        let planned = bench.rpc().ok("plan", owning(written).params());
        assert_eq!(planned["problems"][0]["hint"], format!("write {own}"), "{planned}");
        // To let go of it by its name is plain.
        let mut rpc = bench.rpc();
        assert_eq!(rpc.ok("claim-files", json!({"paths": [own]}))["granted"], true);
        let released = rpc.ok("release-files", json!({"paths": [written]}));
        assert_eq!(released["released"].as_array().map(Vec::len), Some(1), "{released}");
    }
    let plan = bench.start(&owning("app/[[]slug[]]/page.tsx"));
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.on_branch(&plan, "app/[slug]/page.tsx"), "y");
}

#[test]
fn specs_that_cannot_be_files_or_say_two_things_are_refused() {
    let bench = Bench::new();
    bench.write("src/a.txt", "x\n");
    bench.commit("a folder");
    let specs = json!([
        {"file": "src"}, {"file": "s.md", "description": "one"}, {"file": "s.md", "description": "another"},
    ]);
    let tasks = json!([{"id": 1, "task": "t", "files": ["b.txt"]}]);
    let planned = bench.rpc().ok("plan", json!({"plan": {"name": "n", "specs": specs, "tasks": tasks}}));
    let problems = planned["problems"].as_array().unwrap().iter();
    let problems: Vec<(&str, &str)> = problems
        .filter(|problem| problem["severity"] == "error")
        .map(|problem| (problem["code"].as_str().unwrap(), problem["message"].as_str().unwrap()))
        .collect();
    assert_eq!(
        problems,
        [
            ("overlap", "the spec s.md is described twice, each time otherwise"),
            ("bad-path", "the spec src is a folder, and its task would own all in it"),
        ],
        "{planned:#}"
    );
}

#[test]
fn a_repository_that_is_away_for_a_while_costs_no_task() {
    let bench = Bench::new();
    let plan = bench.start(&Plan::new([
        task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"]),
        task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
    ]));
    let worker = bench.meet("a");
    let away = bench.root.join("away");
    fs::rename(&bench.project, &away).unwrap();
    worker.go();
    // A door stands in a folder that is there.
    let words =
        ["events", "--all-projects", "--follow", "--json", "--since", "0", "--kind", "attempt.lacking"];
    let mut command = bench.command(KAPELL);
    let mut door = command.args(words).current_dir(&bench.root).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(door.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("the repository is not there"), "{line}");
    door.kill().unwrap();
    door.wait().unwrap();
    fs::rename(&away, &bench.project).unwrap();
    assert_eq!(bench.at_rest(&plan)["state"], "done");
    assert_eq!(bench.landed(&plan), ["a", "b"]);
    assert_eq!(bench.task(&plan, "a")["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_configuration_that_is_gone_in_the_midst_of_a_plan_stays_as_it_was() {
    let bench = Bench::new();
    bench.write("kapell.toml", "[project]\nmax_workers = 1\n");
    bench.commit("configure");
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"])]));
    let worker = bench.meet("a");
    fs::remove_file(bench.project.join("kapell.toml")).unwrap();
    // It is looked at with every event.
    bench.control("nudge", &format!("{plan}/a"));
    let told = bench.until(json!({"scope": "events", "kind": "config.broken"}), |status| {
        !status["events"].as_array().unwrap().is_empty()
    });
    assert!(told["events"][0]["text"].as_str().unwrap().contains("kapell.toml is gone"), "{told}");
    bench.write("kapell.toml", "[project]\nmax_workers = 2\n");
    bench.until(json!({"scope": "events", "kind": "config.changed"}), |status| {
        !status["events"].as_array().unwrap().is_empty()
    });
    worker.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done");
}
