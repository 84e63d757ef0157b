"""The calibration that is chosen makes confidence mean what it says."""

from __future__ import annotations

import numpy as np
import pytest

import bars
from nhan.datasets.read import open_dataset
from nhan.evaluation import calibrate as module
from nhan.evaluation.calibrate import calibrate, choose
from nhan.evaluation.reliability import reliability

SHORT = [1] * 2000


def answers(truth, count: int = 2000, seed: int = 0):
    """Scores spread over 0..1, each right as often as `truth(score)` says."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.02, 0.98, count)
    return scores.tolist(), (rng.random(count) < truth(scores)).tolist()


@pytest.mark.parametrize(
    ("truth", "before"),
    [
        (lambda s: s**3, 0.15),  # too sure of itself
        (lambda s: 1 - (1 - s) ** 3, 0.15),  # too modest
        (lambda s: np.where(s < 0.5, 0.1, 0.9), 0.15),  # a step
    ],
)
def test_chosen_calibration_mends_unseen_answers(truth, before):
    chosen = choose(*answers(truth), SHORT)
    scores, right = answers(truth, seed=1)
    assert reliability(scores, right).ece > before
    assert reliability([chosen.confidence(s) for s in scores], right).ece < 0.06


def test_honest_scores_are_left_alone():
    scores, right = answers(lambda s: s)
    chosen = choose(scores, right, SHORT)
    assert reliability([chosen.confidence(s) for s in scores], right).ece < 0.04


def test_the_length_counts_where_it_tells_something():
    scores, right = answers(lambda s: s)
    rng = np.random.default_rng(2)
    symbols = rng.integers(1, 80, len(scores)).tolist()
    assert choose(scores, right, symbols).length == 0
    odds = np.log(np.array(scores) / (1 - np.array(scores))) + np.log1p(symbols) - 3
    right = (rng.random(len(scores)) < 1 / (1 + np.exp(-odds))).tolist()
    assert choose(scores, right, symbols).length == pytest.approx(1, abs=0.2)


def test_a_handful_of_samples_calibrates_nothing():
    assert choose([0.9] * 49, [True] * 49, [5] * 49).method == "none"


def test_an_unpublished_package_is_calibrated_on_validation(
    workspace, make_dataset, rows, monkeypatch
):
    """At gain 0.94 rows without a 9 are right but unsure: confidence must rise."""
    ref = make_dataset(validation=rows(120), test=rows(5))
    seen = {}
    monkeypatch.setattr(
        module, "choose", lambda s, r, n: seen.update(s=s, r=r, n=n) or choose(s, r, n)
    )
    table = calibrate(
        {"model.onnx": bars.model(0.94)}, bars.spec(), open_dataset(workspace.store, ref)
    )
    assert len(seen["s"]) == len(seen["n"]) == 120
    assert 0 < sum(seen["r"]) < 120
    assert table["method"] in {"temperature", "isotonic"}
    assert workspace.store.folders("models") == []
