"""One temperature that makes class probabilities mean what they say.

Dividing the logits by a number never changes which class is answered, only how sure it sounds.

Source: Guo et al. 2017, On calibration of modern neural networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nhan.errors import SettingsError

_COLDEST, _HOTTEST = 0.05, 20.0
# How strongly the logarithm of the temperature is held to 0, in samples: where every answer is
# right, the likelihood alone would ask for a temperature of zero.
_PULL = 2.0
# A probability that was rounded to nothing is at most this.
_LEAST = 1e-30
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Temperature:
    """How logits become probabilities.

    Attributes:
        value: above 1 for a network that is too sure of itself.

    Raises:
        SettingsError: it is not positive.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        if not self.value > 0:
            raise SettingsError(
                f"calibration.temperature is {self.value}", hint="it must be above 0"
            )

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> Temperature:
        """Read `nhan.json`'s `calibration`; an empty mapping means none.

        Raises:
            SettingsError: a method that this version does not know.
        """
        method = numbers.get("method", "none")
        if method == "none":
            return cls()
        if method == "temperature":
            return cls(float(numbers["temperature"]))
        raise SettingsError(f"calibration.method is {method!r}", hint="methods: none, temperature")

    def probabilities(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Softmax over the last axis, in float64; each row adds up to 1."""
        scaled = np.asarray(logits, np.float64) / self.value
        scaled = scaled - scaled.max(axis=-1, keepdims=True)
        powers = np.exp(scaled)
        result: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
        return result


def calibrate_answers(
    truths: Sequence[str], answers: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """`nhan.json`'s `calibration` from uncalibrated answers.

    Logarithms of probabilities are logits but for a constant that softmax forgets. Beside the
    temperature stand the expected calibration errors before and after, on the same answers, for
    the model's card.

    Args:
        truths: the right classes.
        answers: each answer's classes with their probabilities; those that lack the truth (a
            picture that could not be read, a class the model has not) are left out.
    """
    pairs = [
        (truth, labels) for truth, labels in zip(truths, answers, strict=True) if truth in labels
    ]
    if not pairs:
        return {"method": "none"}
    classes = sorted(pairs[0][1])
    scores = np.array([[labels[name] for name in classes] for _, labels in pairs])
    logits = np.log(np.maximum(scores, _LEAST))
    targets = np.array([classes.index(truth) for truth, _ in pairs])
    fitted = fit_temperature(logits, targets)
    return {
        "method": "temperature",
        "temperature": fitted.value,
        "ece_before": _calibration_error(Temperature().probabilities(logits), targets),
        "ece_after": _calibration_error(fitted.probabilities(logits), targets),
        "samples": len(pairs),
    }


def _calibration_error(probabilities: NDArray[np.float64], targets: NDArray[np.intp]) -> float:
    """Expected calibration error of the best answers in ten bins; see Guo et al. 2017."""
    best = probabilities.max(axis=1)
    gaps = (probabilities.argmax(axis=1) == targets) - best
    bins = np.minimum((best * 10).astype(int), 9)
    return float(sum(abs(gaps[bins == number].sum()) for number in range(10)) / len(targets))


def fit_temperature(
    logits: NDArray[np.floating[Any]], truths: Sequence[int] | NDArray[np.integer[Any]]
) -> Temperature:
    """The temperature under which the truths are likeliest.

    Args:
        logits: (samples, classes), of samples that were not trained on.
        truths: index of the right class of each.

    Returns:
        Between 0.05 and 20; 1 for no samples.
    """
    if not len(truths):
        return Temperature()
    rows = np.asarray(logits, np.float64)
    right = np.asarray(truths, np.intp)
    own = rows[np.arange(len(rows)), right]
    top = rows.max(axis=1)

    def cost(log_temperature: float) -> float:
        inverse = math.exp(-log_temperature)
        spread = np.exp((rows - top[:, None]) * inverse).sum(axis=1)
        surprise = float((np.log(spread) - (own - top) * inverse).sum())
        return surprise + _PULL / 2 * log_temperature**2

    # Along the logarithm the cost has one valley: golden-section search needs no derivative.
    low, high = math.log(_COLDEST), math.log(_HOTTEST)
    while high - low > 1e-4:
        left, right_ = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if cost(left) < cost(right_):
            high = right_
        else:
            low = left
    return Temperature(math.exp((low + high) / 2))
