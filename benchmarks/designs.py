"""Networks side by side on the same budget: so many made lines, the same schedule and seed.

Prints a row per design: parameters, ms per line on one ONNX Runtime thread (a line ten times as
wide as high), training lines per second, and CER on held-out made lines and on a dev folder by
kind (its subfolders). A design whose run is in OUT already is only scored. Run:

    python benchmarks/designs.py OUT --lines 60000 --dev ../shared/data/vi-lines
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from nhan.images import decode
from nhan.tasks import get_task
from nhan.tasks.learner import Learner
from nhan.training.checkpoint import load_checkpoint
from nhan.training.config import make_config
from nhan.training.export import open_onnx, to_onnx
from nhan.training.job import BEST, CURVE
from nhan.training.prepared import folder_rows
from nhan.training.produce import learner_of
from nhan.training.streamed import train_stream

DESIGNS = {
    "crnn-64": {"network": "crnn", "options": {"height": 64}},
    "convgru-40": {"network": "convgru", "options": {"height": 40}},
    "convgru-48": {"network": "convgru", "options": {"height": 48}},
    "convgru-40-deep": {
        "network": "convgru",
        "options": {"height": 40, "stem": 24, "channels": [48, 96, 160], "blocks": [1, 1, 1],
                    "features": 224, "hidden": 224},
    },
    "svtr-40": {"network": "svtr", "options": {"height": 40}},
}  # fmt: skip


def main() -> None:
    options = _options()
    print("| design | parameters | ms a line | lines/s | made CER | " + "dev CER by kind |")
    for name in options.designs:
        folder = options.out / name
        config = make_config(
            {
                "seed": 20,
                "model": {
                    **DESIGNS[name],
                    "prepare": {
                        "trim_margins": True, "stretch_contrast": True, "invert_dark": True,
                    },
                },
                "length": {"samples": options.lines, "validate_every": max(1, options.lines // 4)},
                "data": {
                    "made": "lines", "made_share": 1.0, "batch_size": 48, "pool": 3072,
                    "batch_pixels": 16_000 * DESIGNS[name]["options"]["height"],
                    "made_options": {"easy": 0.2, "easy_until": options.lines // 4},
                },
                "optimizer": {"lr": 0.0015, "warmup": 0.05, "ema": 0.998},
                "machine": {"precision": "bfloat16", "threads": options.threads},
                "track": "off",
            },
            name,
        )  # fmt: skip
        train_stream(config, folder, resume=True, judged=512, show=False)
        learner = learner_of(load_checkpoint(folder / BEST))
        last = json.loads((folder / CURVE).read_text().splitlines()[-1])
        dev = _dev(learner, options.dev) if options.dev else {}
        print(
            f"| {name} | {sum(p.numel() for p in learner.network.parameters()) / 1e6:.2f} M "
            f"| {_ms(learner):.1f} | {options.lines / last['seconds']:.0f} "
            f"| {last['scores']['made/cer']:.3f} "
            f"| {', '.join(f'{kind} {cer:.3f}' for kind, cer in dev.items())} |",
            flush=True,
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--lines", type=int, default=60_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dev", type=Path)
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    return parser.parse_args()


def _ms(learner: Learner) -> float:
    height = learner.preparation()["height"]
    picture = np.random.default_rng(0).integers(0, 256, (height, 10 * height, 3), dtype=np.uint8)
    batch = learner.batch([picture], [""], training=False)
    session, feed = open_onnx(to_onnx(learner, batch)), learner.feed(batch)
    times = []
    for _ in range(60):
        began = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def _dev(learner: Learner, folder: Path) -> dict[str, float]:
    truths: dict[str, list[str]] = {}
    answers: dict[str, list[str]] = {}
    for name, data, label in folder_rows(folder):
        picture = learner.preparer(decode(data))
        kind = name.split("/")[0] if "/" in name else "all"
        truths.setdefault(kind, []).append(label)
        answers.setdefault(kind, []).extend(
            learner.answers(learner.batch([picture], [""], training=False))
        )
    score = get_task("text").score
    return {kind: score(truths[kind], answers[kind])["cer"] for kind in sorted(truths)}


if __name__ == "__main__":
    main()
