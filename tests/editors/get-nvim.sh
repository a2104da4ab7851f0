#!/usr/bin/env bash
# get-nvim.sh SUITE FOLDER: a Neovim of a newer Debian (trixie: 0.10, sid: the newest), unpacked
# into FOLDER beside the system, with its own C library. Afterwards FOLDER/nvim runs it.
# Nothing is installed, no rights are needed.
set -euo pipefail
suite=$1
mkdir -p "$2"
folder=$(readlink -f "$2")
[ -x "$folder/nvim" ] && "$folder/nvim" --version > /dev/null 2>&1 && exit 0
command -v apt-get > /dev/null && command -v dpkg > /dev/null || {
    echo "no apt here to take Neovim from" >&2
    exit 1
}

# The mirror that this machine uses already.
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 'debian/\?$' || true)
[ -n "$mirror" ] || { echo "no Debian mirror is configured" >&2; exit 1; }

# An apt of our own: other lists, other state, nothing of the system's is changed.
state=$folder/.apt
rm -rf "$state"
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
: > "$state/status"
echo "deb $mirror $suite main" > "$state/list"
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
apt-get -c "$state/conf" install -y -qq --download-only neovim patchelf > /dev/null
for package in "$state"/cache/archives/*.deb; do dpkg -x "$package" "$folder"; done
rm -rf "$state"

# Its programs need the C library they were built for. Run through the loader, Neovim would take
# the loader for itself and could not start a second Neovim: so the paths are written into them.
libraries=$(dirname "$(find "$folder/usr/lib" -name 'libc.so.6' | head -n1)")
loader=$(find "$libraries" -maxdepth 1 -name 'ld-linux*' | head -n1)
patch() { "$loader" --library-path "$libraries" "$folder/usr/bin/patchelf" "$@"; }
for library in "$libraries"/*.so.*; do
    case $library in *ld-linux* | *libc.so*) continue ;; esac
    [ -L "$library" ] || patch --force-rpath --set-rpath "$libraries" "$library" 2> /dev/null || true
done
patch --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$folder/usr/bin/nvim"

cat > "$folder/nvim" << END
#!/bin/sh
VIMRUNTIME='$folder/usr/share/nvim/runtime' exec '$folder/usr/bin/nvim' "\$@"
END
chmod +x "$folder/nvim"
"$folder/nvim" --version > /dev/null
