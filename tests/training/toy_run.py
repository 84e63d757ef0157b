"""A drawn dataset and a tiny training, the same in every process; run as a script, it trains."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from toy_stream import LETTERS, ToyStream, draw, label_of

from nhan.images import content_hash
from nhan.training.config import TrainConfig, make_config
from nhan.training.train import Run, train
from nhan.workspace import Workspace

__all__ = ["LETTERS", "ToyStream", "draw", "label_of"]

RUN = "toy"
MODEL = {
    "network": "convgru",
    "options": {"height": 16, "stem": 8, "channels": [16], "blocks": [0],
                "features": 24, "hidden": 24, "dropout": 0.1},
}  # fmt: skip


@dataclass(frozen=True)
class ToyRow:
    image: bytes
    label: str
    sha256: str


def row(label: str) -> ToyRow:
    data = draw(label)
    return ToyRow(data, label, content_hash(data))


@dataclass
class ToyDataset:
    """What training reads of a dataset version, held in memory."""

    splits: dict[str, list[ToyRow]]
    name: str = "toy"
    version: str = "0123456789ab"
    task: str = "text"
    vocabulary: dict[str, Any] = field(default_factory=lambda: {"charset": LETTERS})
    read: list[str] = field(default_factory=list)

    def sizes(self, split: str) -> list[tuple[int, int]]:
        return [Image.open(BytesIO(row.image)).size for row in self.splits.get(split, [])]

    def rows(self, split: str) -> Iterator[ToyRow]:
        self.read.append(split)
        return iter(self.splits.get(split, []))


def dataset(train_rows: int = 48, validation_rows: int = 16) -> ToyDataset:
    return ToyDataset(
        {
            "train": [row(label_of(1, index)) for index in range(train_rows)],
            "validation": [row(label_of(2, index)) for index in range(validation_rows)],
        }
    )


def config(**changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "seed": 3,
        "model": MODEL,
        "preflight": False,
        "track": "off",
        "length": {"epochs": 4},
        "data": {"batch_size": 8},
        "optimizer": {"lr": 0.005, "ema": 0.9},
        "machine": {"device": "cpu", "threads": 1},
    }
    return make_config({**values, **changes}, "test")


def long_config() -> TrainConfig:
    """Long enough to be killed in the middle, with a checkpoint after every step."""
    return config(
        length={"samples": 1600, "validate_every": 240, "save_every_s": 1e-6},
        data={"batch_size": 8, "made": "toy", "made_share": 0.25, "pool": 40},
    )


def run_here(root: Path, chosen: TrainConfig, *, resume: bool = False) -> Run:
    opened = Workspace.open(root) if (root / "nhan.toml").exists() else Workspace.init(root)
    with opened as workspace:
        return train(workspace, dataset(), chosen, run=RUN, resume=resume, show=False)


def add_stream() -> None:
    from nhan.training import stream

    stream.STREAMS["toy"] = "toy_stream:ToyStream"


if __name__ == "__main__":
    add_stream()
    run_here(Path(sys.argv[1]), long_config())
