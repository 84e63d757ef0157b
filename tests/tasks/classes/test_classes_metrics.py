"""Metrics of classes beside cases counted by hand."""

from __future__ import annotations

import pytest

from nhan.tasks.base import Answer
from nhan.tasks.classes import ClassesTask
from nhan.tasks.classes.metrics import MAX_LISTED

TASK = ClassesTask()

# a: 2 of 3 right; b: 1 of 2 right; c: 1 of 1 right, and twice answered wrongly.
TRUTHS = ["a", "a", "a", "b", "b", "c"]
ANSWERS = ["a", "a", "c", "b", "c", "c"]


def test_score_by_hand():
    scores = TASK.score(TRUTHS, ANSWERS)
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["error"] == pytest.approx(2 / 6)
    assert scores["precision of a"] == 1
    assert scores["recall of a"] == pytest.approx(2 / 3)
    assert scores["precision of c"] == pytest.approx(1 / 3)
    assert scores["macro_precision"] == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert scores["macro_recall"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    # F1: a 2·1·(2/3)/(5/3) = 0.8; b 2·1·0.5/1.5 = 2/3; c 2·(1/3)·1/(4/3) = 0.5
    assert scores["macro_f1"] == pytest.approx((0.8 + 2 / 3 + 0.5) / 3)


def test_support_counts_the_samples_that_a_figure_rests_on():
    rests_on = lambda metric: TASK.support(metric, TRUTHS, ANSWERS)  # noqa: E731
    assert [rests_on(f"recall of {name}") for name in "abc"] == [3, 2, 1]
    assert [rests_on(f"precision of {name}") for name in "abc"] == [2, 1, 3]
    assert rests_on("precision of z") == 0
    assert rests_on("accuracy") == rests_on("macro_f1") == 6


def test_macro_figures_are_over_the_classes_that_occur():
    assert TASK.score(["a", "a"], ["a", "z"])["macro_recall"] == 0.5


def test_nothing_to_score_is_zero():
    assert set(TASK.score([], []).values()) == {0.0}


def test_many_classes_are_not_listed_one_by_one():
    names = [f"c{number}" for number in range(MAX_LISTED + 1)]
    assert not any("of c" in name for name in TASK.score(names, names))


def test_the_primary_metric_is_the_mean_of_the_rates():
    rates = [TASK.rate(truth, answer) for truth, answer in zip(TRUTHS, ANSWERS, strict=True)]
    share = sum(rate.errors for rate in rates) / sum(rate.weight for rate in rates)
    assert TASK.score(TRUTHS, ANSWERS)[TASK.primary] == pytest.approx(share)


def test_confusions_are_wrong_pairs_most_frequent_first():
    found = TASK.confusions([*TRUTHS, "a"], [*ANSWERS, "c"])["classes"]
    assert [(c.truth, c.answer, c.count) for c in found] == [("a", "c", 2), ("b", "c", 1)]


@pytest.mark.parametrize(
    ("truth", "classes", "expected"),
    [
        ("c", "abcdefgh", {"top_3_error": 0.0}),
        ("d", "abcdefgh", {"top_3_error": 1.0}),
        ("f", "abcdefghijkl", {"top_3_error": 1.0, "top_5_error": 1.0}),
        ("e", "abcdefghijkl", {"top_3_error": 1.0, "top_5_error": 0.0}),
        ("a", "abcde", {}),  # three of five say little
    ],
)
def test_top_k_reads_the_order_of_scores(truth, classes, expected):
    labels = {name: 1 / (place + 2) for place, name in enumerate(classes)}
    rates = TASK.rates(truth, Answer("a", 0.5, {"labels": labels}))
    assert {name: rate.errors for name, rate in rates.items()} == expected


def test_a_class_is_a_slice():
    assert TASK.slices("daisy") == {"class": "daisy"}


def test_an_answer_is_described_with_scores_high_to_low():
    answer = Answer("b", 0.9, {"labels": {"b": 0.9, "a": 0.1}})
    assert TASK.describe(answer) == "0.9000  b\n0.1000  a"
