"""What every case plays on: the agents' programs, a network of its own, a home, a repository,
the scripted model, and a door of Kapell."""
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = {
    "claude": "@anthropic-ai/claude-code@2.1.197",
    "codex": "@openai/codex@0.169.0",
    "opencode": "opencode-ai@1.18.33",
}
PLUGIN = "oh-my-opencode@4.19.4"
IN_NETWORK_OF_ITS_OWN = "KAPELL_TEST_NETWORK"
MODEL = {"claude": "claude-sonnet-4-5", "codex": "gpt-5.5", "opencode": "fake/fake-model"}


class Skipped(Exception):
    """The real agents cannot be had here; the text says why."""


class Failed(Exception):
    """Something is not as it must be; the text says what was seen."""


def check(holds, what):
    """Fails the case unless it holds. `what` is a text, or a function that makes one."""
    if not holds:
        raise Failed(what() if callable(what) else what)


# ------------------------------------------------------------------ programs
def install(needed=tuple(PACKAGES)):
    """The folder of the programs, installed from npm unless they were before."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    cache = cache / "kapell-agents"
    programs = cache / "node_modules" / ".bin"
    if all(runs(programs / name) for name in needed):
        return programs
    if not shutil.which("npm"):
        raise Skipped("npm is not installed, and the agents are not in " + str(cache))
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        # Two runs at once must not install into each other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for package in (PACKAGES[name] for name in needed):
            newest = package[: package.rindex("@")] + "@latest"
            if not npm_install(cache, package) and not npm_install(cache, newest):
                raise Skipped(f"npm cannot install {package}, nor {newest}; its output is above")
    for name in needed:
        if not runs(programs / name):
            raise Skipped(f"{programs / name} was installed and does not run")
    return programs


def install_plugin(programs):
    """The folder of oh-my-opencode, installed from npm beside the programs unless it was before."""
    cache = programs.parent.parent / "plugin"
    package = cache / "node_modules" / "oh-my-opencode"
    if not (package / "dist/index.js").exists():
        cache.mkdir(parents=True, exist_ok=True)
        # Its programs for a terminal are not needed, nor what it would set up in somebody's home.
        if not npm_install(cache, PLUGIN, "--omit=optional", "--ignore-scripts"):
            raise Skipped(f"npm cannot install {PLUGIN}; its output is above")
    return package


def npm_install(cache, package, *more):
    say(f"installing {package} into {cache}")
    # With its own retries npm takes ten minutes to find out that there is no network.
    words = ["npm", "install", "--prefix", str(cache), "--no-audit", "--no-fund", "--loglevel=error",
             "--no-update-notifier", "--fetch-retries=1", *more, package]
    try:
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=300).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def runs(program):
    try:
        words = [str(program), "--version"]
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def build():
    """Kapell as cargo builds it from this tree."""
    words = ["cargo", "build", "--quiet", "--message-format=json-render-diagnostics", "--bin", "kapell"]
    built = subprocess.run(words, cwd=HERE.parent.parent, stdout=subprocess.PIPE, text=True)
    check(built.returncode == 0, "kapell does not build")
    messages = map(json.loads, built.stdout.splitlines())
    programs = [message["executable"] for message in messages if message.get("executable")]
    return pathlib.Path(programs[-1])


# ------------------------------------------------------------------ network
def enter_network_of_our_own(arguments):
    """Starts this program again where the only network is loopback, so that no agent can reach
    anything but the scripted model. Where the system allows no such thing it goes on as it is."""
    if os.environ.get(IN_NETWORK_OF_ITS_OWN):
        raise_loopback()
        return
    # Mapped to root, Claude Code hangs at its start when nothing says that it is in a sandbox.
    for flags in (["-n"], ["-n", "-U", "--map-current-user", "--keep-caps"], ["-Urn"]):
        words = ["unshare", *flags, "--"]
        try:
            if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL).returncode != 0:
                continue
        except FileNotFoundError:
            break
        os.environ[IN_NETWORK_OF_ITS_OWN] = "1"
        os.execvp("unshare", [*words, sys.executable, *arguments])
    say("no network namespace can be had: the agents run with the network of this machine")


def raise_loopback():
    get, put, up = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        request = struct.pack("16sh22x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(asked, get, request), 16)
        fcntl.ioctl(asked, put, struct.pack("16sh22x", b"lo", flags | up))


# ------------------------------------------------------------------ the stage
class Stage:
    """A home, a repository and a model for one case. What is left of it goes with it, unless the
    case failed: then its folder stays to be looked into."""

    def __init__(self, name, kapell, programs):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"kapell-agents-{name}-"))
        self.kapell = kapell
        self.programs = programs
        self.home = self.folder / "home"
        self.repository = self.folder / "repository"
        self.state = self.folder / "state"
        self.model = Model(self.folder)
        self.env = {
            "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
            "HOME": str(self.home),
            "KAPELL_HOME": str(self.state),
            "TMUX_TMPDIR": str(self.folder),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "FAKE_KEY": "sk-fake-0000",
            # claude -p waits for its servers, however busy the machine is.
            "MCP_CONNECTION_NONBLOCKING": "0",
            # opencode asks for none of these; it must not try either.
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        }
        self.write_home()
        self.write_repository()
        self.door = Door(self)

    def write_home(self):
        put(self.home / ".codex/config.toml", f"""\
model_provider = "fake"
[model_providers.fake]
name = "fake"
base_url = "{self.model.url}/v1"
env_key = "FAKE_KEY"
wire_api = "responses"
supports_websockets = false
""")
        put(self.home / ".config/opencode/opencode.json", json.dumps({
            "model": MODEL["opencode"],
            "small_model": MODEL["opencode"],
            "enabled_providers": ["fake"],
            "provider": {"fake": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Fake",
                "options": {"baseURL": f"{self.model.url}/v1", "apiKey": "{env:FAKE_KEY}"},
                "models": {"fake-model": {
                    "name": "Fake",
                    "limit": {"context": 200000, "output": 32000},
                    "cost": {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75},
                    "tool_call": True,
                }},
            }},
        }))

    def write_repository(self):
        put(self.repository / "README.md", "A repository to try agents on.\n")
        put(self.repository / "specs/texts.md", "Each text begins with its author.\n")
        put(self.repository / "check.sh", "for text in texts/*; do grep -q '^by ' \"$text\" || exit 1; done\n")
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Ann")
        self.git("config", "user.email", "ann@example.org")
        self.configure()

    def configure(self, rules="", providers="", claude_env=None, wall="auto", project=""):
        """Commits a kapell.toml. `claude_env` is what signs claude in."""
        set_env = {"ANTHROPIC_BASE_URL": self.model.url, "ANTHROPIC_API_KEY": "sk-ant-fake-0000"}
        set_env = {"ANTHROPIC_BASE_URL": self.model.url, **claude_env} if claude_env else set_env
        inline = inline_table(set_env)
        put(self.repository / "kapell.toml", f"""\
[project]
target = "main"
wall = "{wall}"
{project}

[rules]
tdd = false
build = "sh check.sh"
{rules}

[providers.claude]
kind = "claude"
model = "{MODEL["claude"]}"
set_env = {inline}

[providers.codex]
kind = "codex"
model = "{MODEL["codex"]}"
env = ["FAKE_KEY"]

[providers.opencode]
kind = "opencode"
model = "{MODEL["opencode"]}"
env = ["FAKE_KEY", "OPENCODE_*"]

{providers}
""")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "configure")

    def inline_env(self):
        """What leads a claude to the scripted model, as a table in TOML."""
        return inline_table({"ANTHROPIC_BASE_URL": self.model.url, "ANTHROPIC_API_KEY": "sk-ant-fake-0000"})

    def surround(self, **env):
        """Gives the case and its door more of an environment."""
        self.door.close()
        self.env |= env
        self.door = Door(self)

    def git(self, *words):
        done = subprocess.run(["git", *words], cwd=self.repository, env=self.env, capture_output=True, text=True)
        check(done.returncode == 0, lambda: f"git {' '.join(words)}: {done.stderr}")
        return done.stdout

    def run(self, words, timeout_s, codes=(0,), **more_env):
        """A program in the repository, and what it printed; it may take so long."""
        words = list(map(str, words))
        try:
            done = subprocess.run(
                words, cwd=self.repository, env=self.env | more_env, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as late:
            raise Failed(f"{words[0]} did not end within {timeout_s} s: {late.stdout!r}") from None
        check(done.returncode in codes, lambda: f"{words[0]}: exit {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def processes(self):
        """The processes that the case started and that live, by their id."""
        own = {os.getpid(), self.model.process.pid, self.door.process.pid}
        mark = str(self.folder).encode()
        found = {}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                # A shim has the folder in its command, all others have it in their environment.
                command = (process / "cmdline").read_bytes()
                if int(process.name) in own or mark not in command + (process / "environ").read_bytes():
                    continue
                if (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found[int(process.name)] = command.replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # It ended while it was looked at, or is somebody else's.
        return found

    def await_silence(self, timeout_s=10):
        """Fails unless all that the case started ends by itself."""
        deadline = time.monotonic() + timeout_s
        while left := self.processes():
            for pid in left:
                await_exit(pid, deadline)
            check(time.monotonic() < deadline, lambda: f"still run: {self.processes()}")

    def close(self, keep):
        self.door.close()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.model.close()
        if keep:
            say(f"  its files are kept in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def await_exit(pid, deadline):
    """Waits for the end of a process, at most until then; whether it ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        left = max(0.0, deadline - time.monotonic())
        return bool(select.select([handle], [], [], left)[0])
    finally:
        os.close(handle)


class Model:
    """The scripted model; see fake_model.py."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, HERE / "fake_model.py", "--log", folder / "model.jsonl"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )
        self.url = "http://127.0.0.1:" + self.process.stdout.readline().split()[1]

    def ask(self, path, body=None, timeout_s=30):
        data = None if body is None else json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.url + path, data), timeout=timeout_s) as answer:
            return json.load(answer)

    def play(self, *rules):
        """Sets the rules, the first that matches counts."""
        self.ask("/__script", {"rules": list(rules)})

    def await_request(self, rule, timeout_s):
        """Waits until a request matched that rule."""
        seen = self.ask("/__await", {"rule": rule, "timeout_s": timeout_s}, timeout_s + 10)["ok"]
        check(seen, f"nobody asked the model for {rule!r} within {timeout_s} s")

    def release(self, hold):
        self.ask("/__release", {"hold": hold})

    def requests(self, rule):
        return [request for request in self.ask("/__log") if request.get("rule") == rule]

    def close(self):
        self.process.kill()
        self.process.wait()


class Door:
    """`kapell rpc`: the methods of Kapell, called one after the other."""

    def __init__(self, stage):
        self.count = 0
        self.process = subprocess.Popen(
            [stage.kapell, "rpc"], cwd=stage.repository, env=stage.env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(stage.folder / "door.stderr", "a"),
        )

    def call(self, method, **params):
        self.count += 1
        request = {"jsonrpc": "2.0", "id": self.count, "method": method, "params": params}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            answer = json.loads(line)
            if answer.get("id") == self.count:
                check("error" not in answer, lambda: f"{method}: {answer['error']}")
                return answer["result"]
        raise Failed(f"kapell rpc ended at {method}")

    def start(self, *tasks, **plan):
        """Makes and dispatches a plan; its id."""
        plan = {"specs": [{"file": "specs/texts.md", "description": "the texts"}], "tasks": tasks, **plan}
        made = self.call("plan", plan=plan)
        check(made["plan_id"], lambda: f"the plan has problems: {made['problems']}")
        self.call("dispatch", plan_id=made["plan_id"])
        return made["plan_id"]

    def until(self, plan, what, holds, timeout_s):
        """Follows a plan until it is as wanted; the plan then."""
        deadline = time.monotonic() + timeout_s
        now = self.call("status", scope="plan", id=plan)
        while not holds(now):
            left = deadline - time.monotonic()
            check(left > 0, lambda: f"after {timeout_s} s still not {what}: {now} {self.story(plan)}")
            # Something that is no event, such as a lock that is let go, is seen a second later.
            wait_ms = max(1, int(min(left, 1) * 1000))
            now = self.call("status", scope="plan", id=plan, since_seq=now["seq"], wait_ms=wait_ms)
        return now

    def at_rest(self, plan, timeout_s=60):
        rest = ("done", "failed", "stopped")
        return self.until(plan, "at rest", lambda now: now["state"] in rest and not now.get("conductor"), timeout_s)

    def attempts(self, plan, task):
        return self.call("status", scope="task", id=f"{plan}/{task}")["attempts"]

    def story(self, plan):
        events = self.call("status", scope="events", id=plan, limit=100)["events"]
        return "\n    " + "\n    ".join(f"{event['kind']}: {event['text']}" for event in events)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()


def inline_table(pairs):
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in pairs.items()) + " }"


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def say(text):
    print(text, file=sys.stderr, flush=True)
