#!/usr/bin/env bash
# get-chromium.sh FOLDER: a Chromium, unpacked into FOLDER with whatever of its libraries this
# system lacks. Afterwards FOLDER/chromium runs it. Nothing is installed, no rights are needed.
set -euo pipefail
mkdir -p "$1"
folder=$(readlink -f "$1")
[ -x "$folder/chromium" ] && "$folder/chromium" --version > /dev/null 2>&1 && exit 0
command -v apt-get > /dev/null && command -v dpkg > /dev/null || {
    echo "no apt here to take Chromium from" >&2
    exit 1
}

# Lists and cache of our own, but the system's own sources and its own list of what is installed.
state=$folder/.apt
rm -rf "$state"
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
options=(-o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache" -o "Debug::NoLocking=1"
    -o "APT::Install-Recommends=false" -o "APT::Sandbox::User=root" -o "Acquire::Languages=none")
apt-get "${options[@]}" update -qq
apt-get "${options[@]}" install -y -qq --download-only chromium fontconfig-config fonts-dejavu-core > /dev/null
for package in "$state"/cache/archives/*.deb; do dpkg -x "$package" "$folder"; done
rm -rf "$state"

program=$(command -v chromium || true)
[ -x "$folder/usr/lib/chromium/chromium" ] && program=$folder/usr/lib/chromium/chromium
libraries=$(find "$folder/usr/lib" "$folder/lib" -name '*.so*' -printf '%h\n' 2> /dev/null | sort -u | tr '\n' ':' || true)
# Fonts of our own, so that pictures look the same on every machine.
cat > "$folder/fonts.conf" << END
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>$folder/usr/share/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>$folder/font-cache</cachedir>
  <alias binding="same"><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
  <alias binding="same"><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <match target="pattern">
    <edit name="family" mode="append_last"><string>DejaVu Sans</string></edit>
  </match>
</fontconfig>
END
cat > "$folder/chromium" << END
#!/bin/sh
LD_LIBRARY_PATH='$libraries':\$LD_LIBRARY_PATH FONTCONFIG_FILE='$folder/fonts.conf' exec '$program' "\$@"
END
chmod +x "$folder/chromium"
"$folder/chromium" --version > /dev/null
