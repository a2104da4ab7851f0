#!/usr/bin/env bash
# packages.sh: the packages of the VS Code extension for every platform, by its own script, and what is
# in them. The program of this machine is $KAPELL; for the others there is a file that begins as theirs do.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
script=$root/editors/vscode/package.sh
place=$(mktemp -d "${TMPDIR:-/tmp}/kapell-packages.XXXXXX")
trap 'rm -rf "$place"' EXIT
passed=0 failed=0
check() { # WHAT COMMAND …
    local what=$1
    shift
    if "$@" > "$place/said" 2>&1; then
        echo "ok      packages: $what"
        passed=$((passed + 1))
    else
        echo "FAILED  packages: $what"
        sed 's/^/    /' "$place/said" | tail -n 10
        failed=$((failed + 1))
    fi
}

elf() { printf '\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0'"$1"'\0rest' > "$place/$2"; }
elf '\xb7' linux-arm64
elf '\x28' linux-armhf
elf '\x3e' alpine-x64
elf '\xb7' alpine-arm64
printf '\xcf\xfa\xed\xfe\x07\0\0\x01rest' > "$place/darwin-x64"
printf '\xcf\xfa\xed\xfe\x0c\0\0\x01rest' > "$place/darwin-arm64"
windows() { { printf 'MZ'; head -c 58 /dev/zero; printf '\x40\0\0\0PE\0\0'"$1"'rest'; } > "$place/$2"; }
windows '\x64\x86' win32-x64
windows '\x64\xaa' win32-arm64
others="linux-arm64 linux-armhf alpine-x64 alpine-arm64 darwin-x64 darwin-arm64 win32-x64 win32-arm64"
case $(uname -sm) in
"Linux x86_64") own=linux-x64 ;;
"Linux aarch64") own=linux-arm64 ;;
*) own= ;;
esac

targets=(universal=)
for platform in $others; do
    [ "$platform" = "$own" ] || targets+=("$platform=$place/$platform")
done
[ -n "$own" ] && ln -s "$KAPELL" "$place/own" && targets+=("$own=$place/own")
check "all are made by one call" "$script" --out "$place/out" "${targets[@]}"

# What a package must have: its platform in the manifest, its program as it was and executable, whatever
# the manifest names, and nothing of the sources.
cat > "$place/look.py" << 'END'
import json, re, sys, zipfile
file, platform, program = sys.argv[1:]
package = zipfile.ZipFile(file)
assert package.testzip() is None
names = set(package.namelist())
about = package.read("extension.vsixmanifest").decode()
found = re.findall(r'TargetPlatform="([^"]*)"', about)
assert found == ([] if platform == "universal" else [platform]), found
servers = [entry for entry in package.infolist() if entry.filename.startswith("extension/server/")]
if platform == "universal":
    assert not servers, servers
else:
    name = "kapell.exe" if platform.startswith("win32") else "kapell"
    assert [entry.filename for entry in servers] == ["extension/server/" + name], servers
    # Windows asks nobody whether it may run something.
    mode = servers[0].external_attr >> 16 & 0o777
    assert mode == 0o755 or name == "kapell.exe", oct(mode)
    assert package.read(servers[0]) == open(program, "rb").read()
manifest = json.loads(package.read("extension/package.json"))
assert manifest["engines"]["vscode"] == "^1.101.0", manifest["engines"]
named = [manifest["main"], manifest["icon"]]
named += re.findall(r'"(?:markdown|image|url)": "(\.?/?[\w./-]+)"', json.dumps(manifest["contributes"]))
named += re.findall(r"\]\((media/[^)]+)\)", package.read("extension/readme.md").decode())
missing = [one for one in named if "extension/" + one.removeprefix("./") not in names]
assert len(named) > 8 and not missing, (named, missing)
extra = [name for name in names if re.search(r"node_modules|/src/|/tests/|\.ts$|\.map$", name)]
assert not extra, extra
END
for target in "${targets[@]}"; do
    platform=${target%%=*}
    check "$platform is well formed" python3 "$place/look.py" "$place"/out/kapell-"$platform"-[0-9]*.vsix "$platform" "${target#*=}"
done

refused() { ! "$script" --out "$place/none" "$1" 2> "$place/why" && grep -qF "$2" "$place/why" && [ ! -e "$place/none" ]; }
check "a program of another platform is refused" refused "win32-x64=$place/darwin-arm64" "is no program for win32-x64, it is one for darwin-arm64"
check "and what is no program is" refused "linux-x64=$0" "is no program for linux-x64"
check "and a platform that there is not" refused "plan9-x64=$KAPELL" "there is no platform plan9-x64"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
