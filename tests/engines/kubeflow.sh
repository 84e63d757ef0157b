#!/bin/bash
# Installs Kubeflow Pipelines beside this package into .engines/kubeflow, apart because it wants an
# older protobuf; and kfp without its dependencies, as the image of a step has it, into
# .engines/kubeflow-step. Prints the first one's folder of programs.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
venv="$root/.engines/kubeflow"
exec 9>/tmp/nhan-engines-kubeflow.lock
flock 9
if [ ! -f "$venv/.made" ]; then
  [ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
  pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
  $pip -e "$root[kubeflow]" >&2
  $pip --no-deps --upgrade --target "$root/.engines/kubeflow-step" \
    "kfp==$("$venv/bin/python" -c 'import kfp; print(kfp.__version__)')" >&2
  touch "$venv/.made"
fi
echo "$venv/bin"
