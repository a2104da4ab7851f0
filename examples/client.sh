#!/bin/sh
# A shell client in ten lines: start a plan over JSON-RPC and follow it to its end.
# usage: examples/client.sh PLAN.json      (in the folder of the repository)
set -eu
ask() { printf '{"jsonrpc":"2.0","id":1,"method":"%s","params":%s}\n' "$1" "$2" | kapell rpc; }
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }
plan=$(ask plan "{\"plan\": $(tr '\n' ' ' < "$1")}" | field plan_id)
run=$(ask dispatch "{\"plan_id\": \"$plan\"}" | field run_id)
until ask status "{\"run_id\": \"$run\", \"wait_ms\": 45000}" | grep -qE '"state": *"(done|failed|stopped)"'; do :; done
ask status "{\"run_id\": \"$run\"}"
