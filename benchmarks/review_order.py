"""How many labels are needed for the same CER: reviewed in the queue's order, or in random order.

A small reader learns codes in upright sans-serif type. Then the stream changes: a share of the
lines comes in an odd type (slanted serifs, lighter ink). A reviewer labels lines of a pool, in
steps; after each step the reader is trained further from where it stood at first, on all labels so
far and as many old lines, and judged on lines of the changed stream that nobody labels. The queue
is ranked anew after each step, by the very rules of `nhan.review.usefulness`. Run:

    OMP_NUM_THREADS=1 python benchmarks/review_order.py --seeds 0 1 2 --out order.json \
        --plot docs/images/review-order.png

A seed takes some minutes on one core; with --out each result is kept, and a second run goes on.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from nhan.datasets.near import Look, near_clusters
from nhan.images import perceptual_hash, thumbnail
from nhan.review.usefulness import Known, thin_out, worth
from nhan.synth import fonts
from nhan.tasks import get_task
from nhan.tasks.base import Answer
from nhan.tasks.text.learner import TextLearner

TEXT = get_task("text")
LETTERS = "ABCDEGHIKLMNOPQRSTUVXYĐÂÊÔƠƯ0123456789"
BUDGETS = (20, 40, 80, 160, 320)
SHARES = (0.1, 0.3, 1.0)
ORDERS = ("random", "useful")
OLD, POOL, TEST = 2000, 1000, 400
FIRST_STEPS, FURTHER_STEPS, BATCH = 700, 90, 32
_NETWORK = {
    "network": "convgru",
    "options": {
        "height": 32, "stem": 16, "channels": [24, 48], "blocks": [1, 1], "features": 64,
        "hidden": 64, "dropout": 0.0,
    },
}  # fmt: skip
_FAMILIAR = ("DejaVuSans", "LiberationSans")
_ODD = ("LiberationSerif-Italic", "LiberationSerif-BoldItalic", "DejaVuSerif-Italic")


@dataclass
class Line:
    rgb: np.ndarray
    text: str
    odd: bool
    prepared: np.ndarray

    @property
    def look(self) -> Look:
        height, width = self.rgb.shape[:2]
        return Look(perceptual_hash(self.rgb), thumbnail(self.rgb), width, height)


@cache
def _faces(odd: bool) -> list[str]:
    wanted = _ODD if odd else _FAMILIAR
    found = [
        face.path
        for face in fonts.find()
        if face.name.startswith(wanted) and ("Oblique" not in face.name or odd)
    ]
    assert found, f"no font begins with one of {wanted}"
    return found


def make_lines(learner: TextLearner, seed: int, count: int, *, odd_share: float) -> list[Line]:
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        odd = bool(rng.random() < odd_share)
        text = "".join(rng.choice(list(LETTERS), rng.integers(5, 10)))
        rgb = _draw(text, rng, odd=odd)
        lines.append(Line(rgb, text, odd, learner.preparer(rgb)))
    return lines


def _draw(text: str, rng: np.random.Generator, *, odd: bool) -> np.ndarray:
    faces = _faces(odd)
    font = ImageFont.truetype(faces[rng.integers(len(faces))], int(rng.integers(22, 30)))
    paper = int(rng.integers(215, 256))
    ink = int(rng.integers(60, 140)) if odd else int(rng.integers(0, 70))
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 12, int(bottom - top) + 10), paper)
    ImageDraw.Draw(image).text((6 - left, 5 - top), text, fill=ink, font=font)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.0))))
    noisy = np.asarray(image, np.float32) + rng.normal(0, 6, (image.height, image.width))
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def learn(
    learner: TextLearner,
    steps: int,
    rate: float,
    draw: Callable[[np.random.Generator], list[Line]],
    seed: int,
) -> None:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(learner.network.parameters(), rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    learner.network.train()
    for _ in range(steps):
        lines = draw(rng)
        batch = learner.batch(
            [line.prepared for line in lines], [line.text for line in lines], training=True
        )
        optimiser.zero_grad()
        learner.loss(batch).backward()
        torch.nn.utils.clip_grad_norm_(learner.network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    learner.network.eval()


@torch.inference_mode()
def read(learner: TextLearner, lines: Sequence[Line]) -> list[Answer]:
    reader = TEXT.reader({"prepare": learner.preparation(), "outputs": learner.outputs()})
    answers = []
    for start in range(0, len(lines), 64):
        some = lines[start : start + 64]
        batch = learner.batch([line.prepared for line in some], [""] * len(some), training=False)
        log_probs, steps = (out.numpy() for out in learner.network(*batch.inputs))
        rows = zip(np.split(log_probs, len(some)), np.split(steps, len(some)), strict=True)
        answers += [reader.answer([row]) for row in rows]
    return answers


def cer(learner: TextLearner, lines: Sequence[Line]) -> float:
    answers = [answer.value for answer in read(learner, lines)]
    return TEXT.score([line.text for line in lines], answers)["cer"]


def ordered(learner: TextLearner, labelled: Sequence[Line], pool: Sequence[Line]) -> list[int]:
    """The pool as the review queue hands it out."""
    known = Known.of(TEXT, [(line.look, line.text) for line in labelled])
    answers, looks = read(learner, pool), [line.look for line in pool]
    worths = worth(TEXT, known, looks, [(answer, "") for answer in answers])
    said = zip(looks, answers, strict=True)
    clusters = near_clusters([replace(look, label=one.value) for look, one in said], bits=3)
    found = thin_out(worths, clusters)
    return sorted(range(len(pool)), key=lambda index: -found[index].priority)


def one_seed(seed: int, shares: Sequence[float]) -> Iterator[tuple[str, dict[str, list[float]]]]:
    torch.manual_seed(seed)
    learner = TextLearner({"charset": "".join(sorted(LETTERS))}, _NETWORK)
    old = make_lines(learner, 1000 + seed, OLD, odd_share=0.0)
    learn(learner, FIRST_STEPS, 4e-3, partial(_mixed, [], old), seed)
    start = copy.deepcopy(learner.network.state_dict())
    for share in shares:
        pool = make_lines(learner, 2000 + seed, POOL, odd_share=share)
        test = make_lines(learner, 3000 + seed, TEST, odd_share=share)
        learner.network.load_state_dict(start)
        before = cer(learner, test)
        curves = {order: [before] for order in ORDERS}
        for order in ORDERS:
            learner.network.load_state_dict(start)
            left, chosen = list(pool), list[Line]()
            for budget in BUDGETS:
                ranks = list(range(len(left)))
                if order == "useful":
                    ranks = ordered(learner, [*old, *chosen], left)  # type: ignore[assignment]
                taken = set(list(ranks)[: budget - len(chosen)])
                chosen += [left[index] for index in sorted(taken)]
                left = [line for index, line in enumerate(left) if index not in taken]
                learner.network.load_state_dict(start)
                learn(learner, FURTHER_STEPS, 2e-3, partial(_mixed, chosen, old), seed)
                curves[order].append(cer(learner, test))
        print(f"seed {seed}, share {share:g}: {_rounded(curves)}", flush=True)
        yield str(share), curves


def _mixed(new: list[Line], old: list[Line], rng: np.random.Generator) -> list[Line]:
    half = BATCH // 2 if new else 0
    chosen = [new[i] for i in rng.integers(0, max(len(new), 1), half)]
    return chosen + [old[i] for i in rng.integers(0, len(old), BATCH - half)]


def labels_needed(curve: Sequence[float], target: float) -> float:
    """Where a curve first reaches a CER, between its points; inf if it never does."""
    counts = (0, *BUDGETS)
    for index in range(1, len(curve)):
        high, low = curve[index - 1], curve[index]
        if low <= target:
            part = (high - target) / (high - low)
            return counts[index - 1] + part * (counts[index] - counts[index - 1])
    return float("inf")


def times_fewer(curves: dict[str, list[float]], index: int) -> float | None:
    """How many times fewer labels the queue's order needs for what random order has there.

    None where random order has brought nothing yet: its CER is what it was before any label.
    """
    target = curves["random"][index]
    if target >= curves["random"][0]:
        return None
    return BUDGETS[index - 1] / labels_needed(curves["useful"], target)


def report(results: dict[str, dict[str, dict[str, list[float]]]]) -> None:
    for share in sorted({share for one in results.values() for share in one}, key=float):
        seeds = [one[share] for one in results.values() if share in one]
        print(f"\nodd lines: {float(share):.0%} of the stream; {len(seeds)} seeds, mean CER")
        print("labels   random   useful   times fewer labels for random's CER: of the means, each")
        means = {
            order: np.mean([seed[order] for seed in seeds], axis=0).tolist() for order in ORDERS
        }
        for index, budget in enumerate((0, *BUDGETS)):
            found = [times_fewer(one, index) for one in (means, *seeds)] if index else []
            told = "  ".join("  -" if one is None else f"{one:.1f}" for one in found)
            row = (means[order][index] for order in ORDERS)
            print(f"{budget:6d}   {'   '.join(f'{value:.4f}' for value in row)}   {told}")


def plot(results: dict[str, dict[str, dict[str, list[float]]]], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shares = sorted({share for one in results.values() for share in one}, key=float)
    figure, axes = plt.subplots(1, len(shares), figsize=(3.6 * len(shares), 3.2), squeeze=False)
    for axis, share in zip(axes[0], shares, strict=True):
        seeds = [one[share] for one in results.values() if share in one]
        for order, colour, name in (
            ("random", "#888888", "random order"),
            ("useful", "#1b6e5a", "the queue's order"),
        ):
            counts = (0, *BUDGETS)
            for seed in seeds:
                axis.plot(counts, seed[order], color=colour, alpha=0.25, linewidth=1)
            mean = np.mean([seed[order] for seed in seeds], axis=0)
            axis.plot(counts, mean, color=colour, linewidth=2, marker="o", markersize=3, label=name)
        axis.set_title(f"{float(share):.0%} of the lines in an odd type", fontsize=9)
        axis.set_xlabel("labels", fontsize=9)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
    axes[0][0].set_ylabel("CER on the changed stream", fontsize=9)
    axes[0][0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def _rounded(curves: dict[str, list[float]]) -> dict[str, list[float]]:
    return {order: [round(value, 4) for value in curve] for order, curve in curves.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES))
    parser.add_argument("--out", type=Path, help="JSON file of results; what it has is not redone")
    parser.add_argument("--plot", type=Path, help="PNG file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    if options.out and options.out.exists():
        results = json.loads(options.out.read_text())
    for seed in options.seeds:
        done = results.setdefault(str(seed), {})
        missing = [share for share in options.shares if str(share) not in done]
        if missing:
            began = time.monotonic()
            for share, curves in one_seed(seed, missing):
                done[share] = curves
                if options.out:
                    options.out.write_text(json.dumps(results, indent=1))
            print(f"seed {seed}: {time.monotonic() - began:.0f} s", flush=True)
    report(results)
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
