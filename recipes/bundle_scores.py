"""What the bundled reader is measured on, and how: made lines it never saw, and real pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from nhan.evaluation.intervals import Difference, Interval, bootstrap, paired_difference
from nhan.evaluation.reliability import Reliability, reliability
from nhan.images import RGB, encode_png
from nhan.models.predictor import Predictor
from nhan.synth import Recipe, line, load_recipe
from nhan.tasks import get_task

HELD_OUT = Path(__file__).with_name("held-out-fonts.txt")
# The five named tests of a reader, and what each is called in tables.
UNSEEN = ("clean", "degraded", "photo", "handwriting", "short")
# Far from the numbers that trainings and their judges take their lines from.
SEED = 4_000_000_007
# Lines that warm up before the time is taken, lines it is taken on, and how often.
_WARM_UP, _TIMED, _ROUNDS = 5, 100, 5


@dataclass(frozen=True)
class Sample:
    """A picture, uint8 RGB or an encoded file, with its truth and the table row it counts in."""

    picture: RGB | bytes
    truth: str
    kind: str


@dataclass(frozen=True)
class Read:
    """One sample's answer: `errors` edits in `weight` characters."""

    truth: str
    answer: str
    confidence: float
    kind: str
    errors: float
    weight: float

    @property
    def right(self) -> bool:
        return self.truth == self.answer


@dataclass(frozen=True)
class Row:
    """A row of the score table; `cer` and `exact` as (value, low, high) of a 95 % interval."""

    kind: str
    samples: int
    cer: tuple[float, float, float]
    exact: tuple[float, float, float]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def held_out_families() -> tuple[str, ...]:
    """Families kept out of training: beginnings of font file names."""
    lines = HELD_OUT.read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def unseen_fonts(count: int) -> list[Sample]:
    """`count` lines of each of the five named recipes, in held-out families only."""
    samples = []
    for number, name in enumerate(UNSEEN):
        recipe = load_recipe(name).with_(fonts_only=held_out_families())
        samples += made(recipe, count, seed=SEED + number, kind=name)
    return samples


def made(recipe: Recipe, count: int, *, seed: int, kind: str = "") -> list[Sample]:
    """Lines of a recipe; each counts in the row `kind`, or in that of its own look."""
    lines = (line(seed, index, recipe=recipe) for index in range(count))
    return [Sample(made.image, made.text, kind or made.kind) for made in lines]


def folder(path: Path) -> list[Sample]:
    """Pictures that `labels.json` lists; those in a subfolder count in the row of its name."""
    labels: dict[str, str] = json.loads((path / "labels.json").read_text(encoding="utf-8"))
    return [
        Sample((path / name).read_bytes(), truth, name.partition("/")[0] if "/" in name else "all")
        for name, truth in sorted(labels.items())
    ]


def read(predictor: Predictor, samples: Iterable[Sample]) -> list[Read]:
    """Every sample's answer, each picture alone."""
    task = get_task("text")
    reads = []
    for sample in samples:
        answer = predictor.predict(sample.picture)
        rate = task.rate(sample.truth, answer.value)
        reads.append(
            Read(
                sample.truth,
                answer.value,
                answer.confidence,
                sample.kind,
                rate.errors,
                rate.weight,
            )
        )
    return reads


def rows(reads: Sequence[Read]) -> list[Row]:
    """One row a kind, in order of appearance."""
    kinds = dict.fromkeys(read.kind for read in reads)
    return [row(kind, [read for read in reads if read.kind == kind]) for kind in kinds]


def row(kind: str, reads: Sequence[Read]) -> Row:
    """All of the reads as one row."""
    cer = bootstrap([read.errors for read in reads], [read.weight for read in reads])
    exact = bootstrap([float(read.right) for read in reads], [1.0] * len(reads))
    return Row(kind, len(reads), _ends(cer), _ends(exact))


def difference(candidate: Sequence[Read], standing: Sequence[Read]) -> Difference:
    """CER of one minus CER of the other on the same samples, with its interval."""
    return paired_difference(
        [read.errors for read in candidate],
        [read.errors for read in standing],
        [read.weight for read in standing],
    )


def calibration_of(reads: Sequence[Read]) -> Reliability:
    """How far confidence and truth are apart."""
    return reliability([read.confidence for read in reads], [read.right for read in reads])


def speed(predictor: Predictor, samples: Sequence[Sample]) -> dict[str, float]:
    """Milliseconds from an encoded file to its answer on one thread: wall clock and CPU time.

    The fastest of a few rounds counts for each picture: a busy machine only ever adds time.
    """
    files = [_encoded(sample.picture) for sample in samples[:_TIMED]]
    for file in files[:_WARM_UP]:
        predictor.predict(file)
    wall, cpu = [], []
    for file in files:
        rounds = [_timed(predictor, file) for _ in range(_ROUNDS)]
        wall.append(min(round_[0] for round_ in rounds) * 1e3)
        cpu.append(min(round_[1] for round_ in rounds) * 1e3)
    return {"median_ms": median(wall), "mean_ms": fmean(wall), "cpu_ms": fmean(cpu)}


def _timed(predictor: Predictor, file: bytes) -> tuple[float, float]:
    began, burnt = time.perf_counter(), time.process_time()
    predictor.predict(file)
    return time.perf_counter() - began, time.process_time() - burnt


def _encoded(picture: RGB | bytes) -> bytes:
    return picture if isinstance(picture, bytes) else encode_png(picture)


def _ends(interval: Interval) -> tuple[float, float, float]:
    return (interval.value, interval.low, interval.high)
