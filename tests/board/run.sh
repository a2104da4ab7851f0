#!/usr/bin/env bash
# The board in Debian's Chromium, against the real `kapell serve`: KAPELL=… tests/board/run.sh [tests|pictures …]
#
# Installs what is missing into the cache folder (Chromium, and from npm playwright-core and axe-core; no rights are
# needed). What cannot be had is said in one line, and counted as skipped. Everything listens on the loopback
# interface only, and what was started is ended.
#
#   FAILURES=FOLDER   where pictures of failed steps are written
#   ONLY=BEGINNING    runs the steps whose names begin so
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kapell-ci/editors

kapell=${KAPELL:-}
if [ -z "$kapell" ]; then
    for place in "${CARGO_TARGET_DIR:-$root/target}"/{debug,release}/kapell; do
        [ -x "$place" ] && { kapell=$place; break; }
    done
fi
if [ -z "$kapell" ] || ! [ -x "$kapell" ]; then
    echo "KAPELL must name the program kapell (cargo build makes it)" >&2
    exit 2
fi
kapell=$(cd "$(dirname "$kapell")" && pwd)/$(basename "$kapell")
export KAPELL=$kapell

skip() { # WHY
    echo "!! SKIPPED: the board: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
command -v npm > /dev/null && command -v node > /dev/null || skip "there is no Node with npm here"
[ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 20')" = true ] || skip "Node 20 or newer is needed"
command -v python3 > /dev/null || skip "there is no python3 for its workers"
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
NODE_MODULES=$(nice -n 10 "$here/modules.sh" 2> "$errors") || skip "$(tail -n 1 "$errors")"
nice -n 10 "$root/tests/editors/get-chromium.sh" "$cache/chromium" > "$errors" 2>&1 || skip "Chromium: $(tail -n 1 "$errors")"
export NODE_MODULES CHROMIUM=$cache/chromium/chromium

echo "== the board"
case " ${*:-tests} " in *" pictures "*) exec node "$here/pictures.mjs" ;; esac
"$here/vendor.sh" --check || { echo "FAILED  web/preact.js is not what tests/board/vendor.sh makes"; exit 1; }
timeout --kill-after=10 1500 node "$here/board.mjs" < /dev/null
