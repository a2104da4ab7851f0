#!/usr/bin/env python3
"""A client without dependencies: plans, dispatches and follows over `kapell rpc`.

usage: client.py PLAN.json      (in the folder of the repository)
"""
import json
import subprocess
import sys


class Kapell:
    """One `kapell rpc` process; each call is a line out and a line in."""

    def __init__(self, program="kapell"):
        self.process = subprocess.Popen([program, "rpc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def call(self, method, **params):
        self.id += 1
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            error = answer["error"]
            sys.exit(f"{method}: {error['message']}\n  next: {error['data']['hint']}")
        return answer["result"]


def main(path):
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    with Kapell() as kapell:
        planned = kapell.call("plan", plan=plan)
        for problem in planned["problems"]:
            print(f"{problem['severity']}: {problem['message']}")
        if planned["plan_id"] is None:
            return 1
        run = kapell.call("dispatch", plan_id=planned["plan_id"])["run_id"]
        seq, shown = 0, {}
        while True:
            status = kapell.call("status", run_id=run, since_seq=seq, wait_ms=45000)
            seq = status["seq"]
            for task in status["tasks"]:
                if shown.get(task["id"]) != task["state"]:
                    shown[task["id"]] = task["state"]
                    print(f"task {task['id']}: {task['state']}  {task.get('reason', '')}".rstrip())
            if status["state"] in ("done", "failed", "stopped"):
                print(f"plan {status['state']}: {status['done']} of {status['total']} tasks are on {status['integration']}")
                return 0 if status["state"] == "done" else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
