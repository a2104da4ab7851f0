#!/usr/bin/env bash
# zed.sh FOLDER: the extension for Zed, built as Zed builds it, in zed-host, which loads it and starts what it
# says as Zed does, against the real program of $KAPELL. Builds in FOLDER. The last line counts.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
extension=$root/editors/zed host=$here/zed-host
export CARGO_TARGET_DIR=$1
passed=0 failed=0
check() { # WHAT FOLDER COMMAND …
    local what=$1 folder=$2 said
    shift 2
    if said=$(cd "$folder" && "$@" 2>&1); then
        echo "ok      zed: $what"
        passed=$((passed + 1))
    else
        echo "FAILED  zed: $what"
        tail -n 40 <<< "$said" | sed 's/^/    /'
        failed=$((failed + 1))
        return 1
    fi
}
for package in "$extension" "$host"; do
    name=$(basename "$package")
    check "$name is formatted" "$package" cargo fmt --check -- --color never
    target=()
    [ "$package" = "$extension" ] && target=(--target wasm32-wasip2)
    check "$name has no lints" "$package" nice -n 10 cargo clippy --locked "${target[@]}" -- -D warnings
done
if check "zed is built for WebAssembly" "$extension" nice -n 10 cargo build --locked --target wasm32-wasip2 \
    && check "zed-host is built" "$host" nice -n 10 cargo build --locked; then
    said=$("$1/debug/zed-host" "$1/wasm32-wasip2/debug/kapell_zed.wasm" "$extension" "$root/editors/README.md")
    read -r p _ f _ <<< "$(grep ' passed, ' <<< "$said" || echo '0 passed, 1')"
    passed=$((passed + p)) failed=$((failed + f))
    grep -v ' passed, ' <<< "$said"
    grep -q ' passed, ' <<< "$said" || echo "FAILED  zed: the host ended before it was done"
fi
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
