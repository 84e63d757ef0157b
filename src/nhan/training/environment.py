"""What a run was made with: saved beside its config, so that it can be made again."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

import nhan


def environment() -> dict[str, Any]:
    """Versions, machine and the commit of the code; nothing that names a person or a place."""
    return {
        "nhan": nhan.__version__,
        "commit": commit(Path(nhan.__file__).parent),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": version("lightning"),
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    }


def commit(folder: Path) -> str:
    """The git commit a folder's code is at, `+` behind it if files differ; empty if unknown."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603  fixed words, no input of anybody
        ["git", *arguments],  # noqa: S607  whichever git the user has
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()
