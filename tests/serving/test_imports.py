"""What starting a server imports: no torch, no database, nothing that trains or draws."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "sqlalchemy", "alembic", "mlflow", "matplotlib", "pandas", "sklearn")


@pytest.mark.parametrize(
    "module", ["nhan.serving.front", "nhan.serving.supervisor", "nhan.serving.engine.worker"]
)
def test_serving_imports_nothing_heavy(module):
    code = f"import sys, {module}; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_workers_can_be_forked():
    """What the supervisor imports must start no thread: threads do not survive a fork."""
    code = (
        "import os, importlib; from nhan.serving import supervisor as s\n"
        "for name in s._SHARED_BY_WORKERS: importlib.import_module(name)\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    environment = {"OPENBLAS_NUM_THREADS": "1", "PATH": "/usr/bin"}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert ran.stdout.strip() == "1"
