#!/usr/bin/env bash
# get-helix.sh FOLDER: the newest Helix of Debian, unpacked into FOLDER beside the system, with its own
# C library. Afterwards FOLDER/hx runs it. Nothing is installed, no rights are needed.
set -euo pipefail
mkdir -p "$1"
folder=$(readlink -f "$1")
[ -x "$folder/hx" ] && "$folder/hx" --version > /dev/null 2>&1 && exit 0
command -v apt-get > /dev/null && command -v dpkg > /dev/null || {
    echo "no apt here to take Helix from" >&2
    exit 1
}
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 'debian/\?$' || true)
[ -n "$mirror" ] || { echo "no Debian mirror is configured" >&2; exit 1; }

state=$folder/.apt
rm -rf "$state"
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
: > "$state/status"
printf 'deb %s sid main\n' "$mirror" > "$state/list"
cat > "$state/conf" << END
Dir::Etc::sourcelist "$state/list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$state";
Dir::State::lists "$state/lists";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
END
apt-get -c "$state/conf" update -qq
apt-get -c "$state/conf" install -y -qq --download-only hx > /dev/null
for package in "$state"/cache/archives/*.deb; do dpkg -x "$package" "$folder"; done
rm -rf "$state"

# It is run through its own loader: nothing in it starts a second Helix.
libraries=$(dirname "$(find "$folder/usr/lib" -name 'libc.so.6' | head -n1)")
loader=$(find "$libraries" -maxdepth 1 -name 'ld-linux*' | head -n1)
cat > "$folder/hx" << END
#!/bin/sh
HELIX_RUNTIME='$folder/usr/lib/hx/runtime' exec '$loader' --library-path '$libraries' '$folder/usr/lib/hx/hx' "\$@"
END
chmod +x "$folder/hx"
"$folder/hx" --version > /dev/null
