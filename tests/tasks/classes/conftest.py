"""Drawn pictures of classes, and a tiny untrained backbone saved like a real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nhan.images import RGB

SHAPES = ("ca rô", "chấm tròn", "chữ thập", "sọc dọc", "sọc ngang")


def draw_shape(name: str, seed: int, side: int = 48) -> RGB:
    """A shape of random place, size and colours on a textured, noisy ground: uint8 (H, W, 3)."""
    rng = np.random.default_rng([seed, SHAPES.index(name)])
    height, width = side, side + int(rng.integers(0, side // 2))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    size = rng.uniform(0.22, 0.35) * side
    middle_y = rng.uniform(size, height - size)
    middle_x = width / 2 + rng.uniform(-0.1, 0.1) * side
    from_y, from_x = np.abs(y - middle_y), np.abs(x - middle_x)
    period = rng.uniform(6, 10)
    shape = {
        "chấm tròn": np.hypot(from_y, from_x) < size,
        "chữ thập": (np.minimum(from_y, from_x) < size / 4) & (np.maximum(from_y, from_x) < size),
        "ca rô": (x % period < period / 2) ^ (y % period < period / 2),
        "sọc dọc": (x % period < period / 2),
        "sọc ngang": (y % period < period / 2),
    }[name]
    ground, ink = rng.uniform(0, 110, 3), rng.uniform(145, 255, 3)
    if rng.random() < 0.5:
        ground, ink = ink, ground
    texture = 14 * np.sin(x * rng.uniform(0.05, 0.3) + y * rng.uniform(0.05, 0.3))
    pixels = np.where(shape[..., None], ink, ground) + texture[..., None]
    return np.clip(pixels + rng.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def draw() -> Callable[..., RGB]:
    return draw_shape


@pytest.fixture(scope="session")
def shapes() -> tuple[str, ...]:
    return SHAPES


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet of three small stages with random weights, as `save_pretrained` writes it."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    transformers.logging.disable_progress_bar()
    torch.manual_seed(3)
    config = transformers.ResNetConfig(
        embedding_size=32, hidden_sizes=[32, 64, 128], depths=[1, 1, 1], layer_type="basic"
    )
    folder = tmp_path_factory.mktemp("backbone")
    # With a classification head, as networks on the hub have: it must be left behind.
    transformers.ResNetForImageClassification(config).save_pretrained(folder)
    numbers = {
        "size": {"shortest_edge": 56},
        "crop_pct": 0.875,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(numbers))
    return folder
