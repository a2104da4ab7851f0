#!/usr/bin/env bash
# What kapell serve answers, held against its OpenAPI document by schemathesis: KAPELL=… tests/api/schemathesis.sh
#
# Installs schemathesis from PyPI into the cache folder, makes a project in which a plan was run, serves it, and
# asks what the document allows and what it does not. Where schemathesis cannot be had, that is said in one line
# and counted as skipped. Everything listens on the loopback interface only, and what was started is ended.
#
#   EXAMPLES=N   requests of each kind for each path; 25 unless told
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kapell-ci/schemathesis
examples=${EXAMPLES:-25}

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

skip() {
    echo "!! SKIPPED: schemathesis: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
if ! [ -x "$cache/bin/schemathesis" ]; then
    command -v python3 > /dev/null || skip "there is no python3"
    rm -rf "$cache"
    python3 -m venv "$cache" > /dev/null 2>&1 || skip "python3 -m venv makes nothing here (python3-venv)"
    nice -n 10 "$cache/bin/pip" install --quiet --disable-pip-version-check 'schemathesis>=4.3,<5' > "$cache/log" 2>&1 \
        || skip "$(tail -n 1 "$cache/log")"
fi

top=$(mktemp -d "${TMPDIR:-/tmp}/kapell-api.XXXXXX")
server=
finish() {
    [ -n "$server" ] && kill "$server" 2> /dev/null
    (cd "$top/project" 2> /dev/null && "$kapell" stop all --force > /dev/null 2>&1)
    rm -rf "$top"
}
trap finish EXIT
trap 'exit 130' INT TERM

# A machine of its own: no agents are found, and nobody's settings.
mkdir -p "$top/home" "$top/project"
export HOME=$top/home KAPELL_HOME=$top/state KAPELL_CONFIG=$top/config.toml TMUX_TMPDIR=$top PATH=/usr/local/bin:/usr/bin:/bin
export OLLAMA_HOST=127.0.0.1:1 NO_COLOR=1
cat > "$top/config.toml" << 'TOML'
[project]
wall = "off"
[rules]
spec_first = false
tdd = false
[providers.scripted]
kind = "command"
command = ["/bin/sh", "-c", "echo working; echo done > out.txt"]
[workers.one]
provider = "scripted"
groups = ["pr_review"]
TOML
cd "$top/project" || exit 2
git init --quiet --initial-branch=main
git -c user.name=t -c user.email=t@localhost commit --quiet --allow-empty -m first
echo '{"name": "seen", "tasks": [{"id": 1, "agent": "scripted", "task": "Write", "files": ["out.txt"]}]}' > "$top/plan.json"
if ! "$kapell" run "$top/plan.json" > "$top/run" 2>&1; then
    cat "$top/run"
    echo "FAILED  the plan did not run"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
"$kapell" claim-files docs --ttl-s 7200 > /dev/null
"$kapell" env create one > "$top/env" 2>&1 || cat "$top/env"

mkfifo "$top/told"
"$kapell" serve --json > "$top/told" 2> "$top/err" &
server=$!
read -r told < "$top/told"
field() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$told" "$1"; }
url=$(field url)
token=$(cat "$(field token_file)")

# Nobody waits: what is waited for is tested elsewhere. Ids are those of the plan that was run, for half of it.
plan=$("$kapell" history --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["runs"][0]["plan_id"])')
attempt=$("$kapell" status --scope task --id "$plan/1" --json \
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["attempts"][0]["attempt"])')
config() { # PLAN TASK ATTEMPT GATE, or nothing
    echo 'headers = { Authorization = "Bearer '"$token"'" }'
    echo '[parameters]'
    echo '"query.wait_ms" = 0'
    [ $# = 4 ] || return 0
    printf '"path.plan" = "%s"\n"path.task" = "%s"\n"path.gate" = "%s"\n' "$1" "$2" "$4"
    cat << TOML
[[operations]]
include-path-regex = "^/api/plans/"
parameters = { "path.id" = "$1", "query.wait_ms" = 0 }
[[operations]]
include-path-regex = "^/api/attempts/"
parameters = { "path.id" = "$3", "query.wait_ms" = 0 }
TOML
}

passed=0 failed=0
run() { # NAME CONFIG ARGUMENTS …
    local name=$1 config=$2
    shift 2
    echo "== $name"
    if (cd "$top" && "$cache/bin/schemathesis" --config-file "$config" run "$url/openapi.json" --seed "${SEED:-1}" \
        --continue-on-failure --request-timeout 60 --suppress-health-check all --warnings off "$@") > "$top/out" 2>&1; then
        grep -aE 'Test cases:|generated|No issues' "$top/out" | sed "s|$token|TOKEN|g"
        passed=$((passed + 1))
        echo "ok      $name"
    else
        sed "s|$token|TOKEN|g" "$top/out"
        failed=$((failed + 1))
        echo "FAILED  $name"
    fi
}

config > "$top/odd.toml"
config "$plan" 1 "$attempt" ownership > "$top/known.toml"
run "what is there, asked as the document says and otherwise" "$top/known.toml" \
    --exclude-path /rpc --exclude-path /api/events --phases coverage,fuzzing --max-examples "$examples"
run "what is not there" "$top/odd.toml" \
    --exclude-path /rpc --exclude-path /api/events --include-path-regex '\{' --phases coverage,fuzzing \
    --max-examples "$examples"
# JSON-RPC tells what is wrong in its answer, not by the status.
run "JSON-RPC" "$top/odd.toml" --include-path /rpc --phases fuzzing --max-examples "$examples" --mode positive \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance

# It still answers, and in its own way.
if curl --silent --fail --max-time 10 "$url/healthz" > /dev/null; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "FAILED  it answers no more"
    cat "$top/err"
fi
if [ -s "$top/err" ]; then
    failed=$((failed + 1))
    echo "FAILED  it has complained:"
    cat "$top/err"
fi
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
