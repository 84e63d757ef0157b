"""PSI against hand-computed values, and how far luck goes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nhan.watching.stability import compare_numbers, compare_symbols


def test_the_same_sample_has_no_distance() -> None:
    values = [float(number) for number in range(100)]
    found = compare_numbers(values, values)
    assert found.psi == pytest.approx(0)
    assert len(found.bins) == 10


def test_a_mix_as_computed_by_hand() -> None:
    # Shares with half a count added to each of two bins: (90.5, 10.5)/101 and (50.5, 50.5)/101.
    reference = [["a"]] * 90 + [["b"]] * 10
    recent = [["a"]] * 50 + [["b"]] * 50
    p, q = (90.5 / 101, 10.5 / 101), (0.5, 0.5)
    by_hand = sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))
    found = compare_symbols(reference, recent)
    assert found.psi == pytest.approx(by_hand)
    assert found.psi > 0.25 > found.luck
    assert {one.name: round(one.recent, 2) for one in found.bins} == {"a": 0.5, "b": 0.5}


def test_small_samples_differ_by_luck() -> None:
    dice = np.random.default_rng(1)
    reference = dice.normal(size=400).tolist()
    over = 0
    for _ in range(40):
        found = compare_numbers(reference, dice.normal(size=40).tolist())
        over += found.psi > found.luck
    assert over <= 6  # 1 of 100 is meant; the reference is itself a sample


def test_a_shift_is_more_than_luck_and_shows_where() -> None:
    dice = np.random.default_rng(2)
    reference = dice.normal(size=400).tolist()
    recent = [*dice.normal(size=90).tolist(), *[6.0] * 30]
    found = compare_numbers(reference, recent)
    assert found.psi > 0.25
    assert found.psi > found.luck
    assert set(found.strangest(6)) <= set(range(len(recent)))
    assert all(recent[index] > 1 for index in found.strangest(6))


def test_a_new_symbol_points_at_the_items_that_hold_it() -> None:
    reference = [list("đồng ý")] * 50
    recent = [*[list("đồng ý")] * 20, *[list("☑ đồng ý")] * 20]
    found = compare_symbols(reference, recent)
    assert all(index >= 20 for index in found.strangest(5))


@pytest.mark.parametrize(("reference", "recent"), [([], [1.0]), ([1.0], []), ([2.0, 2.0], [2.0])])
def test_nothing_to_compare_is_none(reference: list[float], recent: list[float]) -> None:
    assert compare_numbers(reference, recent) is None


def test_one_value_that_becomes_another_is_seen() -> None:
    for other in (64.0, 16.0):
        assert compare_numbers([32.0] * 100, [other] * 100).psi > 1
    assert "32" in [one.name for one in compare_numbers([32.0] * 100, [64.0] * 100).bins]
    assert compare_symbols([["cat"]] * 9, [["cat"]] * 9) is None
