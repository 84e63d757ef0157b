"""Fonts that are on every machine, so that lines are the same on every machine."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest

from nhan.synth import Recipe


@pytest.fixture(scope="session", autouse=True)
def _small_caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep font caches of tests out of the home of whoever runs them."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def dejavu() -> Path:
    """The folder of fonts that comes with matplotlib."""
    return Path(matplotlib.get_data_path()) / "fonts/ttf"


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory, dejavu: Path) -> Recipe:
    """The default recipe over a folder of six faces of DejaVu."""
    folder = tmp_path_factory.mktemp("fonts")
    for name in ("Sans", "Sans-Bold", "SansMono", "Serif", "Serif-Italic", "Sans-Oblique"):
        (folder / f"DejaVu{name}.ttf").symlink_to(dejavu / f"DejaVu{name}.ttf")
    return Recipe(fonts=str(folder))
