//! A client of MCP that declares the tasks extension gets handles for what takes long.

use serde_json::{Value, json};

use crate::bench::mcp::Mcp;
use crate::bench::{Bench, Plan, task};

/// A request of the modern era, by a client that takes handles or does not.
fn request(method: &str, mut params: Value, takes_handles: bool) -> Value {
    let extensions = if takes_handles { json!({"io.modelcontextprotocol/tasks": {}}) } else { json!({}) };
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"extensions": extensions},
        "io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "1"},
    });
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

fn answer(mcp: &mut Mcp, method: &str, params: Value) -> Value {
    mcp.send(&request(method, params, true));
    mcp.next()
}

/// The servers live on meanwhile.
fn ended(bench: &Bench, plan: &str, state: &str) {
    bench.until(json!({"scope": "plan", "id": plan}), |status| status["state"] == state);
}

#[test]
fn a_dispatch_is_a_task_to_its_end_whoever_asks() {
    let bench = Bench::new();
    let plan = Plan::new([task("a", &["a.txt"], &[&bench.meet_line("a"), "write a.txt a"])]);
    let plan = bench.rpc().ok("plan", plan.params())["plan_id"].as_str().unwrap().to_owned();
    let mut mcp = Mcp::open(&bench);
    let dispatch = json!({"name": "dispatch", "arguments": {"plan_id": plan}});
    let begun = answer(&mut mcp, "tools/call", dispatch.clone())["result"].take();
    assert_eq!((&begun["resultType"], &begun["status"]), (&json!("task"), &json!("working")), "{begun:#}");
    let run = begun["taskId"].as_str().unwrap().to_owned();
    assert_eq!(begun["_meta"]["kapell/answer"]["run_id"], json!(run));
    let a = bench.meet("a");
    let working = answer(&mut mcp, "tasks/get", json!({"taskId": run}))["result"].take();
    assert_eq!((&working["resultType"], &working["status"]), (&json!("complete"), &json!("working")));
    a.go();
    ended(&bench, &plan, "done");
    // The store has it: another server tells the same.
    let mut other = Mcp::open(&bench);
    let done = answer(&mut other, "tasks/get", json!({"taskId": run}))["result"].take();
    assert_eq!(
        (&done["status"], &done["result"]["structuredContent"]["state"]),
        (&json!("completed"), &json!("done"))
    );
    assert_eq!(done["createdAt"], working["createdAt"]);
    // Refusals are answers at once, and what began nothing has no handle.
    let refused = answer(&mut mcp, "tools/call", dispatch)["result"].take();
    assert_eq!(
        (&refused["resultType"], &refused["isError"]),
        (&json!("complete"), &json!(true)),
        "{refused:#}"
    );
    let status = answer(&mut mcp, "tools/call", json!({"name": "status", "arguments": {}}))["result"].take();
    assert_eq!(status["resultType"], "complete");
    assert_eq!(
        answer(&mut mcp, "tasks/get", json!({"taskId": "r-none"}))["error"]["data"]["kind"],
        "not-found"
    );
}

#[test]
fn a_task_that_is_cancelled_stops_its_plan_and_loses_nothing() {
    let bench = Bench::new();
    let plan = Plan::new([task("a", &["a.txt"], &["write a.txt half", &bench.meet_line("a")])]);
    let plan = bench.rpc().ok("plan", plan.params())["plan_id"].as_str().unwrap().to_owned();
    let mut mcp = Mcp::open(&bench);
    let dispatch = json!({"name": "dispatch", "arguments": {"plan_id": plan}});
    let begun = answer(&mut mcp, "tools/call", dispatch)["result"].take();
    let a = bench.meet("a");
    let cancelled = answer(&mut mcp, "tasks/cancel", json!({"taskId": begun["taskId"]}));
    assert_eq!(cancelled["result"]["resultType"], "complete", "{cancelled:#}");
    a.gone();
    ended(&bench, &plan, "stopped");
    let stopped = answer(&mut mcp, "tasks/get", json!({"taskId": begun["taskId"]}))["result"].take();
    assert_eq!(stopped["status"], "cancelled");
    bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |task| task["state"] != "running");
    let kept = format!("refs/kapell/tasks/{plan}/a/1");
    assert_eq!(bench.refs(&kept), [kept.as_str()]);
    drop(mcp);
    bench.at_rest(&plan);
}

#[test]
fn who_does_not_declare_it_gets_answers_and_no_handles() {
    let bench = Bench::new();
    let plan = Plan::new([task("a", &["a.txt"], &["write a.txt a"])]);
    let plan = bench.rpc().ok("plan", plan.params())["plan_id"].as_str().unwrap().to_owned();
    let mut mcp = Mcp::open(&bench);
    let dispatch = json!({"name": "dispatch", "arguments": {"plan_id": plan}});
    mcp.send(&request("tools/call", dispatch, false));
    let begun = mcp.next()["result"].take();
    assert_eq!(begun["resultType"], "complete");
    let run = begun["structuredContent"]["run_id"].clone();
    mcp.send(&request("tasks/get", json!({"taskId": run}), false));
    assert_eq!(mcp.next()["error"]["code"], -32021);
    drop(mcp);
    bench.at_rest(&plan);
}
