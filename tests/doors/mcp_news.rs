//! MCP: resources that are read and watched, and progress of long calls.

use serde_json::{Value, json};

use crate::harness::{Server, World};

fn claim(server: &mut Server, path: &str) {
    assert_eq!(server.tool("claim-files", &json!({"paths": [path]}))["granted"], true);
}

#[test]
fn resources_are_listed_and_read() {
    let world = World::new();
    let mut server = world.mcp("reader");
    let uris = |list: &Value, name: &str, key: &str| -> Vec<String> {
        list[name].as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
    };
    let list = server.result("resources/list", &json!({}));
    assert_eq!(uris(&list, "resources", "uri"), ["kapell://overview", "kapell://claims", "kapell://events"]);
    let list = server.result("resources/templates/list", &json!({}));
    assert_eq!(
        uris(&list, "resourceTemplates", "uriTemplate"),
        [
            "kapell://plans/{id}",
            "kapell://tasks/{plan}/{task}",
            "kapell://attempts/{id}/log",
            "kapell://attempts/{id}/diff",
            "kapell://attempts/{id}/evidence/{gate}",
        ]
    );
    claim(&mut server, "a b");
    let read = server.result("resources/read", &json!({"uri": "kapell://events"}));
    let content = &read["contents"][0];
    assert_eq!(
        (&content["uri"], &content["mimeType"]),
        (&json!("kapell://events"), &json!("application/json"))
    );
    let events: Value = serde_json::from_str(content["text"].as_str().unwrap()).unwrap();
    assert_eq!(events["events"][0]["kind"], "claim.granted");
    assert!(events["events"][0]["text"].as_str().unwrap().ends_with(" claims a b"));
    server.finish();
}

#[test]
fn events_stay_within_an_answers_size() {
    let world = World::new();
    let mut server = world.mcp("reader");
    for number in 0..60 {
        claim(&mut server, &format!("{number}/{}", "x".repeat(500)));
    }
    let read = server.result("resources/read", &json!({"uri": "kapell://events"}));
    let text = read["contents"][0]["text"].as_str().unwrap();
    assert!(text.len() <= 16 * 1024, "{}", text.len());
    let events: Value = serde_json::from_str(text).unwrap();
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.last().unwrap()["seq"], 60);
    assert!(events.len() > 5 && events.len() < 50);
    server.finish();
}

#[test]
fn who_watches_a_resource_hears_of_its_changes() {
    let world = World::new();
    let (mut watcher, mut other) = (world.mcp("watcher"), world.mcp("other"));
    for uri in ["kapell://claims", "kapell://plans/none"] {
        assert_eq!(watcher.result("resources/subscribe", &json!({"uri": uri})), json!({}));
    }
    claim(&mut other, "src");
    let news = watcher.next();
    assert_eq!(news["method"], "notifications/resources/updated");
    assert_eq!(news["params"]["uri"], "kapell://claims");
    // Nobody hears of what they watch no more.
    let id = watcher.ask("resources/unsubscribe", &json!({"uri": "kapell://claims"}));
    watcher.answer_among(id, |line| assert_eq!(line["params"]["uri"], "kapell://claims"));
    let id = watcher.ask("resources/subscribe", &json!({"uri": "kapell://events"}));
    watcher.answer_among(id, |line| panic!("{line}"));
    claim(&mut other, "docs");
    assert_eq!(watcher.next()["params"]["uri"], "kapell://events");
    watcher.finish();
    other.finish();
}

#[test]
fn the_modern_era_watches_by_listening() {
    let world = World::new();
    let (mut watcher, mut other) = (world.start("mcp"), world.mcp("other"));
    let id = watcher.ask(
        "subscriptions/listen",
        &json!({
            "notifications": {"resourceSubscriptions": ["kapell://claims", "kapell://dance"]},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "watcher", "version": "1"},
            },
        }),
    );
    let begun = watcher.next();
    assert_eq!(begun["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(begun["params"]["notifications"], json!({"resourceSubscriptions": ["kapell://claims"]}));
    // Listening begins after the acknowledgement, so the first change may be too early to be heard.
    let heard = watcher.next_while(|number| claim(&mut other, &format!("f{number}")));
    assert_eq!(heard["method"], "notifications/resources/updated");
    assert_eq!(heard["params"]["uri"], "kapell://claims");
    assert_eq!(heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], id);
    // The end of the connection ends it with a result.
    watcher.close_input();
    let rest = watcher.end();
    assert!(rest.last().is_some_and(|last| last["id"] == id && last.get("result").is_some()), "{rest:?}");
    other.finish();
}

/// One who holds `src`, one who waits for it and wants to hear of the progress, and the id of that call.
fn holder_and_waiter(world: &World) -> (Server, Server, i64) {
    let (mut holder, mut waiter) = (world.mcp("holder"), world.mcp("waiter"));
    claim(&mut holder, "src");
    let id = waiter.ask(
        "tools/call",
        &json!({"name": "claim-files", "arguments": {"paths": ["src"], "wait_s": 600}, "_meta": {"progressToken": "t"}}),
    );
    (holder, waiter, id)
}

#[test]
fn a_long_call_tells_its_progress() {
    let world = World::new();
    let (mut holder, waiter, id) = holder_and_waiter(&world);
    // Something happens again and again until the call tells of it.
    let progress = waiter.next_while(|number| claim(&mut holder, &format!("f{number}")));
    assert_eq!(progress["method"], "notifications/progress");
    assert_eq!(
        (&progress["params"]["progressToken"], &progress["params"]["progress"]),
        (&json!("t"), &json!(1.0))
    );
    assert!(progress["params"]["message"].as_str().unwrap().contains(" claims f"));
    holder.tool("release-files", &json!({"paths": ["src"]}));
    let mut last = 1.0;
    let answer = waiter.answer_among(id, |line| {
        let next = line["params"]["progress"].as_f64().unwrap();
        assert!(next > last);
        last = next;
    });
    assert_eq!(answer["result"]["structuredContent"]["granted"], true);
    holder.finish();
    waiter.finish();
}

/// A client that hears nothing for long takes a call for hung.
#[test]
fn a_long_call_during_which_nothing_happens_tells_that_it_goes_on() {
    let world = World::new();
    let (mut holder, waiter, id) = holder_and_waiter(&world);
    let progress = waiter.next();
    assert_eq!(progress["method"], "notifications/progress");
    assert!(progress["params"]["message"].as_str().unwrap().starts_with("goes on, for "), "{progress}");
    holder.tool("release-files", &json!({"paths": ["src"]}));
    let answer = waiter.answer_among(id, |line| assert_eq!(line["method"], "notifications/progress"));
    assert_eq!(answer["result"]["structuredContent"]["granted"], true);
    holder.finish();
    waiter.finish();
}
