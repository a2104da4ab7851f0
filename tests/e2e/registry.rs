//! Many plans at once: the registry tells the truth, and whatever it lists can be steered from anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bench::{AGENT, Bench, DEADLINE, Guest, KAPELL, Plan, task};

/// A command in some folder: its exit code, its stdout, its stderr.
fn run_in(bench: &Bench, folder: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let output = bench.command(KAPELL).current_dir(folder).args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn ok(bench: &Bench, words: &[&str]) -> String {
    let (code, stdout, stderr) = run_in(bench, &bench.project, words);
    assert_eq!(code, Some(0), "{words:?}: {stdout}{stderr}");
    stdout
}

#[track_caller]
fn listed(bench: &Bench, plan: &str) -> Value {
    let list: Value = serde_json::from_str(&ok(bench, &["list", "--json"])).unwrap();
    let found = list["conductors"].as_array().unwrap().iter().find(|it| it["plan_id"] == plan).cloned();
    found.unwrap_or_else(|| panic!("{plan} is not in {list:#}"))
}

/// A plan whose one task waits for the test.
fn waiting(bench: &Bench, name: &str) -> (String, Guest) {
    let plan = Plan::new([task("a", &["a.txt"], &[&bench.meet_line(name), "write a.txt a"])]);
    let plan = bench.start(&plan.with("name", json!(name)));
    (plan, bench.meet(name))
}

/// Changes what a conductor noted, as nobody but a fault would.
fn forge(bench: &Bench, change: &str) {
    let store = rusqlite::Connection::open(bench.state().join("kapell.db")).unwrap();
    store.busy_timeout(Duration::from_secs(60)).unwrap();
    store.execute(&format!("UPDATE conductors SET {change} WHERE ended_at IS NULL"), []).unwrap();
}

/// A second project of the same person.
fn other_project(bench: &Bench) -> PathBuf {
    let folder = bench.root.join("other");
    fs::create_dir(&folder).unwrap();
    let git = |words: &[&str]| {
        let identity = ["-c", "user.name=P", "-c", "user.email=p@example.com"];
        let done = bench.command("/usr/bin/git").current_dir(&folder).args(identity).args(words).output();
        assert!(done.unwrap().status.success());
    };
    fs::write(folder.join("README"), "other\n").unwrap();
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "first"]);
    folder
}

#[test]
fn the_list_says_what_is_so_and_a_beginning_is_enough_to_steer() {
    let bench = Bench::new();
    let (plan, worker) = waiting(&bench, "alpha");
    let row = listed(&bench, &plan);
    assert_eq!((&row["state"], &row["fresh"]), (&json!("running"), &json!(true)), "{row:#}");
    assert_eq!(row["progress"], json!({"done": 0, "total": 1, "running": 1, "failed": 0}));
    assert_eq!(row["pid"], bench.conductor(&plan).pid);
    assert!(fs::metadata(row["socket"].as_str().unwrap()).is_ok());
    let screen = ok(&bench, &["list"]);
    assert!(screen.contains("● ") && screen.contains(&plan) && screen.contains("0/1"), "{screen}");

    ok(&bench, &["pause", "alp"]);
    assert_eq!(listed(&bench, &plan)["state"], "paused");
    let conductor = row["id"].as_str().unwrap();
    let told = ok(&bench, &["status", &conductor[..6]]);
    assert!(told.starts_with(&format!("{plan}  paused")), "{told}");
    ok(&bench, &["resume", &conductor[..6]]);
    assert_eq!(listed(&bench, &plan)["state"], "running");
    let told = ok(&bench, &["status", &format!("{plan}/a")]);
    assert!(told.starts_with(&format!("{plan}/a  running")), "{told}");
    let told = ok(&bench, &["status", &worker.attempt]);
    assert!(told.contains(&worker.attempt), "{told}");

    worker.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(ok(&bench, &["list"]), "nothing runs\n");
    let all = ok(&bench, &["list", "--all"]);
    assert!(all.contains("○ ") && all.contains("stopped"), "{all}");
}

#[test]
fn a_conductor_that_hangs_is_told_wherever_its_plan_is() {
    let bench = Bench::new();
    let (plan, worker) = waiting(&bench, "alpha");
    let process = bench.conductor(&plan);
    bench.settled();
    // While it can do nothing, its worker ends.
    process.signal(Signal::STOP);
    let shim = bench.shim(&worker.attempt);
    worker.go();
    assert!(shim.ends_before(Instant::now() + DEADLINE), "{shim} does not end");
    forge(&bench, "heartbeat_at = 1000");
    let mut rpc = bench.rpc();
    let said = |value: &Value| value.as_str().is_some_and(|text| text.contains("hangs or is suspended"));
    let overview = rpc.ok("status", json!({}));
    assert!(overview["warnings"].as_array().unwrap().iter().any(said), "{overview:#}");
    let task = bench.task(&plan, "a");
    assert!(task["state"] == "waiting" && said(&task["reason"]), "{task:#}");
    process.signal(Signal::CONT);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn a_dead_conductor_is_told_whatever_its_row_says() {
    let bench = Bench::new();
    let (plan, worker) = waiting(&bench, "alpha");
    forge(&bench, "heartbeat_at = heartbeat_at + 3600000");
    let row = listed(&bench, &plan);
    assert_eq!((&row["state"], &row["fresh"]), (&json!("running"), &json!(false)));
    assert!(row["note"].as_str().unwrap().contains("in the future"), "{row:#}");
    forge(&bench, "heartbeat_at = 1000");
    assert!(listed(&bench, &plan)["note"].as_str().unwrap().contains("hangs or is suspended"));

    let process = bench.conductor(&plan);
    process.kill();
    // Its number belongs to this test by now, which lives.
    forge(&bench, &format!("pid = {}, heartbeat_at = 99999999999999", std::process::id()));
    let row = listed(&bench, &plan);
    assert_eq!((&row["state"], &row["fresh"]), (&json!("crashed"), &json!(false)), "{row:#}");
    assert_eq!(row.get("socket"), None, "what a dead one left is not offered");
    let screen = ok(&bench, &["list"]);
    assert!(screen.starts_with("   CONDUCTOR") && screen.contains("○ "), "{screen}");
    assert!(screen.contains("is gone; kapell resume"), "{screen}");
    // Somebody puts a file where its socket was: the next one takes its place.
    let socket = bench.state().join(format!("sock/{plan}.sock"));
    let _ = fs::remove_file(&socket);
    fs::write(&socket, "not a socket").unwrap();
    ok(&bench, &["resume", &plan]);
    let row = listed(&bench, &plan);
    assert_eq!((&row["state"], &row["fresh"]), (&json!("running"), &json!(true)), "{row:#}");
    assert_eq!(row["socket"], socket.to_str().unwrap());
    std::os::unix::net::UnixStream::connect(&socket).unwrap();
    worker.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
}

#[test]
fn a_socket_that_is_somebody_elses_misleads_nobody() {
    let bench = Bench::new();
    let (plan, worker) = waiting(&bench, "alpha");
    let socket = bench.state().join(format!("sock/{plan}.sock"));
    bench.settled();
    fs::remove_file(&socket).unwrap();
    // Somebody listens where the conductor did, and answers whatever is asked with nonsense.
    let foreign = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in foreign.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"I am no conductor\r\n\r\n{\"result\":7}");
        }
    });
    // What is told comes from lock, process and record; pause and resume go through the record.
    let row = listed(&bench, &plan);
    assert_eq!((&row["state"], &row["fresh"]), (&json!("running"), &json!(true)), "{row:#}");
    assert_eq!(row["pid"], bench.conductor(&plan).pid);
    assert!(ok(&bench, &["status", &plan]).starts_with(&plan));
    ok(&bench, &["pause", &plan]);
    assert_eq!(listed(&bench, &plan)["state"], "paused");
    ok(&bench, &["resume", &plan]);
    bench.conductor(&plan).kill();
    assert_eq!(listed(&bench, &plan)["state"], "crashed");
    // The next conductor takes the place, and answers there.
    ok(&bench, &["resume", &plan]);
    let row = listed(&bench, &plan);
    assert_eq!(row["socket"], socket.to_str().unwrap());
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"conductor.status"}"#;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    std::io::Write::write_all(&mut stream, format!("{head}{body}").as_bytes()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.contains(row["id"].as_str().unwrap()), "{answer}");
    worker.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());

    // A folder in that place cannot be taken away: the plan runs all the same, and says no socket.
    let (second, other) =
        (Plan::new([task("b", &["b.txt"], &[&bench.meet_line("b"), "write b.txt b"])]), "b");
    let second = bench.plan(&second);
    fs::create_dir(bench.state().join(format!("sock/{second}.sock"))).unwrap();
    bench.dispatch(&second);
    let worker = bench.meet(other);
    let row = listed(&bench, &second);
    assert_eq!((&row["state"], row.get("socket")), (&json!("running"), None), "{row:#}");
    worker.go();
    assert_eq!(bench.at_rest(&second)["state"], "done", "{}", bench.story());
}

#[test]
fn a_suspended_conductor_is_alive_and_not_fresh() {
    let bench = Bench::new();
    let (plan, worker) = waiting(&bench, "alpha");
    let process = bench.conductor(&plan);
    bench.settled();
    process.signal(Signal::STOP);
    forge(&bench, "heartbeat_at = heartbeat_at - 61000");
    let row = listed(&bench, &plan);
    assert_eq!((&row["state"], &row["fresh"]), (&json!("running"), &json!(false)), "{row:#}");
    process.signal(Signal::CONT);
    worker.go();
    bench.at_rest(&plan);
}

#[test]
fn plans_of_all_projects_are_seen_and_steered_from_each() {
    let bench = Bench::new();
    let other = other_project(&bench);
    let (here, worker) = waiting(&bench, "alpha");
    let plan = Plan::new([task("b", &["b.txt"], &[&bench.meet_line("beta"), "write b.txt b"])]);
    let file = bench.root.join("beta.json");
    fs::write(&file, plan.with("name", json!("beta")).params()["plan"].to_string()).unwrap();
    let (code, _, stderr) = run_in(&bench, &other, &["run", file.to_str().unwrap(), "--detach"]);
    assert_eq!(code, Some(0), "{stderr}");
    let there = bench.meet("beta");

    let screen = ok(&bench, &["list"]);
    assert_eq!(screen.lines().filter(|line| line.starts_with('●')).count(), 2, "{screen}");
    ok(&bench, &["pause", "bet"]);
    let told = ok(&bench, &["status", "beta"]);
    assert!(told.contains("paused"), "{told}");
    // It is told in its own project's log, and followed from here.
    let events = ok(&bench, &["events", "--plan", "beta", "--kind", "plan.state", "--json"]);
    assert_eq!(events.lines().count(), 2, "{events}");
    let (_, events, _) = run_in(&bench, &other, &["events", "--kind", "plan.state"]);
    assert_eq!(events.lines().filter(|line| line.contains("paused")).count(), 1, "{events}");
    for (words, code) in
        [(&["events", "--plan", "gamma"][..], 3), (&["stop", "gamma"], 3), (&["status", ""], 3)]
    {
        assert_eq!(run_in(&bench, &bench.project, words).0, Some(code), "{words:?}");
    }

    let told = ok(&bench, &["shutdown-all"]);
    assert!(told.contains("2 plans: ") && told.contains("alpha-") && told.contains("beta-"), "{told}");
    worker.gone();
    there.gone();
    assert_eq!(bench.at_rest(&here)["state"], "stopped");
    assert_eq!(ok(&bench, &["list"]), "nothing runs\n");
    assert_eq!(ok(&bench, &["shutdown-all"]), "done  0 plans\n");
}

#[test]
fn what_two_begin_with_is_refused_with_their_names() {
    let bench = Bench::new();
    let plan = |name: &str| bench.plan(&Plan::new([task("a", &["a.txt"], &[])]).with("name", json!(name)));
    let (one, two) = (plan("twin-one"), plan("twin-two"));
    let (code, _, stderr) = run_in(&bench, &bench.project, &["status", "twin"]);
    assert_eq!(code, Some(3));
    assert!(stderr.contains(&one) && stderr.contains(&two) && stderr.contains("more than one"), "{stderr}");
    // A whole id, and a name, go before any beginning.
    assert!(ok(&bench, &["status", &one]).starts_with(&one));
    assert!(ok(&bench, &["status", "twin-two"]).starts_with(&two));
}

#[test]
fn a_run_is_in_the_history_and_is_walked_again() {
    let bench = Bench::new();
    let plan = bench.start(
        &Plan::new([
            task("a", &["a.txt"], &["write a.txt a"]),
            task("b", &["b.txt"], &["write b.txt b"]).after(&["a"]),
        ])
        .with("name", json!("story")),
    );
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let later = bench.start(&Plan::new([task("c", &["c.txt"], &["write c.txt c"])]));
    bench.at_rest(&later);

    let runs: Value = serde_json::from_str(&ok(&bench, &["history", "--json"])).unwrap();
    let runs = runs["runs"].as_array().unwrap();
    assert_eq!(runs.iter().map(|run| run["plan_id"].as_str().unwrap()).collect::<Vec<_>>(), [&later, &plan]);
    assert_eq!((&runs[1]["attempts"], &runs[1]["conductors"]), (&json!(2), &json!(1)));
    let screen = ok(&bench, &["history", "--limit", "1"]);
    assert!(screen.contains(&later) && !screen.contains(&plan), "{screen}");

    let lines = ok(&bench, &["replay", "story", "--json"]);
    let steps: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let log = ok(&bench, &["events", "--since", "0", "--plan", &plan, "--json"]);
    assert_eq!(steps.len(), log.lines().count(), "every event is a step");
    let step = |kind: &str, task: &str, text: &str| {
        let is_it = |step: &&Value| {
            step["kind"] == kind && step["task"] == task && step["text"].as_str().unwrap().contains(text)
        };
        steps.iter().find(is_it).cloned().unwrap_or_else(|| panic!("no {kind} {text}: {lines}"))
    };
    let ready = step("task.state", "b", "→ ready");
    assert_eq!(ready["why"], "what it depends on is done: a");
    assert_eq!(ready["known"]["done"], 1);
    let why = step("attempt.started", "a", "try 1")["why"].take();
    assert!(why.as_str().unwrap().contains("fake was free (target: "), "{why}");
    assert_eq!(steps.last().unwrap()["known"]["plan"].as_str().map(|it| it.is_empty()), Some(false));
    let screen = ok(&bench, &["replay", "story", "--task", "b"]);
    assert!(screen.contains("why    what it depends on is done: a"), "{screen}");
    assert!(screen.contains("known  plan running: 1 done"), "{screen}");
    assert_eq!(run_in(&bench, &bench.project, &["replay", "story", "--task", "z"]).0, Some(3));
    assert_eq!(run_in(&bench, &bench.project, &["history", "--limit", "0"]).0, Some(2));
}

#[test]
fn a_status_file_is_always_whole_and_ends_with_the_end() {
    let bench = Bench::new();
    let plan = Plan::new([task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"])]);
    let (file, status) = (bench.root.join("plan.json"), bench.root.join("status.json"));
    fs::write(&file, plan.with("name", json!("told")).params()["plan"].to_string()).unwrap();
    let words = ["run", file.to_str().unwrap(), "--status-file", status.to_str().unwrap()];
    let mut run = bench.command(KAPELL).args(words).stdout(Stdio::null()).spawn().unwrap();
    let worker = bench.meet("a");
    let plan = bench.rpc().ok("status", json!({}))["plans"][0]["plan_id"].as_str().unwrap().to_owned();
    bench.task_is(&plan, "a", "running");
    let mut worker = Some(worker);
    loop {
        // However often it is read, it is one whole object.
        if let Ok(text) = fs::read_to_string(&status) {
            let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(told["plan_id"], plan);
            if told["running"] == 1
                && let Some(worker) = worker.take()
            {
                assert_eq!(told["conductor"]["pid"], bench.conductor(&plan).pid);
                worker.go();
            }
        }
        if let Some(ended) = run.try_wait().unwrap() {
            assert!(ended.success(), "{}", bench.story());
            break;
        }
        std::thread::yield_now();
    }
    let told: Value = serde_json::from_str(&fs::read_to_string(&status).unwrap()).unwrap();
    assert_eq!((&told["state"], &told["done"], &told["total"]), (&json!("done"), &json!(1), &json!(1)));
    assert_eq!(told["followed"], true);
    // Whoever leaves it says so in it.
    fs::remove_file(&status).unwrap();
    let mut run = bench.command(KAPELL).args(words).stdout(Stdio::null()).spawn().unwrap();
    let worker = bench.meet("a");
    let pid = rustix::process::Pid::from_raw(run.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let told: Value = serde_json::from_str(&fs::read_to_string(&status).unwrap()).unwrap();
    assert_eq!((&told["state"], &told["followed"]), (&json!("running"), &json!(false)), "{told:#}");
    worker.go();
    bench.at_rest(told["plan_id"].as_str().unwrap());
    for (words, code) in [
        (&["run", "plan.json", "--status-file", "no/such/folder/x"][..], 2),
        (&["run", "plan.json", "--status-file", "x", "--detach"], 2),
        (&["status", "--watch", "--status-file", "x"], 2),
        (&["run", words[1], "--status-file", words[1]], 2),
        (&["run", "plan.json", "--status-file", ".git/HEAD"], 2),
        (&["stop", "/a"], 2),
    ] {
        assert_eq!(run_in(&bench, &bench.project, words).0, Some(code), "{words:?}");
    }
    bench.at_rest(&plan);
}

#[test]
fn who_waits_for_room_has_a_place_and_can_be_launched_anyway() {
    let bench = Bench::new();
    bench.write("kapell.toml", "[project]\nmax_conductors = 1\n");
    bench.commit("one at a time");
    let (first, worker) = waiting(&bench, "first");
    let later = |name: &str, file: &str| {
        let plan = Plan::new([task("a", &[file], &[&bench.meet_line(name), &format!("write {file} x")])]);
        bench.start(&plan.with("name", json!(name)))
    };
    let (second, third) = (later("second", "b.txt"), later("third", "c.txt"));
    let places = |plan: &str| {
        bench.until(json!({"scope": "plan", "id": plan}), |status| status["position"].is_u64())["position"]
            .take()
    };
    assert_eq!((places(&second), places(&third)), (json!(1), json!(2)));
    assert_eq!(listed(&bench, &third)["position"], 2);
    let screen = ok(&bench, &["list"]);
    assert!(screen.contains("queued #1") && screen.contains("queued #2"), "{screen}");
    assert!(ok(&bench, &["status", &third]).contains("for room, #2 in the queue"));
    // The last goes before the second, because somebody says so.
    ok(&bench, &["control", "launch", &third]);
    let hurried = bench.meet("third");
    assert_eq!(listed(&bench, &second)["state"], "queued");
    hurried.go();
    bench.until(json!({"scope": "plan", "id": third}), |status| status["state"] == "done");
    // The second begins by itself when the first has ended.
    worker.go();
    bench.meet("second").go();
    for plan in [&first, &second, &third] {
        assert_eq!(bench.at_rest(plan)["state"], "done", "{}", bench.story());
    }
}

#[test]
fn one_that_hangs_at_the_head_of_the_queue_keeps_nobody_back_and_has_its_turn_later() {
    let bench = Bench::new();
    bench.write("kapell.toml", "[project]\nmax_conductors = 1\n");
    bench.commit("one at a time");
    let (first, worker) = waiting(&bench, "first");
    let later = |name: &str, file: &str| {
        let plan = Plan::new([task("a", &[file], &[&bench.meet_line(name), &format!("write {file} x")])]);
        bench.start(&plan.with("name", json!(name)))
    };
    let (second, third) = (later("second", "b.txt"), later("third", "c.txt"));
    bench.until(json!({"scope": "plan", "id": third}), |status| status["position"] == 2);
    let hung = bench.conductor(&second);
    bench.settled();
    hung.signal(Signal::STOP);
    forge(&bench, &format!("heartbeat_at = heartbeat_at - 61000 * (plan = '{second}')"));
    assert_eq!(listed(&bench, &third)["position"], 1);
    worker.go();
    let third_at_work = bench.meet("third");
    // It goes on: there is no room for two, and it waits as before.
    hung.signal(Signal::CONT);
    let is_back = |it: &Value| it["plan_id"] == second.as_str() && it["fresh"] == true;
    let all = bench.until(json!({"scope": "conductors"}), |status| {
        status["conductors"].as_array().unwrap().iter().any(is_back)
    });
    let back = all["conductors"].as_array().unwrap().iter().find(|it| is_back(it)).unwrap();
    assert_eq!((&back["state"], &back["position"]), (&json!("queued"), &json!(1)), "{all:#}");
    third_at_work.go();
    bench.meet("second").go();
    for plan in [&first, &second, &third] {
        assert_eq!(bench.at_rest(plan)["state"], "done", "{}", bench.story());
    }
}

#[test]
fn a_plan_whose_conductor_died_while_it_waited_has_no_turn() {
    let bench = Bench::new();
    bench.write("kapell.toml", "[project]\nmax_conductors = 1\n");
    bench.commit("one at a time");
    let (first, worker) = waiting(&bench, "first");
    let second =
        bench.start(&Plan::new([task("a", &["b.txt"], &["write b.txt x"])]).with("name", json!("second")));
    bench.until(json!({"scope": "plan", "id": second}), |status| status["position"] == 1);
    bench.conductor(&second).kill();
    let queue = bench.rpc().ok("status", json!({"scope": "queue"}));
    let one = &queue["waiting"][0];
    let on = format!("kapell resume {second} goes on");
    assert_eq!((&one["reason"], &one["on"]), (&json!("stopped"), &json!(on)), "{queue:#}");
    worker.go();
    bench.at_rest(&first);
}

#[test]
fn whoever_stops_all_at_the_same_time_as_others_has_stopped_all() {
    let bench = Bench::new();
    let begin = |number: usize| {
        let (name, file) = (format!("p{number}"), format!("{number}.txt"));
        let plan = Plan::new([task("a", &[&file], &[&bench.meet_line(&name)])]);
        bench.start(&plan.with("name", json!(name)))
    };
    let plans: Vec<_> = (0..4).map(begin).collect();
    let stop = || bench.command(KAPELL).arg("shutdown-all").stdout(Stdio::piped()).spawn().unwrap();
    let stops: Vec<_> = (0..6).map(|_| stop()).collect();
    for stop in stops {
        let stopped = stop.wait_with_output().unwrap();
        assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stdout));
    }
    plans.iter().for_each(|plan| assert_eq!(bench.at_rest(plan)["state"], "stopped"));
}

#[test]
fn a_machine_that_is_short_of_memory_refuses_waits_or_is_launched_anyway() {
    let bench = Bench::new();
    bench.configure("[machine]\nmin_free_memory_mb = 900000000\n");
    let plan = bench.plan(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    let no = bench.rpc().refused("dispatch", json!({"plan_id": plan, "when_full": "refuse"}));
    assert_eq!(no.kind, "busy", "{no:?}");
    assert!(no.message.starts_with("nothing would begin: "), "{no:?}");
    bench.dispatch(&plan);
    bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |status| {
        status["reason"].as_str().is_some_and(|reason| reason.starts_with("memory: "))
    });
    let told = bench.control("launch", &plan);
    assert!(told["message"].as_str().unwrap().starts_with("it begins, although "), "{told:#}");
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    // Also from the start.
    let other = bench.plan(&Plan::new([task("b", &["b.txt"], &["write b.txt b"])]));
    bench.rpc().ok("dispatch", json!({"plan_id": other, "when_full": "launch"}));
    assert_eq!(bench.at_rest(&other)["state"], "done", "{}", bench.story());
}

#[test]
fn a_second_signal_leaves_workers_no_time_and_nothing_behind() {
    let bench = Bench::new();
    // What a shell ignores, its programs ignore.
    let deaf = format!("trap '' TERM INT; exec {AGENT} do '{}'", bench.meet_line("deaf"));
    let deaf = json!(["sh", "-c", deaf]);
    bench.configure(&format!("[providers.deaf]\nkind = \"command\"\ncommand = {deaf}\n"));
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &[]).with("agent", json!("deaf"))]));
    let worker = bench.meet("deaf");
    bench.settled();
    let conductor = bench.conductor(&plan);
    conductor.signal(Signal::TERM);
    bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] == "stopped");
    conductor.signal(Signal::TERM);
    worker.gone();
    bench.quiet();
    assert_eq!(listed_of_all(&bench, &plan)["state"], "stopped");
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    assert_eq!(claims["claims"], json!([]), "{}", bench.story());
}

/// The last conductor of a plan, also one that ended.
fn listed_of_all(bench: &Bench, plan: &str) -> Value {
    let list: Value = serde_json::from_str(&ok(bench, &["list", "--all", "--json"])).unwrap();
    let mut found = list["conductors"].as_array().unwrap().iter().filter(|one| one["plan_id"] == plan);
    found.next().cloned().unwrap_or_else(|| panic!("{plan} is not in {list:#}"))
}

#[test]
fn a_plan_that_is_paused_while_it_waits_keeps_nobody_back() {
    let bench = Bench::new();
    bench.write("kapell.toml", "[project]\nmax_conductors = 1\n");
    bench.commit("one at a time");
    let (first, worker) = waiting(&bench, "first");
    let later = |name: &str, file: &str| {
        let plan = Plan::new([task("a", &[file], &[&format!("write {file} x")])]);
        bench.start(&plan.with("name", json!(name)))
    };
    let (second, third) = (later("second", "b.txt"), later("third", "c.txt"));
    bench.until(json!({"scope": "plan", "id": third}), |status| status["position"] == 2);
    bench.control("pause", &second);
    let place = bench.until(json!({"scope": "plan", "id": third}), |status| status["position"] == 1);
    assert_eq!(place["state"], "running");
    assert_eq!(listed(&bench, &second)["state"], "paused");
    worker.go();
    let done =
        |plan: &str| bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] == "done");
    done(&third);
    done(&first);
    bench.control("resume", &second);
    assert_eq!(bench.at_rest(&second)["state"], "done", "{}", bench.story());
    let told = |kind: &str| bench.events(Some(&third)).iter().filter(|(it, _)| it == kind).count();
    assert_eq!((told("conductor.queued"), told("conductor.admitted")), (1, 1), "{}", bench.story());
}

#[test]
fn where_all_workers_are_busy_a_start_is_refused_or_goes_beside_them() {
    let bench = Bench::new();
    bench.write("kapell.toml", "[project]\nmax_workers = 1\n");
    bench.commit("one worker");
    let (first, worker) = waiting(&bench, "first");
    let other =
        bench.plan(&Plan::new([task("b", &["b.txt"], &[&bench.meet_line("beside"), "write b.txt b"])]));
    let no = bench.rpc().refused("dispatch", json!({"plan_id": other, "when_full": "refuse"}));
    assert_eq!(
        (no.kind.as_str(), no.message.as_str()),
        ("busy", "nothing would begin: 1 of 1 workers of this project are busy")
    );
    bench.dispatch(&other);
    bench.until(json!({"scope": "task", "id": format!("{other}/b")}), |status| {
        status["reason"].as_str().is_some_and(|reason| reason.starts_with("slot: "))
    });
    // What waits for a seat waits for nothing once its plan is held up.
    bench.control("pause", &other);
    let why = bench.task(&other, "b")["reason"].clone();
    assert_eq!(why, format!("paused: kapell resume {other} lets it go on"));
    bench.control("launch", &other);
    bench.meet("beside").go();
    bench.until(json!({"scope": "plan", "id": other}), |status| status["state"] == "done");
    worker.go();
    assert_eq!(bench.at_rest(&first)["state"], "done", "{}", bench.story());
}

#[test]
fn what_a_machine_lacks_is_among_the_warnings_with_what_to_do() {
    let bench = Bench::new();
    bench.configure("[machine]\nmin_free_memory_mb = 900000000\n");
    let plan = bench.start(&Plan::new([task("a", &["a.txt"], &["write a.txt a"])]));
    bench.task_is(&plan, "a", "ready");
    let overview = bench.rpc().ok("status", json!({}));
    let warning = overview["warnings"][0].as_str().unwrap_or_default();
    assert!(warning.starts_with(&format!("plan {plan}: no worker starts: ")), "{overview:#}");
    assert!(warning.ends_with(&format!("; control launch {plan} begins all the same")), "{warning}");
    assert_eq!(listed(&bench, &plan)["lacks"], "memory");
    bench.control("launch", &plan);
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    assert_eq!(bench.rpc().ok("status", json!({}))["warnings"], json!([]));
}

#[test]
fn who_takes_over_a_plan_tells_that_its_conductor_died() {
    let bench = Bench::new();
    let (plan, worker) = waiting(&bench, "first");
    bench.settled();
    bench.conductor(&plan).kill();
    bench.dispatch(&plan);
    worker.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    let told: Vec<String> = (bench.events(Some(&plan)).into_iter())
        .filter(|(kind, _)| kind == "conductor.crashed")
        .map(|(_, text)| text)
        .collect();
    assert_eq!(told.len(), 1, "{}", bench.story());
    assert!(told[0].contains("died; it was last heard of at "), "{told:?}");
}
