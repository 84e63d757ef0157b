"""Waiting until a command does its work, so that kills hit that and not its start."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

from nhan.workspace import Workspace


def killed_within(process: subprocess.Popen[bytes], seconds: float | None) -> bool:
    """Kill a command that has not ended by then; False where it had, and well."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    assert process.returncode == 0
    return False


def wait_until_at_work(workspace: Workspace, process: subprocess.Popen[bytes]) -> None:
    """Wait until it has opened the catalogue, or has ended; a busy machine takes its time."""
    catalog = str(workspace.root / "catalog.db")
    opened = Path(f"/proc/{process.pid}/fd")
    while process.poll() is None:
        with suppress(OSError):  # a file closed, or the process gone, while we look
            if any(str(one.readlink()) == catalog for one in opened.iterdir()):
                return
        time.sleep(0.001)
