"""How much is learned by looking at a sample: a pure rule, without the database.

    usefulness = uncertainty × (1 + novelty) / 2                             0..1

Uncertainty is the task's (`Task.uncertainty`): for text the doubt about the line and about its
least sure character, for classes how close the second class comes. Novelty is the largest of three:

    distance    bits by which the picture's hash differs from the nearest labelled picture's
    deviation   size, brightness and contrast, in standard deviations of the labelled pictures
    new parts   the answer has a character, or is a class, that was hardly ever labelled

What a policy of collection chose has a least value, so that pictures chosen by chance, which alone
tell how good the live model is, are not left for last (`nhan.uploads.sampling.usefulness`).

A label is under suspicion when the model is very sure of something else (`Task.contradiction`);
such samples come before all others, as 1 + how sure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nhan.catalog.reviews import SUSPECT
from nhan.datasets.near import Look
from nhan.tasks.base import Answer, Task
from nhan.uploads.sampling import usefulness

Numbers = NDArray[np.float64]

# So many labelled pictures tell how near the nearest is; more only cost time.
_REFERENCES = 2000
# Pictures that have nothing to do with each other differ in about half of the 64 bits, and the
# nearest of 2,000 in about this many.
_WHOLLY_DISTANT_BITS = 16
# Deviations that count as wholly novel, and the least one of each number (pictures that all have
# one size must not make one pixel a novelty).
_WHOLLY_DEVIANT = 8.0
_LEAST_DEVIATION = 0.05
# A part is new until it was labelled so many times, and nothing is while hardly anything was.
_NEW_BELOW = 3
_ENOUGH_LABELS = 50
# Compared at once: 2,000 hashes with 2,000 others take 32 MB.
_AT_ONCE = 2000
# From here on it is said in words.
_REMARKABLE = 0.5


@dataclass
class Known:
    """What the labelled samples of a task look like and say.

    Attributes:
        hashes: of at most 2,000 of them, uint64.
        means, deviations: of their size, brightness and contrast.
        parts: how often each part of a label was given.
        labels: how many there are.
    """

    hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    means: Numbers = field(default_factory=lambda: np.zeros(4))
    deviations: Numbers = field(default_factory=lambda: np.full(4, np.inf))
    parts: Counter[str] = field(default_factory=Counter)
    labels: int = 0

    @classmethod
    def of(cls, task: Task, labelled: Iterable[tuple[Look, str]]) -> Known:
        """Look over every labelled sample."""
        hashes: list[int] = []
        numbers: list[Numbers] = []
        parts: Counter[str] = Counter()
        for look, label in labelled:
            hashes.append(look.phash)
            numbers.append(_statistics([look])[0])
            parts.update(task.parts(label))
        if not hashes:
            return cls()
        every = np.array(hashes, np.uint64)
        chosen = np.random.default_rng(0).permutation(len(every))[:_REFERENCES]
        table = np.array(numbers)
        deviations = np.maximum(table.std(axis=0), _LEAST_DEVIATION)
        return cls(every[chosen], table.mean(axis=0), deviations, parts, len(hashes))

    def distances(self, looks: Sequence[Look]) -> Numbers:
        """How far each picture is from the nearest labelled one, 0..1; 1 while none is."""
        hashes = np.array([look.phash for look in looks], np.uint64)
        if not len(self.hashes):
            return np.ones(len(looks))
        nearest = [
            np.bitwise_count(hashes[start : start + _AT_ONCE, None] ^ self.hashes).min(axis=1)
            for start in range(0, len(hashes), _AT_ONCE)
        ]
        bits = np.concatenate(nearest) if nearest else np.empty(0)
        return np.minimum(bits / _WHOLLY_DISTANT_BITS, 1.0)

    def deviance(self, looks: Sequence[Look]) -> Numbers:
        """How unusual each picture's size, brightness and contrast are, 0..1."""
        if not looks:
            return np.empty(0)
        spread = np.abs(_statistics(looks) - self.means) / self.deviations
        deviance: Numbers = np.minimum(spread.max(axis=1) / _WHOLLY_DEVIANT, 1.0)
        return deviance

    def new_parts(self, task: Task, value: str) -> list[str]:
        """The parts of an answer that hardly any label has, sorted."""
        if self.labels < _ENOUGH_LABELS:
            return []
        return sorted(part for part in task.parts(value) if self.parts[part] < _NEW_BELOW)


@dataclass(frozen=True)
class Worth:
    """What a sample is worth looking at, and why in words."""

    priority: float
    why: str = ""


def worth(
    task: Task, known: Known, looks: Sequence[Look], answers: Sequence[tuple[Answer | None, str]]
) -> list[Worth]:
    """What samples without a label are worth.

    Args:
        task: theirs.
        known: the labelled ones.
        looks: one a sample.
        answers: what a model says of each, None where none was asked; and the policy of
            collection that chose it, '' for none.
    """
    found = []
    rows = zip(looks, answers, known.distances(looks), known.deviance(looks), strict=True)
    for _, (answer, sampled), distance, deviance in rows:
        new = known.new_parts(task, answer.value) if answer is not None else []
        uncertainty = task.uncertainty(answer) if answer is not None else 1.0
        novelty = 1.0 if new else float(max(distance, deviance))
        reasons = []
        if answer is None:
            reasons.append("no model has seen it")
        elif uncertainty > _REMARKABLE:
            reasons.append("low confidence")
        if new:
            reasons.append(f"new: {' '.join(new)}")
        if deviance > _REMARKABLE:
            reasons.append("looks unlike the rest")
        found.append(Worth(usefulness(1 - uncertainty, novelty, sampled), "; ".join(reasons)))
    return found


def suspicion(task: Task, label: str, answer: Answer, *, sure: float) -> Worth:
    """What a labelled sample is worth: nothing, unless the model is sure that the label is wrong.

    Args:
        task: of the sample.
        label: the one that stands, normalised.
        answer: what a model says.
        sure: the `Task.contradiction` from which on a difference counts, above 0.
    """
    doubt = task.contradiction(label, answer)
    if doubt < sure:
        return Worth(0.0)
    return Worth(SUSPECT + doubt, f"the model is sure of {answer.value!r}")


def thin_out(worths: Sequence[Worth], clusters: Sequence[int]) -> list[Worth]:
    """Near-duplicates after the first, in order of priority, are worth half of the one before.

    Args:
        worths: one a sample.
        clusters: which samples look nearly the same; see `nhan.datasets.near`.
    """
    thinned = list(worths)
    seen: Counter[int] = Counter()
    for index in sorted(range(len(worths)), key=lambda i: -worths[i].priority):
        copies = seen[clusters[index]]
        seen[clusters[index]] += 1
        if copies:
            one = worths[index]
            why = "; ".join(filter(None, (one.why, "nearly the same as another")))
            thinned[index] = Worth(one.priority * 0.5**copies, why)
    return thinned


def _statistics(looks: Sequence[Look]) -> Numbers:
    """log2 of width and height, four times brightness and contrast 0..1: shape (n, 4)."""
    cells = np.frombuffer(b"".join(look.thumbnail for look in looks), np.uint8)
    grey = cells.reshape(len(looks), -1) / 255.0
    sizes = np.log2([[max(look.width, 1), max(look.height, 1)] for look in looks])
    return np.column_stack([sizes, 4 * grey.mean(axis=1), 4 * grey.std(axis=1)])
