//! Commands of whose end nothing was heard.

use super::*;

/// A command that failed, or was stopped, may have written before it did.
#[test]
fn what_a_failing_command_changed_is_told_also_if_nobody_says_that_it_ended() {
    let bench = Bench::new();
    let path = bench.project.join("src/lib.txt");
    assert_eq!(ask(&bench, &edit(&bench, "a", path.to_str().unwrap())), "");
    let command = json!({"command": "./fails"});
    let run = || {
        assert_eq!(ask(&bench, &bash(&bench, "b", "./fails")), "");
        fs::write(&path, "work\n").unwrap();
    };
    let said = |event: Value| {
        let said = answer_of(bench.command(KAPELL).args(["hook", "claude"]), event.to_string().as_bytes());
        if said.is_empty() { Value::Null } else { serde_json::from_str(&said).unwrap() }
    };
    let read = || said(tool(&bench, "b", "PreToolUse", "Read", json!({"file_path": "README"})));
    let text = "src/lib.txt (held by claude-a) changed while ";
    run();
    let told = ask(&bench, &tool(&bench, "b", "PostToolUseFailure", "Bash", command.clone()));
    assert!(told.contains(&format!("{text}this command")), "{told}");
    assert_eq!(read(), Value::Null);
    // Told with the next tool,
    run();
    let told = &read()["hookSpecificOutput"];
    assert_eq!(told["permissionDecision"], Value::Null);
    assert!(
        told["additionalContext"].as_str().unwrap().contains(&format!("{text}the last command")),
        "{told}"
    );
    assert_eq!(read(), Value::Null);
    // also if that is refused,
    run();
    let told = ask(&bench, &edit(&bench, "b", "src/lib.txt"));
    assert!(told.contains(" is held by claude-a") && told.contains(text), "{told}");
    // and at the end of the turn.
    run();
    let told = said(event(&bench, "b", "Stop"));
    assert!(told["systemMessage"].as_str().unwrap().contains(text), "{told}");
    assert_eq!(said(event(&bench, "b", "Stop")), Value::Null);
    // What did not run, and what was heard of, is not told again.
    assert_eq!(ask(&bench, &bash(&bench, "b", "./fails")), "");
    assert_eq!(ask(&bench, &tool(&bench, "b", "PostToolUse", "Bash", command)), "");
    fs::write(&path, "its holder\n").unwrap();
    assert_eq!(read(), Value::Null);
    assert_ne!(ask(&bench, &bash(&bench, "b", "echo > src/lib.txt")), "");
    fs::write(&path, "its holder\n").unwrap();
    assert_eq!(said(event(&bench, "b", "Stop")), Value::Null);
}
