#!/bin/sh
# Starts the orchestrator of this example once, with the real OpenCode and the real plugin, against a scripted
# model: see tests/agents. Both are installed into a temporary folder. `run.sh /path/to/kapell` uses that program
# instead of building one. Nothing of yours is changed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ $# -ge 1 ]; then
    KAPELL=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
    export KAPELL
fi
XDG_CACHE_HOME="$work" "$here/../../tests/agents/run.py" --case orchestrator
