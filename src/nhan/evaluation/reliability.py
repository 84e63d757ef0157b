"""Whether confidence means what it says: of many answers given 0.9, nine in ten should be right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel

_BINS = 10
# Draws that the error by chance is the mean of, and how many numbers to hold for them at once.
_DRAWS, _AT_ONCE = 200, 1_000_000


class Bin(BaseModel):
    """The answers whose confidence lies in one tenth of the range.

    Attributes:
        low, high: the range; `low` belongs to it, `high` to the next one (1.0 to the last).
        count: answers in it.
        confidence: their mean confidence; 0 when there are none.
        right: the share of them that is right; 0 when there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    right: float


class Reliability(BaseModel):
    """How far confidence and truth are apart.

    Attributes:
        ece: expected calibration error: the mean, over answers, of the distance between the mean
            confidence of the answer's bin and the share right in it. 0 is perfect. With few
            answers it is too large rather than too small.
        ece_by_chance: what `ece` would be, in the mean, if exactly these confidences were true:
            the bins' shares stray from them by chance, the more the fewer answers there are. An
            `ece` near it says nothing against the confidences.
        brier: mean squared distance between confidence and being right (1 or 0); 0 is perfect.
        bins: ten, ascending.
    """

    ece: float
    ece_by_chance: float = 0.0
    brier: float
    bins: list[Bin]


def reliability(confidences: ArrayLike, right: ArrayLike) -> Reliability:
    """Measure the confidences of a set of answers.

    Args:
        confidences: 0..1, (n,).
        right: whether each answer is wholly right, bool (n,).

    Returns:
        Zeros for no answers.

    Source: Guo et al. 2017, On calibration of modern neural networks; Brier 1950.
    """
    c = np.clip(np.asarray(confidences, np.float64), 0, 1)
    r = np.asarray(right, np.float64)
    place = np.minimum((c * _BINS).astype(int), _BINS - 1)
    bins = []
    for index in range(_BINS):
        here = place == index
        count = int(here.sum())
        bins.append(
            Bin(
                low=index / _BINS,
                high=(index + 1) / _BINS,
                count=count,
                confidence=float(c[here].mean()) if count else 0.0,
                right=float(r[here].mean()) if count else 0.0,
            )
        )
    total = max(len(c), 1)
    return Reliability(
        ece=sum(b.count * abs(b.confidence - b.right) for b in bins) / total,
        ece_by_chance=_by_chance(c, place),
        brier=float(((c - r) ** 2).mean()) if len(c) else 0.0,
        bins=bins,
    )


def _by_chance(confidences: NDArray[np.float64], place: NDArray[np.intp]) -> float:
    count = len(confidences)
    if not count:
        return 0.0
    chance = np.random.default_rng(0)  # the same answers always give the same number
    sums = np.bincount(place, confidences, _BINS)
    found: list[float] = []
    while len(found) < _DRAWS:
        draws = min(_DRAWS - len(found), max(1, _AT_ONCE // count))
        true = chance.random((draws, count)) < confidences
        found += (
            float(np.abs(np.bincount(place, row, _BINS) - sums).sum()) / count for row in true
        )
    return float(np.mean(found))
