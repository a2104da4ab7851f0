#!/bin/sh
# The whole job in under a minute, without any account: makes a small repository, plans,
# lets scripted workers do the tasks in parallel, proves the results, lands them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

kapell=${KAPELL:-}
if [ -z "$kapell" ]; then
    echo "== building kapell (once)"
    (cd "$root" && cargo build --quiet)
    kapell=${CARGO_TARGET_DIR:-$root/target}/debug/kapell
fi

demo=$(mktemp -d "${TMPDIR:-/tmp}/kapell-demo.XXXXXX")
export KAPELL_HOME="$demo/state"
cp -R "$here/project" "$demo/textkit"
cp "$here/plan.json" "$demo/textkit/plan.json"
sed "s|AGENT|$here/agent.sh|" "$here/kapell.toml" > "$demo/textkit/kapell.toml"
cd "$demo/textkit"
git init --quiet --initial-branch=main
git add --all
git -c user.name=demo -c user.email=demo@localhost commit --quiet --message "A small text toolkit"

echo "== kapell run plan.json"
"$kapell" run plan.json
echo
echo "== kapell status --scope task: what became of task 2, whose first try left its claim"
plan=$("$kapell" status --json | sed -n 's/.*"plan_id": *"\([^"]*\)".*/\1/p' | head -n 1)
"$kapell" status --scope task --id "$plan/2"
echo
echo "== kapell land"
"$kapell" land "$plan"
echo
git --no-pager log --oneline
cargo test --offline --quiet 2>&1 | grep 'test result' | head -n 3
echo
echo "The repository is $demo/textkit; KAPELL_HOME=$KAPELL_HOME shows its history."
