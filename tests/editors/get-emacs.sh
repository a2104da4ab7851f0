#!/usr/bin/env bash
# get-emacs.sh FOLDER: an Emacs that has eglot (29 and newer), unpacked into FOLDER from Debian's
# backports. Afterwards FOLDER/emacs runs it. Nothing is installed, no rights are needed.
set -euo pipefail
mkdir -p "$1"
folder=$(readlink -f "$1")
[ -x "$folder/emacs" ] && "$folder/emacs" --version > /dev/null 2>&1 && exit 0
command -v apt-get > /dev/null && command -v dpkg > /dev/null || {
    echo "no apt here to take Emacs from" >&2
    exit 1
}
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 'debian/\?$' || true)
[ -n "$mirror" ] || { echo "no Debian mirror is configured" >&2; exit 1; }

state=$folder/.apt
rm -rf "$state"
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
: > "$state/status"
printf 'deb %s trixie main\n' "$mirror" > "$state/list"
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
apt-get -c "$state/conf" install -y -qq --download-only emacs-nox > /dev/null
for package in "$state"/cache/archives/*.deb; do dpkg -x "$package" "$folder"; done
rm -rf "$state"

# Emacs is run through its own loader: nothing in it starts a second Emacs.
libraries=$(dirname "$(find "$folder/usr/lib" -name 'libc.so.6' | head -n1)")
loader=$(find "$libraries" -maxdepth 1 -name 'ld-linux*' | head -n1)
program=$(find "$folder/usr/bin" -name 'emacs-nox' -o -name 'emacs-[0-9]*' | head -n1)
version=$(ls "$folder/usr/share/emacs" | grep -m1 '^[0-9]')
lib=$(dirname "$(find "$folder/usr" -path '*libexec*' -name '*.pdmp' -o -path '*/emacs/*' -name '*.pdmp' | head -n1)")
dump=$(find "$lib" -name '*.pdmp' | head -n1)
share=$folder/usr/share/emacs/$version
cat > "$folder/emacs" << END
#!/bin/sh
export EMACSLOADPATH='$share/lisp':"\$(find '$share/lisp' -type d | tr '\n' ':')"
export EMACSDATA='$share/etc' EMACSDOC='$share/etc' EMACSPATH='$lib'
exec '$loader' --library-path '$libraries' '$program' --dump-file='$dump' "\$@"
END
chmod +x "$folder/emacs"
"$folder/emacs" --version > /dev/null
