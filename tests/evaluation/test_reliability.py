"""Calibration error, on cases small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nhan.evaluation.reliability import reliability


@pytest.mark.parametrize(
    ("confidences", "right", "ece"),
    [
        ([0.75] * 4, [1, 1, 1, 0], 0.0),  # three of four right at 0.75: perfect
        ([0.95] * 4, [1, 1, 0, 0], 0.45),  # half right at 0.95
        ([0.95, 0.95, 0.05, 0.05], [1, 1, 0, 0], 0.05),  # both bins off by 0.05
        ([1.0, 0.0], [0, 1], 1.0),  # surely wrong
        ([], [], 0.0),
    ],
)
def test_expected_calibration_error(confidences, right, ece):
    assert reliability(confidences, right).ece == pytest.approx(ece)


def test_brier_score_by_hand():
    assert reliability([0.8, 0.4], [1, 0]).brier == pytest.approx((0.04 + 0.16) / 2)


def test_every_answer_falls_in_one_bin():
    confidences = np.concatenate((np.linspace(0, 1, 101), [1.2, -0.1]))  # outside: clipped
    found = reliability(confidences, np.ones(103, bool))
    assert sum(b.count for b in found.bins) == 103
    assert [(b.low, b.high) for b in found.bins[:1] + found.bins[-1:]] == [(0.0, 0.1), (0.9, 1.0)]
    assert found.bins[-1].count == 12  # 0.9 … 1.0 and the clipped one


def test_says_how_large_the_error_is_by_chance_alone():
    rng = np.random.default_rng(3)
    few, many = rng.uniform(0, 1, 100), rng.uniform(0, 1, 20_000)
    small, large = (reliability(c, rng.random(len(c)) < c) for c in (few, many))
    # Ten bins of ten answers each stray by about 0.8 * sqrt(1/6 / 10); a 200th of that for many.
    assert 0.07 < small.ece_by_chance < 0.13
    assert 0.004 < large.ece_by_chance < 0.01
    assert abs(large.ece - large.ece_by_chance) < 0.005
    assert reliability([1.0] * 50, [True] * 50).ece_by_chance == 0
    assert reliability([], []).ece_by_chance == 0
    assert reliability(few, few > 0.5).ece_by_chance == small.ece_by_chance
