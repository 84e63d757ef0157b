#!/bin/bash
# Installs a Label Studio server into .engines/label-studio; nothing to do if it is there.
# It has 2 GB of requirements with pins of its own, so it shares no environment with this package.
# Prints the folder of its programs.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
venv="$root/.engines/label-studio"
exec 9>"/tmp/nhan-engines-label-studio.lock"
flock 9
if [ ! -f "$venv/.made" ]; then
  [ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check label-studio==1.23.2 >&2
  touch "$venv/.made"
fi
echo "$venv/bin"
