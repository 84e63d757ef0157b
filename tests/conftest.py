"""Fixtures that every area shares: drawn pictures, a fresh workspace, the optional shared data."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nhan.workspace import Workspace

# Tests run side by side: one thread each, set before torch starts its pool.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes tells of what else runs on the machine, not of our code.
hypothesis.settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared machine")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's NHAN_* variables must not change what the tests see."""
    for name in list(os.environ):
        if name.startswith("NHAN_") and name != "NHAN_FONTS":
            monkeypatch.delenv(name)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A new workspace on the embedded defaults."""
    with Workspace.init(tmp_path / "workspace") as opened:
        yield opened


@pytest.fixture(scope="session")
def draw_line() -> Callable[..., bytes]:
    """Draws a text as a one-line PNG; the built-in font of Pillow knows Latin letters only."""

    def draw(text: str, *, height: int = 32, ink: int = 0, paper: int = 255) -> bytes:
        font = ImageFont.load_default(size=height * 0.6)
        width = max(8, int(font.getlength(text)) + height // 2)
        image = Image.new("RGB", (width, height), (paper,) * 3)
        ImageDraw.Draw(image).text((height // 4, height // 6), text, fill=(ink,) * 3, font=font)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    return draw


@pytest.fixture
def random_rgb() -> Callable[..., np.ndarray]:
    """Noise of a size, reproducible: uint8 (H, W, 3)."""

    def make(height: int, width: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return make


@pytest.fixture
def shared_data() -> Path:
    """Real pictures beside the checkout; a user's clone has none."""
    path = SHARED / "data"
    if not path.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return path


@pytest.fixture
def shared_schemas() -> Path:
    """Published schemas beside the checkout; a user's clone has none."""
    path = SHARED / "schemas"
    if not path.is_dir():
        pytest.skip("no ../shared/schemas beside this checkout")
    return path
