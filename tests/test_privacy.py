"""Nothing phones home, and nothing prepares to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_SUPPRESSING = ("ORT_", "CI", "GITHUB_ACTIONS", "GITLAB_CI", "PYTEST", "TF_BUILD")


def test_reading_a_picture_leaves_no_id_of_the_machine(
    tmp_path: Path, draw_line: Callable[..., bytes]
) -> None:
    """ONNX Runtime's telemetry keeps an id and a queue of events below the user's cache."""
    home = tmp_path / "home"
    home.mkdir()
    picture = tmp_path / "line.png"
    picture.write_bytes(draw_line("so 101"))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(_SUPPRESSING)
    }
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    command = [sys.executable, "-m", "nhan", "predict", str(picture)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()
    assert "telemetry" not in done.stderr
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []
