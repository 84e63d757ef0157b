"""The classes task: say which of these classes a picture shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from nhan.errors import MissingExtra
from nhan.tasks.base import Answer, Confusion, Finding, Rate, Task
from nhan.tasks.classes import metrics
from nhan.tasks.classes.calibrate import calibrate_answers
from nhan.tasks.classes.check import check_counts, check_label
from nhan.tasks.classes.names import class_order, normalise_class
from nhan.tasks.classes.reader import ClassReader

if TYPE_CHECKING:
    from nhan.tasks.learner import Learner

# Classes that a terminal shows; `--json` has all.
_SHOWN = 5


class ClassesTask(Task):
    """One class per picture."""

    name = "classes"
    primary = "error"
    folder_is_label = True
    choices = True

    def normalise(self, label: str) -> str:
        """See `normalise_class`."""
        return normalise_class(label)

    def vocabulary(self, labels: Iterable[str]) -> dict[str, Any]:
        """`{"classes": […]}` in the order of the network's outputs."""
        return {"classes": class_order(labels)}

    def check(self, label: str, *, width: int, height: int) -> list[Finding]:
        """A name that cannot be one, and pictures too small or too elongated to show it."""
        return check_label(label, width=width, height=height)

    def check_all(self, counts: Mapping[str, int]) -> list[Finding]:
        """Too few classes, classes with too few samples, imbalance, names that are alike."""
        return check_counts(counts)

    def reader(self, spec: Mapping[str, Any]) -> ClassReader:
        """The reader that a model's `nhan.json` describes."""
        return ClassReader(spec)

    def rate(self, truth: str, answer: str) -> Rate:
        """One error or none, of one."""
        return Rate(float(truth != answer), 1.0)

    def score(self, truths: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
        """See `metrics.score`."""
        return metrics.score(truths, answers)

    def support(self, metric: str, truths: Sequence[str], answers: Sequence[str]) -> int:
        """See `metrics.support`."""
        return metrics.support(metric, truths, answers)

    def rates(self, truth: str, answer: Answer) -> dict[str, Rate]:
        """Top-k errors, which need all scores and not the best class alone."""
        found = metrics.ranks(truth, answer.details.get("labels", {}))
        return {name: Rate(value, 1.0) for name, value in found.items()}

    def calibration(self, truths: Sequence[str], answers: Sequence[Answer]) -> dict[str, Any]:
        """One temperature for all scores, fitted on how likely the truths were."""
        return calibrate_answers(truths, [answer.details.get("labels", {}) for answer in answers])

    def describe(self, answer: Answer) -> str:
        """The best classes, high to low, each with its score before it."""
        best = list(answer.details.get("labels", {}).items())[:_SHOWN]
        return "\n".join(f"{score:.4f}  {name}" for name, score in best) or answer.value

    def highest(self, metric: str) -> float:
        """1: every metric is a share."""
        del metric
        return 1.0

    def uncertainty(self, answer: Answer) -> float:
        """How close the second class comes to the first: 1 - their margin."""
        scores = sorted(answer.details.get("labels", {}).values(), reverse=True)
        second = scores[1] if len(scores) > 1 else 0.0
        return 1.0 - max(0.0, answer.confidence - second)

    def agreement(self, first: Sequence[str], second: Sequence[str]) -> dict[str, float]:
        """Also `kappa`; see `metrics.kappa`."""
        return {**super().agreement(first, second), "kappa": metrics.kappa(first, second)}

    def slices(self, truth: str) -> dict[str, str]:
        """By class: the error rate of a slice is 1 - the class's recall."""
        return {"class": truth}

    def confusions(
        self, truths: Sequence[str], answers: Sequence[str]
    ) -> dict[str, list[Confusion]]:
        """Wrong answers by pair of `classes`."""
        return metrics.confusions(truths, answers)

    def suited(
        self, options: Mapping[str, Any], sizes: Sequence[tuple[int, int]]
    ) -> dict[str, Any]:
        """Say how large the pictures usually are: small ones need no large network input."""
        return {"side": int(median(min(size) for size in sizes)), **options}

    def learner(self, vocabulary: Mapping[str, Any], options: Mapping[str, Any]) -> Learner:
        """The part that trains: a head on a trained network, or a small network from scratch."""
        try:
            from nhan.tasks.classes.learner import ClassLearner
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.startswith("nhan"):
                raise
            raise MissingExtra("training", "train") from error
        return ClassLearner(vocabulary, options)
