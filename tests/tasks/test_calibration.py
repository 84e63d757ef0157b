from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from nhan.errors import SettingsError
from nhan.tasks.calibration import Calibration, fit_isotonic, fit_temperature


def lines(sharpness: float, bias: float, count: int = 4000) -> tuple[list[float], list[bool]]:
    """Raw scores of lines whose chance of being right has other logits than the score."""
    rng = np.random.default_rng(1)
    logits = rng.normal(1.0, 2.0, count)
    right = rng.random(count) < 1 / (1 + np.exp(-logits))
    raw = 1 / (1 + np.exp(-(logits - bias) * sharpness))
    return raw.tolist(), right.tolist()


def calibration_error(confidences: list[float], right: list[bool]) -> float:
    bins = np.minimum((np.array(confidences) * 10).astype(int), 9)
    gaps = [
        abs(np.mean(np.array(confidences)[bins == b]) - np.mean(np.array(right)[bins == b]))
        * (bins == b).mean()
        for b in set(bins.tolist())
    ]
    return float(sum(gaps))


def test_no_calibration_changes_nothing() -> None:
    assert Calibration().confidence(0.37) == 0.37


@pytest.mark.parametrize(
    ("score", "temperature", "bias", "confidence"),
    [
        (0.5, 3.0, 0.0, 0.5),  # logit 0 stays
        (0.8, 2.0, 0.0, 2 / 3),  # logit ln 4, halved: ln 2
        (0.2, 2.0, 0.0, 1 / 3),
        (0.5, 1.0, np.log(3), 0.75),  # the bias alone
        (1.0, 1.0, 0.0, 1.0),
        (0.0, 0.001, 0.0, 0.0),
    ],
)
def test_temperature(score: float, temperature: float, bias: float, confidence: float) -> None:
    calibration = Calibration("temperature", temperature=temperature, bias=bias)
    assert calibration.confidence(score) == pytest.approx(confidence, abs=1e-5)


def test_the_length_adds_to_the_logit() -> None:
    calibration = Calibration("temperature", temperature=1.0, length=0.5)
    assert calibration.confidence(0.5) == 0.5
    assert calibration.confidence(0.5, 8) == pytest.approx(0.75)  # half of ln 9: odds of 3
    assert calibration.confidence(0.5, 0) == 0.5


def test_isotonic_draws_straight_lines_between_points() -> None:
    calibration = Calibration("isotonic", points=((0.0, 0.1), (0.5, 0.3), (1.0, 0.9)))
    assert calibration.confidence(0.0) == pytest.approx(0.1)
    assert calibration.confidence(0.25) == pytest.approx(0.2)
    assert calibration.confidence(0.75) == pytest.approx(0.6)


def test_the_fit_finds_the_temperature_and_bias() -> None:
    fitted = fit_temperature(*lines(sharpness=2.5, bias=0.5))
    assert fitted.method == "temperature"
    assert fitted.temperature == pytest.approx(2.5, rel=0.1)
    assert fitted.bias == pytest.approx(0.5, abs=0.12)


def test_the_fit_finds_what_the_length_is_worth() -> None:
    rng = np.random.default_rng(2)
    symbols = rng.integers(1, 80, 8000)
    raw = 1 / (1 + np.exp(-rng.normal(0.0, 2.0, 8000)))
    logits = np.log(raw / (1 - raw)) / 1.5 - 1.0 + 0.6 * np.log1p(symbols)
    right = rng.random(8000) < 1 / (1 + np.exp(-logits))
    fitted = fit_temperature(raw.tolist(), right.tolist(), symbols.tolist())
    assert fitted.temperature == pytest.approx(1.5, rel=0.1)
    assert fitted.length == pytest.approx(0.6, abs=0.12)
    assert fitted.bias == pytest.approx(-1.0, abs=0.4)
    assert fit_temperature(raw.tolist(), right.tolist()).length == 0


@pytest.mark.parametrize("fit", [fit_temperature, fit_isotonic])
def test_fitted_confidences_are_right_as_often_as_they_say(fit) -> None:
    scores, right = lines(sharpness=3.0, bias=-1.0)
    fitted = fit(scores[::2], right[::2])
    assert calibration_error(scores[1::2], right[1::2]) > 0.1
    unseen = [fitted.confidence(score) for score in scores[1::2]]
    assert calibration_error(unseen, right[1::2]) < 0.03


@pytest.mark.parametrize("fit", [fit_temperature, fit_isotonic])
def test_fits_rise_and_stay_in_range(fit) -> None:
    fitted = fit(*lines(sharpness=0.7, bias=0.3, count=500))
    confidences = [fitted.confidence(score) for score in np.linspace(0, 1, 101)]
    assert all(b >= a for a, b in pairwise(confidences))
    assert 0 <= confidences[0] <= confidences[-1] <= 1


@pytest.mark.parametrize("outcome", [True, False])
def test_lines_that_are_all_right_or_all_wrong_fit_too(outcome: bool) -> None:
    fitted = fit_temperature([0.2, 0.9, 0.95, 0.99] * 10, [outcome] * 40)
    assert (fitted.confidence(0.9) > 0.7) == outcome


def test_too_little_to_fit_means_none() -> None:
    assert fit_temperature([], []) == Calibration()
    assert fit_isotonic([0.5] * 10, [True] * 10) == Calibration()


def test_scores_that_mislead_give_nearly_the_same_confidence_to_all() -> None:
    scores, right = lines(sharpness=1.0, bias=0.0)
    fitted = fit_temperature(scores, [not r for r in right])
    wrong = 1 - np.mean(right)
    assert fitted.confidence(0.1) == pytest.approx(wrong, abs=0.06)
    assert fitted.confidence(0.9) == pytest.approx(wrong, abs=0.06)
    symbols = np.random.default_rng(3).integers(1, 80, len(scores))
    fitted = fit_temperature(scores, [not r for r in right], symbols.tolist())
    assert fitted.confidence(0.1, 20) == pytest.approx(wrong, abs=0.08)
    assert fitted.confidence(0.9, 20) == pytest.approx(wrong, abs=0.08)


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration(),
        Calibration("temperature", temperature=1.7, bias=-0.2),
        Calibration("temperature", temperature=1.7, bias=-0.2, length=0.4),
        Calibration("isotonic", points=((0.0, 0.1), (1.0, 0.9))),
    ],
)
def test_numbers_survive_saving(calibration: Calibration) -> None:
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


def test_an_empty_spec_means_none() -> None:
    assert Calibration.from_dict({}) == Calibration()


@pytest.mark.parametrize(
    "spec",
    [
        {"method": "magic"},
        {"method": "temperature", "temperature": 0},
        {"method": "isotonic", "points": []},
        {"method": "isotonic", "points": [[0, 0.9], [1, 0.1]]},
    ],
)
def test_broken_specs_are_refused(spec: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        Calibration.from_dict(spec)
