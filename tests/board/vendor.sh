#!/usr/bin/env bash
# Makes web/preact.js anew: preact, its signals and htm as one file, of the versions in package.json.
# tests/board/vendor.sh --check only says whether it is what would be made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
modules=$("$here/modules.sh")
version() { node -p "require('$modules/$1/package.json').version"; }
made=$(mktemp)
trap 'rm -f "$made"' EXIT
{
    echo "/*! preact $(version preact), @preact/signals $(version @preact/signals), @preact/signals-core $(version @preact/signals-core): MIT, (c) Jason Miller and the Preact team;"
    echo "    htm $(version htm): Apache-2.0, (c) Google Inc. One file of them all, made by tests/board/vendor.sh. */"
    (cd "$modules" && "$modules/.bin/esbuild" --bundle --minify --format=esm --target=es2022 --legal-comments=none --log-level=error) << 'END'
export { h, render, Fragment } from 'preact';
export { useEffect, useLayoutEffect, useRef, useState, useMemo, useErrorBoundary } from 'preact/hooks';
export { signal, computed, effect, batch } from '@preact/signals';
import { h } from 'preact';
import htm from 'htm';
export const html = htm.bind(h);
END
} > "$made"
if [ "${1:-}" = --check ]; then
    cmp "$made" "$here/../../web/preact.js"
else
    cp "$made" "$here/../../web/preact.js"
fi
