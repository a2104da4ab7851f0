#!/bin/sh
# Runs the example in a folder of its own, with state of its own. `run.sh /path/to/kapell` uses that program
# instead of building one. Nothing of yours is changed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ $# -ge 1 ]; then
    kapell=$1
else
    cargo build --release --quiet --manifest-path "$here/../../Cargo.toml"
    kapell="$here/../../target/release/kapell"
fi
export KAPELL_HOME="$work/state" KAPELL_CONFIG="$work/none.toml"

mkdir "$work/project"
cd "$work/project"
git init --quiet -b main
cp "$here/deploy.sh" .
sed "s#@AGENT@#$here/agent.sh#" "$here/kapell.toml" > kapell.toml
git add -A
git -c user.name=you -c user.email=you@example.com commit --quiet -m first

"$kapell" pipeline show feature
"$kapell" pipeline run feature --request 'Add a greeting' --follow
run=$("$kapell" pipeline list --json | sed 's/.*"run":"\([^"]*\)".*/\1/')
echo
echo "== you approve"
"$kapell" pipeline approve "$run" deploy --message 'looks good' > /dev/null
"$kapell" pipeline show "$run" --follow
echo
echo "== the kept log of the deployment"
log=$("$kapell" pipeline show "$run" --json | sed 's/.*"log":"\([^"]*\)".*/\1/')
cat "$log"
