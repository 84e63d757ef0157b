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
