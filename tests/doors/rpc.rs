//! Plain JSON-RPC: the standard's own examples and beyond, subscriptions, the end.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Server, World};

/// All that a server answers to these bytes before it ends well.
fn answers(world: &World, bytes: &[u8]) -> Vec<Value> {
    let mut server = world.rpc();
    server.send_bytes(bytes);
    server.close_input();
    server.end()
}

/// An answer in short: its id and error code, or its id.
fn short(answer: &Value) -> String {
    match (answer, answer["error"]["code"].as_i64()) {
        (Value::Array(answers), _) => {
            let mut answers: Vec<String> = answers.iter().map(short).collect();
            // Within a batch the order is free.
            answers.sort();
            format!("[{}]", answers.join(", "))
        }
        (_, Some(code)) => format!("{} {code}", answer["id"]),
        _ => answer["id"].to_string(),
    }
}

#[test]
fn messages_are_answered_as_the_standard_says() {
    let world = World::new();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"release-files","params":{"all":true}}"#;
    let note = r#"{"jsonrpc":"2.0","method":"release-files","params":{"all":true}}"#;
    let bad_note = r#"{"jsonrpc":"2.0","method":"release-files","params":{"none":true}}"#;
    let table: &[(String, &[&str])] = &[
        (String::new(), &[]),
        ("\n\r\n  \n".to_owned(), &[]),
        (call.to_owned(), &["1"]),
        (format!("{call}\r\n{call}\n"), &["1", "1"]),
        (call.replace("release-files", "release_files"), &["1"]),
        (call.replace(":1,", ":-1.50,"), &["-1.5"]),
        (call.replace(":1,", ":\"a\","), &["\"a\""]),
        (call.replace(":1,", ":null,"), &["null"]),
        (call.replace(":1,", ":{},"), &["null -32600"]),
        (call.replace("release-files", "dance"), &["1 -32601"]),
        (call.replace("{\"all\":true}", "[true]"), &["1 -32602"]),
        (call.replace("{\"all\":true}", "{\"all\":7}"), &["1 -32602"]),
        (call.replace("{\"all\":true}", "7"), &["1 -32600"]),
        // Notifications are never answered.
        (note.to_owned(), &[]),
        (bad_note.to_owned(), &[]),
        (note.replace("release-files", "dance"), &[]),
        // Batches.
        ("[]".to_owned(), &["null -32600"]),
        ("[1,2]".to_owned(), &["[null -32600, null -32600]"]),
        (format!("[{note},{note}]"), &[]),
        (format!("[{call},{note},{bad_note},{{}},{call}]"), &["[1, 1, null -32600]"]),
        // One line's fault is not the next one's.
        ("{\n[1,\nnot json\n{}\n".to_owned(), &["null -32700", "null -32700", "null -32700", "null -32600"]),
        (format!("Content-Length: 3\r\n\r\n{call}\n"), &["null -32700", "1"]),
    ];
    for (sent, expected) in table {
        let answered: Vec<String> = answers(&world, sent.as_bytes()).iter().map(short).collect();
        assert_eq!(&answered, expected, "{sent}");
    }
    assert_eq!(
        answers(&world, b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}\n")
            .iter()
            .map(short)
            .collect::<Vec<_>>(),
        ["null -32700"]
    );
}

#[test]
fn an_error_has_a_kind_a_message_and_a_hint() {
    let world = World::new();
    let mut server = world.rpc();
    let answer = server.call("dance", &json!({}));
    assert_eq!(
        answer["error"],
        json!({"code": -32601, "message": "there is no method \"dance\"",
               "data": {"kind": "unknown-method", "hint": "rpc.discover lists the methods", "retryable": false}})
    );
    server.finish();
}

#[test]
fn ids_come_back_as_they_were_written() {
    let world = World::new();
    let mut command = world.command("rpc", &[]);
    let written = ["1.0", "-0", "1e3", "123456789012345678901234567890", r#""\u0061\"""#, "null"];
    let lines: String = written
        .iter()
        .map(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"dance\"}}\n"))
        .collect();
    let file = world.project().join("lines");
    std::fs::write(&file, lines).unwrap();
    // From a file, as a script may do it; the answers are compared as bytes.
    let output = command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    for (line, id) in output.lines().zip(written) {
        assert!(line.starts_with(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},")), "{line}");
    }
    assert_eq!(output.lines().count(), written.len());
}

#[test]
fn long_and_deep_lines_do_no_harm() {
    let world = World::new();
    let mut server = world.rpc();
    server.send_bytes("[".repeat(5_000_000).as_bytes());
    server.send_bytes(b"\n");
    assert_eq!(short(&server.next()), "null -32700");
    server.send_bytes(&vec![b'{'; 40 * 1024 * 1024]);
    assert_eq!(short(&server.next()), "null -32600");
    server.send_bytes(b"\n");
    let paths = vec!["x".repeat(100); 20_000];
    let long = server.call("release-files", &json!({"paths": paths}));
    assert_eq!(long["result"]["released"], json!([]));
    server.finish();
}

#[test]
fn everything_is_discovered() {
    let world = World::new();
    let mut server = world.rpc();
    let document = server.result("rpc.discover", &json!({}));
    let names: Vec<&str> = document["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| method["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "plan",
            "dispatch",
            "claim-files",
            "release-files",
            "status",
            "judge",
            "control",
            "pipeline",
            "environments",
            "checkpoint",
            "report",
            "events.subscribe",
            "events.unsubscribe",
            "rpc.cancel",
            "rpc.discover",
        ]
    );
    assert!(!world.state().exists());
    server.finish();
}

#[test]
fn quick_calls_are_answered_in_order() {
    let world = World::new();
    let mut server = world.rpc();
    let ids: Vec<i64> = (0..3000)
        .map(|number| server.ask(if number % 2 == 0 { "dance" } else { "rpc.cancel" }, &json!({"id": 0})))
        .collect();
    let answered: Vec<i64> = ids.iter().map(|_| server.next()["id"].as_i64().unwrap()).collect();
    assert_eq!(answered, ids);
    server.finish();
}

#[test]
fn subscribers_hear_of_events() {
    let world = World::new();
    let (mut watcher, mut other) = (world.rpc(), world.rpc());
    let mut claim =
        |path: &str| assert_eq!(other.result("claim-files", &json!({"paths": [path]}))["granted"], true);
    claim("before");
    let subscribed = watcher.result("events.subscribe", &json!({}));
    assert_eq!(subscribed, json!({"subscription": 1, "seq": 1}));
    claim("src");
    let event = watcher.next();
    assert_eq!(event["method"], "events.event");
    assert!(event.get("id").is_none());
    assert_eq!(event["params"]["subscription"], 1);
    assert_eq!(
        (&event["params"]["event"]["seq"], &event["params"]["event"]["kind"]),
        (&json!(2), &json!("claim.granted"))
    );
    // Another one, from the beginning, in a batch: its answer comes first all the same.
    watcher.send(&json!([
        {"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": {"since_seq": 0, "kind": "claim."}},
        {"jsonrpc": "2.0", "id": 2, "method": "dance"},
    ]));
    assert_eq!(watcher.next()[0]["result"], json!({"subscription": 2, "seq": 0}));
    for seq in [1, 2] {
        let event = watcher.next();
        assert_eq!(
            (&event["params"]["subscription"], &event["params"]["event"]["seq"]),
            (&json!(2), &json!(seq))
        );
    }
    for number in [1, 2] {
        let ended = watcher.result("events.unsubscribe", &json!({"subscription": number}));
        assert_eq!(ended, json!({"unsubscribed": true}));
    }
    claim("docs");
    let again = watcher.result("events.unsubscribe", &json!({"subscription": 1}));
    assert_eq!(again, json!({"unsubscribed": false}));
    watcher.finish();
    other.finish();
}

#[test]
fn subscriptions_can_be_narrowed_and_bad_ones_are_refused() {
    let world = World::new();
    let mut server = world.rpc();
    server.result("events.subscribe", &json!({"kind": "plan."}));
    server.result("events.subscribe", &json!({"all_projects": true, "kind": "claim.rel"}));
    server.result("claim-files", &json!({"paths": ["a"]}));
    let id = server.ask("release-files", &json!({"all": true}));
    let mut events = Vec::new();
    server.answer_among(id, |line| events.push(line));
    let event = events.pop().unwrap_or_else(|| server.next());
    assert_eq!(
        (&event["params"]["subscription"], &event["params"]["event"]["kind"]),
        (&json!(2), &json!("claim.released"))
    );
    assert!(events.is_empty());
    assert_eq!(
        short(&server.call("events.subscribe", &json!({"since": 1}))).split(' ').nth(1),
        Some("-32602")
    );
    // Whoever asked so would wait for ever.
    for (params, kind) in
        [(json!({"plan_id": "none"}), "not-found"), (json!({"since_seq": 1_i64 << 40}), "invalid-params")]
    {
        assert_eq!(server.call("events.subscribe", &params)["error"]["data"]["kind"], kind, "{params}");
    }
    for _ in 2..64 {
        server.result("events.subscribe", &json!({"kind": "none"}));
    }
    assert_eq!(server.call("events.subscribe", &json!({}))["error"]["data"]["kind"], "busy");
    server.finish();
}

#[test]
fn signals_end_it_well() {
    let world = World::new();
    for signals in [&[Signal::INT][..], &[Signal::TERM], &[Signal::INT, Signal::TERM]] {
        let mut server = world.rpc();
        server.result("events.subscribe", &json!({}));
        signals.iter().for_each(|signal| server.signal(*signal));
        assert_eq!(server.end(), Vec::<Value>::new());
    }
}

#[test]
fn a_client_that_reads_no_more_is_left_in_peace() {
    let world = World::new();
    let mut command = world.command("rpc", &[]);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = command.stdin(std::process::Stdio::piped()).stdout(writer).spawn().unwrap();
    drop((command, reader));
    let mut input = child.stdin.take().unwrap();
    // The input stays open: that nobody reads the answer is reason enough to end. A process that another test
    // is just starting may hold the other end for a moment, and then the next answer finds nobody.
    while std::io::Write::write_all(&mut input, b"{}\n").is_ok() {}
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn sockets_do_as_well_as_pipes() {
    let world = World::new();
    let mut server = Server::start_over_sockets(world.command("rpc", &[]));
    assert_eq!(server.result("claim-files", &json!({"paths": ["a"]}))["granted"], true);
    server.finish();
}
