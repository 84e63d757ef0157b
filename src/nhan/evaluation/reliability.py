"""Whether confidence means what it says: of many answers given 0.9, nine in ten should be right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel

_BINS = 10


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
        brier: mean squared distance between confidence and being right (1 or 0); 0 is perfect.
        bins: ten, ascending.
    """

    ece: float
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
        brier=float(((c - r) ** 2).mean()) if len(c) else 0.0,
        bins=bins,
    )
