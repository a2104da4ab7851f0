//! Sessions that Kapell did not start, and what their hooks answer.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bench::{AGENT, Bench, KAPELL};

mod commands;
mod leaving;
mod needless;
mod noticed;
mod reach;
mod succeeding;
mod unended;
mod within;

/// An event of the session in the project.
fn event(bench: &Bench, session: &str, moment: &str) -> Value {
    json!({"session_id": session, "hook_event_name": moment, "cwd": bench.project, "transcript_path": "/t"})
}

/// A tool's input and when it is told.
fn tool(bench: &Bench, session: &str, moment: &str, tool: &str, input: Value) -> Value {
    let mut event = event(bench, session, moment);
    event["tool_name"] = tool.into();
    event["tool_input"] = input;
    event
}

fn edit(bench: &Bench, session: &str, path: &str) -> Value {
    tool(
        bench,
        session,
        "PreToolUse",
        "Edit",
        json!({"file_path": path, "old_string": "a", "new_string": "b"}),
    )
}

fn bash(bench: &Bench, session: &str, command: &str) -> Value {
    tool(bench, session, "PreToolUse", "Bash", json!({"command": command}))
}

/// Gives the bytes to a command and what it printed; it always ends well.
#[track_caller]
fn answer_of(command: &mut Command, stdin: &[u8]) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

/// The reason of the refusal, or what is told with the leave; empty where nothing was said.
#[track_caller]
fn ask(bench: &Bench, event: &Value) -> String {
    let said = answer_of(bench.command(KAPELL).args(["hook", "claude"]), event.to_string().as_bytes());
    if said.is_empty() {
        return said;
    }
    let answer: Value = serde_json::from_str(&said).unwrap();
    if answer["decision"] == "block" {
        return answer["reason"].as_str().unwrap().to_owned();
    }
    let output = &answer["hookSpecificOutput"];
    assert_eq!(output["hookEventName"], "PreToolUse", "{said}");
    if let Some(told) = output["additionalContext"].as_str() {
        return told.to_owned();
    }
    assert_eq!(output["permissionDecision"], "deny", "{said}");
    output["permissionDecisionReason"].as_str().unwrap().to_owned()
}

fn holders(bench: &Bench) -> Vec<String> {
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    let text = |claim: &Value, key: &str| claim[key].as_str().unwrap().to_owned();
    let mut holders: Vec<String> = claims["claims"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| {
            format!("{} {} {}", text(claim, "holder_kind"), text(claim, "holder"), text(claim, "pattern"))
        })
        .collect();
    holders.sort();
    holders
}

#[test]
fn two_sessions_in_one_checkout_do_not_overwrite_each_other() {
    let bench = Bench::new();
    let absolute = bench.project.join("src/lib.txt");
    let absolute = absolute.to_str().unwrap();
    assert_eq!(ask(&bench, &edit(&bench, "a", absolute)), "");
    assert_eq!(ask(&bench, &edit(&bench, "a", absolute)), "");
    // However it is named, by whichever tool.
    std::os::unix::fs::symlink("src", bench.project.join("way")).unwrap();
    for event in [
        edit(&bench, "b", absolute),
        edit(&bench, "b", "src/lib.txt"),
        edit(&bench, "b", "way/../src/./LIB.txt"),
        edit(&bench, "b", "way/lib.txt"),
        bash(&bench, "b", "cd src && echo x >> 'lib.txt'"),
        bash(&bench, "b", "git checkout -- src/lib.txt"),
        bash(&bench, "b", "git reset --hard"),
        bash(&bench, "b", "rm -r src"),
        tool(
            &bench,
            "b",
            "PreToolUse",
            "apply_patch",
            json!({"command": "*** Begin Patch\n*** Delete File: src/lib.txt\n*** End Patch"}),
        ),
    ] {
        let reason = ask(&bench, &event);
        for part in ["kapell: ", "held by claude-a (agent) since 2", "it is being edited", "claim-files"] {
            assert!(reason.contains(part), "{event}: {reason}");
        }
    }
    // What nobody holds, what only reads, and what lies elsewhere.
    for event in [
        edit(&bench, "b", "src/other.txt"),
        bash(&bench, "b", "cat src/lib.txt > /tmp/kapell-nowhere"),
        edit(&bench, "b", "/etc/passwd"),
        edit(&bench, "b", ".git/config"),
        tool(&bench, "b", "PreToolUse", "Read", json!({"file_path": absolute})),
    ] {
        assert_eq!(ask(&bench, &event), "", "{event}");
    }
    assert_eq!(holders(&bench), ["agent claude-a src/lib.txt", "agent claude-b src/other.txt"]);
}

#[test]
fn files_with_names_that_no_pattern_says_are_held_too() {
    let bench = Bench::new();
    for file in ["!x", " a", "a b ", "end.", "a\\b", "tab\there", "new\nline", "src/ x/y."] {
        assert_eq!(ask(&bench, &edit(&bench, "a", file)), "", "{file:?}");
        assert_eq!(ask(&bench, &edit(&bench, "a", file)), "", "{file:?}");
        let reason = ask(&bench, &edit(&bench, "b", file));
        let is_plain = !file.contains(char::is_control);
        let shown = if is_plain { file.to_owned() } else { file.escape_debug().to_string() };
        assert!(reason.starts_with(&format!("kapell: {shown} is held by claude-a")), "{reason}");
    }
    assert_eq!(ask(&bench, &edit(&bench, "b", "other")), "");
}

#[test]
fn another_name_of_a_held_file_is_held_too() {
    let bench = Bench::new();
    assert_eq!(ask(&bench, &edit(&bench, "a", "src/lib.txt")), "");
    // The link would be the same file.
    for command in ["ln src/lib.txt x", "cp -l src/lib.txt x"] {
        assert!(ask(&bench, &bash(&bench, "b", command)).contains("held by claude-a"), "{command}");
    }
    fs::hard_link(bench.project.join("src/lib.txt"), bench.project.join("x")).unwrap();
    for event in [edit(&bench, "b", "x"), bash(&bench, "b", "echo y >> x")] {
        let reason = ask(&bench, &event);
        let told = reason.starts_with("kapell: src/lib.txt is held by claude-a");
        assert!(told && reason.contains("x is the same file"), "{reason}");
    }
    assert_eq!(ask(&bench, &edit(&bench, "a", "x")), "");
    for command in ["ln -s src/lib.txt y", "cp src/lib.txt z"] {
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
    }
}

#[test]
fn what_commands_write_by_globs_diffs_and_on_the_way_is_asked_about() {
    let bench = Bench::new();
    bench.write("p.diff", "--- a/src/lib.txt\n+++ b/src/lib.txt\n@@ -1 +1 @@\n-a\n+b\n");
    assert_eq!(ask(&bench, &edit(&bench, "a", "src/lib.txt")), "");
    for command in [
        "sed -i s/a/b/ src/*.txt",
        "git checkout src/lib.txt",
        "git apply p.diff",
        "patch -p1 < p.diff",
        "find . -name '*.txt' -delete",
        "cp -r /nowhere/lib.txt src",
        "F=src/lib.txt; timeout 5 rm $F",
        "cd \"$(git rev-parse --show-toplevel)\" && rm src/lib.txt",
        "cd src; rm \"$PWD\"/lib.txt",
        "git commit -m \"$(cat <<'EOF'\nIt's done (now)\nEOF\n)\" && rm src/lib.txt",
        "python3 - <<'EOF'\np = 'src/lib.txt'\nopen(p, 'w').write('x')\nEOF",
        "prettier --write src/lib.txt",
        "git stash pop",
    ] {
        let reason = ask(&bench, &bash(&bench, "b", command));
        assert!(reason.starts_with("kapell: src/lib.txt is held by claude-a"), "{command}: {reason}");
    }
    let reason = ask(&bench, &bash(&bench, "b", "git reset --hard HEAD"));
    assert!(reason.contains("; git reset --hard HEAD changes whatever it finds. "), "{reason}");
    // A branch, what matches nothing, a text about a patch, what is only compared, other files' formatters.
    for command in [
        "git checkout main",
        "rm src/*.rs",
        "cat <<'EOF' > /dev/null\n*** Begin Patch\n*** Update File: src/lib.txt\n*** End Patch\nEOF",
        "[[ a > src/lib.txt ]] && (( 3 > 2 ))",
        "cargo fmt",
        "find . -name '*.rs' -delete",
        "find . -name lib.txt.bak -delete",
        "mkdir -p src",
    ] {
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
    }
    assert_eq!(holders(&bench), ["agent claude-a src/lib.txt"]);
    let served = tool(&bench, "b", "PreToolUse", "mcp__files__write_file", json!({"path": "src/lib.txt"}));
    assert!(ask(&bench, &served).contains("held by claude-a"));
}

#[test]
fn what_a_hint_says_can_be_claimed() {
    let bench = Bench::new();
    for (file, asked) in [
        (
            "app/[slug]/page.tsx",
            r#"paths ["app/[[]slug[]]/page.tsx"] and wait_s 600 (kapell claim-files 'app/[[]slug[]]/page.tsx' --wait-s 600)"#,
        ),
        ("-dash", r#"paths ["-dash"] and wait_s 600 (kapell claim-files --wait-s 600 -- -dash)"#),
        (
            "cafe\u{301} \"x\"",
            "paths [\"cafe\u{301} \\\"x\\\"\"] and wait_s 600 (kapell claim-files 'cafe\u{301} \"x\"' ",
        ),
    ] {
        assert_eq!(ask(&bench, &edit(&bench, "a", file)), "");
        let reason = ask(&bench, &edit(&bench, "b", file));
        assert!(reason.contains(asked), "{reason}");
        // What it says to do is understood, and owns that file.
        let (_, command) = reason.split_once("(kapell ").unwrap();
        let (command, _) = command.split_once(");").unwrap();
        let command = command.replace("--wait-s 600", "--json --holder b");
        let script = format!("'{KAPELL}' {command}");
        let output = bench.command("/bin/sh").args(["-c", &script]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["conflicts"][0]["holder"], "claude-a", "{script}: {answer}");
    }
}

#[test]
fn a_turn_ends_with_what_is_unchanged_or_committed_let_go() {
    let bench = Bench::new();
    for path in ["README", "src/lib.txt", "new.txt", "never.txt"] {
        assert_eq!(ask(&bench, &edit(&bench, "a", path)), "");
    }
    bench.write("src/lib.txt", "two\n");
    bench.write("new.txt", "new\n");
    assert_eq!(ask(&bench, &event(&bench, "a", "Stop")), "");
    assert_eq!(holders(&bench), ["agent claude-a new.txt", "agent claude-a src/lib.txt"]);
    assert_eq!(ask(&bench, &edit(&bench, "b", "README")), "");
    assert!(ask(&bench, &edit(&bench, "b", "new.txt")).contains("claude-a"));
    bench.git(["add", "new.txt"]);
    bench.git(["commit", "-q", "-m", "new"]);
    assert_eq!(ask(&bench, &event(&bench, "a", "SessionEnd")), "");
    assert_eq!(holders(&bench), ["agent claude-a src/lib.txt", "agent claude-b README"]);
    let released = bench.events(None).into_iter().filter(|(kind, _)| kind == "claim.released");
    assert_eq!(released.count(), 3);
}

#[test]
fn a_session_that_vanished_loses_its_claims() {
    let bench = Bench::new();
    let file = bench.root.join("event.json");
    fs::write(&file, edit(&bench, "gone", "README").to_string()).unwrap();
    // The shell between them is not the agent.
    let script = format!("run sh -c '\"{KAPELL}\" hook claude < {} ; true'", file.display());
    let mut agent = bench.command(AGENT).args(["do", &script, &bench.meet_line("agent")]).spawn().unwrap();
    let guest = bench.meet("agent");
    bench.write("README", "changed\n");
    assert!(ask(&bench, &edit(&bench, "b", "README")).contains("claude-gone"));
    // While it lives, nobody else lets go of it, by name or by number.
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    let id = claims["claims"][0]["claim_id"].clone();
    for params in [json!({"claim_ids": [id]}), json!({"paths": ["README"], "holder": "claude-gone"})] {
        let refusal = bench.rpc().refused("release-files", params);
        assert_eq!(refusal.kind, "not-allowed", "{refusal:?}");
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
    guest.gone();
    assert_eq!(ask(&bench, &edit(&bench, "b", "README")), "");
    assert_eq!(holders(&bench), ["agent claude-b README"]);
    // What it changed and did not commit is not lost when the next one writes over it.
    bench.write("README", "by b\n");
    let left: Vec<String> = bench
        .events(None)
        .into_iter()
        .filter(|(kind, _)| kind == "claim.left")
        .map(|(_, text)| text)
        .collect();
    let reference = left[0].rsplit(' ').next().unwrap();
    assert!(left[0].starts_with("claude-gone is gone") && left.len() == 1, "{left:?}");
    assert_eq!(bench.git(["show", &format!("{reference}:README")]), "changed");
}

#[test]
fn of_a_session_that_runs_twice_the_end_of_one_frees_nothing_of_the_other() {
    let bench = Bench::new();
    let asked = |path: &str, moment: &str| {
        let mut event = edit(&bench, "twin", path);
        event["hook_event_name"] = moment.into();
        let file = bench.root.join(format!("{moment}-{path}.json"));
        fs::write(&file, event.to_string()).unwrap();
        format!("run sh -c '\"{KAPELL}\" hook claude < {} ; true'", file.display())
    };
    let start = |lines: &[String]| bench.command(AGENT).arg("do").args(lines).spawn().unwrap();
    let both = [asked("README", "PreToolUse"), asked("one", "PreToolUse"), bench.meet_line("first")];
    let mut first = start(&both);
    let first_guest = bench.meet("first");
    bench.write("README", "changed\n");
    // The second edits one of the same files and one of its own, ends its turn, and goes.
    let second = [
        asked("README", "PreToolUse"),
        asked("two", "PreToolUse"),
        asked("x", "SessionEnd"),
        bench.meet_line("second"),
    ];
    let mut second = start(&second);
    let second_guest = bench.meet("second");
    let named = |holders: &[String]| holders.iter().filter(|it| it.contains("claude-twin")).count();
    // What the second did not change it let go of; what the first holds is as it was.
    assert_eq!(named(&holders(&bench)), 2, "{:?}", holders(&bench));
    second.kill().unwrap();
    second.wait().unwrap();
    second_guest.gone();
    for path in ["README", "one"] {
        assert!(ask(&bench, &edit(&bench, "b", path)).contains("claude-twin"), "{path}");
    }
    assert_eq!(ask(&bench, &edit(&bench, "b", "two")), "");
    // A third goes on with the session while the first lives, and outlives it.
    let mut third = start(&[asked("README", "PreToolUse"), bench.meet_line("third")]);
    let third_guest = bench.meet("third");
    first.kill().unwrap();
    first.wait().unwrap();
    first_guest.gone();
    assert!(ask(&bench, &edit(&bench, "b", "README")).contains("claude-twin"));
    assert_eq!(ask(&bench, &edit(&bench, "b", "one")), "");
    third.kill().unwrap();
    third.wait().unwrap();
    third_guest.gone();
    assert_eq!(ask(&bench, &edit(&bench, "b", "README")), "");
}

#[test]
fn a_session_that_vanished_and_left_nothing_leaves_no_ref() {
    let bench = Bench::new();
    let file = bench.root.join("event.json");
    fs::write(&file, edit(&bench, "gone", "README").to_string()).unwrap();
    let script = format!("run sh -c '\"{KAPELL}\" hook claude < {} ; true'", file.display());
    assert!(bench.command(AGENT).args(["do", &script]).status().unwrap().success());
    // Somebody else's work is not its.
    bench.write("src/lib.txt", "changed\n");
    assert_eq!(ask(&bench, &edit(&bench, "b", "README")), "");
    assert_eq!(holders(&bench), ["agent claude-b README"]);
    assert_eq!(bench.git(["for-each-ref", "refs/kapell/left"]), "");
}

#[test]
fn what_an_agent_claimed_through_a_server_is_its_own_and_ends_with_it() {
    let bench = Bench::new();
    let file = bench.root.join("event.json");
    fs::write(&file, edit(&bench, "own", "README").to_string()).unwrap();
    let claude = bench.root.join("claude");
    std::os::unix::fs::symlink(AGENT, &claude).unwrap();
    // The server has ended when the agent is met.
    let asked = bench.root.join("claim.json");
    let params = json!({"paths": ["src/lib.txt", "README"], "ttl_s": 86400});
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "claim-files", "params": params});
    fs::write(&asked, format!("{request}\n")).unwrap();
    let claim = |answer: &str| format!("run sh -c '\"{KAPELL}\" rpc < {} > {answer}'", asked.display());
    let script = format!("run sh -c '\"{KAPELL}\" hook claude < {} ; true'", file.display());
    let mut agent = bench
        .command(&claude)
        .args(["do", &claim("first.json"), &claim("second.json"), &script, &bench.meet_line("agent")])
        .spawn()
        .unwrap();
    let guest = bench.meet("agent");
    // Both names are one agent's: what one lets go of is free, whoever of them claimed it.
    for answer in ["first.json", "second.json"] {
        let answer = fs::read_to_string(bench.project.join(answer)).unwrap();
        assert!(answer.contains("\"granted\":true"), "{answer}");
    }
    assert!(ask(&bench, &edit(&bench, "b", "src/lib.txt")).contains("is held by"));
    let stranger = bench.rpc().ok("claim-files", json!({"paths": ["src/lib.txt"]}));
    assert_eq!(stranger["granted"], false, "{stranger}");
    agent.kill().unwrap();
    agent.wait().unwrap();
    guest.gone();
    assert_eq!(ask(&bench, &edit(&bench, "b", "src/lib.txt")), "");
    let stranger = bench.rpc().ok("claim-files", json!({"paths": ["README"]}));
    assert_eq!(stranger["granted"], true, "{stranger}");
}

#[test]
fn an_agents_shell_takes_nothing_over_and_lets_go_of_what_is_the_agents_own() {
    let bench = Bench::new();
    let claude = bench.root.join("claude");
    std::os::unix::fs::symlink(AGENT, &claude).unwrap();
    // A session that lives in one, and one whose claim nobody else's shell lets go of.
    let mut other = bench.rpc();
    assert_eq!(other.ok("claim-files", json!({"paths": ["src/lib.txt"]}))["granted"], true);
    let holder = other.ok("status", json!({"scope": "claims"}))["claims"][0]["holder"].clone();
    let file = bench.root.join("event.json");
    fs::write(&file, edit(&bench, "own", "README").to_string()).unwrap();
    let release = format!("--json release-files src/lib.txt --holder {}", holder.as_str().unwrap());
    let words = [
        ("over", "--json claim-files src/lib.txt --as me --take-over --reason mine".to_owned()),
        ("others", release),
        ("hook", format!("hook claude < {}", file.display())),
        ("own", "--json release-files README".to_owned()),
        ("claimed", "claim-files README --ttl-s 600".to_owned()),
    ];
    // A shell starts it, and a program that the shell started: the agent is above both.
    let script = words.iter().map(|(name, words)| {
        let file = bench.root.join(name);
        format!("run sh -c 'env sh -c \"{KAPELL} {words} > {0}.out 2>&1; true\"'", file.display())
    });
    let mut command = bench.command(&claude);
    command.env("CLAUDE_CODE_SESSION_ID", "own").arg("do").args(script).arg(bench.meet_line("agent"));
    let mut agent = command.spawn().unwrap();
    let guest = bench.meet("agent");
    let said = |name: &str| fs::read_to_string(bench.root.join(format!("{name}.out"))).unwrap();
    assert!(said("over").contains("is no person"), "{}", said("over"));
    assert!(said("others").contains("who is alive"), "{}", said("others"));
    assert_eq!(said("own").matches(char::is_numeric).count(), 1, "{}", said("own"));
    let held = holders(&bench);
    assert!(held.contains(&"agent claude-own README".to_owned()) && held.len() == 2, "{held:?}");
    agent.kill().unwrap();
    agent.wait().unwrap();
    guest.gone();
    // What it claimed by its shell ends with it, whatever time was asked for.
    assert_eq!(bench.rpc().ok("claim-files", json!({"paths": ["README"]}))["granted"], true);
}

#[test]
fn people_and_scripts_are_in_the_same_table() {
    let bench = Bench::new();
    let claim = |words: &[&str]| {
        let output = bench.command(KAPELL).env("USER", "ada").args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    claim(&["claim-files", "README", "--as", "me", "--reason", "by hand", "--ttl-s", "600"]);
    let reason = ask(&bench, &edit(&bench, "a", "README"));
    assert!(reason.contains("held by ada (person)") && reason.contains("by hand"), "{reason}");
    assert_eq!(holders(&bench), ["person ada README"]);
    claim(&["release-files", "--all", "--as", "me"]);
    assert_eq!(ask(&bench, &edit(&bench, "a", "README")), "");
    let answer = bench.rpc().ok("claim-files", json!({"paths": ["README"]}));
    assert_eq!(answer["conflicts"][0]["holder"], "claude-a");
}

#[test]
fn an_edit_that_nobody_asked_about_is_told() {
    let bench = Bench::new();
    let after =
        |session, path: &str| tool(&bench, session, "PostToolUse", "Write", json!({"file_path": path}));
    let missed = || bench.events(None).into_iter().filter(|(kind, _)| kind == "hook.missed").count();
    assert_eq!(ask(&bench, &edit(&bench, "a", "README")), "");
    assert_eq!(ask(&bench, &after("a", "README")), "");
    assert_eq!(missed(), 0);
    assert_eq!(ask(&bench, &after("a", "src/lib.txt")), "");
    assert_eq!((missed(), holders(&bench).len()), (1, 2));
    let reason = ask(&bench, &after("b", "README"));
    assert!(reason.contains("held by claude-a"), "{reason}");
    assert_eq!(missed(), 2);
}

#[test]
fn a_hook_that_dies_is_noticed_and_one_that_cannot_look_says_so() {
    let bench = Bench::new();
    let event = edit(&bench, "a", "README").to_string();
    // Killed in the midst of its claim: it says nothing, and an agent takes that for yes.
    for point in ["store.made", "store.changed", "store.committed"] {
        let mut command = bench.command(KAPELL);
        command.args(["hook", "claude"]).env("KAPELL_FAILPOINT", format!("{point}:kill"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(event.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (None, 0), "{point}");
        if point == "store.committed" {
            // What was durable is held.
            assert!(ask(&bench, &edit(&bench, "b", "README")).contains("claude-a"));
        } else {
            assert!(holders(&bench).is_empty(), "{point}");
        }
        let stop = json!({"session_id": "a", "hook_event_name": "Stop", "cwd": bench.project});
        assert_eq!(ask(&bench, &stop), "");
        assert!(holders(&bench).is_empty(), "{point}");
    }
    // The word after the edit notices it, records it, and claims what is free.
    let after = tool(&bench, "a", "PostToolUse", "Edit", json!({"file_path": "README"}));
    assert_eq!(ask(&bench, &after), "");
    let missed = bench.events(None).into_iter().filter(|(kind, _)| kind == "hook.missed").count();
    assert_eq!((missed, holders(&bench)), (1, vec!["agent claude-a README".to_owned()]));
    let mut nowhere = bench.command(KAPELL);
    let nowhere =
        answer_of(nowhere.args(["hook", "claude"]).env("KAPELL_HOME", "not/whole"), event.as_bytes());
    assert!(nowhere.contains("\"systemMessage\":\"kapell: could not look"), "{nowhere}");
}

#[test]
fn hooks_alone_keep_the_log_small() {
    let bench = Bench::new();
    let log = bench.state().join("kapell.db-wal");
    let length = || fs::metadata(&log).map_or(0, |log| log.len());
    // Each claims a file; now and then one empties the log.
    let (mut largest, mut folds) = (0, 0);
    for at in 0..60 {
        let before = length();
        assert_eq!(ask(&bench, &edit(&bench, "a", &format!("new{at}"))), "");
        largest = largest.max(length());
        folds += usize::from(length() < before);
    }

    assert!(folds > 0 && largest < 512 << 10, "{folds} folds, at most {largest} bytes");
    // Who claims has waited for the disk already, and leaves a log that who only looks folds.
    let claimed = (0..60).map(|at| format!("more{at}")).find(|name| {
        assert_eq!(ask(&bench, &edit(&bench, "a", name)), "");
        length() > 100 << 10
    });
    assert_eq!(ask(&bench, &edit(&bench, "a", &claimed.unwrap())), "");
    assert_eq!(length(), 0);
    let mut store = bench.rpc();
    assert_eq!(
        store.ok("status", json!({"scope": "claims", "limit": 60}))["claims"].as_array().unwrap().len(),
        60
    );
}

#[test]
fn nonsense_is_answered_with_nothing_and_a_line_in_the_log() {
    let bench = Bench::new();
    let log = || fs::read_to_string(bench.state().join("hook.log")).unwrap_or_default().lines().count();
    let deep = "[".repeat(100_000);
    for (at, nonsense) in
        [&b""[..], b"nonsense\n\n", b"\xff\xfe", b"{}", deep.as_bytes()].into_iter().enumerate()
    {
        assert_eq!(answer_of(bench.command(KAPELL).arg("hook"), nonsense), "");
        assert_eq!(log(), at + 1);
    }
    // An input that does not tell which files a tool writes is nonsense too.
    for (tool, input) in [
        ("Edit", json!({"file_path": 5})),
        ("Write", json!("x")),
        ("Bash", json!({"command": 5})),
        ("apply_patch", json!({"command": "garbage"})),
    ] {
        let before = log();
        let event = json!({"hook_event_name": "PreToolUse", "session_id": "n", "cwd": bench.project,
                           "tool_name": tool, "tool_input": input});
        assert_eq!(
            answer_of(bench.command(KAPELL).args(["hook", "claude"]), event.to_string().as_bytes()),
            ""
        );
        assert_eq!(log(), before + 1, "{tool}");
    }
    let nine = log();
    // A word that names no agent leaves the event what it is: an agent would take an error for a refusal.
    let said = answer_of(
        bench.command(KAPELL).args(["hook", "clod", "x"]),
        edit(&bench, "a", "README").to_string().as_bytes(),
    );
    assert_eq!((said.as_str(), log()), ("", nine + 1));
    let claims = bench.rpc().ok("status", json!({"scope": "claims"}));
    assert_eq!(claims["claims"][0]["holder"], "claude-a", "{claims:#}");
    // A store that cannot be used lets the tool through, and says so.
    fs::write(bench.state().join("kapell.db"), "no database").unwrap();
    let said =
        answer_of(bench.command(KAPELL).arg("hook"), edit(&bench, "a", "README").to_string().as_bytes());
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert!(answer["systemMessage"].as_str().unwrap().contains("could not look"), "{said}");
    assert!(answer["hookSpecificOutput"].is_null());
}

#[test]
fn a_worker_keeps_to_its_claim() {
    let bench = Bench::new();
    let asked = |event: Value| {
        let mut command = bench.command(KAPELL);
        command
            .args(["hook", "claude"])
            .env("KAPELL_ATTEMPT", "p/1/1")
            .env("KAPELL_WORKTREE", &bench.project);
        answer_of(command.env("KAPELL_FILES", r#"["src/","a b.txt"]"#), event.to_string().as_bytes())
    };
    for event in
        [edit(&bench, "w", "src/new.rs"), edit(&bench, "w", "a b.txt"), bash(&bench, "w", "echo > /tmp/x")]
    {
        assert_eq!(asked(event.clone()), "", "{event}");
    }
    for event in [
        edit(&bench, "w", "README"),
        bash(&bench, "w", "echo > 'src/../README'"),
        bash(&bench, "w", "touch src/*.none 'src/../x'"),
        edit(&bench, "w", ".git/config"),
    ] {
        let said = asked(event.clone());
        assert!(
            said.contains("kapell: ") && said.contains("not among the files of this task: src/ a b.txt"),
            "{event}: {said}"
        );
    }
    // What changes all that it finds is named, and nothing is to be claimed for it.
    for (command, what) in [
        ("git reset --hard", "kapell: git reset --hard changes whatever it finds in this checkout"),
        ("git stash", "kapell: git stash changes whatever it finds in this checkout"),
        ("git checkout .", "kapell: this writes all of the checkout"),
    ] {
        let said = asked(bash(&bench, "w", command));
        assert!(said.contains(what) && said.contains("these files: src/ a b.txt"), "{command}: {said}");
        assert!(!said.contains("claim-files"), "{command}: {said}");
    }
    let said = asked(edit(&bench, "w", "x/[id].ts"));
    assert!(said.contains(r#"paths [\"x/[[]id[]].ts\"]"#), "{said}");
    let said = asked(edit(&bench, "w", ".git/config"));
    assert!(said.contains("nobody can ask for this one") && !said.contains("claim-files"), "{said}");
    // Its own folder as a whole, and what may or may not touch others.
    for command in
        ["rm -r src", "chmod -R 644 src", "cargo fmt", "find . -name '*.pyc' -delete", "git checkout main"]
    {
        assert_eq!(asked(bash(&bench, "w", command)), "", "{command}");
    }
    assert_eq!(holders(&bench).len(), 0);
}

#[test]
fn the_plugin_names_only_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("editors/claude-code");
    let json = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(root.join(name)).unwrap()).unwrap()
    };
    assert_eq!(json(".claude-plugin/plugin.json")["version"], env!("CARGO_PKG_VERSION"));
    let mut commands = Vec::new();
    let server = &json(".mcp.json")["mcpServers"]["kapell"];
    assert_eq!(server["command"], "kapell");
    commands.push(server["args"][0].as_str().unwrap().to_owned());
    // What not every Claude Code knows stands in a file that the manifest names: one that does not reads the other.
    let more = json(".claude-plugin/plugin.json")["hooks"].as_str().unwrap().to_owned();
    let (hooks, more) = (json("hooks/hooks.json"), json(&more));
    let (hooks, more) = (hooks["hooks"].as_object().unwrap(), more["hooks"].as_object().unwrap());
    assert_eq!(more.keys().collect::<Vec<_>>(), ["PostToolUseFailure"]);
    assert_eq!(more["PostToolUseFailure"], hooks["PostToolUse"]);
    assert!(
        hooks.keys().all(|it| ["PreToolUse", "PostToolUse", "Stop", "SessionEnd"].contains(&it.as_str()))
    );
    for entries in hooks.values().chain(more.values()) {
        for hook in entries.as_array().unwrap().iter().flat_map(|entry| entry["hooks"].as_array().unwrap()) {
            let words: Vec<&str> = hook["command"].as_str().unwrap().split(' ').collect();
            assert_eq!(words[0], "kapell");
            commands.push(words[1].to_owned());
        }
    }
    assert_eq!(commands.len(), 6);
    let bench = Bench::bare_machine();
    for command in commands {
        assert!(
            bench.command(KAPELL).args([&*command, "--help"]).output().unwrap().status.success(),
            "{command}"
        );
    }
    let mut files = vec![root.join("skills/kapell/SKILL.md")];
    files.extend(fs::read_dir(root.join("commands")).unwrap().map(|entry| entry.unwrap().path()));
    assert_eq!(files.len(), 6);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let header = text.strip_prefix("---\n").and_then(|text| text.split_once("\n---\n")).unwrap().0;
        assert!(header.lines().any(|line| line.starts_with("description: ")), "{}", file.display());
    }
}

/// What the words of a command do not tell is seen afterwards, by whoever ran it.
#[test]
fn a_command_that_changed_what_another_session_holds_is_told_of_it() {
    let bench = Bench::new();
    let path = bench.project.join("src/lib.txt");
    assert_eq!(ask(&bench, &edit(&bench, "a", path.to_str().unwrap())), "");
    let after = |session: &str, command: &str| {
        ask(&bench, &tool(&bench, session, "PostToolUse", "Bash", json!({"command": command})))
    };
    assert_eq!(ask(&bench, &bash(&bench, "b", "./generate")), "");
    assert_eq!(after("b", "./generate"), "");
    assert_eq!(ask(&bench, &bash(&bench, "b", "./generate")), "");
    fs::write(&path, "generated\n").unwrap();
    let told = after("b", "./generate");
    assert!(told.contains("src/lib.txt (held by claude-a) changed while this command"), "{told}");
    assert!(bench.events(None).iter().any(|event| event.0 == "hook.touched"));
    // Who holds it is told too, and may change it as they like.
    assert!(ask(&bench, &bash(&bench, "a", "./generate")).starts_with("kapell: claude-b says: src/lib.txt"));
    fs::write(&path, "again\n").unwrap();
    assert_eq!(after("a", "./generate"), "");
}

#[test]
fn a_session_hears_that_somebody_waits_for_what_it_holds() {
    let bench = Bench::new();
    assert_eq!(ask(&bench, &edit(&bench, "one", "a.txt")), "");
    let mut other = bench.rpc();
    other.send("claim-files", json!({"paths": ["a.txt"], "wait_s": 80, "holder": "bob", "reason": "a test"}));
    bench.until(json!({"scope": "events", "kind": "claim.asked"}), |told| {
        told["events"].as_array().is_some_and(|events| !events.is_empty())
    });
    let asked = bench.state().join("asked");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !asked.read_dir().is_ok_and(|mut files| files.next().is_some()) {
        assert!(std::time::Instant::now() < deadline, "nobody is told");
        std::thread::yield_now();
    }
    let event = bash(&bench, "one", "ls").to_string();
    let said = answer_of(bench.command(KAPELL).args(["hook", "claude"]), event.as_bytes());
    let answer: Value = serde_json::from_str(&said).unwrap();
    let told = answer["hookSpecificOutput"]["additionalContext"].as_str().unwrap();
    assert_eq!(
        told,
        "kapell: bob says: I wait for a.txt (a test); let go of it with release-files as soon as you can do without it"
    );
    assert_eq!(answer_of(bench.command(KAPELL).args(["hook", "claude"]), event.as_bytes()), "", "only once");
    other.kill();
    // Who waits no longer asks for nothing.
    let mut third = bench.rpc();
    third.send("claim-files", json!({"paths": ["a.txt"], "wait_s": 80, "holder": "carl"}));
    while !asked.read_dir().is_ok_and(|mut files| files.next().is_some()) {
        assert!(std::time::Instant::now() < deadline, "nobody is told");
        std::thread::yield_now();
    }
    let withdrawn = bench.rpc().ok("release-files", json!({"paths": ["a.txt"], "holder": "carl"}));
    assert_eq!(withdrawn["withdrawn"], json!(["a.txt"]), "{withdrawn}");
    assert_eq!(third.answer().unwrap()["granted"], false);
    assert_eq!(answer_of(bench.command(KAPELL).args(["hook", "claude"]), event.as_bytes()), "", "withdrawn");
}

#[test]
fn a_session_does_not_edit_what_somebody_waits_for() {
    let bench = Bench::new();
    assert_eq!(ask(&bench, &edit(&bench, "one", "a.txt")), "");
    let mut bob = bench.rpc();
    bob.send("claim-files", json!({"paths": ["a.txt", "b.txt"], "wait_s": 80, "holder": "bob"}));
    bench.until(json!({"scope": "events", "kind": "claim.asked"}), |told| {
        told["events"].as_array().is_some_and(|events| !events.is_empty())
    });
    let refused = ask(&bench, &edit(&bench, "two", "b.txt"));
    assert!(refused.contains("b.txt is free, but bob asked for it before and waits"), "{refused}");
    // Whom bob waits for goes on.
    let event = edit(&bench, "one", "b.txt").to_string();
    let said = answer_of(bench.command(KAPELL).args(["hook", "claude"]), event.as_bytes());
    assert!(!said.contains("deny"), "{said}");
    bob.kill();
}

#[test]
fn a_claim_that_was_waited_for_lasts_from_when_it_is_granted() {
    let bench = Bench::new();
    let claim = |holder: &str, ttl_s: u64, wait_s: u64| json!({"paths": ["docs/z"], "holder": holder, "ttl_s": ttl_s, "wait_s": wait_s});
    let eve = bench.rpc().ok("claim-files", claim("eve", 2, 0));
    assert_eq!(eve["granted"], true);
    let mut bob = bench.rpc();
    bob.send("claim-files", claim("bob", 1, 60));
    let granted = bob.answer().unwrap();
    assert_eq!(granted["granted"], true, "{granted:#}");
    // Eve's lease, for which he waited, was longer than his own.
    let until = |claims: &Value| claims["claims"][0]["expires_at"].as_str().unwrap().to_owned();
    assert!(until(&granted) > until(&eve), "{granted:#}");
    drop(bob);
    // Only looking says what asking would.
    let looks = |holder: &str| {
        let mut asked = claim(holder, 5, 0);
        asked["check_only"] = json!(true);
        bench.rpc().ok("claim-files", asked)["granted"] == true
    };
    bench.until(json!({"scope": "claims"}), |told| told["claims"].as_array().is_some_and(Vec::is_empty));
    assert!(looks("carl"));
}
