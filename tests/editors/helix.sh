#!/usr/bin/env bash
# helix.sh HX: Helix in a terminal of tmux's, with the very settings of editors/README.md, against the
# real server of $KAPELL and claims of other processes. Its screen is read. The last line counts.
set -uo pipefail
hx=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
place=$(mktemp -d "${TMPDIR:-/tmp}/kapell-helix.XXXXXX")
export HOME=$place/home KAPELL_HOME=$place/state TMUX_TMPDIR=$place USER=me PATH=$place/bin:$PATH
export GIT_CONFIG_GLOBAL=/dev/null LC_ALL=C.UTF-8 TERM=xterm-256color
unset XDG_CONFIG_HOME XDG_STATE_HOME XDG_CACHE_HOME TMUX
trap 'tmux kill-server 2> /dev/null; rm -rf "$place"' EXIT
mkdir -p "$HOME/.config/helix" "$place/bin" "$place/repo/src"
ln -s "$KAPELL" "$place/bin/kapell"

# The settings: the blocks below the heading, each written into the file that the text before it names.
awk -v folder="$HOME/.config/helix" '
    /^## / { inside = $2 == "Helix" }
    inside && match($0, /`(languages|config)\.toml`/) { file = substr($0, RSTART + 1, RLENGTH - 2) }
    inside && /^```toml/ { block = 1; next }
    /^```/ { block = 0 }
    block { print > (folder "/" file) }
' "$root/editors/README.md"

cd "$place/repo" || exit 1
printf 'fn a() {}\n' > src/a.rs
printf '{"name": "n", "rules": {"spec_first": false, "tdd": false}, "tasks": [\n{"id": 1, "task": "t", "files": ["src/"]},\n{"id": 2, "task": "u", "files": ["src/a.rs"]}]}\n' > a.plan.json
git init -q && git add -A && git -c user.name=t -c user.email=t@t commit -qm first

passed=0 failed=0
screen() { tmux capture-pane -p -t helix; }
claims() { kapell status --scope claims --json; }
type() { tmux send-keys -t helix "$@"; }
until_is() { # WHAT COMMAND …: waits until the command succeeds
    local what=$1 end=$((SECONDS + 20))
    shift
    until "$@"; do
        if [ $SECONDS -ge $end ]; then
            echo "FAILED  helix: $what"
            screen | sed '/^ *~ *$/d; s/^/    /'
            failed=$((failed + 1))
            return 1
        fi
        sleep 0.05
    done
    echo "ok      helix: $what"
    passed=$((passed + 1))
}
shows() { screen | grep -qF -- "$1"; }
shows_not() { ! shows "$1"; }
held() { claims | grep -qF -- "$1"; }
free() { ! claims | grep -q claim_id; }

kapell claim-files src/a.rs --holder ada --reason 'new schema' > /dev/null
tmux -f /dev/null new-session -d -s helix -x 160 -y 40 "$hx" src/a.rs
until_is "who holds the file is seen when it is opened" shows 'src/a.rs is held by ada'
type i x y Escape
until_is "editing it is warned of" shows 'You are editing it too'
kapell release-files --all --holder ada > /dev/null
until_is "nothing of it is left once it is free" shows_not 'You are editing it too'
until_is "unsaved changes hold it" held '"holder_kind":"person"'
type :w Enter
until_is "saving lets go" free
kapell claim-files src/a.rs --holder bob > /dev/null
until_is "a claim of another process shows in the open file" shows 'src/a.rs is held by bob'
type Space K t
until_is "the key for it takes the file over" held 'edited by hand'
until_is "and its holder is not shown any more" shows_not 'held by bob'
type Space K r
until_is "another key releases it" free
type Space K c
until_is "and one claims it" held '"pattern":"src/a.rs"'
type Space K r
until_is "which can be released too" free
type ':o a.plan.json' Enter
until_is "a plan is checked" shows 'both own src/a.rs'
type '/src/a' Enter Space a
until_is "its problems have actions" shows 'Let task 2 wait for task 1'
type Enter
until_is "which mend them" shows '"depends_on": [1]'
type ':format' Enter
until_is "a plan is formed" shows '      "depends_on": [1]'
type ':q!' Enter
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
