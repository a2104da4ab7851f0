#!/usr/bin/env python3
"""Many plans at once, whole: ten conductors on three repositories with 26 scripted workers, and kill -9 of
conductors and doors, while a checker holds `kapell list` against the process table.

    KAPELL=target/release/kapell tests/registry/show.py --minutes 4 --seed 1
    KAPELL=target/release/kapell tests/registry/show.py --race 100        # 50 starts of one plan, one wins

Plans are begun at every door (`run`, `run --detach`, `dispatch`, `mcp`, `rpc`) as old ones end. Checked:
at every moment  a conductor that is listed as alive exists, one that exists is listed, and the states are true;
                 what is at work is within the limits; progress never goes back
at the end       every plan is done, every task ended once and landed once, all of it is on the target branch,
                 no process is left, no ref is lost, events, history and replay tell the same, a watcher saw
                 every event once
It ends with 0 if all of that was so; otherwise it says what was not and keeps its folder.
"""

import argparse
import collections
import contextlib
import glob
import json
import os
import random
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback

sys.dont_write_bytecode = True

from race import Race  # noqa: E402
from world import REPOSITORIES, ALIVE, BEGINS, ENDS, Fault, World


class Show:
    def __init__(self, options):
        self.options = options
        self.world = World(options, options.conductors, options.workers)
        self.dice = random.Random(options.seed)
        self.faults = []
        self.notes = collections.Counter()
        self.most = collections.Counter()
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.began = {}          # name -> {"repository", "plan", "spec", "door"}
        self.doors = {}          # pid -> (Popen, kind)
        self.killed = {}         # (pid, start) -> when
        self.rows = []           # the last list
        self.refs = collections.defaultdict(dict)
        self.history = {}        # conductor -> its last row
        self.since = {}          # oddity -> since when it is seen, in which look last, whether it was told
        self.worst = collections.Counter()
        self.told = {}           # plan -> since when it is to be in one of which states
        self.steering = collections.defaultdict(threading.Lock)
        self.landed = set()
        self.started = time.monotonic()

    def log(self, text):
        if self.options.verbose:
            print("%6.1f  %s" % (time.monotonic() - self.started, text), flush=True)

    def fault(self, text):
        with self.lock:
            self.faults.append("%.1f s: %s" % (time.monotonic() - self.started, text))
        print("FAULT  %6.1f s  %s" % (time.monotonic() - self.started, text), flush=True)

    def count(self, what):
        with self.lock:
            self.notes[what] += 1

    # Plans and doors.

    def compose(self, number):
        """A random plan: some chains beside each other; some tasks own a folder that all plans want."""
        name = "show%03d" % number
        tasks, wanted = [], list("ab")
        for n in range(self.dice.randint(4, 9)):
            files = ["%s/t%d.txt" % (name, n)]
            if wanted and self.dice.random() < 0.12:
                files.append("shared/%s/" % wanted.pop(self.dice.randrange(len(wanted))))
            before = [t["id"] for t in tasks if self.dice.random() < 0.25][-2:]
            tasks.append({"id": n, "target": "crowd", "task": "Write %s, part %d. sleep=%s" % (name, n, self.options.sleep),
                          "files": files, "depends_on": before, "priority": self.dice.randint(0, 10)})
        return name, {"name": name, "tasks": tasks}

    @contextlib.contextmanager
    def door(self, kind, repository, words, mortal, **more):
        child = self.world.spawn(repository, words, **more)
        with self.lock:
            self.doors[child.pid] = (child, kind)
        if mortal is not None:
            killer = threading.Thread(target=self.kill_later, args=(child, mortal), daemon=True)
            killer.start()
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()
            with self.lock:
                self.doors.pop(child.pid, None)
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()

    def kill_later(self, child, mortal):
        """Kills a door after so many seconds, or as soon as there is a branch that begins so."""
        end = time.monotonic() + (10 if isinstance(mortal, str) else mortal)
        while time.monotonic() < end and child.returncode is None:
            if isinstance(mortal, str):
                if glob.glob(mortal):
                    break
                time.sleep(0.0005)
            else:
                time.sleep(min(0.05, max(0, end - time.monotonic())))
        if child.returncode is None:
            self.kill_door(child.pid)

    def kill_door(self, pid):
        with self.lock:
            child, kind = self.doors.get(pid, (None, None))
            if child is not None and child.poll() is None:
                child.kill()
                self.notes["doors killed: " + kind] += 1

    def rpc(self, child, method, params, identity, wait=60):
        """One call; None if the door died."""
        message = json.dumps({"jsonrpc": "2.0", "id": identity, "method": method, "params": params})
        try:
            child.stdin.write(message + "\n")
            child.stdin.flush()
        except OSError:
            return None
        end = time.monotonic() + wait
        while True:
            ready, _, _ = select.select([child.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                if child.poll() is None:
                    self.fault("%s did not answer %s in %d s" % (" ".join(child.args[1:]), method, wait))
                return None
            line = child.stdout.readline()
            if not line:
                return None
            answer = json.loads(line)
            if answer.get("id") == identity:
                if "error" in answer:
                    error = answer["error"]
                    if self.died_first(error):
                        return None
                    raise Fault("%s answered %s: %s" % (method, identity, error))
                return answer["result"]

    def died_first(self, error):
        """Whether a conductor was killed before it was in the registry: the door says so, and that it may be tried again.

        It is what `settle` does, as a user would; the doors of the shell say the same by their exit code.
        """
        data = error.get("data", {})
        told = data.get("kind") == "busy" and data.get("retryable") and "ended before it began" in error["message"]
        if told:
            self.count("told that a conductor ended before it began")
        return told

    def begin(self, name, spec, repository, door, mortal):
        """Starts a plan at a door, which may be killed at any moment; then makes sure that it started, once."""
        path = os.path.join(self.world.plans, name + ".json")
        with open(path, "w") as file:
            json.dump(spec, file)
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.DEVNULL, "bufsize": 1}
        try:
            if door == "detach":
                with self.door(door, repository, ["run", path, "--detach", "--json"], mortal) as child:
                    child.communicate(timeout=60)
            elif door == "run":
                with self.door(door, repository, ["run", path], mortal) as child:
                    child.communicate(timeout=600)
            elif door == "dispatch":
                with self.door(door, repository, ["plan", path, "--json"], mortal) as child:
                    out, _ = child.communicate(timeout=60)
                if out.strip():
                    with self.door(door, repository, ["dispatch", json.loads(out)["plan_id"], "--json"], mortal) as child:
                        child.communicate(timeout=60)
            elif door == "rpc":
                with self.door(door, repository, ["rpc"], mortal, **pipes) as child:
                    made = self.rpc(child, "plan", {"plan": spec}, 1)
                    ran = made and self.rpc(child, "dispatch", {"plan_id": made["plan_id"]}, 2)
                    if ran:
                        self.follow(child, name, made["plan_id"], lambda params, n: self.rpc(child, "status", params, n))
            elif door == "mcp":
                with self.door(door, repository, ["mcp"], mortal, **pipes) as child:
                    who = {"clientInfo": {"name": "show", "version": "1"}, "capabilities": {}}
                    self.rpc(child, "initialize", {"protocolVersion": "2025-11-25", **who}, 0)
                    call = lambda tool, arguments, n: self.tool(child, tool, arguments, n)
                    made = call("plan", {"plan": spec}, 1)
                    ran = made and call("dispatch", {"plan_id": made["plan_id"]}, 2)
                    if ran:
                        self.follow(child, name, made["plan_id"], lambda params, n: call("status", params, n))
        except subprocess.TimeoutExpired:
            self.fault("the door %s of %s did not end" % (door, name))
        except (ValueError, OSError):
            pass  # A door that was killed while it was read.
        self.settle(name, spec, repository, path)

    def tool(self, child, tool, arguments, identity):
        result = self.rpc(child, "tools/call", {"name": tool, "arguments": arguments}, identity)
        if result is None:
            return None
        if result.get("isError"):
            if self.died_first(result["structuredContent"]):
                return None
            raise Fault("the tool %s refused: %s" % (tool, result["structuredContent"]))
        return result["structuredContent"]

    def follow(self, child, name, plan, status):
        """Waits for the end at this door, by long polls."""
        seen, number = 0, 3
        while not self.over.is_set():
            answer = status({"scope": "plan", "id": plan, "since_seq": seen, "wait_ms": 5000}, number)
            if answer is None:
                return
            if answer["seq"] < seen:
                self.fault("%s: a door was told event %d after %d" % (name, answer["seq"], seen))
            seen, number = answer["seq"], number + 1
            if answer["state"] in ("done", "failed", "stopped"):
                return

    def settle(self, name, spec, repository, path):
        """Whatever became of the door: the plan is stored once and was started."""
        for _ in range(20):
            plans = [p for p in self.overview(repository) if p["name"] == name]
            if len(plans) > 1:
                self.fault("%s was stored %d times" % (name, len(plans)))
            rows = self.world.told(repository, "list", "--all")["conductors"]
            if plans and any(row["plan_id"] == plans[0]["plan_id"] for row in rows):
                with self.lock:
                    self.began[name] = {"repository": repository, "plan": plans[0]["plan_id"], "spec": spec}
                return
            if plans:
                code, out, err = self.world.ask(repository, "dispatch", plans[0]["plan_id"], "--json")
            else:
                code, out, err = self.world.ask(repository, "run", path, "--detach", "--json")
            self.count("begun again for a door that was killed")
            if code not in (0, 1):
                self.fault("%s could not be started again: %s" % (name, err.strip()))
        self.fault("%s does not start" % name)

    def overview(self, repository):
        plans, cursor = [], None
        while True:
            answer = self.world.told(repository, "status", "--limit", "200", *(["--cursor", cursor] if cursor else []))
            plans += answer["plans"]
            cursor = answer.get("next_cursor")
            if not cursor:
                return plans

    # The checker.

    def conductors(self, table):
        return {key: value for key, value in table.items() if value[0] == "conductor"}

    def odd(self, what, key, allowed):
        """Something that may be so for a moment only: from one look to the next."""
        now, look = time.monotonic(), self.notes["looks"]
        first = self.since.get((what, key))
        if first is None or first[1] < look - 1:
            first = self.since[(what, key)] = [now, look, False]
        first[1] = look
        lasted = now - first[0]
        self.count("looks with: " + what)
        self.worst[what] = max(self.worst[what], lasted)
        if lasted > allowed and not first[2]:
            first[2] = True
            self.fault("%s: %s, for %.1f s" % (what, key, lasted))

    def look(self):
        before = self.world.processes()
        began = time.monotonic()
        answer = self.world.told(REPOSITORIES[self.notes["looks"] % 3], "list", "--all")
        ended = time.monotonic()
        after = self.world.processes()
        self.count("looks")
        self.worst["a list took"] = max(self.worst["a list took"], ended - began)
        old, new = self.conductors(before), self.conductors(after)
        pids = {key[0]: key for key in list(old) + list(new)}
        with self.lock:
            killed = dict(self.killed)
        shot = {key[0] for key, when in killed.items() if when >= began - 0.5}
        rows = answer["conductors"]
        if answer.get("next_cursor"):
            self.fault("list --all is paged: %s" % answer["next_cursor"])
        listed, alive = {}, collections.Counter()
        for row in rows:
            told = "%s (process %s) of %s is listed as %s" % (row["id"], row["pid"], row["plan_id"], row["state"])
            there = pids.get(row["pid"])
            same = there is not None and self.words_of(there, before, after)[2:3] == [row["plan_id"]]
            if row["state"] in ALIVE:
                alive[row["plan_id"]] += 1
                listed[row["pid"]] = row
                if not same and row["pid"] not in shot:
                    self.fault(told + ", and there is no such process")
                if not row["fresh"] and not row.get("note"):
                    self.fault(told + ", is not fresh, and no note says why")
                if not row["fresh"]:
                    self.count("alive and not fresh")
            else:
                if row["fresh"]:
                    self.fault(told + " and fresh")
                if same and there in old and there in new:
                    self.odd("ended by the list, and its process lives", row["id"], ENDS)
            if row["state"] == "crashed" and there is None and row["pid"] and not any(k[0] == row["pid"] for k in killed):
                self.fault(told + ", and nobody killed it")
            if row["state"] == "stopped" and any(k[0] == row["pid"] for k in killed) and row["id"] not in self.history:
                self.count("killed at its very end")
            last = self.history.get(row["id"])
            if last and last["state"] == "stopped" and row["state"] != "stopped":
                self.fault("%s was stopped before" % told)
            if last and row["pid"] != last["pid"]:
                self.fault("%s had process %s before" % (told, last["pid"]))
            if last and row["progress"]["done"] < last["progress"]["done"]:
                self.fault("%s: %s done after %s" % (told, row["progress"], last["progress"]))
            if row["progress"]["failed"]:
                self.fault("%s: a task failed: %s" % (told, row["progress"]))
            self.history[row["id"]] = row
        for plan, number in alive.items():
            if number > 1:
                self.fault("%s has %d conductors that live" % (plan, number))
        for key in set(old) & set(new):
            if key[0] not in listed and key not in killed:
                ended_row = any(r["pid"] == key[0] and r["state"] not in ALIVE for r in rows)
                if not ended_row:
                    self.odd("a conductor's process that is not listed", "%s of %s" % (key, new[key][1][2:3]), BEGINS)
        for plan, (since, right) in list(self.told.items()):
            row = next((r for r in rows if r["plan_id"] == plan and r["state"] in ALIVE), None)
            if row and began > since and self.told.get(plan) == (since, right) and row["state"] not in right:
                self.fault("%s was told to, and is not %s: %s" % (plan, right[0], row))
        going = sum(n for plan, n in alive.items())
        queued = sum(1 for r in rows if r["state"] == "queued")
        self.most["conductors"] = max(self.most["conductors"], going)
        self.most["conductors that are not queued"] = max(self.most["conductors that are not queued"], going - queued)
        self.most["queued"] = max(self.most["queued"], queued)
        if going - queued > self.options.conductors:
            self.odd("more conductors at work than allowed", str(self.options.conductors), BEGINS)
        for key, (role, _, _) in after.items():
            what = "MiB resident of a " + role
            if role in ("conductor", "shim"):
                self.worst[what] = max(self.worst[what], self.world.resident(key[0]))
        agents = sum(1 for v in after.values() if v[0] == "agent")
        self.most["agents"] = max(self.most["agents"], agents)
        if agents > self.options.workers:
            self.odd("more workers than allowed", str(self.options.workers), 2.0)
        self.rows = rows

    def words_of(self, key, *tables):
        for table in tables:
            if key in table:
                return table[key][1]
        return []

    def check(self):
        while not self.over.is_set():
            self.guard(self.look)
            time.sleep(0.05)

    def keep_refs(self):
        """Every ref that was there is remembered with what it named."""
        wanted = ["refs/heads", "refs/kapell/tasks", "refs/kapell/landed", "refs/kapell/quarantine"]
        while not self.over.is_set():
            for name in REPOSITORIES:
                refs = self.world.git(name, "for-each-ref", "--format=%(objectname) %(refname)", *wanted)
                for line in refs.splitlines():
                    commit, ref = line.split(" ", 1)
                    self.refs[name][commit] = ref
            self.over.wait(2)

    # Those who disturb.

    def kill_conductors(self):
        dice = random.Random(self.options.seed * 7 + 1)
        while not self.over.is_set():
            self.over.wait(dice.expovariate(1 / self.options.kill_every))
            if self.over.is_set() or self.ending:
                return
            there = self.conductors(self.world.processes())
            if not there:
                continue
            key = dice.choice(sorted(there))
            with self.lock:
                self.killed[key] = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                os.kill(key[0], signal.SIGKILL)
                self.killed[key] = time.monotonic()
            self.log("killed %s %s" % (key[0], there[key][1][1:]))
            self.count("conductors killed")

    def hold_plans(self):
        dice = random.Random(self.options.seed * 7 + 2)
        while not self.over.is_set():
            self.over.wait(dice.uniform(5, 15))
            rows = [r for r in self.rows if r["state"] == "running" and r["plan_state"] == "running"]
            if self.ending or not rows:
                continue
            plan = dice.choice(rows)["plan_id"]
            if not self.steering[plan].acquire(blocking=False):
                continue
            try:
                action, right = dice.choice([("pause", ("paused", "queued", "stopping")), ("stop", ("stopping",))])
                force = ["--force"] if dice.random() < 0.5 else []
                self.hold(plan, action, right, force, dice.choice(REPOSITORIES), dice.uniform(1, 6))
            finally:
                self.steering[plan].release()

    def hold(self, plan, action, right, force, repository, wait):
        """Pauses or stops a plan for a while; meanwhile the list has to say so."""
        code, out, err = self.world.ask(repository, action, plan, *force, "--json")
        if code != 0:
            # It ended meanwhile.
            self.count("%s refused: %s" % (action, json.loads(err)["data"]["kind"]))
            return
        self.told[plan] = (time.monotonic(), right)
        self.count(" ".join([action, *force]))
        self.over.wait(wait)
        del self.told[plan]
        code, out, err = self.world.ask(repository, "resume", plan, "--json")
        # What was at work may finish, and that may have been all.
        if code != 0 and not json.loads(err)["message"].endswith(" is done"):
            self.fault("%s could not be resumed: %s" % (plan, err.strip()))

    def revive(self, row, dice):
        """Somebody takes over a crashed plan, or two at once."""
        with self.steering[row["plan_id"]]:
            self.take_over(row, dice)

    def take_over(self, row, dice):
        plan, repository = row["plan_id"], os.path.basename(row["project"])
        words = lambda: dice.choice([["resume", plan], ["dispatch", plan]])
        pair = [self.world.spawn(repository, [*words(), "--json"]) for _ in range(dice.choice([1, 1, 2]))]
        for child in pair:
            try:
                _, err = child.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                self.fault("%s did not end" % " ".join(child.args[1:]))
                continue
            if child.returncode == 0:
                self.count("taken over")
            else:
                self.count("refused to take over: " + json.loads(err)["data"]["kind"])
                if len(pair) == 1 and json.loads(err)["data"]["kind"] not in ("duplicate-plan",):
                    self.log("%s: %s" % (" ".join(child.args[1:]), err.strip()))

    def land(self, name):
        it = self.began[name]
        for _ in range(6):
            code, out, err = self.world.ask(it["repository"], "land", it["plan"], "--json", timeout=120)
            if code == 0:
                self.landed.add(name)
                return
            self.count("land refused: " + json.loads(err)["data"]["kind"])
            time.sleep(1)
        self.fault("%s could not be landed: %s" % (it["plan"], err.strip()))

    # The whole.

    def run(self):
        self.ending = False
        watcher = open(os.path.join(self.world.folder, "watched"), "w")
        words = ["events", "--follow", "--since", "0", "--all-projects", "--json"]
        follower = self.world.spawn("alpha", words, stdout=watcher, stderr=subprocess.DEVNULL)
        acts = [self.check, self.keep_refs, self.kill_conductors, self.hold_plans]
        threads = [threading.Thread(target=self.guard, args=(it,), daemon=True) for it in acts]
        for thread in threads:
            thread.start()
        dice = random.Random(self.options.seed * 7 + 3)
        end = time.monotonic() + self.options.minutes * 60
        starters, revivals, landings = {}, {}, {}
        number = 0
        while True:
            now = time.monotonic()
            self.ending = now >= end
            names = {it["plan"]: name for name, it in list(self.began.items())}
            current = {}
            for row in self.rows:       # newest first
                current.setdefault(row["plan_id"], row)
            goes_on = lambda row: row["state"] in ALIVE | {"crashed"} or row["plan_state"] in ("running", "paused")
            atwork = [plan for plan, row in current.items() if goes_on(row)]
            listed = {plan.rsplit("-", 1)[0] for plan in current}
            open_doors = [name for name, thread in starters.items() if thread.is_alive()]
            starting = [name for name in open_doors if name not in self.began and name not in listed]
            while not self.ending and len(atwork) + len(starting) < self.options.conductors + 1:
                name, spec = self.compose(number)
                number += 1
                door = dice.choice(["detach", "run", "dispatch", "rpc", "mcp"])
                repository = dice.choice(REPOSITORIES)
                branch = os.path.join(self.world.repository(repository), ".git/refs/heads/kapell", name + "-*")
                mortal = dice.choice([None, dice.uniform(0, 0.4), dice.uniform(0, 20), branch])
                act = (self.begin, name, spec, repository, door, mortal)
                thread = threading.Thread(target=self.guard, args=act, daemon=True)
                thread.start()
                starters[name] = thread
                starting.append(name)
                self.count("begun by " + door)
            for plan, row in current.items():
                dead = row["state"] == "crashed" or row["state"] == "stopped" and row["plan_state"] in ("running", "paused")
                if dead and plan not in self.told:
                    due = revivals.setdefault(row["id"], now + dice.uniform(0, 5))
                    if due is not None and now >= due:
                        revivals[row["id"]] = None
                        act = (self.revive, row, random.Random(dice.random()))
                        threading.Thread(target=self.guard, args=act, daemon=True).start()
                        threading.Timer(8, lambda c=row["id"]: revivals.pop(c, None)).start()
                if row["plan_state"] == "done" and row["state"] == "stopped" and plan in names and plan not in landings:
                    landings[plan] = threading.Thread(target=self.guard, args=(self.land, names[plan]), daemon=True)
                    landings[plan].start()
            if self.ending:
                busy = atwork or open_doors or any(thread.is_alive() for thread in landings.values())
                if not busy and all(it["plan"] in landings for it in self.began.values()):
                    break
                if now > end + self.options.grace:
                    what = [current[plan] for plan in atwork] or open_doors
                    self.fault("not at rest %d s after the end: %s" % (self.options.grace, what))
                    break
            time.sleep(0.2)
        self.log("at rest, %d plans" % number)
        time.sleep(3)
        self.look()
        self.over.set()
        for thread in threads:
            thread.join(timeout=30)
        follower.send_signal(signal.SIGINT)
        try:
            follower.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.fault("events --follow did not end by SIGINT")
            follower.kill()
        watcher.close()
        self.finish()

    def guard(self, act, *arguments):
        try:
            act(*arguments)
        except Exception as fault:
            if not isinstance(fault, Fault):
                traceback.print_exc()
            self.fault("%s%s: %s" % (act.__name__, [a for a in arguments if isinstance(a, str)], fault))

    def finish(self):
        world = self.world
        end = time.monotonic() + 10
        while time.monotonic() < end:
            left = world.processes()
            if not left:
                break
            time.sleep(0.3)
        for key, (role, words, age) in left.items():
            self.fault("a %s is left, %s: %s" % (role, key, " ".join(words)[:150]))
        rest = world.told("beta", "list")["conductors"]
        if rest:
            self.fault("listed at the end: %s" % rest)
        events = world.lines("gamma", "events", "--since", "0", "--all-projects")
        self.compare_watched(events)
        self.compare_claims(events)
        history = {run["plan_id"]: run for run in world.told("alpha", "history", "--all-projects", "--limit", "500")["runs"]}
        tips = {}
        for name in REPOSITORIES:
            world.git(name, "fsck", "--no-dangling", "--connectivity-only")
            tips[name] = set(world.git(name, "rev-list", "--all").split())
            lost = {commit: ref for commit, ref in self.refs[name].items() if commit not in tips[name]}
            for commit, ref in lost.items():
                self.fault("%s: %s was %s, and no ref leads there now" % (name, ref, commit))
        for name in sorted(self.began):
            try:
                self.account(name, events, history)
            except Fault as fault:
                self.fault(str(fault))
        with sqlite3.connect("file:%s/kapell.db?mode=ro" % world.state, uri=True) as store:
            sound = store.execute("PRAGMA integrity_check").fetchall()
        if sound != [("ok",)]:
            self.fault("the store: %s" % sound)
        seats = world.told("alpha", "status", "--scope", "workers")["workers"]
        busy = [w for w in seats if w["state"] == "busy"]
        if busy:
            self.fault("workers are busy at the end: %s" % busy)
        for name in REPOSITORIES:
            claims = world.told(name, "status", "--scope", "claims")["claims"]
            if claims:
                self.fault("%s: claims are held at the end: %s" % (name, claims))

    def compare_watched(self, events):
        with open(os.path.join(self.world.folder, "watched")) as file:
            watched = [json.loads(line)["seq"] for line in file]
        told = [event["seq"] for event in events]
        if told != sorted(set(told)):
            self.fault("events are not in order or not once")
        if watched != told:
            missed, more = set(told) - set(watched), set(watched) - set(told)
            twice = [s for s, n in collections.Counter(watched).items() if n > 1]
            odd = (sorted(missed)[:5], sorted(more)[:5], twice[:5])
            self.fault("a watcher saw other events: missed %s, more %s, twice %s" % odd)
        self.notes["events"] = len(told)

    def compare_claims(self, events):
        """What several plans of one repository want is held by one at a time."""
        where = {it["plan"]: it["repository"] for it in self.began.values()}
        held = {}
        for event in events:
            match = re.match(r"\S+ (claims|lets go of) (shared/\S+)", event["text"])
            if not match or event["kind"] not in ("claim.granted", "claim.released"):
                continue
            # One that is handed over to the next try stays the same claim.
            claim, key = event["data"]["claim"], (where.get(event["plan_id"]), match[2])
            if match[1] == "claims":
                if held.get(key, claim) != claim:
                    self.fault("event %d: %s, which claim %d still holds" % (event["seq"], event["text"], held[key]))
                held[key] = claim
                self.count("claims of what other plans want too")
            elif held.get(key) == claim:
                del held[key]

    def account(self, name, events, history):
        """One plan: its events, its commits, its files, its history and its replay say the same."""
        world, it = self.world, self.began[name]
        plan, repository = it["plan"], it["repository"]
        own = [e for e in events if e.get("plan_id") == plan]
        of_plan = world.lines(repository, "events", "--since", "0", "--plan", plan)
        if [e["seq"] for e in of_plan] != [e["seq"] for e in own]:
            self.fault("%s: events --plan tells %d events, there are %d" % (plan, len(of_plan), len(own)))
        state = {str(task["id"]): "waiting" for task in it["spec"]["tasks"]}
        attempts, ended, spoke, landed = {}, collections.Counter(), collections.Counter(), collections.Counter()
        for event in own:
            task, kind = event.get("task"), event["kind"]
            if kind == "task.state":
                was, to = event["data"]["from"], event["data"]["to"]
                if state[task] != was:
                    self.fault("%s/%s: event %d goes on from %s, it was %s" % (plan, task, event["seq"], was, state[task]))
                if was == "done":
                    self.fault("%s/%s: event %d after it was done" % (plan, task, event["seq"]))
                state[task] = to
            elif kind == "attempt.started":
                if event["attempt"] in attempts:
                    self.fault("%s: %s started twice" % (plan, event["attempt"]))
                attempts[event["attempt"]] = task
            elif kind == "attempt.finished":
                ended[event["attempt"]] += 1
            elif kind == "attempt.said" and event["text"] == "began":
                spoke[event["attempt"]] += 1
            elif kind == "task.landed":
                landed[task] += 1
        done = [e for e in own if e["kind"] == "plan.state" and e["data"].get("state") == "done"]
        if len(done) != 1:
            self.fault("%s: done by %d events" % (plan, len(done)))
        for task, last in state.items():
            if last != "done" or landed[task] != 1:
                self.fault("%s/%s: ended as %s, landed %d times" % (plan, task, last, landed[task]))
        for attempt, task in attempts.items():
            if ended[attempt] != 1:
                self.fault("%s/%s: %s finished %d times" % (plan, task, attempt, ended[attempt]))
            if spoke[attempt] > 1:
                self.fault("%s/%s: what %s said is told %d times" % (plan, task, attempt, spoke[attempt]))
            if spoke[attempt] == 0:
                self.count("attempts that never spoke")
        self.notes["attempts"] += len(attempts)
        self.notes["tasks"] += len(state)
        # Commits: one a task on the plan's branch, and every file with what one submitted attempt wrote.
        base = world.told(repository, "status", "--scope", "plan", "--id", plan)["base"]
        subjects = world.git(repository, "log", "--format=%s", "%s..kapell/%s" % (base, plan)).splitlines()
        if len(subjects) != len(state):
            self.fault("%s: %d commits of %d tasks: %s" % (plan, len(subjects), len(state), subjects))
        refs = world.git(repository, "for-each-ref", "--format=%(refname)", "refs/kapell/tasks/" + plan).splitlines()
        per_task = collections.Counter(attempts.values())
        for task in it["spec"]["tasks"]:
            wrote = None
            for pattern in task["files"]:
                path = pattern + re.sub(r"\W", "_", "%s-%s" % (plan, task["id"])) if pattern.endswith("/") else pattern
                try:
                    text = world.git(repository, "show", "main:" + path).strip()
                except Fault:
                    self.fault("%s/%s: %s is not on main" % (plan, task["id"], path))
                    continue
                if attempts.get(text) != str(task["id"]) or wrote not in (None, text):
                    self.fault("%s/%s: %s is by %s" % (plan, task["id"], path, text))
                wrote = text
            kept = [r for r in refs if r.startswith("refs/kapell/tasks/%s/%s/" % (plan, task["id"]))]
            if len(kept) != per_task[str(task["id"])]:
                self.fault("%s/%s: %d tries, and refs %s" % (plan, task["id"], per_task[str(task["id"])], kept))
        run = history.get(plan)
        if not run or run["state"] != "done" or run["attempts"] != len(attempts) or run["progress"]["done"] != len(state):
            self.fault("%s: history tells %s, there were %d tries" % (plan, run, len(attempts)))
        conductors = len([e for e in own if e["kind"] == "conductor.started"])
        if run and run["conductors"] != conductors:
            self.fault("%s: history tells %s conductors, events %d" % (plan, run["conductors"], conductors))
        steps = world.lines(repository, "replay", plan)
        steps = [s for s in steps if "step" in s]
        if [s["seq"] for s in steps] != [e["seq"] for e in own]:
            self.fault("%s: replay walks %d events of %d" % (plan, len(steps), len(own)))
        known = steps[-1]["known"] if steps else {}
        if known.get("done") != len(state) or known.get("at_work") or known.get("waiting"):
            self.fault("%s: replay ends with %s" % (plan, known))

    def report(self):
        for what, number in sorted(self.notes.items()):
            print("  %-60s %d" % (what, number))
        for what, number in sorted(self.most.items()):
            print("  %-60s %d" % ("most " + what, number))
        for what, number in sorted(self.worst.items()):
            print("  %-60s %.2f" % ("most, or longest: " + what, number))
        verdict = "%d FAULTS" % len(self.faults) if self.faults else "all as it should be"
        print("%d plans, seed %d: %s" % (len(self.began), self.options.seed, verdict))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=4, help="how long plans are begun, or races run (4)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--conductors", type=int, default=10)
    parser.add_argument("--workers", type=int, default=26)
    parser.add_argument("--sleep", default="2-8", help="seconds that a worker works (2-8)")
    parser.add_argument("--kill-every", type=float, default=4, help="mean seconds between two kills of a conductor (4)")
    parser.add_argument("--grace", type=float, default=180, help="seconds to come to rest after that (180)")
    parser.add_argument("--race", type=int, metavar="ROUNDS", default=0, help="rounds of simultaneous starts instead")
    parser.add_argument("--starts", type=int, default=50, help="starts in a round (50)")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    show = Race(options) if options.race else Show(options)
    print("in %s" % show.world.folder, flush=True)
    try:
        show.run()
    finally:
        # Whatever happened: nothing of this world goes on.
        for (pid, _), _ in show.world.processes().items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    show.report()
    if not show.faults and not options.keep:
        shutil.rmtree(show.world.folder, ignore_errors=True)
    return 1 if show.faults else 0


if __name__ == "__main__":
    sys.exit(main())
