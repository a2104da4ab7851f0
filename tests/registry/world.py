"""The repositories, the scripted workers, and what the process table says: what the show and the race stand on."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

KAPELL = os.path.abspath(os.environ.get("KAPELL", "target/release/kapell"))
REPOSITORIES = ["alpha", "beta", "gamma"]
ALIVE = {"queued", "running", "paused", "stopping"}
TICK = os.sysconf("SC_CLK_TCK")

# How long what is listed may lag behind the process table, in seconds: a conductor opens its socket before it is
# in the registry, and is in the registry as stopped before its process is gone.
BEGINS = 5.0
ENDS = 5.0

AGENT = r'''
import hashlib, json, os, re, sys, time

def say(kind, text):
    print(json.dumps({"kapell": kind, "text": text}), flush=True)

attempt = os.environ["KAPELL_ATTEMPT"]
dice = hashlib.sha256(attempt.encode()).digest()
prompt = open(os.environ["KAPELL_PROMPT_FILE"]).read()
low, high = map(float, re.search(r"sleep=([0-9.]+)-([0-9.]+)", prompt).groups())
say("progress", "began")
time.sleep((low + (high - low) * dice[0] / 255) / 2)
for pattern in json.loads(os.environ["KAPELL_FILES"]):
    folder = pattern.endswith("/")
    path = pattern + re.sub(r"\W", "_", os.environ["KAPELL_PLAN"] + "-" + os.environ["KAPELL_TASK"]) if folder else pattern
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write(attempt + "\n")
time.sleep((low + (high - low) * dice[0] / 255) / 2)
if dice[1] < 24:
    say("progress", "fails")
    sys.exit(1)
say("result", "wrote it")
'''

SETTINGS = """
[project]
max_workers = {workers}
max_conductors = {conductors}
[rules]
spec_first = false
tdd = false
max_attempts = 8
[providers.scripted]
kind = "command"
command = [{python}, {agent}]
[groups.crowd]
strategy = "least-loaded"
"""

PERSON = """
[machine]
max_workers = {workers}
max_conductors = {conductors}
min_free_memory_mb = 0
"""


class Fault(Exception):
    """What was found not to be so."""


class World:
    """A folder with a home, a state folder and repositories of its own."""

    def __init__(self, options, conductors, workers):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="kapell-show-"))
        self.state = os.path.join(self.folder, "state")
        self.home = os.path.join(self.folder, "home")
        self.plans = os.path.join(self.folder, "plans")
        for folder in (self.state, self.home, self.plans, os.path.join(self.home, ".config/kapell")):
            os.makedirs(folder, mode=0o700)
        self.env = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self.env.update(HOME=self.home, KAPELL_HOME=self.state, GIT_CONFIG_NOSYSTEM="1")
        self.agent = os.path.join(self.folder, "agent.py")
        with open(self.agent, "w") as file:
            file.write(AGENT)
        with open(os.path.join(self.home, ".config/kapell/config.toml"), "w") as file:
            file.write(PERSON.format(workers=workers, conductors=conductors))
        self.git_in(self.folder, "config", "--global", "user.name", "Show")
        self.git_in(self.folder, "config", "--global", "user.email", "show@example.com")
        python = os.path.realpath(sys.executable)
        command = {"python": json.dumps(python), "agent": json.dumps(self.agent)}
        settings = SETTINGS.format(workers=workers, conductors=conductors + 2, **command)
        settings += "members = [%s]\n" % ", ".join('"seat%d"' % n for n in range(workers))
        settings += "".join('[workers.seat%d]\nprovider = "scripted"\n' % n for n in range(workers))
        for name in REPOSITORIES:
            os.mkdir(self.repository(name))
            self.git(name, "init", "-q", "-b", "main")
            with open(os.path.join(self.repository(name), "kapell.toml"), "w") as file:
                file.write(settings)
            self.git(name, "add", "-A")
            self.git(name, "commit", "-q", "-m", "first")
        self.known = {}
        self.options = options

    def repository(self, name):
        return os.path.join(self.folder, name)

    def git_in(self, folder, *words):
        done = subprocess.run(["git", *words], cwd=folder, env=self.env, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise Fault("git %s in %s: %s" % (" ".join(words), folder, done.stderr.strip()))
        return done.stdout

    def git(self, name, *words):
        return self.git_in(self.repository(name), *words)

    def spawn(self, name, words, **more):
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
        folder = self.repository(name)
        return subprocess.Popen([KAPELL, *words], cwd=folder, env=self.env, start_new_session=True, **how)

    def ask(self, name, *words, timeout=60):
        """A command's exit code, stdout and stderr; one that does not end is a fault."""
        child = self.spawn(name, words)
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            raise Fault("kapell %s did not end in %d s" % (" ".join(words), timeout))
        return child.returncode, out, err

    def told(self, name, *words, timeout=60):
        code, out, err = self.ask(name, *words, "--json", timeout=timeout)
        if code != 0:
            raise Fault("kapell %s ended with %s: %s" % (" ".join(words), code, (err or out).strip()))
        return json.loads(out)

    def lines(self, name, *words, timeout=120):
        code, out, err = self.ask(name, *words, "--json", timeout=timeout)
        if code != 0:
            raise Fault("kapell %s ended with %s: %s" % (" ".join(words), code, (err or out).strip()))
        return [json.loads(line) for line in out.splitlines()]

    def processes(self):
        """What runs of this world: {(pid, start): (role, words, age)}, from the process table alone."""
        found = {}
        with open("/proc/uptime") as file:
            uptime = float(file.read().split()[0])
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open("/proc/%s/stat" % entry) as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] in "ZX":
                continue
            key = (int(entry), int(fields[19]))
            words = self.known.get(key)
            if words is None:
                words = self.words(entry)
                if words is None:
                    continue
                # A child that has not yet become what it is to be is looked at again.
                if uptime - key[1] / TICK > 1:
                    self.known[key] = words
            if words:
                found[key] = (self.role(words), words, uptime - key[1] / TICK)
        return found

    def resident(self, pid):
        try:
            with open("/proc/%d/statm" % pid) as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        except (OSError, IndexError):
            return 0

    def words(self, entry):
        """Its command line if it belongs to this world, nothing if to another."""
        try:
            with open("/proc/%s/cmdline" % entry, "rb") as file:
                line = file.read()
            with open("/proc/%s/environ" % entry, "rb") as file:
                environ = file.read()
        except OSError:
            return None
        ours = self.folder.encode()
        if ours not in line and b"KAPELL_HOME=" + self.state.encode() not in environ.split(b"\0"):
            return []
        return [word.decode(errors="replace") for word in line.split(b"\0")[:-1]]

    def role(self, words):
        if words[1:2] == ["conduct"]:
            return "conductor"
        if words[1:2] == ["shim"]:
            return "shim"
        if self.agent in words:
            return "agent"
        return "other"
