#!/bin/sh
# A shell client of a few lines: start a plan over JSON-RPC and follow it to its end.
# usage: examples/client.sh PLAN.json      (in the folder of the repository)
set -eu
state() { grep -oE '"state": *"[a-z]+"' | head -n 1 | cut -d '"' -f 4; }
ask() { printf '{"jsonrpc":"2.0","id":1,"method":"%s","params":%s}\n' "$1" "$2" | kapell rpc; }
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }
checked=$(ask plan "{\"plan\": $(tr '\n' ' ' < "$1")}")
plan=$(echo "$checked" | field plan_id)
[ "$plan" ] || { echo "$checked" >&2; exit 1; }
run=$(ask dispatch "{\"plan_id\": \"$plan\"}" | field run_id)
# The first state in the answer is the plan's, those after it are its tasks'.
until ask status "{\"run_id\": \"$run\", \"wait_ms\": 45000}" | state | grep -qE '^(done|failed|stopped)$'; do :; done
ask status "{\"run_id\": \"$run\"}"
