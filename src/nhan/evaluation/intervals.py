"""How far a figure could be off by the luck of which samples are in the test set.

All intervals are 95 %. Rates are corpus level: the sum of errors over the sum of weights; where
the weights sum to nothing the rate is the errors themselves, so it stays finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
# Differences of rates smaller than this are floating-point noise, not a difference.
ROUNDING = 1e-9
_SEED = 20240229
# Indices drawn at once: bounds memory at about 16 MB for test sets of any size.
_CHUNK = 2_000_000
_TAIL = 2.5  # per cent on either side

# Groups of the jackknife, and Student's 97.5 % quantiles for 1 … 19 degrees of freedom.
_GROUPS = 20
_STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093),
)

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Candidate minus champion on the same samples.

    Attributes:
        value, low, high: the difference of the two rates and its 95 % interval.
        better: the share of resamples in which the candidate's rate is lower by the margin at
            least; with no margin, resamples in which both are equal count half.
    """

    value: float
    low: float
    high: float
    better: float


def rate(errors: ArrayLike, weights: ArrayLike) -> float:
    """The corpus-level rate; 0 for no samples."""
    return float(_ratio(np.sum(errors, dtype=np.float64), np.sum(weights, dtype=np.float64)))


def bootstrap(errors: ArrayLike, weights: ArrayLike, *, resamples: int = RESAMPLES) -> Interval:
    """Percentile bootstrap over samples; seeded, so the same samples give the same interval.

    A resample of faultless samples is always faultless, which would make the interval [0, 0]
    however few they are. There the upper end is the largest share of faulty samples that would
    show none in a set of this size once in forty times: 1 - 0.025^(1/n), e.g. 0.036 for 100. The
    lower end of a rate of exactly 1 in every sample is found the same way.

    Args:
        errors: per sample, (n,).
        weights: per sample, (n,).
        resamples: how many are drawn.

    Returns:
        All three 0 for no samples.

    Source: Efron and Tibshirani 1993; the faultless case: Hanley and Lippman-Hand 1983.
    """
    e, w = _columns(errors, weights)
    if not len(e):
        return Interval(0.0, 0.0, 0.0)
    value = rate(e, w)
    if (e == value * w).all():
        return _unanimous(value, len(e))
    rates = _resampled(np.stack((e, w)), resamples)
    drawn = _ratio(rates[0], rates[1])
    low, high = np.percentile(drawn, [_TAIL, 100 - _TAIL])
    return Interval(value, float(low), float(high))


def paired_difference(
    candidate: ArrayLike,
    champion: ArrayLike,
    weights: ArrayLike,
    *,
    margin: float = 0.0,
    resamples: int = RESAMPLES,
) -> Difference:
    """Bootstrap of the difference of two rates over the same samples.

    Both are resampled together, so what makes a sample hard for either cancels out.

    Args:
        candidate: its errors per sample, (n,).
        champion: its errors on the same samples in the same order, (n,).
        weights: of the samples, (n,).
        margin: see `Difference.better`.
        resamples: how many are drawn.

    Source: Koehn 2004, Statistical significance tests for machine translation evaluation.
    """
    a, w = _columns(candidate, weights)
    b, _ = _columns(champion, weights)
    if not len(a):
        return Difference(0.0, 0.0, 0.0, 0.0)
    sums = _resampled(np.stack((a, b, w)), resamples)
    drawn = _ratio(sums[0], sums[2]) - _ratio(sums[1], sums[2])
    low, high = np.percentile(drawn, [_TAIL, 100 - _TAIL])
    lower, level = drawn < -margin - ROUNDING, np.abs(drawn + margin) <= ROUNDING
    return Difference(
        rate(a, w) - rate(b, w),
        float(low),
        float(high),
        float(lower.mean() + level.mean() * (1.0 if margin else 0.5)),
    )


def jackknife(
    score: Callable[[NDArray[np.intp]], Mapping[str, float]],
    samples: int,
    support: Callable[[str], int] | None = None,
) -> dict[str, Interval]:
    """Intervals of any metrics of a set, by leaving out one twentieth at a time.

    For metrics that are known only as a function of the whole set: twenty more calls of `score`
    instead of thousands. The ends are kept at 0 or above.

    Args:
        score: metrics of the samples with these indices.
        samples: how many there are.
        support: how many of them a metric rests on; all by default. A share of no samples could
            be anything from 0 to 1.

    Source: Kott 2001, The delete-a-group jackknife.
    """
    whole = score(np.arange(samples))
    rests_on = support or (lambda _: samples)
    groups = min(_GROUPS, samples)
    if groups < 2:
        return {name: _unanimous(value, rests_on(name)) for name, value in whole.items()}
    group_of = np.random.default_rng(_SEED).permutation(samples) % groups
    parts = [score(np.flatnonzero(group_of != group)) for group in range(groups)]
    intervals = {}
    for name, value in whole.items():
        # A figure of a class that a part lacks says nothing there, so it moves nothing.
        left_out = np.array([part.get(name, value) for part in parts])
        spread = float(((left_out - left_out.mean()) ** 2).sum())
        if spread == 0:
            count = rests_on(name)
            unknown = Interval(value, 0.0, 1.0)
            intervals[name] = _unanimous(value, count) if count else unknown
            continue
        reach = _STUDENT[groups - 2] * math.sqrt((groups - 1) / groups * spread)
        intervals[name] = Interval(value, max(0.0, value - reach), value + reach)
    return intervals


def _unanimous(value: float, samples: int) -> Interval:
    """The interval of a rate that is the same in every sample; see `bootstrap`."""
    unseen = 1 - 0.025 ** (1 / max(samples, 1))
    if value == 0:
        return Interval(0.0, 0.0, unseen if samples else 0.0)
    return Interval(value, 1 - unseen if value == 1 else value, value)


def _columns(errors: ArrayLike, weights: ArrayLike) -> tuple[Numbers, Numbers]:
    e, w = np.asarray(errors, np.float64), np.asarray(weights, np.float64)
    if e.ndim != 1 or e.shape != w.shape:
        raise ValueError(f"expected two columns of one length, got {e.shape} and {w.shape}")
    return e, w


def _resampled(columns: Numbers, resamples: int) -> Numbers:
    """Sums of each column over resamples with replacement: (columns, n) -> (columns, resamples)."""
    samples = columns.shape[1]
    rng = np.random.default_rng(_SEED)
    sums = np.empty((len(columns), resamples))
    step = max(1, _CHUNK // samples)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = rng.integers(0, samples, (count, samples))
        for column, target in zip(columns, sums, strict=True):
            target[start : start + count] = column[drawn].sum(axis=1)
    return sums


def _ratio(errors: ArrayLike, weights: ArrayLike) -> Numbers:
    e, w = np.asarray(errors, np.float64), np.asarray(weights, np.float64)
    return np.divide(e, w, out=e.copy(), where=w > 0)
