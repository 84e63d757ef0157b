"""Settings for a reader so small that a round takes seconds, and lines for it."""

from __future__ import annotations

import json
from pathlib import Path

TINY = (
    "model.options.stem=4",
    "model.options.channels=[8]",
    "model.options.blocks=[1]",
    "model.options.features=16",
    "model.options.hidden=16",
    "length.samples=120",
    "length.validate_every=60",
    "length.save_every_s=0.05",
    "preflight=false",
    "track=off",
)
DATASET, MODEL = "lines", "reader"


def settings(root: Path, **more: object) -> None:
    """Write a workspace's `nhan.toml` for quick rounds."""
    values = {"dataset": DATASET, "model": MODEL, "start": "scratch", "train": list(TINY),
              "budget_samples": 0, "verify_s": 2.0, **more}  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    (root / "nhan.toml").write_text(
        "[serve]\nport = 0\n[loop]\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )


def numbers(start: int, stop: int) -> list[str]:
    """Lines that are unlike each other."""
    return [f"so {number * 7919 % 9973} x" for number in range(start, stop)]
