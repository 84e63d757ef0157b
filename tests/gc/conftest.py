"""A workspace that has seen some use, three days ago."""

from __future__ import annotations

from pathlib import Path

import pytest

from nhan.workspace import Workspace
from used_workspace import age, fill


@pytest.fixture
def used(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Samples, a dataset version, a champion, uploads in every state; all of it is old."""
    fill(workspace, tmp_path / "pictures")
    age(workspace)
    return workspace
