#!/usr/bin/env bash
# Builds the extension and packs it: editors/vscode/package.sh [OPTIONS] [PLATFORM=PROGRAM …]
#
#   package.sh                                the universal package, without a server
#   package.sh linux-x64=target/release/kapell …   a package for each platform named, with its server
#   package.sh universal= PLATFORM=PROGRAM …  that one and the universal one
#   package.sh --build                        builds only, and prints the folder
#   package.sh --out FOLDER …                 packages go there; `dist/` beside the cache unless told
#
# Platforms: linux-x64 linux-arm64 linux-armhf alpine-x64 alpine-arm64 darwin-x64 darwin-arm64
# win32-x64 win32-arm64. Nothing is written into the tree: sources are copied into the cache folder
# and built there. Needs Node 20 or newer, and npm.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kapell-ci/editors
work=$cache/vscode
out=$cache/packages
only_build=
targets=()
while [ $# -gt 0 ]; do
    case $1 in
    --build) only_build=1 ;;
    --out) out=$2; shift ;;
    *=*) targets+=("$1") ;;
    *) sed -n '2,13p' "$0" >&2; exit 2 ;;
    esac
    shift
done
export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false

# For which platforms a program is, by its first bytes: kind, processor.
kind() { # PROGRAM
    local bytes
    bytes() { od -An -tx1 -j"$2" -N"$3" "$1" | tr -d ' \n'; }
    case $(bytes "$1" 0 4) in
    7f454c46) case $(bytes "$1" 18 2) in 3e00) echo linux-x64 alpine-x64 ;; b700) echo linux-arm64 alpine-arm64 ;; 2800) echo linux-armhf ;; esac ;;
    cffaedfe) case $(bytes "$1" 4 4) in 07000001) echo darwin-x64 ;; 0c000001) echo darwin-arm64 ;; esac ;;
    # One for both.
    cafebabe) echo darwin-x64 darwin-arm64 ;;
    4d5a*)
        bytes=$(bytes "$1" 60 4)
        case $(bytes "$1" $((16#${bytes:6:2}${bytes:4:2}${bytes:2:2}${bytes:0:2} + 4)) 2) in 6486) echo win32-x64 ;; 64aa) echo win32-arm64 ;; esac
        ;;
    esac
}

# What cannot be packed is told before anything is built.
platforms=" linux-x64 linux-arm64 linux-armhf alpine-x64 alpine-arm64 darwin-x64 darwin-arm64 win32-x64 win32-arm64 universal "
for target in ${targets[@]+"${targets[@]}"}; do
    platform=${target%%=*} program=${target#*=}
    case $platforms in
    *" $platform "*) ;;
    *) echo "there is no platform $platform; there are:$platforms" >&2; exit 2 ;;
    esac
    case $program in /*) ;; *) program=$root/$program ;; esac
    if [ "$platform" = universal ] && [ -z "${target#*=}" ]; then
        :
    elif [ ! -f "$program" ]; then
        echo "no program for $platform: $program is not there. Build it for that platform (cargo build --release --target …, on a machine that can) and name it here, or leave $platform out: the universal package serves it with a kapell from the PATH" >&2
        exit 1
    elif [ "$platform" != universal ] && ! grep -qwF -- "$platform" <<< "$(kind "$program")"; then
        is=$(kind "$program")
        echo "$program is no program for $platform${is:+, it is one for ${is// / or }}" >&2
        exit 1
    fi
done

# A copy of the sources, without what an older copy had more.
mkdir -p "$work"
find "$work" -mindepth 1 -maxdepth 1 ! -name node_modules ! -name .installed -exec rm -rf {} +
(cd "$here" && find . -type f ! -path './node_modules/*' ! -path './dist*' -print0 | tar -c --null -T -) | tar -x -C "$work"
mkdir -p "$work/protocol"
cp "$root/protocol/plan.schema.json" "$work/protocol/"
# The unit tests compare the names of commands with those of the contract.
cp -R "$root/protocol/methods" "$work/protocol-methods"
cp "$root/LICENSE" "$work/"

if ! cmp -s "$work/package-lock.json" "$work/.installed"; then
    (cd "$work" && npm ci --ignore-scripts --silent)
    cp "$work/package-lock.json" "$work/.installed"
fi
cd "$work"
npx --no-install tsc --noEmit
node esbuild.mjs --minify
if [ -n "$only_build" ]; then
    echo "$work"
    exit 0
fi

mkdir -p "$out"
out=$(cd "$out" && pwd)
version=$(node -p 'require("./package.json").version')
pack() { # NAME [OPTIONS]
    local name=$1
    shift
    npx --no-install vsce package --no-dependencies --allow-missing-repository --no-rewrite-relative-links --skip-license "$@" \
        --out "$out/kapell-$name-$version.vsix" > "$work/vsce.log" 2>&1 || { cat "$work/vsce.log" >&2; exit 1; }
    echo "$out/kapell-$name-$version.vsix"
}
rm -rf server
if [ ${#targets[@]} = 0 ]; then
    pack universal
fi
for target in ${targets[@]+"${targets[@]}"}; do
    platform=${target%%=*}
    program=${target#*=}
    if [ "$platform" = universal ]; then
        pack universal
        continue
    fi
    case $program in /*) ;; *) program=$root/$program ;; esac
    mkdir -p server
    case $platform in
    win32-*) cp "$program" server/kapell.exe ;;
    *) cp "$program" server/kapell && chmod 755 server/kapell ;;
    esac
    pack "$platform" --target "$platform"
    rm -rf server
done
