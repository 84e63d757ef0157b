"""Image classes from a folder of class folders, once round: import, freeze, train, evaluate.

Prints test accuracy with its interval, macro F1, calibration before and after, what int8 costs,
and the time of one answer. Beside it, on the same splits, the network of the usual first tutorial
(three convolutions and a dense layer, pixels scaled to 0..1, no augmentation). Run:

    python benchmarks/classes.py                                    # scikit-learn's digits
    python benchmarks/classes.py --splits 6                         # how far luck goes: defaults
    python benchmarks/classes.py ../shared/data/flowers --photos    # photographs, 40 epochs

"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from nhan.datasets.freeze import freeze
from nhan.datasets.read import DatasetVersion
from nhan.evaluation.evaluate import evaluate
from nhan.evaluation.record import Evaluation
from nhan.images import decode
from nhan.models.package import Package
from nhan.models.predictor import Predictor
from nhan.pipeline.make_model import make_model
from nhan.samples.importer import import_samples
from nhan.tasks.classes.prepare import Preparation
from nhan.training.config import load_config
from nhan.workspace import Workspace

DIGITS = ["model.prepare.size=32", "length.epochs=12"]
PHOTOS = [
    "model.prepare.size=96",
    "model.network.width=24",
    "model.augment=photo",
    "length.epochs=40",
    "optimizer.lr=0.002",
    "optimizer.weight_decay=0.05",
    "optimizer.ema=0.998",
]
ALWAYS = ["model.backbone=small", "track=off", "preflight=false"]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    if options.splits:
        _luck(options)
        return
    with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
        folder = Path(temporary)
        pictures = options.pictures or write_digits(folder / "digits")
        with Workspace.init(folder / "workspace") as workspace:
            import_samples(workspace, pictures, task="classes")
            dataset = freeze(workspace, "bench", "classes").dataset
            print(f"{pictures.name}: {dataset.splits}, {dataset.vocabulary['classes']}")
            sets = [*ALWAYS, *(PHOTOS if options.photos else DIGITS)]
            sets += [f"machine.threads={options.threads}", f"seed={options.seed}", *options.set]
            config = load_config(None, sets)
            package, seconds = _train(workspace, dataset, config)
            evaluation = evaluate(workspace, package.ref)
            _report(package, evaluation, seconds)
            _first_answer(package, dataset)
            if not options.no_tutorial:
                side = int(config.model["prepare"]["size"])
                _tutorial(dataset, side, epochs=options.tutorial_epochs, seed=options.seed)


def _luck(options: argparse.Namespace) -> None:
    """The defaults alone, on several splits, each with a seed of its own: a table row each."""
    print("| split, seed | train / validation / test | accuracy (95 %) | processor s | s |")
    for number in range(1, options.splits + 1):
        with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
            folder = Path(temporary)
            pictures = options.pictures or write_digits(folder / "digits")
            with Workspace.init(folder / "workspace") as workspace:
                workspace.settings.split.salt = str(number)
                import_samples(workspace, pictures, task="classes")
                dataset = freeze(workspace, "bench", "classes").dataset
                sets = ["model.backbone=small", "track=off", f"seed={number}", *options.set]
                config = load_config(None, [*sets, f"machine.threads={options.threads}"])
                began, burnt = time.perf_counter(), time.process_time()
                package = make_model(workspace, dataset.ref, config, show=False)
                took, burnt = time.perf_counter() - began, time.process_time() - burnt
                accuracy = evaluate(workspace, package.ref).metrics["accuracy"]
        splits = " / ".join(str(dataset.splits[n]) for n in ("train", "validation", "test"))
        print(
            f"| {number} | {splits} | {accuracy.value:.1%} ({accuracy.low:.1%}–{accuracy.high:.1%})"
            f" | {burnt:.0f} | {took:.0f} |",
            flush=True,
        )


def write_digits(folder: Path) -> Path:
    """scikit-learn's 1,797 handwritten digits, 8 × 8 px, as PNG files in class folders."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (grey, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        target = folder / str(label)
        target.mkdir(parents=True, exist_ok=True)
        pixels = (255 - grey * (255 / 16)).round().astype(np.uint8)
        Image.fromarray(pixels).save(target / f"{number:04}.png")
    return folder


def _train(workspace: Workspace, dataset: DatasetVersion, config) -> tuple[Package, float]:
    started = time.perf_counter()
    package = make_model(workspace, dataset.ref, config, int8=True, show=False)
    return package, time.perf_counter() - started


def _report(package: Package, evaluation: Evaluation, seconds: float) -> None:
    scores = evaluation.metrics
    for name in ("accuracy", "macro_f1", "top_3_error", "error"):
        if name in scores:
            score = scores[name]
            print(f"{name:12} {score.value:.4f}  {score.low:.4f} to {score.high:.4f}")
    spec = package.spec.to_dict()
    print("by class    ", {k: round(1 - s.value, 3) for k, s in evaluation.slices["class"].items()})
    print(
        "calibration ",
        json.dumps(spec["calibration"]),
        f"test ECE {evaluation.calibration.ece:.4f}",
    )
    print("int8        ", spec["about"].get("int8"))
    print(
        "export      ", spec["about"]["export"], {n: f.bytes for n, f in package.spec.files.items()}
    )
    speed = evaluation.speed
    print(f"answers      {speed.median_ms:.1f} ms median, {speed.p95_ms:.1f} p95")
    print(f"trained in   {seconds:.0f} s with export and calibration")


def _first_answer(package: Package, dataset: DatasetVersion) -> None:
    """From nothing loaded but Python's modules to the first answer."""
    row = next(dataset.rows("test"))
    started = time.perf_counter()
    answer = Predictor.load(package).predict(row.image)
    print(f"first answer {1e3 * (time.perf_counter() - started):.0f} ms: {answer.value!r}")


def _tutorial(dataset: DatasetVersion, side: int, *, epochs: int, seed: int) -> None:
    torch.manual_seed(seed)
    classes = dataset.vocabulary["classes"]
    squeeze = Preparation(size=side, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    parts = {}
    for split in ("train", "validation", "test"):
        rows = list(dataset.rows(split))
        pixels = np.stack([squeeze.prepare(decode(row.image)) for row in rows])
        parts[split] = (pixels, torch.tensor([classes.index(row.label) for row in rows]))
    last = side // 8
    network = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * last * last, 128), nn.ReLU(), nn.Linear(128, len(classes))),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    started = time.perf_counter()
    best = (0.0, 0.0)
    for _ in range(epochs):
        network.train()
        pixels, targets = parts["train"]
        for chosen in torch.randperm(len(targets)).split(32):
            images = torch.from_numpy(squeeze.to_input(pixels[chosen.numpy()]))
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), targets[chosen]).backward()
            optimizer.step()
        scores = (_accuracy(network, squeeze, *parts[name]) for name in ("validation", "test"))
        best = max(best, tuple(scores))
    took = time.perf_counter() - started
    print(f"tutorial CNN {best[1]:.4f} test accuracy at its best validation, {took:.0f} s")


@torch.inference_mode()
def _accuracy(
    network: nn.Module, squeeze: Preparation, pixels: np.ndarray, targets: torch.Tensor
) -> float:
    network.eval()
    right = 0
    for chosen in torch.arange(len(targets)).split(64):
        said = network(torch.from_numpy(squeeze.to_input(pixels[chosen.numpy()]))).argmax(1)
        right += int((said == targets[chosen]).sum())
    return right / max(len(targets), 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", nargs="?", type=Path, help="a folder of class folders")
    parser.add_argument("--photos", action="store_true", help="options for photographs")
    parser.add_argument(
        "--splits", type=int, default=0, help="the defaults alone, on so many splits and seeds"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tutorial-epochs", type=int, default=15)
    parser.add_argument("--no-tutorial", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
