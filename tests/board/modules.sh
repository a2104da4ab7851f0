#!/usr/bin/env bash
# Installs what package.json names into the cache folder, and prints where its modules are.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${XDG_CACHE_HOME:-$HOME/.cache}/kapell-ci/board
mkdir -p "$work"
if ! cmp -s "$here/package-lock.json" "$work/.installed"; then
    cp "$here/package.json" "$here/package-lock.json" "$work/"
    (cd "$work" && npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false npm ci --ignore-scripts --silent) >&2
    cp "$here/package-lock.json" "$work/.installed"
fi
echo "$work/node_modules"
