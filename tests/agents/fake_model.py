#!/usr/bin/env python3
"""fake_model.py - a scripted fake model server for testing real coding-agent CLIs (stdlib only).

Speaks on 127.0.0.1:
  * Anthropic Messages API    POST /v1/messages (SSE or JSON), /v1/messages/count_tokens, GET /v1/models
  * OpenAI Responses API      POST /v1/responses (SSE or JSON)
  * OpenAI Chat Completions   POST /v1/chat/completions (SSE or JSON)
  * what Ollama tells of itself  GET /api/tags, /api/version
Admin (for the test harness):
  GET /__health   GET /__log (JSON array)   GET /__systems (the last system prompt by rule)   POST /__script (replace rules)   POST /__reset (log and counters)
  POST /__await {"rule": NAME, "timeout_s": N}   answers once a request matched that rule of the script

Usage: fake_model.py [--port 0] [--port-file F] [--script rules.json] [--log log.jsonl] [--dump DIR]
The bound port is printed on stdout as a first line 'PORT 12345'.

Script = {"rules": [RULE...]} (or a bare list); the FIRST rule that matches wins.
RULE = {
  "name": "label for the log",
  "when": {                      all keys optional, all must hold
     "api": "anthropic|responses|chat",
     "model": REGEX,             requested model name
     "prompt": REGEX,            last user prompt (DOTALL search; groups usable as {{1}}, {{2}} ..)
     "any_prompt": REGEX,        any user prompt of the conversation
     "system": REGEX,            system prompt/instructions/developer text
     "tool_result": REGEX,       last tool result text
     "turn": N,                  number of assistant tool-call turns since the last user prompt
     "has_tool": NAME, "no_tools": true,
     "aux": true                 only such rules see side requests (title generation); default reply "Fake title"
  },
  "times": N,                    rule may fire only N times in this server's life (then falls through)
  "steps": [STEP...]             step i is used after i assistant tool turns (stateless: taken from the
                                 conversation); past the end, the last step is used.  Or "then": STEP.
}
Inline script: a user prompt containing  @@FAKE[ ...steps JSON array... ]FAKE@@  is used like a rule's steps
(it is looked at after the rules).
STEP = {
  "text": "assistant text",                     ({{1}}.. regex groups, {{cwd}}, {{tool_result}} substituted; {{found:KEY}} =
                                                the first value of a JSON key KEY in the tool results of this prompt,
                                                {{last:KEY}} = the newest; a text that is nothing else becomes a
                                                number where the value is one; in ops too)
  "tools": [ {"name": N, "args": {...}} | {"name": N, "input": "freeform text"} (codex custom tools) ],
  "ops":   [ OP... ]             agent-neutral actions, mapped onto the asking CLI's own tools:
      {"op":"write","path":P,"content":C} {"op":"edit","path":P,"old":O,"new":N} {"op":"read","path":P}
      {"op":"bash","command":C,"timeout_ms":N?} {"op":"mcp","server":S,"tool":T,"args":{}}
  "usage": {"in":1000,"out":50,"cached":0,"cache_write":0,"reasoning":0},
  "delay_s": 0.5,                sleep before answering
  "hold": NAME,                  do not answer before POST /__release {"hold": NAME}
  "hang": "before_headers" | "mid_stream",      never (finish) answering; ends when the client goes away
  "status": 429, "body": {...}?, "headers": {...}?,   HTTP error (default bodies for 400 401 403 429 500 503 529)
  "stream_error": "overloaded_error"...         200, then an error event inside the stream
  "drop": true                   close the socket in mid-stream
}
"""
import argparse, json, os, re, sys, threading, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCK = threading.Lock()
NEWS = threading.Condition(LOCK)    # told of every request and release
LOCAL_MODELS = ["nomic-embed-text:latest", "fake-local:7b", "fake-small:1b"]
STATE = {"rules": [], "uses": {}, "log": [], "n": 0, "released": set(), "systems": {}}
ARGS = None


# ----------------------------------------------------------------- conversation parsing
def text_of(content):
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
    out = []
    for b in content:
        if isinstance(b, str):
            out.append(b)
        elif isinstance(b, dict):
            if "text" in b and isinstance(b["text"], str):
                out.append(b["text"])
            elif "content" in b:
                out.append(text_of(b["content"]))
            elif "output" in b:
                out.append(b["output"] if isinstance(b["output"], str) else json.dumps(b["output"]))
    return "\n".join(out)


REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.S)


def parse(api, req):
    """-> dict(system, prompts[], prompt, turn, tool_results[], tools[])"""
    system, prompts, results, turn = "", [], [], 0
    tools = []
    if api == "anthropic":
        system = text_of(req.get("system"))
        tools = [t.get("name") for t in req.get("tools") or []]
        for m in req.get("messages", []):
            c = m.get("content")
            blocks = c if isinstance(c, list) else [{"type": "text", "text": c or ""}]
            if m.get("role") == "user":
                rs = [b for b in blocks if b.get("type") == "tool_result"]
                txt = "\n".join(b.get("text", "") for b in blocks if b.get("type") == "text")
                if rs:
                    results += [text_of(b.get("content")) for b in rs]
                else:
                    t = REMINDER.sub("", txt).strip()
                    if t:
                        prompts.append(t)
                        results, turn = [], 0
            elif m.get("role") == "assistant":
                if any(b.get("type") == "tool_use" for b in blocks):
                    turn += 1
            elif m.get("role") == "system":
                system += "\n" + text_of(c)
    elif api == "responses":
        system = req.get("instructions") or ""
        for t in req.get("tools") or []:
            if t.get("type") == "namespace":
                tools += [t.get("name", "") + "." + x.get("name", "") for x in t.get("tools", [])]
            else:
                tools.append(t.get("name") or t.get("type"))
        inp = req.get("input")
        if isinstance(inp, str):
            inp = [{"type": "message", "role": "user", "content": inp}]
        prev_call = False
        for it in inp or []:
            ty = it.get("type", "message")
            if ty == "message":
                role = it.get("role")
                if role in ("developer", "system"):
                    system += "\n" + text_of(it.get("content"))
                elif role == "user":
                    t = text_of(it.get("content")).strip()
                    if t.startswith("<environment_context>") or t.startswith("<user_instructions>") \
                            or t.startswith("# AGENTS.md"):
                        system += "\n" + t
                    elif t:
                        prompts.append(t)
                        results, turn = [], 0
                prev_call = False
            elif ty in ("function_call", "custom_tool_call", "local_shell_call", "tool_search_call"):
                if not prev_call:
                    turn += 1
                prev_call = True
            elif ty in ("function_call_output", "custom_tool_call_output", "tool_search_output"):
                o = it.get("output")
                results.append(o if isinstance(o, str) else text_of(o) or json.dumps(o))
                prev_call = False
    else:  # chat
        tools = [(t.get("function") or {}).get("name") for t in req.get("tools") or []]
        for m in req.get("messages", []):
            r = m.get("role")
            if r in ("system", "developer"):
                system += "\n" + text_of(m.get("content"))
            elif r == "user":
                prompts.append(text_of(m.get("content")).strip())
                results, turn = [], 0
            elif r == "assistant" and m.get("tool_calls"):
                turn += 1
            elif r == "tool":
                results.append(text_of(m.get("content")))
    cwd = None
    alltext = system + "\n" + json.dumps(req.get("messages") or req.get("input") or "")[:400000].replace("\\n", "\n")
    for rx in (r"Primary working directory: ([^\n]+)", r"(?:^|\n)CWD: ([^\n]+)", r"<cwd>([^<]+)</cwd>", r"Working directory: ([^\n<]+)",
               r"working directory[^:\n]*: ([^\n<]+)"):
        mm = re.search(rx, alltext)
        if mm:
            cwd = mm.group(1).strip()
            break
    return dict(system=system, prompts=prompts, prompt=prompts[-1] if prompts else "", turn=turn,
                tool_results=results, tools=[t for t in tools if t], cwd=cwd)


# ----------------------------------------------------------------- rules
INLINE = re.compile(r"@@FAKE(\[.*?\])FAKE@@", re.S)


AUX = re.compile(r"You are a title generator|Generate a (concise|short).{0,40}title|conversation title", re.S | re.I)


def choose(api, req, conv):
    # side requests (session titles): never consume a rule meant for the agent loop
    aux = not conv["tools"] and bool(AUX.search(conv["system"][:3000]))
    for i, rule in enumerate(STATE["rules"]):
        w = rule.get("when") or {}
        m = None
        if aux and not w.get("aux"):
            continue
        if "api" in w and w["api"] != api:
            continue
        if "model" in w and not re.search(w["model"], str(req.get("model", ""))):
            continue
        if "prompt" in w:
            m = re.search(w["prompt"], conv["prompt"], re.S)
            if not m:
                continue
        if "any_prompt" in w:
            m2 = re.search(w["any_prompt"], "\n".join(conv["prompts"]), re.S)
            if not m2:
                continue
            m = m or m2
        if "system" in w and not re.search(w["system"], conv["system"], re.S):
            continue
        if "tool_result" in w:
            if not conv["tool_results"] or not re.search(w["tool_result"], conv["tool_results"][-1], re.S):
                continue
        if "turn" in w and conv["turn"] != w["turn"]:
            continue
        if "has_tool" in w and w["has_tool"] not in conv["tools"]:
            continue
        if w.get("no_tools") and conv["tools"]:
            continue
        with LOCK:
            used = STATE["uses"].get(i, 0)
            if "times" in rule and used >= rule["times"]:
                continue
            STATE["uses"][i] = used + 1
        steps = rule.get("steps") or [rule.get("then") or {"text": "ok"}]
        step = steps[min(conv["turn"], len(steps) - 1)]
        return rule.get("name", "rule%d" % i), step, m
    m = INLINE.search(conv["prompt"])
    if m and conv["tools"]:
        steps = json.loads(m.group(1))
        return "inline", steps[min(conv["turn"], len(steps) - 1)], None
    if aux:
        return "aux", {"text": "Fake title", "usage": {"in": 10, "out": 2}}, None
    return "default", {"text": "OK (fake model, no rule matched)."}, None


def subst(x, m, conv):
    if isinstance(x, str):
        def rep(k):
            key = k.group(1)
            if k.group(2):
                # As JSON, and as the text that a client without structured content shows.
                hits = re.findall(r'(?:"%s"|(?m:^)%s)\s*:\s*"?([^",}\s]+)' % (k.group(2), k.group(2)), "\n".join(conv["tool_results"]))
                return (hits[-1] if key == "last" else hits[0]) if hits else ""
            if key.isdigit():
                try:
                    return (m.group(int(key)) or "") if m else ""
                except IndexError:
                    return ""
            if key == "cwd":
                return conv["cwd"] or "."
            if key == "tool_result":
                return conv["tool_results"][-1] if conv["tool_results"] else ""
            if key == "prompt":
                return conv["prompt"]
            return k.group(0)
        done = re.sub(r"\{\{(\w+)(?::(\w+))?\}\}", rep, x)
        return int(done) if re.fullmatch(r"\{\{(found|last):\w+\}\}", x) and done.isdigit() else done
    if isinstance(x, list):
        return [subst(y, m, conv) for y in x]
    if isinstance(x, dict):
        return {k: subst(v, m, conv) for k, v in x.items()}
    return x


def absp(p, conv):
    return p if os.path.isabs(p) or not conv["cwd"] else os.path.join(conv["cwd"], p)


def map_op(api, op, conv):
    o, T = op["op"], conv["tools"]
    if o == "mcp":
        s, t = op["server"], op["tool"]
        if api == "anthropic":
            return {"name": "mcp__%s__%s" % (s, t), "args": op.get("args", {})}
        if api == "chat":
            return {"name": "%s_%s" % (s, t), "args": op.get("args", {})}
        ns = "mcp__%s" % s
        for cand in (ns + "." + t, ns + "__." + t):
            if cand in T:
                return {"name": t, "namespace": cand.rsplit(".", 1)[0], "args": op.get("args", {})}
        return {"name": "mcp__%s__%s" % (s, t), "args": op.get("args", {})}
    if api == "anthropic":
        if o == "write":
            return {"name": "Write", "args": {"file_path": absp(op["path"], conv), "content": op["content"]}}
        if o == "edit":
            return {"name": "Edit", "args": {"file_path": absp(op["path"], conv), "old_string": op["old"], "new_string": op["new"]}}
        if o == "read":
            return {"name": "Read", "args": {"file_path": absp(op["path"], conv)}}
        if o == "bash":
            a = {"command": op["command"], "description": "scripted command"}
            if "timeout_ms" in op:
                a["timeout"] = op["timeout_ms"]
            return {"name": "Bash", "args": a}
    if api == "chat":
        if o == "write":
            return {"name": "write", "args": {"filePath": absp(op["path"], conv), "content": op["content"]}}
        if o == "edit":
            return {"name": "edit", "args": {"filePath": absp(op["path"], conv), "oldString": op["old"], "newString": op["new"]}}
        if o == "read":
            return {"name": "read", "args": {"filePath": absp(op["path"], conv)}}
        if o == "bash":
            n = "bash" if "bash" in T or "shell" not in T else "shell"
            a = {"command": op["command"], "description": "scripted command"}
            if "timeout_ms" in op:
                a["timeout"] = op["timeout_ms"]
            return {"name": n, "args": a}
    if api == "responses":
        if o in ("write", "edit"):
            if o == "write":
                body = "".join("+%s\n" % l for l in op["content"].split("\n")[: -1 if op["content"].endswith("\n") else None])
                patch = "*** Begin Patch\n*** Add File: %s\n%s*** End Patch" % (op["path"], body)
            else:
                patch = "*** Begin Patch\n*** Update File: %s\n@@\n%s%s*** End Patch" % (
                    op["path"], "".join("-%s\n" % l for l in op["old"].split("\n")),
                    "".join("+%s\n" % l for l in op["new"].split("\n")))
            if "apply_patch" in T:
                return {"name": "apply_patch", "input": patch}
            op = {"op": "bash", "command": "apply_patch <<'EOF_PATCH'\n%s\nEOF_PATCH\n" % patch}
        if op["op"] == "read":
            op = {"op": "bash", "command": "cat %s" % op["path"]}
        cmd = op["command"]
        if "exec_command" in T:
            a = {"cmd": cmd}
            if "timeout_ms" in op:
                a["yield_time_ms"] = op["timeout_ms"]
            return {"name": "exec_command", "args": a}
        if "shell_command" in T:
            return {"name": "shell_command", "args": {"command": cmd, "timeout_ms": op.get("timeout_ms", 10000)}}
        return {"name": "shell", "args": {"command": ["bash", "-lc", cmd], "timeout_ms": op.get("timeout_ms", 10000)}}
    raise ValueError("cannot map op %r for %s" % (op, api))


DEFAULT_ERR = {
    "anthropic": {
        400: ("invalid_request_error", "bad request (fake)"), 401: ("authentication_error", "invalid x-api-key"),
        403: ("permission_error", "forbidden (fake)"),
        429: ("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
        500: ("api_error", "Internal server error"), 503: ("api_error", "Service unavailable"),
        529: ("overloaded_error", "Overloaded")},
    "openai": {
        400: ("invalid_request_error", None, "bad request (fake)"),
        401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-fake. You can find your API key at https://platform.openai.com/account/api-keys."),
        403: ("invalid_request_error", "forbidden", "forbidden (fake)"),
        429: ("tokens", "rate_limit_exceeded", "Rate limit reached for fake-model in organization org-fake on tokens per min (TPM): Limit 30000, Used 30000, Requested 1000. Please try again in 2s."),
        500: ("server_error", None, "The server had an error while processing your request."),
        503: ("server_error", "server_is_overloaded", "Our servers are currently overloaded. Please try again later."),
        529: ("server_error", "server_is_overloaded", "Overloaded")}}


def err_body(api, status):
    if api == "anthropic":
        t, msg = DEFAULT_ERR["anthropic"].get(status, ("api_error", "fake error %d" % status))
        return {"type": "error", "error": {"type": t, "message": msg}, "request_id": "req_fake"}
    t, code, msg = DEFAULT_ERR["openai"].get(status, ("server_error", None, "fake error %d" % status))
    return {"error": {"message": msg, "type": t, "param": None, "code": code}}


# ----------------------------------------------------------------- HTTP
class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "fake_model"

    def log_message(self, *a):
        pass

    def js(self, status, obj, headers=None):
        b = json.dumps(obj).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(b)))
        for k, v in (headers or {}).items():
            self.send_header(k, str(v))
        self.end_headers()
        self.wfile.write(b)

    def sse_start(self, headers=None):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("cache-control", "no-cache")
        self.send_header("connection", "close")
        for k, v in (headers or {}).items():
            self.send_header(k, str(v))
        self.end_headers()
        self.close_connection = True

    def ev(self, typ, obj):
        s = ("event: %s\n" % typ if typ else "") + "data: %s\n\n" % (obj if isinstance(obj, str) else json.dumps(obj))
        self.wfile.write(s.encode())
        self.wfile.flush()

    def record(self, rec):
        with LOCK:
            STATE["n"] += 1
            rec["n"] = STATE["n"]
            rec["t"] = round(time.time(), 3)
            STATE["log"].append(rec)
            NEWS.notify_all()
            if ARGS.log:
                with open(ARGS.log, "a") as f:
                    f.write(json.dumps(rec) + "\n")
            return rec["n"]

    def body(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            out = b""
            while True:
                n = int(self.rfile.readline().split(b";")[0], 16)
                if n == 0:
                    self.rfile.readline()
                    return out
                out += self.rfile.read(n)
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def hang(self):
        """block until the peer closes"""
        self.connection.settimeout(1.0)
        t0 = time.time()
        while time.time() - t0 < 3600:
            try:
                if self.connection.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def do_HEAD(self):
        self.record({"path": self.path, "method": "HEAD"})
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self):
        p = self.path.split("?")[0]
        if p == "/__health":
            return self.js(200, {"ok": True, "rules": len(STATE["rules"]), "requests": STATE["n"]})
        if p == "/__log":
            with LOCK:
                return self.js(200, list(STATE["log"]))
        if p == "/__systems":
            with LOCK:
                return self.js(200, STATE["systems"])
        self.record({"path": self.path, "method": "GET", "ua": self.headers.get("user-agent"),
                     "upgrade": self.headers.get("upgrade")})
        if p == "/api/version":
            return self.js(200, {"version": "0.20.0"})
        if p == "/api/tags":
            return self.js(200, {"models": [{"name": n, "model": n, "size": 1} for n in LOCAL_MODELS]})
        if p.endswith("/models"):
            return self.js(200, {"object": "list", "data": [{"id": "fake-model", "object": "model", "type": "model",
                                                             "display_name": "fake", "created_at": "2026-01-01T00:00:00Z"}],
                                 "has_more": False})
        return self.js(404, {"error": {"message": "not found (fake)", "type": "not_found_error"}})

    def do_POST(self):
        p = self.path.split("?")[0]
        raw = self.body()
        if p == "/__script":
            s = json.loads(raw)
            with LOCK:
                STATE["rules"] = s["rules"] if isinstance(s, dict) else s
                STATE["uses"], STATE["released"] = {}, set()
            return self.js(200, {"ok": True})
        if p == "/__reset":
            with LOCK:
                STATE["log"], STATE["uses"] = [], {}
            return self.js(200, {"ok": True})
        if p == "/__release":
            with LOCK:
                STATE["released"].add(json.loads(raw)["hold"])
                NEWS.notify_all()
            return self.js(200, {"ok": True})
        if p == "/__await":
            asked = json.loads(raw)
            with LOCK:
                seen = NEWS.wait_for(lambda: any(r.get("rule") == asked["rule"] for r in STATE["log"]), asked["timeout_s"])
            return self.js(200, {"ok": bool(seen)})
        if p.endswith("/messages"):
            api = "anthropic"
        elif p.endswith("/responses"):
            api = "responses"
        elif p.endswith("/chat/completions"):
            api = "chat"
        elif p.endswith("/count_tokens"):
            self.record({"path": self.path, "method": "POST"})
            return self.js(200, {"input_tokens": 1000})
        else:
            self.record({"path": self.path, "method": "POST", "body": raw[:2000].decode("utf8", "replace")})
            return self.js(404, {"error": {"message": "not found (fake)", "type": "not_found_error"}})
        try:
            req = json.loads(raw)
        except Exception as e:
            self.record({"path": self.path, "api": api, "bad_body": str(e), "encoding": self.headers.get("content-encoding")})
            return self.js(400, err_body(api, 400))
        conv = parse(api, req)
        name, step, m = choose(api, req, conv)
        step = subst(step, m, conv)
        tools = list(step.get("tools") or [])
        try:
            tools += [map_op(api, o, conv) for o in step.get("ops") or []]
        except Exception as e:
            step = {"text": "fake_model script error: %s" % e}
        u = {"in": 1000, "out": 50, "cached": 0, "cache_write": 0, "reasoning": 0}
        u.update(step.get("usage") or {})
        auth = self.headers.get("authorization") or self.headers.get("x-api-key") or ""
        rec = {"path": self.path, "method": "POST", "api": api, "model": req.get("model"), "stream": req.get("stream"),
               "ua": self.headers.get("user-agent"), "auth": ("Bearer " if auth.startswith("Bearer ") else "") + "***" + auth[-4:] if auth else None,
               "retry_count": self.headers.get("x-stainless-retry-count"), "turn": conv["turn"], "prompt": conv["prompt"][:300],
               "tools_offered": conv["tools"], "tool_results": [r[:1500] for r in conv["tool_results"]], "cwd": conv["cwd"],
               "bytes": len(raw), "rule": name,
               "reply": {k: step[k] for k in ("status", "hang", "text", "stream_error", "drop") if k in step} | ({"tools": tools} if tools else {}),
               "usage": u}
        with LOCK:
            STATE["systems"][name] = conv["system"]
        n = self.record(rec)
        if ARGS.dump:
            with open(os.path.join(ARGS.dump, "%04d.%s.json" % (n, api)), "wb") as f:
                f.write(json.dumps({"headers": {k: v for k, v in self.headers.items() if k.lower() not in ("authorization", "x-api-key")},
                                    "body": req}, indent=1).encode())
        try:
            self.reply(api, req, step, tools, u)
        except (BrokenPipeError, ConnectionResetError):
            self.record({"n_of": n, "client_gone": True})
            self.close_connection = True

    def reply(self, api, req, step, tools, u):
        if step.get("delay_s"):
            time.sleep(step["delay_s"])
        if step.get("hold"):
            with LOCK:
                NEWS.wait_for(lambda: step["hold"] in STATE["released"], 600)
        if step.get("hang") == "before_headers" or step.get("hang") is True:
            self.hang()
            self.close_connection = True
            self.record({"hang_ended": True})
            return
        if step.get("status"):
            return self.js(step["status"], step.get("body") or err_body(api, step["status"]), step.get("headers"))
        text = step.get("text", "")
        getattr(self, "r_" + api)(req, step, text, tools, u)

    # -- Anthropic Messages
    def r_anthropic(self, req, step, text, tools, u):
        mid = "msg_fake" + uuid.uuid4().hex[:16]
        blocks = []
        if text:
            blocks.append({"type": "text", "text": text})
        for t in tools:
            blocks.append({"type": "tool_use", "id": "toolu_" + uuid.uuid4().hex[:20], "name": t["name"], "input": t.get("args", {})})
        stop = "tool_use" if tools else "end_turn"
        usage = {"input_tokens": u["in"], "cache_creation_input_tokens": u["cache_write"],
                 "cache_read_input_tokens": u["cached"], "output_tokens": u["out"], "service_tier": "standard"}
        base = {"id": mid, "type": "message", "role": "assistant", "model": req.get("model"), "content": [],
                "stop_reason": None, "stop_sequence": None, "usage": dict(usage, output_tokens=1)}
        hd = step.get("headers")
        if not req.get("stream"):
            return self.js(200, dict(base, content=blocks, stop_reason=stop, usage=usage), hd)
        self.sse_start(hd)
        self.ev("message_start", {"type": "message_start", "message": base})
        self.ev("ping", {"type": "ping"})
        if self.mid(step):
            return
        if step.get("stream_error"):
            return self.ev("error", {"type": "error", "error": {"type": step["stream_error"], "message": step.get("message", "Overloaded")}})
        for i, b in enumerate(blocks):
            if b["type"] == "text":
                self.ev("content_block_start", {"type": "content_block_start", "index": i, "content_block": {"type": "text", "text": ""}})
                self.ev("content_block_delta", {"type": "content_block_delta", "index": i, "delta": {"type": "text_delta", "text": b["text"]}})
            else:
                self.ev("content_block_start", {"type": "content_block_start", "index": i, "content_block": dict(b, input={})})
                self.ev("content_block_delta", {"type": "content_block_delta", "index": i, "delta": {"type": "input_json_delta", "partial_json": json.dumps(b["input"])}})
            self.ev("content_block_stop", {"type": "content_block_stop", "index": i})
        self.ev("message_delta", {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage})
        self.ev("message_stop", {"type": "message_stop"})

    # -- OpenAI Responses
    def r_responses(self, req, step, text, tools, u):
        rid = "resp_" + uuid.uuid4().hex[:20]
        items = []
        if text:
            items.append({"type": "message", "id": "msg_" + uuid.uuid4().hex[:12], "role": "assistant", "status": "completed",
                          "content": [{"type": "output_text", "text": text, "annotations": []}]})
        for t in tools:
            cid = "call_" + uuid.uuid4().hex[:16]
            if "input" in t:
                items.append({"type": "custom_tool_call", "id": "ctc_" + uuid.uuid4().hex[:12], "call_id": cid,
                              "name": t["name"], "input": t["input"], "status": "completed"})
            else:
                it = {"type": "function_call", "id": "fc_" + uuid.uuid4().hex[:12], "call_id": cid,
                      "name": t["name"], "arguments": json.dumps(t.get("args", {})), "status": "completed"}
                if t.get("namespace"):
                    it["namespace"] = t["namespace"]
                items.append(it)
        usage = {"input_tokens": u["in"], "input_tokens_details": {"cached_tokens": u["cached"]}, "output_tokens": u["out"],
                 "output_tokens_details": {"reasoning_tokens": u["reasoning"]}, "total_tokens": u["in"] + u["out"]}
        base = {"id": rid, "object": "response", "created_at": int(time.time()), "status": "in_progress", "model": req.get("model"),
                "output": [], "usage": None}
        done = dict(base, status="completed", output=items, usage=usage)
        if not req.get("stream"):
            return self.js(200, done, step.get("headers"))
        self.sse_start(step.get("headers"))
        seq = [0]

        def e(ty, **kw):
            seq[0] += 1
            self.ev(ty, dict(type=ty, sequence_number=seq[0], **kw))
        e("response.created", response=base)
        if self.mid(step):
            return
        if step.get("stream_error"):
            return e("response.failed", response=dict(base, status="failed", error={"code": step["stream_error"], "message": step.get("message", "fake stream error")}))
        for i, it in enumerate(items):
            e("response.output_item.added", output_index=i, item=dict(it, status="in_progress", **({"content": []} if it["type"] == "message" else {})))
            if it["type"] == "message":
                e("response.output_text.delta", item_id=it["id"], output_index=i, content_index=0, delta=text)
            e("response.output_item.done", output_index=i, item=it)
        e("response.completed", response=done)

    # -- OpenAI Chat Completions
    def r_chat(self, req, step, text, tools, u):
        cid = "chatcmpl-" + uuid.uuid4().hex[:16]
        calls = [{"index": i, "id": "call_" + uuid.uuid4().hex[:16], "type": "function",
                  "function": {"name": t["name"], "arguments": json.dumps(t.get("args", {}))}} for i, t in enumerate(tools)]
        usage = {"prompt_tokens": u["in"], "completion_tokens": u["out"], "total_tokens": u["in"] + u["out"],
                 "prompt_tokens_details": {"cached_tokens": u["cached"]}, "completion_tokens_details": {"reasoning_tokens": u["reasoning"]}}
        fin = "tool_calls" if calls else "stop"
        base = {"id": cid, "created": int(time.time()), "model": req.get("model")}
        if not req.get("stream"):
            msg = {"role": "assistant", "content": text or None}
            if calls:
                msg["tool_calls"] = [{k: v for k, v in c.items() if k != "index"} for c in calls]
            return self.js(200, dict(base, object="chat.completion", choices=[{"index": 0, "message": msg, "finish_reason": fin}], usage=usage), step.get("headers"))
        self.sse_start(step.get("headers"))

        def ch(delta, finish=None, **kw):
            self.ev(None, dict(base, object="chat.completion.chunk", choices=[{"index": 0, "delta": delta, "finish_reason": finish}], **kw))
        ch({"role": "assistant", "content": ""})
        if self.mid(step):
            return
        if step.get("stream_error"):
            return self.ev(None, {"error": {"message": step.get("message", "fake stream error"), "type": "server_error", "code": step["stream_error"]}})
        if text:
            ch({"content": text})
        if calls:
            ch({"tool_calls": calls})
        ch({}, fin)
        if (req.get("stream_options") or {}).get("include_usage"):
            self.ev(None, dict(base, object="chat.completion.chunk", choices=[], usage=usage))
        self.ev(None, "[DONE]")

    def mid(self, step):
        if step.get("hang") == "mid_stream":
            self.hang()
            self.record({"hang_ended": True})
            return True
        if step.get("drop"):
            self.close_connection = True
            return True
        return False


class S(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True


def main():
    global ARGS
    ap = argparse.ArgumentParser()
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--port-file")
    ap.add_argument("--script")
    ap.add_argument("--log")
    ap.add_argument("--dump")
    ARGS = ap.parse_args()
    if ARGS.script:
        s = json.load(open(ARGS.script))
        STATE["rules"] = s["rules"] if isinstance(s, dict) else s
    if ARGS.dump:
        os.makedirs(ARGS.dump, exist_ok=True)
    srv = S(("127.0.0.1", ARGS.port), H)
    port = srv.server_address[1]
    if ARGS.port_file:
        with open(ARGS.port_file + ".tmp", "w") as f:
            f.write(str(port))
        os.rename(ARGS.port_file + ".tmp", ARGS.port_file)
    print("PORT %d" % port, flush=True)
    srv.serve_forever()


if __name__ == "__main__":
    main()
