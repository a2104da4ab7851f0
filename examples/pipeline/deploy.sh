#!/bin/sh
# The deployment of the example: it runs in a clean checkout of what has landed.
set -eu
if [ "${1:-}" = --undo ]; then
    echo "back to what ran before $KAPELL_COMMIT"
    exit 0
fi
. ./greet.sh
echo "deploying $KAPELL_COMMIT: $(greet)"
