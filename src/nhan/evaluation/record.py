"""What an evaluation found, as it is kept beside the model.

Everything the gate, the card, the report and a person need, so that no picture has to be read
again. Samples are in the order of their hashes: two records of one test set line up by position.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, Field

from nhan.evaluation.reliability import Reliability

# Raised when a stored record no longer says what a new one would.
FORMAT = 2


class Score(BaseModel):
    """A figure, its 95 % interval, and how many samples it rests on."""

    value: float
    low: float
    high: float
    samples: int


class Result(BaseModel):
    """One sample's outcome.

    Attributes:
        sha256: the picture.
        errors, weight: its share of the primary metric.
        rates: its share, errors and weight, of further rates (`Task.rates`).
        slices: the slice it falls in, by dimension; `source` is one.
        problem: why it could not be read; it then counts with the empty answer.
    """

    sha256: str
    truth: str
    answer: str
    confidence: float
    errors: float
    weight: float
    rates: dict[str, tuple[float, float]] = {}
    slices: dict[str, str]
    problem: str = ""

    @property
    def right(self) -> bool:
        """Whether the answer is right in full."""
        return self.errors == 0


class ConfusionCount(BaseModel):
    """`truth` was taken for `answer` this many times; empty is a gap."""

    truth: str
    answer: str
    count: int


class Speed(BaseModel):
    """Milliseconds per picture, one after the other on `threads` threads."""

    median_ms: float
    p95_ms: float
    mean_ms: float
    threads: int


class Evaluation(BaseModel):
    """One version on one split of one dataset version.

    Attributes:
        key: hash of everything that decides the outcome; the same key is the same evaluation.
        seen: how many of the samples were in the model's own training split; a fair test has 0.
        metric: the task's primary metric, an error rate: what the gate compares.
        content: hash of the split's pictures and labels; equal means the same test set.
        metrics: every metric of the task, the primary one first.
        slices: the primary metric by dimension and slice.
        confusions: by kind, most frequent first.
        reused: this was read from the store, not measured again; not itself stored.
    """

    format: int = FORMAT
    key: str
    model: str
    version: int
    task: str
    file: str
    run: str = ""
    nhan: str
    at: str
    dataset: str
    split: str
    content: str
    samples: int
    seen: int = 0
    metric: str
    metrics: dict[str, Score]
    slices: dict[str, dict[str, Score]]
    confusions: dict[str, list[ConfusionCount]]
    calibration: Reliability
    speed: Speed
    results: list[Result]
    reused: bool = Field(default=False, exclude=True)

    @property
    def ref(self) -> str:
        """`NAME@VERSION` of the model."""
        return f"{self.model}@{self.version}"

    @property
    def primary(self) -> Score:
        """The primary metric."""
        return self.metrics[self.metric]

    def summary(self) -> dict[str, Any]:
        """Plain values without the per-sample results and confusions: what one prints."""
        return self.model_dump(mode="json", exclude={"results", "confusions"})


def content_of(samples: Iterable[tuple[str, str]]) -> str:
    """Identity of a test set: SHA-256 over its sorted pairs of picture hash and label."""
    lines = sorted(json.dumps(pair, ensure_ascii=False) for pair in samples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def by_name(metrics: Mapping[str, Score]) -> dict[str, dict[str, Score]]:
    """The figures of single names, such as `recall of daisy`: name to metric to score."""
    names: dict[str, dict[str, Score]] = {}
    for full, score in metrics.items():
        metric, of, name = full.partition(" of ")
        if of:
            names.setdefault(name, {})[metric] = score
    return names


def natural(name: str) -> tuple[float, str]:
    """Sorts `6-10` before `11-20` and names without a number after both."""
    number = re.match(r"\d+", name)
    return (float(number.group()) if number else float("inf"), name)


def metric_label(name: str) -> str:
    """A metric's name for people: short ones are initials (`CER`), others words."""
    return name.upper() if len(name) <= 4 and name.isalpha() else name.replace("_", " ")
