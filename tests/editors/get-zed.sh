#!/usr/bin/env bash
# get-zed.sh: what zed.sh builds with: the target that Zed builds extensions for, by rustup as Zed installs it,
# and the crates of the two packages.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
command -v cargo > /dev/null || { echo "there is no cargo here" >&2; exit 1; }
if ! [ -d "$(rustc --print target-libdir --target wasm32-wasip2)" ]; then
    command -v rustup > /dev/null || {
        echo "Rust has no target wasm32-wasip2 here, and there is no rustup to install it" >&2
        exit 1
    }
    rustup target add wasm32-wasip2
fi
for package in editors/zed tests/editors/zed-host; do
    (cd "$root/$package" && cargo fetch --quiet --locked)
done
