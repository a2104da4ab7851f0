//! Claims through several servers at once: waiting, giving up, and never twice.

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Server, World};

/// Claims at either door.
fn claim(server: &mut Server, door: &str, arguments: &Value) -> Value {
    match door {
        "mcp" => server.tool("claim-files", arguments),
        _ => server.result("claim-files", arguments),
    }
}

#[test]
fn who_waits_gets_what_is_released() {
    let world = World::new();
    let (mut holder, mut waiter) = (world.mcp("holder"), world.mcp("waiter"));
    assert_eq!(holder.tool("claim-files", &json!({"paths": ["src"]}))["granted"], true);
    let id = waiter
        .ask("tools/call", &json!({"name": "claim-files", "arguments": {"paths": ["src/a"], "wait_s": 600}}));
    // The waiting call keeps nobody else from an answer.
    assert_eq!(waiter.tool("claim-files", &json!({"paths": ["docs"]}))["granted"], true);
    holder.tool("release-files", &json!({"all": true}));
    let answer = waiter.answer_among(id, |line| panic!("{line}"));
    assert_eq!(answer["result"]["structuredContent"]["granted"], true);
    holder.finish();
    waiter.finish();
}

#[test]
fn a_cancelled_call_is_not_answered_and_makes_room() {
    let world = World::new();
    let (mut holder, mut waiter) = (world.mcp("holder"), world.mcp("waiter"));
    assert_eq!(holder.tool("claim-files", &json!({"paths": ["src"]}))["granted"], true);
    // As many as run at once, so that one more can only run when these really end.
    let wish = json!({"name": "claim-files", "arguments": {"paths": ["src"], "wait_s": 600}});
    let ids: Vec<i64> = (0..32).map(|_| waiter.ask("tools/call", &wish)).collect();
    for id in ids {
        waiter.notify("notifications/cancelled", &json!({"requestId": id, "reason": "enough"}));
    }
    let answer = waiter.tool("claim-files", &json!({"paths": ["docs"], "wait_s": 600}));
    assert_eq!(answer["granted"], true);
    waiter.finish();
    holder.tool("release-files", &json!({"all": true}));
    assert_eq!(holder.tool("claim-files", &json!({"paths": ["src"], "check_only": true}))["granted"], true);
    holder.finish();
}

/// Waits until somebody is recorded to wait.
fn until_asked(server: &mut Server, times: usize) {
    let query = json!({"scope": "events", "kind": "claim.asked", "since_seq": 0});
    while server.result("status", &query)["events"].as_array().map_or(0, Vec::len) < times {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_free_is_for_who_waits_for_it() {
    let world = World::new();
    let (mut holder, mut waiter, mut newcomer) = (world.rpc(), world.rpc(), world.rpc());
    assert_eq!(holder.result("claim-files", &json!({"paths": ["a"]}))["granted"], true);
    waiter.ask("claim-files", &json!({"paths": ["a", "b"], "wait_s": 600}));
    until_asked(&mut newcomer, 1);
    for check_only in [false, true] {
        let passed = newcomer.result("claim-files", &json!({"paths": ["b"], "check_only": check_only}));
        assert_eq!((&passed["granted"], &passed["conflicts"]), (&json!(false), &json!([])), "{passed}");
        let note = passed["note"].as_str().unwrap();
        let who = format!("nobody holds b, but rpc-{} asked for it before and waits", waiter.pid());
        assert!(note.starts_with(&who), "{note}");
    }
    // Who holds something else comes after it all the same.
    assert_eq!(newcomer.result("claim-files", &json!({"paths": ["c"]}))["granted"], true);
    assert_eq!(newcomer.result("claim-files", &json!({"paths": ["b"]}))["granted"], false);
    // Whom it waits for goes on, or both would wait for each other.
    assert_eq!(holder.result("claim-files", &json!({"paths": ["b"]}))["granted"], true);
    assert_eq!(
        holder.result("release-files", &json!({"paths": ["b"]}))["released"].as_array().unwrap().len(),
        1
    );
    // Who is killed while it waits keeps nobody back.
    drop(waiter);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while newcomer.result("claim-files", &json!({"paths": ["b"]}))["granted"] != true {
        assert!(std::time::Instant::now() < deadline, "a dead one keeps it");
        std::thread::yield_now();
    }
    holder.finish();
    newcomer.finish();
}

#[test]
fn a_wait_is_withdrawn_from_another_door() {
    let world = World::new();
    let (mut holder, mut waiter, mut other) = (world.rpc(), world.rpc(), world.mcp("other"));
    assert_eq!(holder.result("claim-files", &json!({"paths": ["a"]}))["granted"], true);
    let id = waiter.ask("claim-files", &json!({"paths": ["a", "b"], "wait_s": 600}));
    until_asked(&mut holder, 1);
    // Nobody else's wish ends it, nor that for another file.
    let kept = other.tool("release-files", &json!({"paths": ["a"]}));
    assert_eq!(
        (&kept["withdrawn"], &kept["still_held"][0]["pattern"]),
        (&Value::Null, &json!("a")),
        "{kept}"
    );
    let name = format!("rpc-{}", waiter.pid());
    assert_eq!(
        other.tool("release-files", &json!({"paths": ["c"], "holder": name}))["withdrawn"],
        Value::Null
    );
    let ended = other.tool("release-files", &json!({"paths": ["b"], "holder": name}));
    assert_eq!((&ended["withdrawn"], &ended["still_held"]), (&json!(["b"]), &Value::Null), "{ended}");
    let answer = waiter.answer_among(id, |line| panic!("{line}"));
    assert_eq!(answer["result"]["granted"], false);
    assert!(answer["result"]["note"].as_str().unwrap().contains("withdrawn"), "{answer}");
    // Nothing stands in line any more.
    assert_eq!(other.tool("claim-files", &json!({"paths": ["b"]}))["granted"], true);
    holder.finish();
    waiter.finish();
    other.finish();
}

#[test]
fn plain_rpc_cancels_by_id_and_is_answered() {
    let world = World::new();
    let (mut holder, mut waiter) = (world.rpc(), world.rpc());
    assert_eq!(holder.result("claim-files", &json!({"paths": ["src"]}))["granted"], true);
    waiter.send(&json!({"jsonrpc": "2.0", "id": "w", "method": "claim-files", "params": {"paths": ["src"], "wait_s": 600}}));
    assert_eq!(waiter.result("rpc.cancel", &json!({"id": "v"})), json!({"cancelled": 0}));
    assert_eq!(waiter.result("rpc.cancel", &json!({"id": "w"})), json!({"cancelled": 1}));
    let answer = waiter.next();
    assert_eq!(answer["id"], "w");
    assert_eq!(answer["result"]["granted"], false);
    assert_eq!(answer["result"]["conflicts"][0]["holder"], format!("rpc-{}", holder.pid()));
    waiter.finish();
    holder.finish();
}

#[test]
fn the_end_ends_every_wait() {
    let world = World::new();
    let mut holder = world.rpc();
    assert_eq!(holder.result("claim-files", &json!({"paths": ["src"]}))["granted"], true);
    for signal in [None, Some(Signal::INT), Some(Signal::TERM)] {
        for door in ["mcp", "rpc"] {
            let mut waiter = if door == "mcp" { world.mcp("waiter") } else { world.rpc() };
            let wish = json!({"paths": ["src"], "wait_s": 600});
            let id = match door {
                "mcp" => waiter.ask("tools/call", &json!({"name": "claim-files", "arguments": wish})),
                _ => waiter.ask("claim-files", &wish),
            };
            // It has begun once something after it is answered.
            assert_eq!(
                claim(&mut waiter, door, &json!({"paths": ["x"], "check_only": true}))["granted"],
                true
            );
            match signal {
                None => waiter.close_input(),
                Some(signal) => waiter.signal(signal),
            }
            let rest = waiter.end();
            let [answer] = rest.as_slice() else { panic!("{door} {signal:?}: {rest:?}") };
            assert_eq!(answer["id"], id);
            let result = &answer["result"];
            let result = result.get("structuredContent").unwrap_or(result);
            assert_eq!(result["granted"], false, "{door} {signal:?}");
        }
    }
    holder.finish();
}

#[test]
fn a_good_end_takes_the_proof_of_life_along() {
    let world = World::new();
    let mut first = world.mcp("first");
    assert_eq!(first.tool("claim-files", &json!({"paths": ["src"]}))["granted"], true);
    let files = || std::fs::read_dir(world.state().join("life")).unwrap().count();
    assert_eq!(files(), 1);
    first.finish();
    // What it held stays until it runs out.
    assert_eq!(files(), 0);
    let mut next = world.mcp("next");
    assert_eq!(next.tool("claim-files", &json!({"paths": ["src"]}))["granted"], false);
    next.finish();
}

#[test]
fn what_is_not_as_it_was_asked_is_said() {
    let world = World::new();
    let (mut holder, mut other) = (world.rpc(), world.rpc());
    let refused = holder.call("claim-files", &json!({"paths": ["a"], "ttl_s": 0}));
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().starts_with("ttl_s is 0"), "{refused}");
    let cut = holder.result("claim-files", &json!({"paths": ["a"], "ttl_s": 99_999_999, "wait_s": 99_999}));
    let note = cut["note"].as_str().unwrap();
    assert!(
        note.contains("ttl_s 99999999 is more than the 604800") && note.contains("wait_s 99999"),
        "{note}"
    );
    assert_eq!(holder.result("claim-files", &json!({"paths": ["a"], "ttl_s": 604_800}))["note"], Value::Null);
    // Somebody else's, and one's own by another name, stay.
    let kept = other.result("release-files", &json!({"paths": ["a", "b"]}));
    assert_eq!(kept["released"], json!([]));
    let still = kept["still_held"].as_array().unwrap();
    assert_eq!((still.len(), &still[0]["pattern"]), (1, &json!("a")), "{kept}");
    assert_eq!(still[0]["holder"], format!("rpc-{}", holder.pid()));
    let kept = holder.result("release-files", &json!({"paths": ["a/b"]}));
    assert_eq!(kept["still_held"][0]["held_pattern"], "a", "{kept}");
    let released = holder.result("release-files", &json!({"paths": ["a"]}));
    assert_eq!((released["released"].as_array().unwrap().len(), &released["still_held"]), (1, &Value::Null));
    holder.finish();
    other.finish();
}

#[test]
fn asked_for_again_in_the_other_mode_a_claim_takes_the_place_of_the_one_before() {
    let world = World::new();
    let (mut holder, mut other) = (world.rpc(), world.rpc());
    let wish = |mode: &str| json!({"paths": ["docs"], "mode": mode});
    for (mode, others) in [("exclusive", false), ("shared", true)] {
        let answer = holder.result("claim-files", &wish(mode));
        assert_eq!(
            (answer["claims"].as_array().unwrap().len(), &answer["claims"][0]["mode"]),
            (1, &json!(mode))
        );
        let claims = holder.result("status", &json!({"scope": "claims"}));
        assert_eq!(claims["claims"].as_array().unwrap().len(), 1, "{claims}");
        assert_eq!(claims["claims"][0]["mode"], mode);
        assert_eq!(other.result("claim-files", &wish("shared"))["granted"], others, "{mode}");
    }
    // Another who looks is in the way of one who wants it alone; nothing is lost by asking.
    assert_eq!(holder.result("claim-files", &wish("exclusive"))["granted"], false);
    assert_eq!(holder.result("status", &json!({"scope": "claims"}))["claims"].as_array().unwrap().len(), 2);
    holder.finish();
    other.finish();
}

#[test]
fn eight_servers_claim_at_once_and_every_path_is_granted_once() {
    const SERVERS: usize = 8;
    const PATHS: usize = 25;
    let world = World::new();
    let granted: Vec<(usize, Vec<String>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SERVERS)
            .map(|number| {
                let world = &world;
                scope.spawn(move || {
                    let door = if number % 2 == 0 { "mcp" } else { "rpc" };
                    let mut server = if door == "mcp" { world.mcp("agent") } else { world.rpc() };
                    let mut mine = Vec::new();
                    for step in 0..PATHS {
                        // Each begins somewhere else, so that all have a chance.
                        let path = format!("file{}", (step + number * 3) % PATHS);
                        let answer = claim(&mut server, door, &json!({"paths": [path]}));
                        if answer["granted"] == true {
                            mine.push(path);
                        } else {
                            assert_eq!(answer["conflicts"][0]["held_pattern"], path, "{answer}");
                        }
                    }
                    server.finish();
                    (number, mine)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, paths) in &granted {
        for path in paths {
            assert_eq!(owners.insert(path, *number), None, "{path} was granted twice");
        }
    }
    assert_eq!(owners.len(), PATHS);
    // Nothing was lost: the log tells of as many grants.
    let mut reader = world.mcp("reader");
    let read = reader.result("resources/read", &json!({"uri": "kapell://events"}));
    let events: Value = serde_json::from_str(read["contents"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(events["events"].as_array().unwrap().len(), PATHS);
    reader.finish();
}

#[test]
fn claims_that_ran_out_end_no_page_early_and_are_not_counted() {
    let world = World::new();
    let mut past = world.command("rpc", &[]);
    past.env("KAPELL_FAILPOINT", "store.changed:clock-86400");
    let mut past = Server::start(past);
    // With the first commit its clock is a day back; what it claims from then on has run out for all others.
    let claim = |server: &mut Server, path: &str| {
        let params = json!({"paths": [path], "holder": "robot", "ttl_s": 60});
        assert_eq!(server.result("claim-files", &params)["granted"], true);
    };
    for path in ["first", "over1", "over2", "over3"] {
        claim(&mut past, path);
    }
    past.kill();
    let mut server = world.rpc();
    for path in ["a", "b", "c"] {
        claim(&mut server, path);
    }
    let mut found = Vec::new();
    let mut cursor = json!(null);
    loop {
        let page = server.result("status", &json!({"scope": "claims", "limit": 2, "cursor": cursor}));
        let patterns = page["claims"].as_array().unwrap().iter();
        found.extend(patterns.map(|claim| claim["pattern"].as_str().unwrap().to_owned()));
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(found, ["first", "a", "b", "c"]);
    assert_eq!(server.result("status", &json!({}))["claims"], 4);
    server.finish();
}
