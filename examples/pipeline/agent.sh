#!/bin/sh
# A scripted agent: what models would do for the stages of this example. Which task it has it knows from
# the environment, like any provider of kind "command"; the prompt is its first argument.
set -eu

finding() { printf '{"kapell":"finding","text":"%s","files":["%s"],"severity":"%s"}\n' "$1" "$2" "$3"; }

case "$KAPELL_TASK" in
build)
    printf 'greet() { echo "Hello $1"; }\n' > greet.sh
    printf 'Usage: greet NAM\n' > usage.txt
    ;;
test | test-r*)
    grep -q 'NAME' usage.txt || finding 'Spell NAME in the usage' usage.txt low
    grep -q 'World' greet.sh || finding 'Greet the World where nobody is named' greet.sh high
    ;;
test-fix-*)
    # It does what the finding says.
    if grep -q '^Spell NAME' "$1"; then
        printf 'Usage: greet NAME\n' > usage.txt
    else
        printf 'greet() { echo "Hello ${1:-World}"; }\n' > greet.sh
    fi
    ;;
review)
    printf '{"kapell":"result","text":"It does what it should."}\n'
    ;;
esac
