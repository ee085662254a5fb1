#!/bin/sh
# Installs what tests/clients.rs needs from npm and PyPI into a directory, by default target/clients:
#   DIR/node/node_modules   axios      (NODE_PATH)
#   DIR/python              requests   (PYTHONPATH)
# The tools themselves (curl, node, python3, php with curl, go, java, ruby) are the system's.
# A directory that is complete is left as it is; a changed version installs anew.
set -eu

axios=1.21.1
requests=2.34.2

directory=${1:-target/clients}
wanted="axios $axios requests $requests"
if [ "$(cat "$directory/installed" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

rm -rf "$directory"
mkdir -p "$directory/node" "$directory/python"
npm install --prefix "$directory/node" --no-audit --no-fund --no-save --loglevel=error "axios@$axios"
python3 -m pip install --quiet --disable-pip-version-check --target "$directory/python" "requests==$requests"
echo "$wanted" >"$directory/installed"
