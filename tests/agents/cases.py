"""The cases: each is a function that gets a stage and fails, or does not."""
import calendar
import json
import os
import re
import signal
import time

from stage import HERE, MODEL, await_exit, check, install_plugin, put

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



def wall(stage):
    """Each kind of worker tries to write outside of its worktree; claude also outside of its claim."""
    targets = [
        stage.home / "escaped", stage.folder / "escaped", stage.repository / "escaped",
        stage.repository / ".git/hooks/post-commit", stage.repository / ".git/config",
        stage.state / "kapell.lock", stage.state / "run/escaped",
    ]
    config = (stage.repository / ".git/config").read_text()
    # What works is told in a file that the worker does not own. The signal would harm nobody.
    # The hook cannot tell what a pipe prints, so that it is the wall that has to hold.
    hide = lambda path: f"$(echo '{str(path)[::-1]}' | rev)"
    escape = f"told={hide('escapes')}; "
    escape += "".join(f"to={hide(target)}; (echo x >> \"$to\") 2> /dev/null && echo $to >> $told; " for target in targets)
    escape += "for p in /proc/[0-9]*; do if tr '\\0' ' ' < $p/cmdline 2> /dev/null | grep -q 'kapell[ ]conduct'; "
    escape += "then kill -CONT ${p#/proc/} 2> /dev/null && echo signalled >> $told; fi; done; true"

    def escaping(of):
        rule = worker(of["files"][0])
        by_tool = [{"ops": [{"op": "write", "path": str(stage.folder / "escaped"), "content": "x"}]}]
        rule["steps"][0:0] = [{"ops": [{"op": "bash", "command": escape}]}, *(by_tool if of["agent"] == "claude" else [])]
        return rule

    tasks = [task(1, "claude", "texts/a.txt"), task(2, "codex", "texts/b.txt"), task(3, "opencode", "texts/c.txt")]
    trespasser = task(4, "claude", "texts/d.txt", rules={"max_attempts": 1})
    trespass = worker("texts/d.txt")
    hidden = f"mkdir texts; to={hide('texts/foreign.txt')}; echo x > $to; to={hide('README.md')}; echo x >> $to"
    trespass["steps"][0:0] = [{"ops": [{"op": "bash", "command": command}]} for command in ("echo x >> seen.txt", hidden)]
    stage.model.play(trespass, *map(escaping, tasks))
    plan = stage.door.start(*tasks, trespasser)
    end = stage.door.at_rest(plan, PATIENCE)
    states = {str(of["id"]): of["state"] for of in end["tasks"]}
    check(states == {"1": "done", "2": "done", "3": "done", "4": "failed"}, lambda: f"{states} {stage.door.story(plan)}")
    for target in targets[:4] + [stage.state / "run/escaped"]:
        check(not target.exists(), f"a worker could write {target}")
    check((stage.repository / ".git/config").read_text() == config, "a worker could write .git/config")
    (attempt,) = stage.door.attempts(plan, 4)
    check(attempt["outcome"] == "violation", f"changes outside of the claim ended as {attempt['outcome']}")
    outside = sorted(attempt["outside_claim"])
    check(outside == ["README.md", "texts/foreign.txt"], f"outside of the claim: {outside}")
    story = stage.door.story(plan)
    check("kapell: seen.txt is not among the files" in story, lambda: f"the hook refused nothing: {story}")
    check("hook did not refuse README.md" in story, lambda: f"what the hook did not see is not told: {story}")
    stage.door.call("control", action="land", target=plan)
    texts = stage.git("ls-tree", "--name-only", "main", "texts/").split()
    check(texts == ["texts/a.txt", "texts/b.txt", "texts/c.txt"], f"on main are {texts}")
    for of in tasks:
        check(stage.git("show", f"main:{of['files'][0]}") == f"by {of['agent']}\n", "a worker's text is not what it wrote")
    quarantined = stage.git("for-each-ref", "--format=%(refname)", "refs/kapell/quarantine").split()
    check(quarantined == [f"refs/kapell/quarantine/{plan}/4/1"], f"kept in quarantine: {quarantined}")


def strict(stage):
    """Behind the strict wall each kind of worker tries to write beside its claim, by its shell and by its tool."""
    stage.configure(wall="strict")
    # A folder, and files that are not there yet.
    tasks = [task(1, "claude", "texts/a.txt"), task(2, "codex", "texts/b.txt"), task(3, "opencode", "texts/c.txt"),
             {"id": 4, "agent": "claude", "task": "claude writes texts/d.txt", "files": ["texts/"]}]
    tasks[3]["depends_on"] = [1, 2, 3]
    beside = "(echo x > beside.txt; echo x >> check.sh; mv check.sh gone.sh; rm kapell.toml; ln -sf /dev/null .git) 2> /dev/null; true"

    def trespassing(path):
        rule = worker(path)
        rule["steps"][0:0] = [{"ops": [{"op": "bash", "command": beside}]},
                              {"ops": [{"op": "write", "path": f"{stage.folder}/tool.txt", "content": "x"}]},
                              # Claude Code writes over a file only after it has read it, and a claimed one is there.
                              {"ops": [{"op": "bash", "command": f"cat {path}; true"}, {"op": "read", "path": path}]}]
        return rule

    stage.model.play(*(trespassing(f"texts/{letter}.txt") for letter in "abcd"))
    plan = stage.door.start(*tasks)
    end = stage.door.at_rest(plan, PATIENCE)
    states = {str(of["id"]): of["state"] for of in end["tasks"]}
    check(set(states.values()) == {"done"}, lambda: f"{states} {stage.door.story(plan)}")
    check(not (stage.folder / "tool.txt").exists(), "a worker's tool could write outside of its tree")
    for number, letter in enumerate("abcd", 1):
        (attempt,) = stage.door.attempts(plan, number)
        check(attempt["changed"] == [f"texts/{letter}.txt"], f"changed by {attempt['worker']}: {attempt['changed']}")
        check(attempt["wall"].endswith(", strict"), f"the wall of {attempt['worker']} is {attempt['wall']!r}")
    landed(stage, plan, "texts/d.txt", "by claude\n")


def fails_over(stage, plan, why):
    """Whether claude was limited with that kind of limit, and codex did the task instead."""
    stage.door.at_rest(plan)
    attempts = stage.door.attempts(plan, 1)
    seen = [(attempt["provider"], attempt["outcome"]) for attempt in attempts]
    check(seen == [("claude", "rate-limited"), ("codex", "submitted")], lambda: f"{seen} {stage.door.story(plan)}")
    landed(stage, plan, "texts/a.txt", "by claude\n")
    (limited,) = [it for it in stage.door.call("status", scope="events", kind="provider.limited")["events"]]
    check(limited["data"]["provider"] == "claude" and limited["data"]["kind"] == why, f"it was recorded as {limited}")
    return limited["data"]["until"]


def limit(stage):
    """A subscription's limit: claude cools down until it resets, codex does the task."""
    resets = int(time.time()) + 5000
    stage.configure(claude_env={"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-fake-0000"}, providers=CHAIN)
    headers = {"status": "rejected", "reset": resets, "representative-claim": "five_hour", "overage-status": "rejected"}
    headers = {f"anthropic-ratelimit-unified-{name}": value for name, value in headers.items()}
    stage.model.play(
        {"name": "limited", "when": {"api": "anthropic"}, "then": {"status": 429, "headers": headers}},
        worker("texts/a.txt"),
    )
    until = fails_over(stage, stage.door.start(task(1, "claude", "texts/a.txt")), "rate-limit")
    expected = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(resets))
    check(until == expected, f"the cool-down ends at {until}, not {expected}")
    (claude,) = [it for it in stage.door.call("status", scope="budget")["budget"] if it["provider"] == "claude"]
    check((claude["state"], claude["until"]) == ("rate-limited", expected), f"status says {claude}")


def key(stage):
    """A wrong key: claude is ended at its first retry instead of its tenth, codex does the task."""
    stage.configure(providers=CHAIN)
    stage.model.play({"name": "refused", "when": {"api": "anthropic"}, "then": {"status": 401}}, worker("texts/a.txt"))
    began = time.monotonic()
    fails_over(stage, stage.door.start(task(1, "claude", "texts/a.txt")), "auth")
    # Claude Code alone takes three minutes.
    check(time.monotonic() - began < 30, f"it took {time.monotonic() - began:.0f} s")


def storm(stage):
    """opencode's answers break off, and it would ask again for ever: it is ended after ten times."""
    stage.configure(rules="max_attempts = 1\n")
    stage.model.play({"name": "breaks off", "when": {"api": "chat"}, "then": {"drop": True}})
    plan = stage.door.start(task(1, "opencode", "texts/a.txt"))
    stage.door.at_rest(plan, PATIENCE)
    (attempt,) = stage.door.attempts(plan, 1)
    check(attempt["outcome"] == "failed" and "10 times" in attempt["reason"], lambda: f"it ended as {attempt}")
    count = len(stage.model.requests("breaks off"))
    check(count < 20, f"{count} requests were paid for")


def worded(data):
    """The body of an error, as OpenAI's servers word it."""
    return {"error": data}


# How each provider refuses, who it is, and what Kapell must make of it: the limit, and its end in seconds from now.
UNKNOWN, MINUTE = 300, 60
REFUSALS = {
    # A rate limit that says nothing of its end; Claude Code would try for three minutes.
    "claude_busy": ("claude", {"status": 429}, "rate-limit", UNKNOWN),
    "claude_full": ("claude", {"status": 529}, "overload", UNKNOWN),
    "claude_expired": ("claude", {"status": 401, "body": {"type": "error", "error": {
        "type": "authentication_error", "message": "OAuth token has expired."}}}, "auth", UNKNOWN),
    "claude_broke": ("claude", {"status": 400, "body": {"type": "error", "error": {
        "type": "invalid_request_error",
        "message": "Your credit balance is too low to access the Anthropic API."}}}, "quota", UNKNOWN),
    "codex_busy": ("codex", {"status": 429}, "rate-limit", UNKNOWN),
    "codex_full": ("codex", {"status": 503}, "overload", UNKNOWN),
    "codex_expired": ("codex", {"status": 401}, "auth", UNKNOWN),
    "codex_broke": ("codex", {"status": 429, "body": worded({
        "type": "insufficient_quota", "code": "insufficient_quota",
        "message": "You exceeded your current quota, please check your plan and billing details."})}, "quota", UNKNOWN),
    # Codex tells the end as a time of day, to the minute.
    "codex_until": ("codex", {"status": 429, "body": worded({
        "type": "usage_limit_reached", "message": "The usage limit has been reached", "resets_at": "SOON"})}, "rate-limit", 5000),
    # OpenCode waits for an hour and says nothing: a storm of silence.
    "opencode_storm": ("opencode", {"status": 429, "headers": {"retry-after": "3600"}}, "rate-limit", UNKNOWN),
    "opencode_broke": ("opencode", {"status": 429, "body": worded({
        "type": "insufficient_quota", "code": "insufficient_quota", "message": "You exceeded your current quota."})}, "quota", UNKNOWN),
}


def failover(stage):
    """Eleven kinds of no, each in the middle of the work: the right cool-down, the next provider, nothing lost."""
    soon = int(time.time()) + 5000
    tables, rules, tasks = "", [], []
    for number, (name, (kind, refusal, *_)) in enumerate(REFUSALS.items(), 1):
        path = f"texts/{name}.txt"
        env = {"claude": "set_env = " + stage.inline_env(), "codex": 'env = ["FAKE_KEY"]', "opencode": 'env = ["FAKE_KEY", "OPENCODE_*"]'}
        tables += f'[providers.{name}]\nkind = "{kind}"\nmodel = "{MODEL[kind]}"\n{env[kind]}\n\n'
        refusal = json.loads(json.dumps(refusal).replace('"SOON"', str(soon)))
        half, rest = [{"op": "write", "path": path, "content": f"by {name}\n"}], f"echo and the rest >> {path}"
        rules += [
            {"name": f"rest of {path}", "when": {"prompt": rf"^\"?{name} writes.*worked at this before you.*by {name}"},
             "steps": [{"ops": [{"op": "bash", "command": rest}]}, {"text": "Done."}]},
            {"name": f"half of {path}", "when": {"prompt": rf"^\"?{name} writes"}, "steps": [{"ops": half}, refusal]},
        ]
        tasks.append(task(number, name, path))
    stage.configure(project="max_workers = 12", providers=tables + '[failover]\nchain = ["codex"]\n')
    stage.model.play(*rules)
    began = time.time()
    plan = stage.door.start(*tasks)
    stage.door.at_rest(plan, 2 * PATIENCE)
    stage.door.call("control", action="land", target=plan)
    told = {it["data"]["provider"]: it["data"] for it in stage.door.call("status", scope="events", kind="provider.limited", limit=100)["events"]}
    for of, (name, (_, _, why, lasts)) in zip(tasks, REFUSALS.items()):
        seen = [(attempt["provider"], attempt["outcome"]) for attempt in stage.door.attempts(plan, of["id"])]
        check(seen == [(name, "rate-limited"), ("codex", "submitted")], lambda: f"{name}: {seen} {stage.door.story(plan)}")
        landed_text = stage.git("show", f"main:texts/{name}.txt")
        check(landed_text == f"by {name}\nand the rest\n", f"of {name} landed {landed_text!r}")
        count = stage.git("log", "--format=%s", "main", "--", f"texts/{name}.txt").count("\n")
        check(count == 1, f"texts/{name}.txt landed {count} times")
        check(name in told and told[name]["kind"] == why, f"{name} was recorded as {told.get(name)}, not {why}")
        until = calendar.timegm(time.strptime(told[name]["until"][:19], "%Y-%m-%dT%H:%M:%S")) - began
        slack = MINUTE if lasts != UNKNOWN else 2 * PATIENCE
        check(lasts - MINUTE <= until <= lasts + slack, f"the cool-down of {name} ends after {until:.0f} s, not {lasts}")
    check("codex" not in told, f"the provider that took over was limited too: {told.get('codex')}")


failover.waits = True


def local(stage):
    """A model of this machine ends the chain, through codex and through opencode; it needs a port and no key, and costs nothing."""
    host = stage.model.url.removeprefix("http://")
    # Everything but the port of the server is found by itself.
    stage.surround(OLLAMA_HOST=host)
    away = f'[providers.away]\nkind = "ollama"\nset_env = {{ OLLAMA_HOST = "127.0.0.1:1" }}\n'
    small = '[providers.small]\nkind = "ollama"\nthrough = "opencode"\nmodel = "fake-small:1b"\n'
    stage.configure(providers=away + small + '[failover]\nchain = ["claude", "away", "codex", "ollama"]\n')
    refuse = [{"name": f"{kind} refuses", "when": {"model": MODEL[kind]}, "then": {"status": 401}} for kind in ("claude", "codex")]
    stage.model.play(*refuse, worker("texts/a.txt"), worker("texts/b.txt"))
    plan = stage.door.start(task(1, "claude", "texts/a.txt"), task(2, "small", "texts/b.txt"))
    stage.door.at_rest(plan, PATIENCE)
    seen = [(attempt["provider"], attempt["outcome"]) for attempt in stage.door.attempts(plan, 1)]
    expected = [("claude", "rate-limited"), ("codex", "rate-limited"), ("ollama", "submitted")]
    check(seen == expected, lambda: f"{seen} {stage.door.story(plan)}")
    for number, path, model, api in ((1, "texts/a.txt", "fake-local:7b", "responses"), (2, "texts/b.txt", "fake-small:1b", "chat")):
        asked = stage.model.requests(f"writes {path}")
        check({(it["model"], it["api"]) for it in asked} == {(model, api)}, lambda: f"{path}: asked was {asked}")
        check("0000" not in str({it["auth"] for it in asked}), "a key went to the model of this machine")
        usage = stage.door.attempts(plan, number)[-1]["usage"]
        check(usage["output_tokens"] > 0 and usage.get("usd") == 0, f"{path} is said to have cost {usage}")
    told = {it["data"]["provider"]: it["data"] for it in stage.door.call("status", scope="events", kind="provider.limited")["events"]}
    check(told["away"]["kind"] == "unreachable", lambda: f"{told}")
    landed(stage, plan, "texts/a.txt", "by claude\n")
    check(stage.git("show", "main:texts/b.txt") == "by small\n", "the other text did not land")
    fleet = {it["worker"]: it for it in stage.door.call("status", scope="workers")["workers"]}
    check(fleet["ollama"]["model"] == "fake-local:7b" and fleet["ollama"]["state"] == "idle", lambda: f"{fleet}")
    check("connection refused" in fleet["away"]["reason"], lambda: f"{fleet}")
    doctor = json.loads(stage.run([stage.kapell, "doctor", "--json"], timeout_s=60, codes=(0, 1)))
    (found,) = [it for it in doctor["checks"] if it["name"] == "ollama"]
    check("fake-local:7b" in found["found"], lambda: f"the doctor says {found}")


def orchestrator(stage):
    """OpenCode with oh-my-opencode, as examples/opencode has it: orchestrator, builder, validator and librarian."""
    example = HERE.parent.parent / "examples/opencode"
    plugin = f"file://{install_plugin(stage.programs)}/dist/index.js"
    # The example's own files, with the scripted model in place of all models.
    for file in ["opencode.json", "kapell.toml", ".omo/omo.jsonc", *(f".omo/rules/{of.name}" for of in (example / ".omo/rules").iterdir())]:
        text = (example / file).read_text().replace('"oh-my-opencode@4.19.4"', json.dumps(plugin)).replace('["kapell", "mcp"]', json.dumps([str(stage.kapell), "mcp"]))
        put(stage.repository / file, re.sub('"(anthropic|openai)/([^"]+)"', '"fake/\\2"', text))
    models = sorted(set(re.findall('"fake/([^"]+)"', (stage.repository / "kapell.toml").read_text())))
    home = json.loads((stage.home / ".config/opencode/opencode.json").read_text())
    of_fake = home["provider"]["fake"]["models"]
    of_fake |= {name: {**of_fake["fake-model"], "name": name} for name in models}
    put(stage.home / ".config/opencode/opencode.json", json.dumps(home))
    put(stage.repository / "Makefile", "lint:\n\tsh -n greet.sh\ntest:\n\tset -e; for test in tests/*.sh; do sh $$test; done\n")
    put(stage.repository / "specs/greet.md", "`greet.sh NAME` prints `Hello, NAME`.\n")
    stage.git("add", "-A")
    stage.git("commit", "-q", "-m", "as the example has it")
    plan = {"specs": [{"file": "specs/greet.md", "description": "the greeting"}], "tasks": [
        {"id": 1, "agent": "build", "task": "Write the greeting", "files": ["greet.sh", "tests/greet.sh"], "tests": ["tests/greet.sh"], "depends_on": []}]}

    def kapell(tool, **args):
        return {"ops": [{"op": "mcp", "server": "kapell", "tool": tool, "args": args}]}

    follow = kapell("status", scope="plan", id="{{found:plan_id}}", wait_ms=20000, since_seq="{{last:seq}}")
    stage.model.play(
        {"name": "answered", "when": {"prompt": "^\"?ORCHESTRATE", "tool_result": "(?m)^plan_id: inbox.*^state: done"}, "then": {"text": "ALL LANDED"}},
        {"name": "asked", "when": {"prompt": "^\"?ORCHESTRATE", "tool_result": "(?m)^plan_id: inbox"},
         "then": kapell("status", scope="plan", id="{{last:plan_id}}", wait_ms=20000, since_seq="{{last:seq}}")},
        {"name": "landed", "when": {"prompt": "^\"?ORCHESTRATE", "tool_result": "(?m)^state: landed"}, "then": kapell("dispatch", task="Where is the greeting made?")},
        {"name": "over", "when": {"prompt": "^\"?ORCHESTRATE", "tool_result": "in the way|(?m:^state: (failed|stopped))"}, "then": {"text": "FAILED {{tool_result}}"}},
        {"name": "done", "when": {"prompt": "^\"?ORCHESTRATE", "tool_result": "(?m)^state: done"}, "then": kapell("control", action="land", target="{{found:plan_id}}")},
        {"name": "orchestrator", "when": {"prompt": "^\"?ORCHESTRATE"}, "steps": [kapell("plan", plan=plan), kapell("dispatch", plan_id="{{found:plan_id}}"),
            kapell("status", scope="plan", id="{{found:plan_id}}"), follow]},
        {"name": "builder", "when": {"prompt": "^Write the greeting"}, "steps": [
            {"ops": [{"op": "write", "path": "tests/greet.sh", "content": "test \"$(sh greet.sh Ann)\" = 'Hello, Ann'\n"}]},
            {"ops": [{"op": "write", "path": "greet.sh", "content": "echo \"Hello, $1\"\n"}]},
            {"text": "Written."}]},
        {"name": "momus", "when": {"prompt": "^Review a change"}, "then": {"text": json.dumps({"approve": True, "summary": "as specified", "findings": []})}},
        {"name": "librarian", "when": {"prompt": "^Where is the greeting"}, "then": {"text": "In greet.sh, line 1."}},
    )
    said = stage.run(
        ["opencode", "run", "--format", "json", "--title", "t", "ORCHESTRATE the greeting"], timeout_s=150,
        # Without a network it would try for a minute to install what plugins are written with.
        npm_config_offline="true", npm_config_fetch_retries="0", OMO_DISABLE_POSTHOG="1",
        OPENCODE_DISABLE_AUTOUPDATE="1", OPENCODE_DISABLE_SHARE="1", OPENCODE_DISABLE_LSP_DOWNLOAD="1",
    )
    (stage.folder / "orchestrator.jsonl").write_text(said)
    check("ALL LANDED" in said, lambda: f"the orchestrator ended with {said[-1500:]} {stage.door.call('status', scope='events', limit=60)}")
    used = {line["part"]["tool"] for line in map(json.loads, said.splitlines()) if line["type"] == "tool_use"}
    check({"kapell_plan", "kapell_dispatch", "kapell_status", "kapell_control"} <= used, f"it used only {used}")
    check(stage.git("show", "main:greet.sh") == 'echo "Hello, $1"\n', "the greeting did not land")
    system = stage.model.ask("/__systems")
    check("Work is done through Kapell" in system["orchestrator"], "the orchestrator has not the rules of the example")
    asked = {name: {request["model"] for request in stage.model.requests(name)} for name in ("orchestrator", "builder", "momus")}
    check(asked == {"orchestrator": {"claude-opus-4-5"}, "builder": {"claude-sonnet-4-5"}, "momus": {"gpt-5.2"}}, f"asked were {asked}")
    inbox = next(it["plan_id"] for it in stage.door.call("status")["plans"] if it["plan_id"].startswith("inbox"))
    (answered,) = stage.door.attempts(inbox, stage.door.call("status", scope="plan", id=inbox)["tasks"][0]["id"])
    check((answered["worker"], answered["said"]) == ("librarian", "In greet.sh, line 1."), f"the question was answered by {answered}")


orchestrator.agents = ("opencode",)
orchestrator.has_plugin = True


CHAIN = '[failover]\nchain = ["claude", "codex"]\n'


def planner(stage):
    """`plan` with a request: claude answers with a plan, hears of its mistake, and corrects it."""
    def answer(*files):
        tasks = [{"id": at, "agent": "auto", "task": f"do {file}", "files": [file], "depends_on": []} for at, file in enumerate(files)]
        plan = {"name": "texts", "specs": [{"file": "specs/texts.md", "description": "the texts"}], "tasks": tasks}
        return [{"tools": [{"name": "StructuredOutput", "args": plan}]}, {"text": "Planned."}]

    stage.configure(providers='[roles]\nplanner = "claude"\n')
    stage.model.play(
        {"name": "corrected", "when": {"prompt": "^two texts.*cannot be used:.*overlap"}, "steps": answer("texts/a.txt", "texts/b.txt")},
        {"name": "first", "when": {"prompt": "^two texts"}, "steps": answer("texts/a.txt", "texts/")},
    )
    made = stage.door.call("plan", request="two texts")
    check(made["plan_id"] and made["waves"] == [[0, 1]], lambda: f"{made}")
    check(stage.model.requests("corrected"), "the planner did not hear of its mistake")


def review(stage):
    """The review gate: claude rejects the first try of codex with a finding and approves the second."""
    stage.configure(rules='review = "claude"\n')

    def verdict(approve, summary):
        findings = [] if approve else [{"text": summary, "files": ["texts/a.txt"], "severity": "high"}]
        args = {"approve": approve, "summary": summary, "findings": findings}
        return [{"tools": [{"name": "StructuredOutput", "args": args}]}, {"text": "Reviewed."}]

    again = worker("texts/a.txt", "by {{1}}, with a verb\n")
    again["when"]["prompt"] += ".*This is try 2.*there is no verb"
    stage.model.play(
        {"name": "approves", "when": {"prompt": "^Review a change.*with a verb"}, "steps": verdict(True, "fine")},
        {"name": "rejects", "when": {"prompt": "^Review a change"}, "steps": verdict(False, "there is no verb")},
        again, worker("texts/a.txt"),
    )
    plan = stage.door.start(task(1, "codex", "texts/a.txt"))
    stage.door.at_rest(plan)
    verdicts = [attempt["verdict"] for attempt in stage.door.attempts(plan, 1)]
    check(verdicts == ["rejected", "approved"], lambda: f"{verdicts} {stage.door.story(plan)}")
    landed(stage, plan, "texts/a.txt", "by codex, with a verb\n")


def killed(stage):
    """kill -9 of the conductor while claude waits for its model: the next conductor takes claude up again."""
    stage.model.play(worker("texts/a.txt", hold="until the next conductor"))
    plan = stage.door.start(task(1, "claude", "texts/a.txt"))
    stage.model.await_request("writes texts/a.txt", PATIENCE)
    (before,) = stage.door.call("status", scope="conductors")["conductors"]
    os.kill(before["pid"], signal.SIGKILL)
    await_exit(before["pid"], time.monotonic() + 10)
    (attempt,) = stage.door.attempts(plan, 1)
    check(attempt["state"] == "running", f"after the conductor died the attempt is {attempt['state']}")
    after = stage.door.call("dispatch", plan_id=plan)["conductor"]
    check(after["pid"] != before["pid"], "it is the same conductor")
    stage.model.release("until the next conductor")
    stage.door.at_rest(plan)
    (attempt,) = stage.door.attempts(plan, 1)
    check(attempt["outcome"] == "submitted", lambda: f"it ended as {attempt['outcome']} {stage.door.story(plan)}")
    check(len(stage.model.requests("writes texts/a.txt")) == 2, "the model was asked again for what it had answered")
    landed(stage, plan, "texts/a.txt", "by claude\n")


def stop(stage):
    """Stopping a plan ends all that its workers started, also what left their process groups."""
    tasks = [task(1, "claude", "texts/a.txt"), task(2, "codex", "texts/b.txt"), task(3, "opencode", "texts/c.txt")]
    sleeps = "sleep 601 & setsid sleep 602 & (setsid sh -c 'sleep 603 & sleep 604' &); sleep 605"

    def sleeping(path):
        command = f"mkdir -p texts; echo begun > {path}; {sleeps}"
        return worker(path, ops=[{"op": "bash", "command": command, "timeout_ms": 600000}])

    stage.model.play(*[sleeping(of["files"][0]) for of in tasks])
    plan = stage.door.start(*tasks)
    deadline = time.monotonic() + PATIENCE
    while (count := sum(command.startswith("sleep 60") for command in stage.processes().values())) < 15:
        check(time.monotonic() < deadline, lambda: f"{count} of 15 children run: {stage.processes()} {stage.door.story(plan)}")
        time.sleep(0.1)
    began = time.monotonic()
    stage.door.call("control", action="stop", target=plan)
    stage.door.at_rest(plan)
    stage.await_silence()
    check(time.monotonic() - began < 15, f"it took {time.monotonic() - began:.0f} s")
    for of in tasks:
        (attempt,) = stage.door.attempts(plan, of["id"])
        check(attempt["outcome"] == "killed", f"{of['agent']} ended as {attempt['outcome']}")
        kept = stage.git("ls-tree", "--name-only", attempt["ref"], "texts/").split()
        check(kept == of["files"], f"what {of['agent']} had done is not kept: {kept}")


def clients(stage):
    """codex and opencode as orchestrators: they make a plan and ask for its status over MCP."""
    plan = {"specs": [], "rules": {"spec_first": False}, "tasks": [task(1, "codex", "texts/a.txt")]}
    stage.model.play({"name": "client", "when": {"prompt": "CLIENT"}, "steps": [
        {"ops": [{"op": "mcp", "server": "kapell", "tool": "plan", "args": {"plan": plan}}]},
        {"ops": [{"op": "mcp", "server": "kapell", "tool": "status", "args": {}}]},
        {"text": "{{tool_result}}"},
    ]})
    server = [
        f'mcp_servers.kapell.command="{stage.kapell}"', 'mcp_servers.kapell.args=["mcp"]',
        'mcp_servers.kapell.env_vars=["KAPELL_HOME"]',
    ]
    # A model that codex knows would have to search for the tools first.
    said = stage.run(
        ["codex", "exec", "--json", "--disable", "plugins", "-m", "fake-model", *(word for one in server for word in ("-c", one)), "CLIENT"],
        timeout_s=60,
    )
    made = [of["plan_id"] for of in stage.door.call("status")["plans"]]
    check(len(made) == 1 and made[0] in json.loads(said.splitlines()[-2])["item"]["text"], f"codex made {made} and said {said}")
    config = json.loads((stage.home / ".config/opencode/opencode.json").read_text())
    config["mcp"] = {"kapell": {"type": "local", "command": [str(stage.kapell), "mcp"], "enabled": True}}
    said = stage.run(
        ["opencode", "run", "--format", "json", "--title", "t", "--auto", "CLIENT"],
        timeout_s=PATIENCE, OPENCODE_CONFIG_CONTENT=json.dumps(config),
    )
    made = [of["plan_id"] for of in stage.door.call("status")["plans"] if of["plan_id"] not in made]
    check(len(made) == 1 and made[0] in said.splitlines()[-2], f"opencode made {made} and said {said}")


CASES = {case.__name__: case for case in (land, clients, wall, strict, limit, key, storm, failover, local, orchestrator, planner, review, killed, stop)}
