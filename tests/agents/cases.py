"""The cases: each is a function that gets a stage and fails, or does not."""
import json
import time

from stage import MODEL, check

# Seconds that a worker may take: opencode needs half a minute in a fresh home on a busy machine.
PATIENCE = 90


def worker(path, text="by {{1}}\n", **first):
    """The rule of a worker whose task is `AGENT writes PATH`: it writes the file and says so."""
    return {
        "name": f"writes {path}",
        "when": {"prompt": rf"^\"?(\w+) writes {path}"},
        "steps": [{"ops": [{"op": "write", "path": path, "content": text}], **first}, {"text": f"Wrote {path}."}],
    }


def task(id, agent, path, **more):
    return {"id": id, "agent": agent, "task": f"{agent} writes {path}", "files": [path], **more}


def landed(stage, plan, path, text):
    """Brings the plan to its target and looks at what is there."""
    stage.door.call("control", action="land", target=plan)
    check(stage.git("show", f"main:{path}") == text, f"main has not the {path} that its worker wrote")


def land(stage):
    """Claude Code orchestrates: plan, dispatch, status, land; one worker of each kind."""
    tasks = [task(1, "claude", "texts/a.txt"), task(2, "codex", "texts/b.txt"), task(3, "opencode", "texts/c.txt")]
    plan = {"specs": [{"file": "specs/texts.md", "description": "the texts"}], "tasks": tasks}

    def kapell(tool, **args):
        return {"ops": [{"op": "mcp", "server": "kapell", "tool": tool, "args": args}]}

    follow = kapell("status", scope="plan", id="{{found:plan_id}}", since_seq="{{last:seq}}", wait_ms=20000)
    stage.model.play(
        {"name": "landed", "when": {"prompt": "^ORCHESTRATE", "tool_result": '"state":"landed"'}, "then": {"text": "ALL LANDED"}},
        {"name": "done", "when": {"prompt": "^ORCHESTRATE", "tool_result": '"state":"done","?.*"total":3'},
         "then": kapell("control", action="land", target="{{found:plan_id}}")},
        {"name": "over", "when": {"prompt": "^ORCHESTRATE", "tool_result": '"state":"(failed|stopped)"|"isError"'},
         "then": {"text": "FAILED {{tool_result}}"}},
        {"name": "orchestrator", "when": {"prompt": "^ORCHESTRATE"}, "steps": [
            kapell("plan", plan=plan), kapell("dispatch", plan_id="{{found:plan_id}}"),
            kapell("status", scope="plan", id="{{found:plan_id}}"), follow]},
        *[worker(of["files"][0]) for of in tasks],
    )
    server = {"mcpServers": {"kapell": {"type": "stdio", "command": str(stage.kapell), "args": ["mcp"]}}}
    out = stage.run(
        ["claude", "-p", "ORCHESTRATE the texts", "--output-format", "stream-json", "--verbose", "--model", MODEL["claude"],
         "--mcp-config", json.dumps(server), "--strict-mcp-config", "--allowedTools", "mcp__kapell"],
        timeout_s=150, ANTHROPIC_BASE_URL=stage.model.url, ANTHROPIC_API_KEY="sk-ant-fake-0000",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", DISABLE_AUTOUPDATER="1",
    )
    (stage.folder / "orchestrator.jsonl").write_text(out)
    lines = [json.loads(line) for line in out.splitlines()]
    servers = next(line["mcp_servers"] for line in lines if line.get("subtype") == "init")
    check(servers == [{"name": "kapell", "status": "connected"}], f"its MCP servers: {servers}")
    check(lines[-1].get("result") == "ALL LANDED", lambda: f"the orchestrator ended with {lines[-1]}")
    for of in tasks:
        text = stage.git("show", f"main:{of['files'][0]}")
        check(text == f"by {of['agent']}\n", f"{of['files'][0]} on main says {text!r}")
    check(not stage.git("status", "--porcelain").strip(), "the checkout is not clean")
    plan = stage.door.call("status")["plans"][0]["plan_id"]
    for of in tasks:
        (attempt,) = stage.door.attempts(plan, of["id"])
        check(attempt["provider"] == of["agent"], f"it was {attempt['provider']} who did it")
        check(attempt["wall"].startswith("landlock"), f"the wall of {of['agent']} is {attempt['wall']!r}")
        check(attempt["usage"]["output_tokens"] > 0, f"{of['agent']} used nothing: {attempt['usage']}")


CASES = {case.__name__: case for case in (land,)}
