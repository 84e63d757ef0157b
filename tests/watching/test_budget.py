"""Learning curves through points of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from nhan.catalog.schema import samples
from nhan.watching.budget import Point, expected_gain, fit, next_hundred
from nhan.workspace import Workspace


def test_a_power_law_is_found_again() -> None:
    labels = [50, 100, 200, 400]
    curve = fit(labels, [0.8 * k**-0.4 for k in labels])
    assert (curve.start, curve.power) == (pytest.approx(0.8), pytest.approx(0.4))
    assert curve.rate(500) == pytest.approx(0.8 * 500**-0.4)


def test_a_curve_that_starts_at_an_old_model_is_found_again() -> None:
    labels = [0, 40, 80, 160]
    rates = [0.15 * (1 + k / 25) ** -1.2 for k in labels]
    curve = fit(labels, rates)
    assert curve.rate(0) == pytest.approx(0.15)
    assert curve.rate(260) == pytest.approx(0.15 * (1 + 260 / 25) ** -1.2, rel=0.02)


def test_labels_that_only_hurt_promise_nothing() -> None:
    assert fit([0, 50, 100], [0.1, 0.12, 0.13]).rate(200) == pytest.approx(0.1)
    assert fit([25, 50, 100], [0.1, 0.12, 0.13]).power == 0


def test_the_gain_has_an_interval_that_narrows_with_the_test_set() -> None:
    def gain(size: int):
        dice = np.random.default_rng(3)
        points = [
            Point(k, (dice.random(size) < rate).astype(float).tolist(), [1.0] * size)
            for k, rate in ((0, 0.4), (50, 0.2), (100, 0.14), (200, 0.1))
        ]
        return expected_gain(points)[1]

    small, large = gain(50), gain(5000)
    assert large.low < large.value < large.high
    assert large.high - large.low < small.high - small.low
    assert large.value == pytest.approx(0.03, abs=0.015)


def test_a_faultless_model_is_no_error() -> None:
    points = [Point(k, [0.0] * 20, [5.0] * 20) for k in (0, 10, 20)]
    assert expected_gain(points)[1].value == pytest.approx(0)


def test_the_next_hundred_are_the_queue_by_usefulness_then_the_rest(workspace: Workspace) -> None:
    rows = [
        {"task": "text", "sha256": f"{n:064x}", "path": f"images/{n}.png", "bytes": 1, "width": 9,
         "height": 9, "phash": "0" * 16, "thumbnail": b"", "name": str(n), "source": "uploads",
         "group": "", "split_asked": "", "split": "", "reason": "", "state": state,
         "priority": n / 1000, "created_at": _now()}
        for n, state in enumerate(["queued", "new", "labelled"] * 60)
    ]  # fmt: skip
    with workspace.catalog.write() as connection:
        connection.execute(samples.insert(), rows)
    found = next_hundred(workspace, "text")
    assert [one["state"] for one in found] == ["queued"] * 60 + ["new"] * 40
    priorities = [one["priority"] for one in found]
    assert priorities[:60] == sorted(priorities[:60], reverse=True)
    assert next_hundred(workspace, "classes") == []


def test_what_may_not_train_is_not_among_the_next_hundred(workspace: Workspace) -> None:
    rows = [
        {"task": "text", "sha256": f"{n:064x}", "path": f"images/{n}.png", "bytes": 1, "width": 9,
         "height": 9, "phash": "0" * 16, "thumbnail": b"", "name": str(n), "source": "uploads",
         "group": "", "split_asked": "", "split": "", "reason": "", "state": state,
         "may_train": n % 2 == 0, "priority": 0.5, "created_at": _now()}
        for n, state in enumerate(["queued", "queued", "new", "new"])
    ]  # fmt: skip
    with workspace.catalog.write() as connection:
        connection.execute(samples.insert(), rows)
    found = next_hundred(workspace, "text")
    assert [(one["state"], one["sha256"][-1]) for one in found] == [("queued", "0"), ("new", "2")]


def _now():
    from datetime import UTC, datetime

    return datetime.now(UTC)
