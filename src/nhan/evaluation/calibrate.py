"""Choose the calibration of a version before it is published, on samples it did not learn from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nhan.datasets.read import DatasetVersion
from nhan.evaluation.evaluate import check_task, read_rows
from nhan.evaluation.reliability import reliability
from nhan.images import PictureLimits
from nhan.models.package import write_package
from nhan.models.predictor import Predictor
from nhan.tasks import get_task
from nhan.tasks.calibration import Calibration, fit_isotonic, fit_temperature

_FOLDS = 5
# Fewer samples than this cannot tell one calibration from another.
_MIN_SAMPLES = 50

Fit = Callable[[Sequence[float], Sequence[bool], Sequence[int]], Calibration]

# From the simplest to the most flexible: a tie goes to the simpler.
_METHODS: tuple[Fit, ...] = (
    lambda _scores, _right, _symbols: Calibration(),
    lambda scores, right, _symbols: fit_temperature(scores, right),
    fit_temperature,
    lambda scores, right, _symbols: fit_isotonic(scores, right),
)


def calibrate(
    files: Mapping[str, bytes],
    spec: Mapping[str, Any],
    dataset: DatasetVersion,
    *,
    split: str = "validation",
    limits: PictureLimits | None = None,
) -> dict[str, Any]:
    """The `calibration` table of `nhan.json` for a version that is about to be published.

    Args:
        files: of the package to be.
        spec: of the package to be; its own calibration is left aside.
        dataset: what it was trained on.
        split: samples it was not trained on; never the test split, which must stay untouched.
        limits: what a picture may cost.

    Returns:
        The task's own calibration where it has one (`Task.calibration`); else the map of the
        confidence that fits best, `{"method": "none"}` for fewer than 50 samples.

    Raises:
        UserError: model and dataset are of different tasks.
    """
    with tempfile.TemporaryDirectory() as folder:
        raw = {**spec, "calibration": {"method": "none"}}
        package = write_package(folder, files, raw, name="uncalibrated")
        check_task(package, dataset)
        predictor = Predictor.load(package, limits=limits)
        said = list(read_rows(predictor, dataset.rows(split)))
    task = get_task(dataset.task)
    truths, answers = [row.label for row, _, _ in said], [answer for _, answer, _ in said]
    own = task.calibration(truths, answers)
    if own is not None:
        return own
    right = [
        task.rate(truth, answer.value).errors == 0
        for truth, answer in zip(truths, answers, strict=True)
    ]
    symbols = [len(task.symbols(answer.value)) for answer in answers]
    return choose([answer.confidence for answer in answers], right, symbols).to_dict()


def choose(scores: Sequence[float], right: Sequence[bool], symbols: Sequence[int]) -> Calibration:
    """The method whose confidences fit unseen answers best: five folds, Brier score.

    Args:
        scores: raw scores, 0..1.
        right: whether each answer was wholly right.
        symbols: how many symbols each answer has.
    """
    if len(scores) < _MIN_SAMPLES:
        return Calibration()
    s, r, n = np.asarray(scores), np.asarray(right), np.asarray(symbols)
    best = min(_METHODS, key=lambda fit: _brier(fit, s, r, n))
    return best(scores, right, symbols)


def _brier(fit: Fit, scores: np.ndarray, right: np.ndarray, symbols: np.ndarray) -> float:
    """The Brier score of confidences that were fitted without the samples they are for."""
    fold = np.random.default_rng(0).permutation(len(scores)) % _FOLDS
    confidences = np.empty(len(scores))
    for held_out in range(_FOLDS):
        rest = fold != held_out
        fitted = fit(scores[rest].tolist(), right[rest].tolist(), symbols[rest].tolist())
        confidences[~rest] = [
            fitted.confidence(score, count)
            for score, count in zip(scores[~rest].tolist(), symbols[~rest].tolist(), strict=True)
        ]
    # Rounded, so that differences that are none leave the simpler method in place.
    return round(reliability(confidences, right).brier, 4)
