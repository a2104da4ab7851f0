#!/bin/sh
# The gate: formatting, lints, documentation, and every test. What passes here passes anywhere.
set -eu
cd "$(dirname "$0")/.."
echo "== formatting"
cargo fmt --check
echo "== lints"
cargo clippy --quiet --all-targets -- -D warnings
echo "== documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps
echo "== tests"
# All that fails is wanted, not the first of it.
cargo test --no-fail-fast
