"""Training lines per second: our loader beside the naive loop of a tutorial.

Same network (the CRNN baseline), same pictures, same batch size, loss, optimiser and precision;
only how batches are made differs:

* naive: 32 files in file order, decoded and scaled in every epoch, padded to the widest;
* ours: prepared once into a memory map, shuffled, cut into batches of nearly equal width.

Rounds are interleaved, since machines are noisy. Run:

    python benchmarks/training.py                      # 640 made lines, 3 rounds
    python benchmarks/training.py --pictures ../shared/data/vi-lines
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nhan.images import content_hash, decode, encode_png
from nhan.tasks import get_task
from nhan.tasks.learner import Batch, Learner
from nhan.training.loader import Loader
from nhan.training.prepared import Prepared, folder_rows, prepared
from nhan.training.schedule import parameter_groups

BATCH = 32


@dataclass(frozen=True)
class File:
    """A labelled picture on disk, read as a dataset's row."""

    path: Path
    label: str

    @property
    def image(self) -> bytes:
        return self.path.read_bytes()

    @property
    def sha256(self) -> str:
        return content_hash(self.image)


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
        folder = Path(temporary)
        files = _files(options, folder / "pictures")
        task = get_task("text")
        learner = task.learner(
            task.vocabulary([file.label for file in files]), {"network": options.network}
        )
        learner.network.to(memory_format=torch.channels_last)
        began = time.perf_counter()
        pictures = prepared(
            files,
            key=["bench"],
            prepare=learner.preparer,
            preparation=learner.preparation(),
            cache=folder,
        )
        once_s = time.perf_counter() - began
        fits = [not learner.check(f.label, width=pictures.width(i)) for i, f in enumerate(files)]
        files = [file for file, fit in zip(files, fits, strict=True) if fit]
        rounds: dict[str, list[float]] = {"naive": [], "ours": []}
        for number in range(options.rounds + 1):
            for name, batches in (
                ("naive", _naive(learner, files)),
                ("ours", _ours(learner, pictures, fits, number)),
            ):
                rate = _train(learner, batches)
                if number:  # the first round warms up
                    rounds[name].append(rate)
                    print(f"round {number} {name:<6} {rate:7.1f} lines/s", flush=True)
        ratios = [b / a for a, b in zip(rounds["naive"], rounds["ours"], strict=True)]
        for name, rates in rounds.items():
            print(f"{name:<6} median {statistics.median(rates):7.1f} lines/s")
        print(
            f"ratio  median {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
        print(f"preparing {len(files)} pictures once: {once_s:.1f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="a folder with labels.json; default: made")
    parser.add_argument("--lines", type=int, default=640, help="made lines")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--network", default="crnn")
    return parser.parse_args()


def _files(options: argparse.Namespace, folder: Path) -> list[File]:
    if options.pictures is not None:
        rows = folder_rows(options.pictures)
        return [File(options.pictures / name, label) for name, _, label in rows]
    from nhan.synth import line

    folder.mkdir()
    files = []
    for index in range(options.lines):
        made = line(1, index)
        path = folder / f"{index:06d}.png"
        path.write_bytes(encode_png(made.image))
        files.append(File(path, made.text))
    return files


def _naive(learner: Learner, files: list[File]) -> Iterator[Batch]:
    """File order, decoded every time, zeros up to the widest and no notion of true widths."""
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        pictures = [learner.preparer(decode(file.image)) for file in some]
        batch = learner.batch(pictures, [file.label for file in some], training=False)
        images, _ = batch.inputs
        widths = torch.full((len(some),), images.shape[3])
        yield Batch((images, widths), batch.targets, batch.labels)


def _ours(learner: Learner, pictures: Prepared, fits: list[bool], seed: int) -> Iterator[Batch]:
    from nhan.training.prepared import Chosen

    chosen = Chosen(pictures, np.flatnonzero(fits).tolist())
    loader = Loader(
        learner,
        chosen,
        None,
        made_share=0.0,
        seed=seed,
        total=len(chosen),
        pool=2048,
        batch_size=BATCH,
    )
    return (portion.batch for portion in loader)


def _train(learner: Learner, batches: Iterator[Batch]) -> float:
    """One epoch; lines per second, everything included."""
    network = learner.network.train()
    optimizer = torch.optim.AdamW(parameter_groups(network, 0.01), lr=1e-4, fused=True)
    count, began = 0, time.perf_counter()
    for batch in batches:
        loss = learner.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        count += len(batch)
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
