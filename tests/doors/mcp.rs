//! MCP: both eras, its lists, its errors, its end.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Server, World};

/// What every request of the modern era carries.
fn modern(params: Value) -> Value {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "1"},
    });
    params
}

const TOOLS: [&str; 9] = [
    "plan",
    "dispatch",
    "claim-files",
    "release-files",
    "status",
    "judge",
    "control",
    "pipeline",
    "environments",
];

#[test]
fn the_legacy_era_begins_with_a_handshake() {
    let world = World::new();
    let mut server = world.start("mcp");
    let about = server.initialize("test");
    assert_eq!(about["protocolVersion"], "2025-11-25");
    assert_eq!(about["serverInfo"]["name"], "kapell");
    assert_eq!(
        about["capabilities"],
        json!({
            "tools": {}, "resources": {"subscribe": true}, "prompts": {},
            "extensions": {"io.modelcontextprotocol/tasks": {}},
        })
    );
    assert!(about["instructions"].as_str().unwrap().len() <= 2048);
    assert_eq!(server.result("ping", &json!({})), json!({}));
    server.finish();
    // Older clients are answered in their version, one from the future in the newest that has a handshake.
    for (asked, answered) in
        [("2024-11-05", "2024-11-05"), ("2025-06-18", "2025-06-18"), ("2099-01-01", "2025-11-25")]
    {
        let mut server = world.start("mcp");
        let about = server.result(
            "initialize",
            &json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}),
        );
        assert_eq!(about["protocolVersion"], answered);
        server.finish();
    }
}

/// One version of the protocol has them.
#[test]
fn a_batch_is_taken_message_by_message() {
    let world = World::new();
    let mut server = world.start("mcp");
    let about = json!({"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    assert_eq!(server.result("initialize", &about)["protocolVersion"], "2025-03-26");
    server.send(&json!([
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": "a", "method": "ping"},
        {"jsonrpc": "2.0", "id": "b"},
        {"jsonrpc": "2.0", "id": "c", "method": "ping"},
    ]));
    let mut answers: Vec<(String, bool)> = (0..3)
        .map(|_| server.next())
        .map(|answer| (answer["id"].as_str().unwrap().to_owned(), answer.get("result").is_some()))
        .collect();
    answers.sort();
    assert_eq!(answers, [("a".to_owned(), true), ("b".to_owned(), false), ("c".to_owned(), true)]);
    server.send(&json!([]));
    assert_eq!(server.next()["error"]["code"], -32600);
    server.finish();
}

#[test]
fn the_modern_era_needs_no_handshake() {
    let world = World::new();
    let mut server = world.start("mcp");
    let about = server.result("server/discover", &modern(json!({})));
    assert!(about["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")));
    let list = server.result("tools/list", &modern(json!({})));
    assert_eq!(list["resultType"], "complete");
    assert_eq!(list["tools"].as_array().unwrap().len(), TOOLS.len());
    let call = modern(json!({"name": "claim-files", "arguments": {"paths": ["src"]}}));
    let claimed = server.result("tools/call", &call);
    assert_eq!(claimed["structuredContent"]["granted"], true);
    // A connection of this era has no state that would allow a bare request.
    let bare = server.call("tools/list", &json!({}));
    assert_eq!(bare["error"]["code"], -32602);
    server.finish();
}

#[test]
fn a_client_may_leave_at_any_time() {
    let world = World::new();
    world.start("mcp").finish();
    let mut curious = world.start("mcp");
    curious.result("server/discover", &modern(json!({})));
    curious.finish();
    let mut hasty = world.start("mcp");
    hasty.notify("notifications/cancelled", &json!({"requestId": 1}));
    hasty.initialize("test");
    hasty.finish();
}

#[test]
fn tools_are_listed_small_and_in_order() {
    let world = World::new();
    let mut server = world.mcp("test");
    let list = server.call("tools/list", &json!({}));
    assert!(list.to_string().len() <= 16 * 1024, "{}", list.to_string().len());
    let tools = list["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, TOOLS);
    for tool in tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], tool["name"] == "status", "{tool}");
        assert_eq!(tool["inputSchema"]["type"], "object");
        assert_eq!(tool["outputSchema"]["type"], "object");
    }
    // Asking what there is costs nobody a database.
    assert!(!world.state().exists());
    server.finish();
}

#[test]
fn a_refusal_is_a_result_with_the_next_step() {
    let world = World::new();
    let mut server = world.mcp("test");
    let table = [
        ("claim-files", json!({}), -32602, "invalid-params"),
        ("claim-files", json!({"paths": [], "wait_s": 1}), -32602, "invalid-params"),
        ("claim-files", json!({"paths": ["a"], "color": 1}), -32602, "invalid-params"),
        ("release-files", json!({"claim_ids": [1], "all": true}), -32602, "invalid-params"),
        ("release_files", json!({}), -32602, "invalid-params"),
    ];
    for (tool, arguments, code, kind) in table {
        let result = server.result("tools/call", &json!({"name": tool, "arguments": arguments}));
        assert_eq!(result["isError"], true, "{tool} {arguments}");
        let error = &result["structuredContent"];
        assert_eq!(
            (&error["code"], &error["data"]["kind"]),
            (&json!(code), &json!(kind)),
            "{tool} {arguments}"
        );
        let text = result["content"][0]["text"].as_str().unwrap();
        let (message, hint) = text.split_once('\n').unwrap();
        assert_eq!(error["message"], message);
        assert_eq!(error["data"]["hint"], hint);
    }
    server.finish();
}

#[test]
fn what_is_no_tool_prompt_or_resource_is_said() {
    let world = World::new();
    let mut server = world.mcp("test");
    let table = [
        ("tools/call", json!({"name": "dance"}), -32602),
        ("tools/call", json!({"arguments": {}}), -32602),
        ("prompts/get", json!({"name": "dance"}), -32602),
        ("prompts/get", json!({"name": "plan"}), -32602),
        ("resources/read", json!({"uri": "kapell://dance"}), -32002),
        ("resources/read", json!({"uri": "file:///etc/passwd"}), -32002),
        ("resources/read", json!({"uri": "kapell://attempts/a-none/log"}), -32002),
        ("resources/read", json!({"uri": "kapell://attempts/a-none/evidence/lint"}), -32002),
        ("resources/subscribe", json!({"uri": "kapell://dance"}), -32002),
        ("dance", json!({}), -32601),
        ("logging/setLevel", json!({"level": "debug"}), -32601),
    ];
    for (method, params, code) in table {
        let answer = server.call(method, &params);
        assert_eq!(answer["error"]["code"], code, "{method} {params}: {answer}");
        let said = answer["error"]["message"].as_str().unwrap();
        assert!(code != -32601 || said == format!("there is no method \"{method}\""), "{said}");
    }
    server.finish();
}

#[test]
fn a_handshake_that_lacks_something_is_refused_and_can_be_tried_again() {
    let world = World::new();
    let mut server = world.start("mcp");
    let whole = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    for lacking in ["protocolVersion", "capabilities", "clientInfo"] {
        let mut half = whole.clone();
        half.as_object_mut().unwrap().remove(lacking);
        let answer = server.call("initialize", &half);
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(lacking), "{answer}");
        server.send_bytes(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
    }
    assert_eq!(server.result("initialize", &whole)["protocolVersion"], "2025-06-18");
    server.finish();
}

#[test]
fn garbage_is_answered_and_survived() {
    let world = World::new();
    let mut server = world.mcp("test");
    let table: [(&[u8], Value); 8] = [
        (b"garbage", json!(-32700)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,", json!(-32700)),
        (b"\xff\xfe", json!(-32700)),
        (b"[]", json!(-32600)),
        (b"{}", json!(-32600)),
        (b"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", json!(-32600)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}", json!(-32600)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":\"x\"}", json!(-32600)),
    ];
    for (line, code) in table {
        server.send_bytes(line);
        server.send_bytes(b"\n");
        let answer = server.next();
        assert_eq!(answer["error"]["code"], code, "{}: {answer}", String::from_utf8_lossy(line));
    }
    server.send_bytes(b"\n \r\n");
    let mut deep = "[".repeat(1_000_000).into_bytes();
    deep.push(b'\n');
    server.send_bytes(&deep);
    assert_eq!(server.next()["error"]["code"], -32700);
    server.send_bytes(&vec![b'x'; 17 * 1024 * 1024]);
    server.send_bytes(b"\n");
    assert_eq!(server.next()["error"]["code"], -32600);
    assert_eq!(server.result("ping", &json!({})), json!({}));
    server.finish();
}

#[test]
fn half_a_character_does_not_make_a_call_unreadable() {
    let world = World::new();
    let mut server = world.mcp("test");
    server.result("ping", &json!({}));
    server.send_bytes(
        br#"{"jsonrpc":"2.0","id":"half","method":"tools/call","params":{"name":"claim-files","arguments":{"paths":["a"],"reason":"cut \ud83d"}}}"#,
    );
    server.send_bytes(b"\n");
    let answer = server.next();
    assert_eq!(answer["id"], "half", "{answer}");
    server.finish();
}

#[test]
fn the_last_line_needs_no_end() {
    let world = World::new();
    let mut server = world.mcp("test");
    server.send_bytes(br#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#);
    server.close_input();
    assert_eq!(server.end(), [json!({"jsonrpc": "2.0", "id": 7, "result": {}})]);
}

#[test]
fn signals_end_it_well() {
    let world = World::new();
    for signals in [&[Signal::INT][..], &[Signal::TERM], &[Signal::INT, Signal::TERM]] {
        let mut server = world.mcp("test");
        server.result("ping", &json!({}));
        signals.iter().for_each(|signal| server.signal(*signal));
        assert_eq!(server.end(), Vec::<Value>::new());
    }
    // Before the handshake too. The answer tells that it listens to signals.
    let mut server = world.start("mcp");
    server.result("server/discover", &modern(json!({})));
    server.signal(Signal::TERM);
    assert_eq!(server.end(), Vec::<Value>::new());
}

#[test]
fn sockets_do_as_well_as_pipes() {
    let world = World::new();
    let mut server = Server::start_over_sockets(world.command("mcp", &[]));
    server.initialize("node");
    assert_eq!(server.result("tools/list", &json!({}))["tools"].as_array().unwrap().len(), TOOLS.len());
    server.finish();
}

#[test]
fn a_thousand_questions_at_once_are_all_answered() {
    let world = World::new();
    let mut server = world.mcp("test");
    // More than pipes hold, and nothing is read meanwhile.
    let ids: Vec<i64> = (0..3000).map(|_| server.ask("ping", &json!({}))).collect();
    let mut answered: Vec<i64> = ids.iter().map(|_| server.next()["id"].as_i64().unwrap()).collect();
    answered.sort_unstable();
    assert_eq!(answered, ids);
    server.finish();
}

#[test]
fn an_agents_session_is_known_by_client_and_session() {
    let world = World::new();
    let elsewhere = world.project().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let mut agent = Server::start(world.command(
        "mcp",
        &[("CLAUDE_CODE_SESSION_ID", Path::new("1a2b3c4d-5e6f")), ("CLAUDE_PROJECT_DIR", &elsewhere)],
    ));
    agent.initialize("claude-code");
    assert_eq!(agent.tool("claim-files", &json!({"paths": ["src"]}))["granted"], true);
    // This project's files are others than those of the project folder that was named.
    let mut other = world.mcp("other");
    assert_eq!(other.tool("claim-files", &json!({"paths": ["src"], "check_only": true}))["granted"], true);
    let there = [("CLAUDE_PROJECT_DIR", elsewhere.as_path())];
    let mut neighbour = Server::start(world.command("mcp", &there));
    neighbour.initialize("other");
    let refused = neighbour.tool("claim-files", &json!({"paths": ["src/a.rs"]}));
    assert_eq!(refused["granted"], false);
    assert_eq!(refused["conflicts"][0]["holder"], "claude-code-1a2b3c4d");
    assert_eq!(refused["conflicts"][0]["holder_kind"], "agent");
    [agent, other, neighbour].into_iter().for_each(Server::finish);
}

#[test]
fn answers_fit_into_a_conversation() {
    let world = World::new();
    let mut server = world.mcp("test");
    let tasks: Vec<Value> = (0..400)
        .map(|id| json!({"id": id, "task": "t", "agent": "sh", "files": [format!("f{id}")]}))
        .collect();
    let plan = json!({"name": "wide", "rules": {"spec_first": false, "tdd": false}, "tasks": tasks});
    let planned = server.tool("plan", &json!({"plan": plan, "check_only": true}));
    assert!(planned.to_string().len() <= 16_000, "{} bytes", planned.to_string().len());
    let left = planned["left_out"].as_object().unwrap();
    for (path, count) in left {
        let kept =
            planned.pointer(&format!("/{}", path.replace('.', "/"))).unwrap().as_array().unwrap().len();
        assert!(kept >= 3 && count.as_u64().unwrap() > 0, "{path}: {kept} of {count} more");
    }
    // What was sent is not sent back as a whole.
    let long = server
        .call("tools/call", &json!({"name": "claim-files", "arguments": {"paths": ["y".repeat(200_000)]}}));
    assert!(long.to_string().len() < 16_000, "{} bytes", long.to_string().len());
    server.finish();
}

#[test]
fn prompts_take_arguments() {
    let world = World::new();
    let mut server = world.mcp("test");
    let list = server.result("prompts/list", &json!({}));
    let names: Vec<&Value> =
        list["prompts"].as_array().unwrap().iter().map(|prompt| &prompt["name"]).collect();
    assert_eq!(names, ["orchestrate", "plan", "review"]);
    let prompt =
        server.result("prompts/get", &json!({"name": "orchestrate", "arguments": {"goal": "be <great>"}}));
    assert!(prompt["messages"][0]["content"]["text"].as_str().unwrap().contains("\n\nbe <great>\n\n"));
    server.finish();
}
