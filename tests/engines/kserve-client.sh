#!/bin/bash
# Installs KServe's own client into .engines/kserve; nothing to do if it is there.
# It pins the server libraries that this package uses too, so it shares no environment with it.
# Prints the folder of its programs.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
venv="$root/.engines/kserve"
exec 9>"/tmp/nhan-engines-kserve.lock"
flock 9
if [ ! -f "$venv/.made" ]; then
  [ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check kserve==0.21.0 >&2
  touch "$venv/.made"
fi
echo "$venv/bin"
