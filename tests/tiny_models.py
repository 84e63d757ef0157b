"""A workspace with drawn samples and, in seconds, a trained model of each task."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nhan.datasets.freeze import freeze
from nhan.models.package import Package
from nhan.samples.importer import import_samples
from nhan.workspace import Workspace

LINES, COLOURS = "lines", {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}

TEXT_OPTIONS = (
    "model.options.stem=4",
    "model.options.channels=[8]",
    "model.options.blocks=[1]",
    "model.options.features=16",
    "model.options.hidden=16",
)
CLASS_OPTIONS = ("model.backbone=small", "model.network.width=4", "model.network.stages=2")
QUICK = (
    "length.samples=240",
    "length.validate_every=120",
    "data.batch_size=8",
    "preflight=false",
    "track=off",
    "machine.threads=1",
    "machine.device=cpu",
)


def draw_line(text: str, *, height: int = 32) -> bytes:
    """A text as a one-line PNG of its own width."""
    font = ImageFont.load_default(size=height * 0.6)
    width = max(8, int(font.getlength(text)) + height // 2)
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).text((height // 4, height // 6), text, fill="black", font=font)
    return _png(image)


def draw_colour(name: str, seed: int) -> bytes:
    """A noisy patch of a colour; sizes differ."""
    rng = np.random.default_rng(seed)
    width, height = 24 + seed % 17, 24 + seed % 11
    noise = rng.integers(-30, 31, (height, width, 3))
    picture = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
    return _png(Image.fromarray(picture))


def line_of(number: int) -> str:
    """Labels of many widths."""
    return f"so {number * 7919 % 9973}" + " tang hai" * (number % 4)


def add_lines(workspace: Workspace, folder: Path, count: int = 48, first: int = 0) -> None:
    """Import drawn lines."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = {f"{n:04}.png": line_of(n) for n in range(first, first + count)}
    for name, text in labels.items():
        (folder / name).write_bytes(draw_line(text))
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    import_samples(workspace, folder, task="text")


def add_colours(workspace: Workspace, folder: Path, each: int = 16) -> None:
    """Import drawn patches, a folder a class."""
    for name in COLOURS:
        (folder / name).mkdir(parents=True)
        for seed in range(each):
            (folder / name / f"{seed}.png").write_bytes(draw_colour(name, seed))
    import_samples(workspace, folder, task="classes")


def train_text(workspace: Workspace, folder: Path, *options: str, model: str = "reader") -> Package:
    """Import, freeze and train lines of text; options as `--set` takes them."""
    from nhan.pipeline.make_model import make_model
    from nhan.training.config import load_config

    add_lines(workspace, folder)
    freeze(workspace, LINES, task="text")
    config = load_config(None, (*TEXT_OPTIONS, *QUICK, *options))
    return make_model(workspace, LINES, config, model=model, show=False)


def train_colours(workspace: Workspace, folder: Path, *, model: str = "colours") -> Package:
    """Import, freeze and train classes."""
    from nhan.pipeline.make_model import make_model
    from nhan.training.config import load_config

    add_colours(workspace, folder)
    freeze(workspace, "patches", task="classes")
    config = load_config(None, (*CLASS_OPTIONS, *QUICK))
    return make_model(workspace, "patches", config, model=model, show=False)


def _png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()
