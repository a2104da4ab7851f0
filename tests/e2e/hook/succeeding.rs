//! Sessions that follow each other in one process, and those that go on in another.

use std::fs;

use serde_json::json;

use super::{ask, bash, edit, event, holders};
use crate::bench::{AGENT, Bench, KAPELL};

#[test]
fn what_a_session_held_that_was_cleared_is_the_next_ones_of_its_process() {
    let bench = Bench::new();
    for path in ["README", "src/lib.txt"] {
        assert_eq!(ask(&bench, &edit(&bench, "a", path)), "");
        bench.write(path, "changed\n");
    }
    let mut clear = event(&bench, "a", "SessionEnd");
    clear["reason"] = json!("clear");
    assert_eq!(ask(&bench, &clear), "");
    assert_eq!(holders(&bench), ["agent claude-a README", "agent claude-a src/lib.txt"]);
    assert_eq!(ask(&bench, &edit(&bench, "after", "README")), "");
    assert_eq!(holders(&bench), ["agent claude-after README", "agent claude-after src/lib.txt"]);
    // It lets go of them as of its own.
    bench.commit("done");
    assert_eq!(ask(&bench, &event(&bench, "after", "Stop")), "");
    assert_eq!(holders(&bench), Vec::<String>::new());

    // One that only ended, or that goes on after all, gives nothing away.
    assert_eq!(ask(&bench, &edit(&bench, "b", "README")), "");
    bench.write("README", "by b\n");
    assert_eq!(ask(&bench, &event(&bench, "b", "SessionEnd")), "");
    assert!(ask(&bench, &edit(&bench, "c", "README")).contains("claude-b"));
    clear["session_id"] = json!("b");
    assert_eq!(ask(&bench, &clear), "");
    assert_eq!(ask(&bench, &edit(&bench, "b", "README")), "");
    assert!(ask(&bench, &edit(&bench, "c", "README")).contains("claude-b"));
}

#[test]
fn a_session_that_goes_on_with_a_look_around_is_not_gone() {
    let bench = Bench::new();
    let file = bench.root.join("event.json");
    fs::write(&file, edit(&bench, "a", "README").to_string()).unwrap();
    let script = format!("run sh -c '\"{KAPELL}\" hook claude < {} ; true'", file.display());
    let mut agent = bench.command(AGENT).args(["do", &script, &bench.meet_line("agent")]).spawn().unwrap();
    let guest = bench.meet("agent");
    bench.write("README", "changed\n");
    agent.kill().unwrap();
    agent.wait().unwrap();
    guest.gone();
    assert_eq!(ask(&bench, &bash(&bench, "a", "ls")), "");
    assert!(ask(&bench, &edit(&bench, "b", "README")).contains("held by claude-a"));
}

#[test]
fn a_script_that_hands_the_events_on_is_not_the_session() {
    let bench = Bench::new();
    let (claude, hands_on) = (bench.root.join("claude"), bench.root.join("hooks.py"));
    std::os::unix::fs::symlink(AGENT, &claude).unwrap();
    let file = bench.root.join("event.json");
    fs::write(&file, edit(&bench, "a", "README").to_string()).unwrap();
    let script = format!(
        "import subprocess\nsubprocess.run(['{KAPELL}', 'hook', 'claude'], stdin=open('{}'))\n",
        file.display()
    );
    fs::write(&hands_on, script).unwrap();
    let line = format!("run python3 {}", hands_on.display());
    let mut agent = bench
        .command(claude.to_str().unwrap())
        .args(["do", &line, &bench.meet_line("agent")])
        .spawn()
        .unwrap();
    let guest = bench.meet("agent");
    bench.write("README", "changed\n");
    assert!(ask(&bench, &edit(&bench, "b", "README")).contains("held by claude-a"));
    agent.kill().unwrap();
    agent.wait().unwrap();
    guest.gone();
    assert_eq!(ask(&bench, &edit(&bench, "b", "README")), "");
}
