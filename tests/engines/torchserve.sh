#!/bin/bash
# Installs TorchServe with this package beside it into .engines/torchserve; nothing to do if it is there.
# Prints the folder of its programs.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
venv="$root/.engines/torchserve"
command -v java >/dev/null 2>&1 || { echo "error: TorchServe needs Java" >&2; echo "hint: apt-get install openjdk-17-jre-headless" >&2; exit 2; }
exec 9>"/tmp/nhan-engines-torchserve.lock"
flock 9
if [ ! -f "$venv/.made" ]; then
  [ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
  pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
  $pip torch==2.13.0 >&2
  $pip torchserve==0.12.0 torch-model-archiver==0.12.0 >&2
  $pip -e "$root" >&2
  touch "$venv/.made"
fi
echo "$venv/bin"
