#!/usr/bin/env python3
"""Runs Kapell with the real Claude Code, codex and opencode against a scripted model.

usage: run.py [--kapell PROGRAM] [--case NAME]... [--keep] [--list]

Without `--kapell` and without KAPELL in the environment it builds Kapell from this tree. The agents come from npm, into
${XDG_CACHE_HOME:-~/.cache}/kapell-agents. They run where only loopback can be reached, with homes
of their own; nobody is signed in and no model is asked.

Exit code 0: all went as it must, or `SKIPPED: real agents not run: WHY` was printed.
Exit code 1: something did not; what was seen is printed, and the case's folder kept.
"""
import argparse
import os
import sys
import time
import traceback

from cases import CASES
from concurrent.futures import ThreadPoolExecutor

from stage import PACKAGES, Failed, Skipped, Stage, build, enter_network_of_our_own, install, install_plugin, say


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kapell", default=os.environ.get("KAPELL"), help="the program to try, instead of building it")
    parser.add_argument("--case", action="append", choices=CASES, help="only these cases")
    parser.add_argument("--keep", action="store_true", help="keep the folders of cases that went well too")
    parser.add_argument("--list", action="store_true", help="list the cases")
    arguments = parser.parse_args()
    if arguments.list:
        for name, case in CASES.items():
            print(f"{name:12} {case.__doc__.splitlines()[0]}")
        return 0
    try:
        kapell = os.path.abspath(arguments.kapell or build())
        names = arguments.case or list(CASES)
        needed = {agent for name in names for agent in getattr(CASES[name], "agents", PACKAGES)}
        programs = install([name for name in PACKAGES if name in needed])
        if any(getattr(CASES[name], "has_plugin", False) for name in names):
            install_plugin(programs)
    except Skipped as why:
        print(f"SKIPPED: real agents not run: {why}", flush=True)
        return 0
    chosen = [word for name in arguments.case or [] for word in ("--case", name)]
    enter_network_of_our_own([__file__, "--kapell", kapell, *chosen, *(["--keep"] if arguments.keep else [])])
    # One that mostly waits does so beside the others.
    beside = [name for name in names if getattr(CASES[name], "waits", False)]
    with ThreadPoolExecutor(max(1, len(beside))) as pool:
        waiting = {name: pool.submit(went_well, name, kapell, programs, arguments.keep) for name in beside}
        one_by_one = [name for name in names if name not in waiting]
        failed = [name for name in one_by_one if not went_well(name, kapell, programs, arguments.keep)]
        failed += [name for name, end in waiting.items() if not end.result()]
    print(f"real agents: {', '.join(failed)} failed" if failed else "real agents: all cases went well", flush=True)
    return 1 if failed else 0


def went_well(name, kapell, programs, keep):
    began = time.monotonic()
    stage = None
    try:
        stage = Stage(name, kapell, programs)
        CASES[name](stage)
        stage.await_silence()
        problem = None
    except Failed as failed:
        problem = str(failed)
    except Exception:
        problem = traceback.format_exc()
    finally:
        if stage:
            stage.close(keep=keep or problem)
    say(f"{name}: {'FAILED: ' + problem if problem else 'ok'} ({time.monotonic() - began:.1f} s)")
    return not problem


if __name__ == "__main__":
    sys.exit(main())
