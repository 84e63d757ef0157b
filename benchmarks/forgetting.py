"""What a reader forgets when it is trained further on twenty pictures of one odd kind.

Twenty made pictures that say nothing but one symbol are trained on, from the bundled reader, once
with rehearsal (made lines mixed in, the default) and once without. The CER on a folder that
neither saw, before and after, shows what was lost. Run:

    python benchmarks/forgetting.py ../shared/data/vi-lines --symbol @
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nhan.images import content_hash, decode, encode_png
from nhan.models.bundled import bundled_package
from nhan.synth import line
from nhan.tasks import get_task
from nhan.training.checkpoint import Checkpoint, load_checkpoint
from nhan.training.config import make_config
from nhan.training.job import BEST, LAST
from nhan.training.prepared import folder_rows
from nhan.training.produce import WEIGHTS, learner_of
from nhan.training.train import train
from nhan.workspace import Workspace


@dataclass(frozen=True)
class Row:
    image: bytes
    label: str

    @property
    def sha256(self) -> str:
        return content_hash(self.image)


@dataclass
class Symbols:
    """A dataset version held in memory."""

    splits: dict[str, list[Row]]
    name: str = "symbols"
    version: str = "1"
    task: str = "text"
    vocabulary: dict[str, Any] = field(default_factory=lambda: get_task("text").vocabulary([]))

    def sizes(self, split: str) -> list[tuple[int, int]]:
        return [decode(row.image).shape[1::-1] for row in self.splits.get(split, [])]

    def rows(self, split: str) -> Iterable[Row]:
        return self.splits.get(split, [])


def main() -> None:
    options = _options()
    dev = [(decode(data), label) for _, data, label in folder_rows(options.folder)]
    package = bundled_package()
    assert package is not None, "this installation comes without the bundled reader"
    with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
        start = Path(temporary) / WEIGHTS
        start.write_bytes(package.read(WEIGHTS))
        data = _symbols(options.symbol)
        tests = [(decode(row.image), row.label) for row in data.rows("train")]
        before = _cer(load_checkpoint(start), dev)
        symbols = _cer(load_checkpoint(start), tests)
        print(
            f"before                 dev CER {before:.4f}   symbols CER {symbols:.3f}", flush=True
        )
        for rehearse in (True, False):
            with Workspace.init(Path(temporary) / str(rehearse)) as workspace:
                config = make_config(
                    {
                        "length": {"epochs": options.epochs},
                        "data": {"rehearse": rehearse},
                        "start_from": "vi-line",
                        "track": "off",
                    },
                    "the benchmark",
                )
                run = train(workspace, data, config, start=start, show=False)
            for kept in (BEST, LAST):
                checkpoint = load_checkpoint(run.folder / kept)
                after = _cer(checkpoint, dev)
                print(
                    f"{'with' if rehearse else 'without':<7} rehearsal, {kept[:4]} "
                    f"dev CER {after:.4f} ({after / before - 1:+.1%})   "
                    f"symbols CER {_cer(checkpoint, tests):.3f}",
                    flush=True,
                )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder with labels.json")
    parser.add_argument("--symbol", default="@")
    parser.add_argument("--epochs", type=int, default=30)
    return parser.parse_args()


def _symbols(symbol: str) -> Symbols:
    """Twenty pictures of one symbol, drawn as a sloppy collector would: all much alike."""
    rows = []
    for index in range(20):
        paper = line(5, index).image[:1, :1].reshape(3).tolist()
        image = Image.new("RGB", (40 + index, 40), tuple(paper))
        ink = (255, 255, 255) if sum(paper) < 384 else (0, 0, 0)
        font = ImageFont.load_default(size=24)
        ImageDraw.Draw(image).text((8 + index // 2, 4), symbol, fill=ink, font=font)
        rows.append(Row(encode_png(np.asarray(image)), symbol))
    return Symbols({"train": rows[:16], "validation": rows[16:]})


def _cer(checkpoint: Checkpoint, samples: Sequence[tuple[Any, str]]) -> float:
    learner = learner_of(checkpoint)
    answers = []
    for picture, _ in samples:
        batch = learner.batch([learner.preparer(picture)], [""], training=False)
        answers += learner.answers(batch)
    return get_task("text").score([label for _, label in samples], answers)["cer"]


if __name__ == "__main__":
    main()
