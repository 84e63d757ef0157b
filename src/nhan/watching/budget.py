"""What more labels would bring: a learning curve through measured points, and which come next.

With k new labels the error rate is modelled as e(k) = e(0) · (1 + k / s)^(−b): it starts where the
old model stands and falls as a power of the labels, as learning curves do. Where nothing is known
without labels it is a plain power law, e(k) = a · k^(−b).

Source: Hestness et al. 2017, Deep learning scaling is predictable, empirically.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from nhan.catalog.schema import State, samples
from nhan.workspace import Workspace

BUDGET = "budget.json"
HUNDRED = 100

_DRAWS = 500
_SEED = 20240229
_TAIL = 2.5
# Values of s that are tried, from a label to ten times those there are.
_SHIFTS = 60

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """What was measured with so many labels.

    Attributes:
        labels: new ones that were learned from.
        errors, weights: per test sample, in the same order for every point; the rate is the sum
            of one over the sum of the other.
    """

    labels: int
    errors: Sequence[float]
    weights: Sequence[float]

    @property
    def rate(self) -> float:
        """The error rate."""
        return float(np.sum(self.errors) / max(float(np.sum(self.weights)), 1e-12))


@dataclass(frozen=True)
class Curve:
    """A fitted curve; `shift` is 0 for the plain power law, whose `start` is a."""

    start: float
    shift: float
    power: float

    def rate(self, labels: float) -> float:
        """The error rate to expect with so many labels."""
        if not self.shift:
            return float(self.start * max(labels, 1.0) ** -self.power)
        return float(self.start * (1 + labels / self.shift) ** -self.power)


@dataclass(frozen=True)
class Gain:
    """By how much the error rate falls with the next hundred labels, with its 95 % interval."""

    value: float
    low: float
    high: float


def fit(labels: Sequence[int], rates: Sequence[float]) -> Curve:
    """The curve through measured rates, least squares of logarithms.

    Args:
        labels: how many were learned from; at least two differ.
        rates: above 0.
    """
    k, e = np.asarray(labels, np.float64), np.asarray(rates, np.float64)
    if k.min() > 0:
        x = np.log(k)
        slope, level = np.polyfit(x, np.log(e), 1)
        if slope > 0:  # more labels never make the expectation worse
            return Curve(float(np.exp(np.log(e).mean())), 0.0, 0.0)
        return Curve(float(np.exp(level)), 0.0, float(-slope))
    start = float(e[k == 0].mean())
    y = np.log(start / e[k > 0])
    best = Curve(start, 1.0, 0.0)
    least = float((y * y).sum())
    for shift in np.geomspace(1.0, 10 * k.max(), _SHIFTS):
        x = np.log1p(k[k > 0] / shift)
        power = max(0.0, float((x * y).sum() / (x * x).sum()))
        rest = float(((y - power * x) ** 2).sum())
        if rest < least - 1e-12:
            best, least = Curve(start, float(shift), power), rest
    return best


def expected_gain(points: Sequence[Point]) -> tuple[Curve, Gain]:
    """The curve through the points, and what a hundred labels more are expected to bring.

    The interval comes from drawing the test samples anew, the same for every point.

    Args:
        points: at least two, of different numbers of labels, on the same test samples.
    """
    labels = [point.labels for point in points]
    errors = np.asarray([point.errors for point in points], np.float64)
    weights = np.asarray(points[0].weights, np.float64)
    least = 0.5 / max(float(weights.sum()), 1.0)
    have = max(labels)

    def curve_of(rows: NDArray[np.intp]) -> Curve:
        weight = max(float(weights[rows].sum()), 1e-12)
        return fit(labels, [max(float(one[rows].sum()) / weight, least) for one in errors])

    everything = np.arange(len(weights))
    curve = curve_of(everything)
    dice = np.random.default_rng(_SEED)
    drawn = []
    for _ in range(_DRAWS):
        one = curve_of(dice.integers(0, len(weights), len(weights)))
        drawn.append(one.rate(have) - one.rate(have + HUNDRED))
    low, high = np.percentile(drawn, [_TAIL, 100 - _TAIL])
    return curve, Gain(curve.rate(have) - curve.rate(have + HUNDRED), float(low), float(high))


def next_hundred(workspace: Workspace, task: str) -> list[dict[str, Any]]:
    """The samples to label next, the most useful first: those in the queue, then new ones.

    Only what may train: the label of any other brings no version nearer.
    """
    waiting = (State.QUEUED, State.NEW)
    query = (
        sa.select(samples.c.id, samples.c.sha256, samples.c.priority, samples.c.state)
        .where(
            samples.c.task == task,
            samples.c.state.in_(waiting),
            samples.c.may_train.is_(sa.true()),
        )
        .order_by(sa.desc(samples.c.state == State.QUEUED), samples.c.priority.desc(), samples.c.id)
        .limit(HUNDRED)
    )
    with workspace.catalog.read() as connection:
        rows = connection.execute(query).all()
    return [
        {"sample": row[0], "sha256": row[1], "priority": row[2], "state": str(row[3])}
        for row in rows
    ]
