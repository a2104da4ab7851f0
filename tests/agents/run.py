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
from stage import Failed, Skipped, Stage, build, enter_network_of_our_own, install, say


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
        programs = install()
    except Skipped as why:
        print(f"SKIPPED: real agents not run: {why}", flush=True)
        return 0
    chosen = [word for name in arguments.case or [] for word in ("--case", name)]
    enter_network_of_our_own([__file__, "--kapell", kapell, *chosen, *(["--keep"] if arguments.keep else [])])
    failed = [name for name in arguments.case or CASES if not went_well(name, kapell, programs, arguments.keep)]
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
