"""One training, ready to run, and how it stands: what is known before and after Lightning.

Importing Lightning takes longer than torch and everything of ours together. So `fit` is imported
where a training begins: a mistake is told before, and who only reads a run never waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from nhan.errors import SettingsError
from nhan.tasks.learner import Learner
from nhan.training.config import TrainConfig
from nhan.training.loader import Pictures
from nhan.training.stream import Stream

LAST, BEST, CURVE = "last.safetensors", "best.safetensors", "metrics.jsonl"


@dataclass(frozen=True)
class Judge:
    """A set of samples that the network is scored on and never trained on."""

    name: str
    pictures: Pictures


class Tracker(Protocol):
    """Where numbers are logged beside the run's own file."""

    def log(self, numbers: dict[str, float], seen: int) -> None:
        """Note numbers at a point of the run."""


@dataclass
class Standing:
    """How the run has done so far.

    Attributes:
        best: the primary metric of the best validation, the latest of those that tie; None before
            the first.
        best_seen: samples seen then.
        since: validations since the first that was so good.
        seconds: time spent, earlier sessions of a resumed run counted in.
        scores: every metric of the best validation, as `set/metric`.
    """

    best: float | None = None
    best_seen: int = 0
    since: int = 0
    seconds: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)


@dataclass
class Job:
    """One training, ready to run.

    Attributes:
        learner: its network is trained in place.
        config: filled.
        total: samples to train on.
        validate_every: samples between validations.
        folder: where checkpoints and the curve go; it exists.
        facts: JSON-able, goes into every checkpoint: task, options, vocabulary, where from.
        pictures: the dataset's prepared samples, if any.
        stream: made samples, if any.
        judges: sets to score on; the first one's primary metric chooses the best weights.
        trackers: where numbers are logged beside the folder.
        judge_start: the network answers already, so its start is scored too.
    """

    learner: Learner
    config: TrainConfig
    total: int
    validate_every: int
    folder: Path
    facts: dict[str, Any]
    pictures: Pictures | None = None
    stream: Stream | None = None
    judges: Sequence[Judge] = ()
    trackers: Sequence[Tracker] = field(default_factory=list)
    judge_start: bool = False


def choose_device(asked: str) -> str:
    """`cpu` or `cuda`.

    Raises:
        SettingsError: a GPU is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise SettingsError(
            "machine.device is 'cuda' and no CUDA device is there", hint="use 'auto' or 'cpu'"
        )
    return "cuda" if there and asked != "cpu" else "cpu"
