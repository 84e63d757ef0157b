"""Turn a raw line score into a confidence: of many answers given 0.9, nine in ten are right.

Fitted on lines the network was not trained on, saved in `nhan.json` under `calibration`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nhan.errors import SettingsError

# Scores are kept this far from 0 and 1: a product of rounded probabilities is never certain.
_EDGE = 1e-6


@dataclass(frozen=True)
class Calibration:
    """A map from raw scores 0..1 to confidences 0..1, rising with the score.

    Attributes:
        method: `none`; `temperature`: sigmoid(logit(score) / temperature + bias + length ·
            log(1 + symbols)), after Guo et al. 2017 with Platt's bias; `isotonic`: straight lines
            between points.
        temperature: above 1 for a network that is too sure of itself.
        bias: added to the logit.
        length: what an answer of many symbols is due beyond its score: above 0 where a long line
            that scores as much as a short one is more often right.
        points: pairs (score, confidence), both rising, for `isotonic`.

    Raises:
        SettingsError: an unknown method, a temperature that is not positive, points that fall.
    """

    method: str = "none"
    temperature: float = 1.0
    bias: float = 0.0
    length: float = 0.0
    points: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if self.method not in {"none", "temperature", "isotonic"}:
            raise SettingsError(
                f"calibration.method is {self.method!r}",
                hint="methods: none, temperature, isotonic",
            )
        if not self.temperature > 0:
            raise SettingsError(
                f"calibration.temperature is {self.temperature}", hint="it must be above 0"
            )
        if self.method == "isotonic":
            steps = np.diff(np.array(self.points, np.float64).reshape(-1, 2), axis=0)
            if len(self.points) < 2 or (steps < 0).any():
                raise SettingsError(
                    f"calibration.points has {len(self.points)} points that do not all rise",
                    hint="isotonic needs two points or more, both numbers rising",
                )

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> Calibration:
        """Read what `to_dict` wrote; an empty mapping means `none`."""
        points = tuple((float(x), float(y)) for x, y in numbers.get("points", ()))
        return cls(
            method=str(numbers.get("method", "none")),
            temperature=float(numbers.get("temperature", 1.0)),
            bias=float(numbers.get("bias", 0.0)),
            length=float(numbers.get("length", 0.0)),
            points=points,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, only those that the method uses."""
        if self.method == "temperature":
            numbers = {"temperature": self.temperature, "bias": self.bias}
            return {
                "method": self.method,
                **numbers,
                **({"length": self.length} if self.length else {}),
            }
        if self.method == "isotonic":
            return {"method": self.method, "points": [list(point) for point in self.points]}
        return {"method": self.method}

    def confidence(self, score: float, symbols: int = 0) -> float:
        """The calibrated confidence of one answer.

        Args:
            score: raw, 0..1.
            symbols: what the answer is made of (`Task.symbols`): a text's characters.

        Returns:
            0..1.
        """
        if self.method == "temperature":
            score = min(max(score, _EDGE), 1 - _EDGE)
            logit = math.log(score / (1 - score)) / self.temperature + self.bias
            logit += self.length * math.log1p(symbols)
            return 1 / (1 + math.exp(-max(min(logit, 500.0), -500.0)))
        if self.method == "isotonic":
            scores, confidences = zip(*self.points, strict=True)
            return float(np.interp(score, scores, confidences))
        return score


def fit_temperature(
    scores: Sequence[float], right: Sequence[bool], symbols: Sequence[int] = ()
) -> Calibration:
    """The temperature and bias of the greatest likelihood, and the length's share where it is told.

    A weak pull towards temperature 1 and bias 0 (as strong as two lines) keeps the answer finite
    where every line is right, or every line is wrong. Where the score says nothing about being
    right, the temperature stops at 20 and the confidence is nearly the share of right lines.

    Args:
        scores: raw line scores, 0..1.
        right: whether each line was read without error.
        symbols: how many symbols each answer has; none leaves the length out of account.

    Returns:
        `method="none"` for no lines at all.
    """
    if not len(scores):
        return Calibration()
    clipped = np.clip(np.asarray(scores, np.float64), _EDGE, 1 - _EDGE)
    logits = np.log(clipped / (1 - clipped))
    others = [np.ones_like(logits)]
    if len(symbols):
        others.append(np.log1p(np.asarray(symbols, np.float64)))
    features = np.column_stack((logits, *others))
    start = [1.0, *(0.0 for _ in others)]
    slope, *rest = _fit_logistic(features, np.zeros_like(logits), np.asarray(right), start)
    if slope < 1 / _HOTTEST:
        slope = 1 / _HOTTEST
        rest = _fit_logistic(features[:, 1:], slope * logits, np.asarray(right), start[1:])
    bias, length = (*rest, 0.0)[:2]
    return Calibration("temperature", temperature=1 / slope, bias=bias, length=length)


# A flatter map than this is no map; confidences would be equal to two digits anyway.
_HOTTEST = 20.0

# Half the curvature of two lines at even odds: how strongly a fit is held to where it started.
_PULL = 0.5


def _fit_logistic(
    features: NDArray[np.float64],
    offset: NDArray[np.float64],
    right: NDArray[np.bool_],
    start: list[float],
) -> list[float]:
    """Newton's method with step halving; the loss is convex, so it ends at the one minimum."""
    origin = weights = np.array(start)

    def loss(at: NDArray[np.float64]) -> float:
        logits = features @ at + offset
        signed = np.where(right, logits, -logits)
        return float(np.logaddexp(0, -signed).sum() + _PULL / 2 * ((at - origin) ** 2).sum())

    for _ in range(100):
        p = np.exp(-np.logaddexp(0, -(features @ weights + offset)))
        gradient = features.T @ (p - right) + _PULL * (weights - origin)
        curvature = (features * (p * (1 - p))[:, None]).T @ features
        step = np.linalg.solve(curvature + _PULL * np.eye(len(weights)), gradient)
        here = loss(weights)
        while loss(weights - step) > here and np.abs(step).max() > 1e-9:
            step = step / 2
        weights = weights - step
        if np.abs(step).max() <= 1e-9:
            break
    return [float(weight) for weight in weights]


def fit_isotonic(
    scores: Sequence[float], right: Sequence[bool], *, min_lines: int = 20
) -> Calibration:
    """The rising step function of least squares (pool adjacent violators), made piecewise linear.

    Args:
        scores: raw line scores, 0..1.
        right: whether each line was read without error.
        min_lines: neighbouring lines are first pooled in groups of at least this many, so that
            no step rests on a handful.

    Returns:
        `method="none"` for fewer than two groups of lines.
    """
    order = np.argsort(np.asarray(scores, np.float64), kind="stable")
    x, y = np.asarray(scores, np.float64)[order], np.asarray(right, np.float64)[order]
    groups = len(x) // min_lines
    if groups < 2:
        return Calibration()
    # Blocks as [sum of scores, sum of right lines, lines]; a falling neighbour is merged.
    blocks: list[NDArray[np.float64]] = []
    for part in np.array_split(np.arange(len(x)), groups):
        block = np.array([x[part].sum(), y[part].sum(), len(part)])
        while blocks and blocks[-1][1] / blocks[-1][2] >= block[1] / block[2]:
            block = block + blocks.pop()
        blocks.append(block)
    # Half a line right and half a line wrong are added to each block: never quite 0 or 1.
    middle = [(b[0] / b[2], (b[1] + 0.5) / (b[2] + 1)) for b in blocks]
    points = [(0.0, middle[0][1]), *middle, (1.0, middle[-1][1])]
    rising = np.maximum.accumulate(np.array(points), axis=0)
    return Calibration("isotonic", points=tuple((float(a), float(b)) for a, b in rising))
