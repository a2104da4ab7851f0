#!/usr/bin/env python3
"""Makes `hot.symbols` anew: the functions that the hook and the shim run, in the order in which they
lie in the program, and after them what a conductor runs all the time while its workers work: it lives for
hours, and what lies side by side takes fewer pages of its memory. The linker puts them so (see `build.rs`).

Run it when these figures have become worse; a list that is old does no harm. Needs valgrind.
"""

import bisect
import glob
import json
import os
import re
import signal
import subprocess
import tempfile
import time

CONFIGURATION = """
[rules]
spec_first = false
tdd = false
max_attempts = 1
[providers.quick]
kind = "command"
command = ["true"]
[project]
isolation = """
BUSY = """
[providers.busy]
kind = "command"
command = ["sh", "-c", "while :; do echo tick; sleep 1; done"]
[project]
max_workers = 8
isolation = "shared"
"""
WORKERS = 8
PLAN = json.dumps({"tasks": [{"id": 1, "agent": "quick", "task": "Do nothing", "files": ["out"]}]}).encode()

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def build(folder):
    """The program as it is released, and where each function lies in it."""
    link_map = os.path.join(folder, "map")
    subprocess.run(["cargo", "build", "--release", "--bin", "kapell"], cwd=TOP, check=True,
                   env={**os.environ, "KAPELL_LINK_MAP": link_map})
    target = json.loads(subprocess.check_output(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=TOP))["target_directory"]
    functions, is_text = [], False
    with open(link_map, errors="replace") as lines:
        for line in lines:
            # VMA LMA Size Align, and then, indented the deeper, section, input section or symbol.
            found = re.match(r" *([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+) +\d+ ( *)(.*)", line)
            if not found:
                continue
            address, size, depth, name = found.groups()
            if not depth:
                is_text = name == ".text"
            elif is_text and len(depth) == 16:
                functions.append((int(address, 16), int(size, 16), name))
    functions.sort()
    return os.path.join(target, "release", "kapell"), functions


def edit(project, name):
    """What an agent's hook is asked before an edit."""
    return json.dumps({
        "session_id": "hot", "hook_event_name": "PreToolUse", "cwd": project, "tool_name": "Edit",
        "tool_input": {"file_path": os.path.join(project, name), "old_string": "a", "new_string": "b"},
    }).encode()


def addresses_in(profile):
    """The addresses of the instructions that were run."""
    found = set()
    for out in glob.glob(profile + "*"):
        with open(out) as lines:
            found.update(int(line.split()[0], 16) for line in lines if line.startswith("0x"))
    return found


def conductor_addresses(folder, program, project, env):
    """Every address of an instruction that a conductor ran while its workers worked and others claimed files."""
    def kapell(*words):
        return json.loads(subprocess.run([program, *words, "--json"], cwd=project, env=env, check=True,
                                         stdout=subprocess.PIPE).stdout)

    with open(os.path.join(project, "kapell.toml"), "w") as file:
        file.write(CONFIGURATION.split("[project]")[0] + BUSY)
    plan = os.path.join(folder, "busy.json")
    with open(plan, "w") as file:
        json.dump({"name": "busy", "tasks": [{"id": at, "target": "busy", "task": "Tick", "files": [f"busy{at}"]}
                                             for at in range(WORKERS)]}, file)
    plan = kapell("plan", plan)["plan_id"]
    # Its workers live on without it, and the next one finds them at work.
    os.kill(kapell("dispatch", "--plan-id", plan)["conductor"]["pid"], signal.SIGKILL)
    profile = os.path.join(folder, "conductor")
    conductor = subprocess.Popen(
        ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-instr=yes", "--compress-pos=no",
         f"--callgrind-out-file={profile}", program, "conduct", plan],
        cwd=project, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(20)
    switch = ["callgrind_control", "-i"]
    subprocess.run([*switch, "on", str(conductor.pid)], check=True, stdout=subprocess.DEVNULL)
    for _ in range(15):
        kapell("claim-files", "other", "--holder", "somebody")
        kapell("release-files", "other", "--holder", "somebody")
        time.sleep(2)
    subprocess.run([*switch, "off", str(conductor.pid)], check=True, stdout=subprocess.DEVNULL)
    kapell("stop", "--force", plan)
    conductor.wait()
    return addresses_in(profile)


def run_addresses(folder, program):
    """Every address of an instruction that one of the jobs ran, and those that a conductor runs besides."""
    project, state = os.path.join(folder, "project"), os.path.join(folder, "state")
    os.makedirs(project)
    env = {"PATH": os.environ["PATH"], "HOME": folder, "KAPELL_HOME": state}

    def kapell(*words, text=b"", under=(), check=True):
        subprocess.run([*under, program, *words], cwd=project, env=env, input=text, check=check,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    subprocess.run(["git", "init", "-q"], cwd=project, env=env, check=True)
    subprocess.run(["git", "-c", "user.name=hot", "-c", "user.email=hot", "commit", "-q", "--allow-empty",
                    "-m", "Begin"], cwd=project, env=env, check=True)
    kapell("claim-files", "src", "docs/*.md", "--holder", "somebody")
    run_dirs = []
    for isolation in "shared", "worktree":
        with open(os.path.join(project, "kapell.toml"), "w") as file:
            file.write(f'{CONFIGURATION}"{isolation}"\n')
        # Nothing is done, so nothing is accepted; but a shim was given a job, behind a wall in a worktree.
        kapell("run", "-", text=PLAN, check=False)
        # A shim that waited for an attempt in vain has an empty one.
        jobs = filter(os.path.getsize, glob.glob(os.path.join(state, "run", "a-*", "job.json")))
        job = max(jobs, key=os.path.getmtime)
        with open(job) as file:
            job = json.load(file)
        job["cwd"] = project
        run_dirs.append(os.path.join(folder, f"run-{isolation}"))
        os.mkdir(run_dirs[-1], 0o700)
        with open(os.path.join(run_dirs[-1], "job.json"), "w") as file:
            json.dump(job, file)
    addresses = set()
    conductor = conductor_addresses(folder, program, project, env)
    jobs = [(["hook", "claude"], edit(project, "first")), (["hook", "claude"], edit(project, "first")),
            *((["shim", run_dir], b"") for run_dir in run_dirs)]
    for number, (words, text) in enumerate(jobs):
        out = os.path.join(folder, f"profile{number}")
        kapell(*words, text=text, under=(
            "valgrind", "--tool=callgrind", "--dump-instr=yes", "--compress-pos=no", f"--callgrind-out-file={out}"))
        addresses |= addresses_in(out)
    for run_dir in run_dirs:
        with open(os.path.join(run_dir, "exit.json")) as file:
            print(f"a shim ran, wall: {json.load(file)['wall']}")
    return addresses, conductor


def main():
    with tempfile.TemporaryDirectory() as folder:
        program, functions = build(folder)
        starts = [start for start, _, _ in functions]
        names = {}
        for group, addresses in enumerate(run_addresses(folder, program)):
            for address in addresses:
                at = bisect.bisect_right(starts, address) - 1
                if at >= 0 and address < functions[at][0] + max(functions[at][1], 1):
                    names.setdefault(functions[at][2], (group, at))
    with open(os.path.join(TOP, "benches", "hot.symbols"), "w") as file:
        file.writelines(f"{name}\n" for name in sorted(names, key=names.get))
    besides = sum(group for group, _ in names.values())
    print(f"{len(names)} of {len(functions)} functions, {besides} of them the conductor's alone")


main()
