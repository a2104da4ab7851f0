"""Fifty starts of one plan at once, of which one wins."""

import json
import os
import random
import signal
import tempfile
import time

from world import KAPELL, REPOSITORIES, Fault, World


class Race:
    """Many simultaneous starts of one plan."""

    def __init__(self, options):
        self.options = options
        self.world = World(options, 4, 4)
        self.faults = []

    def fault(self, text):
        self.faults.append(text)
        print("FAULT  " + text, flush=True)

    def start_all(self, repository, commands):
        """Children that are ready to become the program, let go together: [(code, stdout, stderr)]."""
        gate, opened = os.pipe()
        children = []
        for number, words in enumerate(commands):
            out, err = (tempfile.TemporaryFile() for _ in range(2))
            pid = os.fork()
            if pid == 0:
                try:
                    os.close(opened)
                    os.chdir(self.world.repository(repository))
                    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                    os.dup2(out.fileno(), 1)
                    os.dup2(err.fileno(), 2)
                    os.read(gate, 1)
                    os.execve(KAPELL, [KAPELL, *words], self.world.env)
                finally:
                    os._exit(99)
            children.append((pid, out, err))
        os.close(gate)
        time.sleep(0.05)
        os.close(opened)
        results = []
        end = time.monotonic() + 90
        for pid, out, err in children:
            while True:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    break
                if time.monotonic() > end:
                    self.fault("a start did not end in 90 s")
                    os.kill(pid, signal.SIGKILL)
                    _, status = os.waitpid(pid, 0)
                    break
                time.sleep(0.01)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
                file.close()
            results.append((os.waitstatus_to_exitcode(status), *texts))
        return results

    def conductors(self, plan):
        return [key for key, (role, words, _) in self.world.processes().items() if role == "conductor" and words[2] == plan]

    def round(self, number):
        world, dice = self.world, random.Random(self.options.seed * 1000 + number)
        repository = dice.choice(REPOSITORIES)
        path = os.path.join(world.plans, "race%d.json" % number)
        with open(path, "w") as file:
            task = {"id": 1, "target": "crowd", "task": "sleep=300-300", "files": ["r%d" % number]}
            json.dump({"name": "race%d" % number, "tasks": [task]}, file)
        plan = world.told(repository, "plan", path)["plan_id"]
        crashed = number % 3 == 2
        if crashed:
            world.told(repository, "dispatch", plan)
            world.told(repository, "list")
            for pid, _ in self.conductors(plan):
                os.kill(pid, signal.SIGKILL)
        results = self.start_all(repository, [["dispatch", plan, "--json"]] * self.options.starts)
        won = [json.loads(out) for code, out, err in results if code == 0]
        if len(won) != 1:
            self.fault("round %d: %d starts of %s won" % (number, len(won), plan))
        for code, out, err in results:
            if code == 0:
                continue
            try:
                data, winner = json.loads(err)["data"], won and won[0]["conductor"]
                right = code == 1 and data["kind"] == "duplicate-plan"
                right = right and winner and (data["conductor"], data["pid"]) == (winner["id"], winner["pid"])
            except (ValueError, KeyError):
                right = False
            if not right:
                self.fault("round %d: a start of %s ended with %s: %s" % (number, plan, code, err.strip()))
        there = self.conductors(plan)
        if [pid for pid, _ in there] != [won[0]["conductor"]["pid"]] if won else True:
            self.fault("round %d: processes %s, the winner is %s" % (number, there, won))
        rows = [r for r in world.told(repository, "list")["conductors"] if r["plan_id"] == plan]
        if [(r["state"], r["pid"]) for r in rows] != [("running", there[0][0])] if there else True:
            self.fault("round %d: listed are %s" % (number, rows))
        world.told(repository, "stop", plan, "--force")
        end = time.monotonic() + 20
        while self.conductors(plan) and time.monotonic() < end:
            time.sleep(0.05)
        events = world.lines(repository, "events", "--since", "0", "--plan", plan)
        tries = [e for e in events if e["kind"] == "attempt.started"]
        began = [e for e in events if e["kind"] == "conductor.started"]
        if len(tries) != 1 or len(began) != 1 + crashed:
            self.fault("round %d: %d tries and %d conductors began" % (number, len(tries), len(began)))

    def run(self):
        end = time.monotonic() + self.options.minutes * 60
        self.rounds = 0
        while self.rounds < self.options.race and time.monotonic() < end:
            try:
                self.round(self.rounds)
            except Fault as fault:
                self.fault("round %d: %s" % (self.rounds, fault))
            self.rounds += 1
        time.sleep(2)
        for key, (role, words, age) in self.world.processes().items():
            self.fault("a %s is left, %s: %s" % (role, key, " ".join(words)[:150]))

    def report(self):
        verdict = "%d FAULTS" % len(self.faults) if self.faults else "one won each"
        print("%d rounds of %d starts, seed %d: %s" % (self.rounds, self.options.starts, self.options.seed, verdict))
