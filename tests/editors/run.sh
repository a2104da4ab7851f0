#!/usr/bin/env bash
# The editors, for real: KAPELL=… tests/editors/run.sh [neovim|unit|packages|host|chromium|emacs|helix|zed …]
#
# Installs what is missing into the cache folder (Neovim 0.10 and the newest, code-server, Chromium,
# Emacs, Helix; no rights are needed), and drives each of them against the real `kapell lsp`, with claims
# made by other processes. Zed needs a screen: its extension is run in a host of ours in its place.
# What cannot be had is said in one line, and counted as skipped.
# Everything listens on the loopback interface only, and what was started is ended.
#
#   PICTURES=FOLDER   where the pictures of the README are written; none otherwise
#   FAILURES=FOLDER   where pictures of failed steps are written
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kapell-ci/editors
logs=$(mktemp -d "${TMPDIR:-/tmp}/kapell-editors.XXXXXX")
mkdir -p "$cache"

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
# A state of our own, in case something forgets to have one of its own.
export KAPELL_HOME=$logs/state
# And a tmux of our own, if any.
export TMUX_TMPDIR=$logs

child=
finish() {
    # The part that runs has its own process group, so that nothing is left of it.
    [ -n "$child" ] && kill -- "-$child" 2> /dev/null
    rm -rf "$logs"
}
trap finish EXIT
trap 'exit 130' INT TERM

parts=${*:-neovim unit packages host chromium emacs helix zed}
wanted() { case " $parts " in *" $1 "*) return 0 ;; esac; return 1; }

passed=0 failed=0 skipped=0
skip() { # WHAT WHY
    echo "!! SKIPPED: $1: $2"
    skipped=$((skipped + 1))
}

run() { # NAME SECONDS COMMAND … : shows its output and counts its last line
    local name=$1 patience=$2
    shift 2
    echo "== $name"
    set -m
    timeout --kill-after=10 "$patience" "$@" > "$logs/out" 2>&1 < /dev/null &
    child=$!
    set +m
    wait "$child"
    local code=$?
    child=
    # Neovim ends its lines in two ways.
    tr -d '\r' < "$logs/out" | cut -c1-2000
    local line
    line=$(tr -d '\r' < "$logs/out" | grep -Eo '[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' | tail -n 1)
    if [ -z "$line" ]; then
        echo "FAILED  $name: it ended with $code before it was done"
        failed=$((failed + 1))
        return
    fi
    read -r p _ f _ s _ <<< "$line"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$code" != 0 ] && [ "$f" = 0 ]; then
        echo "FAILED  $name: it ended with $code"
        failed=$((failed + 1))
    fi
}

get() { # WHAT SCRIPT ARGUMENTS …: installs, or says loudly why not
    local what=$1
    shift
    if ! nice -n 10 "$@" > "$logs/get" 2>&1; then
        skip "$what" "$(tail -n 1 "$logs/get")"
        return 1
    fi
}

if wanted neovim; then
    for which in "0.10 trixie" "newest sid"; do
        name=${which% *}
        if get "Neovim $name" "$here/get-nvim.sh" "${which#* }" "$cache/nvim-$name"; then
            run "Neovim $name" 900 "$cache/nvim-$name/nvim" --headless -u NONE -l "$root/editors/neovim/tests/run.lua"
        fi
    done
fi

extension=
if wanted unit || wanted packages || wanted host || wanted chromium; then
    if ! command -v npm > /dev/null || ! command -v node > /dev/null; then
        skip "VS Code" "there is no Node with npm here"
    elif [ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 20')" != true ]; then
        skip "VS Code" "Node 20 or newer is needed"
    else
        echo "== the extension is built"
        if nice -n 10 "$root/editors/vscode/package.sh" --build > "$logs/build" 2>&1; then
            extension=$(tail -n 1 "$logs/build")
        else
            tail -n 30 "$logs/build"
            echo "FAILED  the extension cannot be built"
            failed=$((failed + 1))
        fi
    fi
fi

unit() {
    cd "$extension" && node esbuild.mjs --tests && node --test --test-reporter=tap dist-tests/*.test.js > "$logs/tap"
    local code=$?
    sed -n 's/^not ok [0-9]* - /FAILED  unit: /p; s/^ok [0-9]* - /ok      unit: /p; s/^  *error: /    /p' "$logs/tap"
    awk '/^# pass /{p = $3} /^# fail /{f = $3} /^# skipped /{s = $3} END {printf "%d passed, %d failed, %d skipped\n", p, f, s}' "$logs/tap"
    return $code
}
export -f unit
if [ -n "$extension" ] && wanted unit; then
    export extension logs
    run "VS Code: unit tests" 300 bash -c unit
fi
if [ -n "$extension" ] && wanted packages; then
    run "VS Code: packages" 300 "$here/packages.sh"
    # Packing leaves its own build behind.
    nice -n 10 "$root/editors/vscode/package.sh" --build > "$logs/build" 2>&1
fi

if [ -n "$extension" ] && { wanted host || wanted chromium; }; then
    if get "VS Code (code-server)" "$here/get-code-server.sh" "$cache/code-server" \
        && get "VS Code (Chromium)" "$here/get-chromium.sh" "$cache/chromium"; then
        export CODE_SERVER=$cache/code-server/code-server CHROMIUM=$cache/chromium/chromium
        export EXTENSION=$extension NODE_MODULES=$extension/node_modules
        tests=$root/editors/vscode/tests
        wanted host && run "VS Code: inside of the extension host" 600 node "$tests/host.mjs"
        wanted chromium && run "VS Code: in a browser" 900 node "$tests/chromium.mjs" ${PICTURES:+"$PICTURES"}
    fi
fi

if wanted emacs; then
    emacs=$(command -v emacs || true)
    if [ -n "$emacs" ] && ! "$emacs" -Q --batch --eval '(unless (>= emacs-major-version 29) (kill-emacs 1))' 2> /dev/null; then
        emacs=
    fi
    if [ -z "$emacs" ] && get "Emacs" "$here/get-emacs.sh" "$cache/emacs"; then
        emacs=$cache/emacs/emacs
    fi
    [ -n "$emacs" ] && run "Emacs" 300 "$emacs" -Q --batch -l "$here/emacs.el"
fi

if wanted helix; then
    if ! command -v tmux > /dev/null; then
        skip "Helix" "there is no tmux here to run it in"
    elif get "Helix" "$here/get-helix.sh" "$cache/helix"; then
        run "Helix" 300 "$here/helix.sh" "$cache/helix/hx"
    fi
fi

if wanted zed && get "Zed" "$here/get-zed.sh"; then
    run "Zed: the extension in a host" 1200 "$here/zed.sh" "$cache/zed"
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
