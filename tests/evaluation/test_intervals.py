"""Intervals hold what they promise, also at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from nhan.evaluation.intervals import bootstrap, jackknife, paired_difference, rate


def test_rate_is_corpus_level():
    assert rate([1, 0], [2, 8]) == pytest.approx(0.1)  # not the mean of 1/2 and 0
    assert rate([], []) == 0
    assert rate([3], [0]) == 3  # nothing to read, three characters read: finite


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        weights = rng.integers(5, 40, 100)
        errors = rng.binomial(weights, 0.1)
        interval = bootstrap(errors, weights, resamples=400)
        covered += interval.low <= 0.1 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_bootstrap_is_seeded_and_holds_its_value():
    errors, weights = [0, 1, 2, 0, 5], [9, 8, 7, 6, 5]
    first = bootstrap(errors, weights)
    assert first == bootstrap(errors, weights)
    assert first.value == pytest.approx(8 / 35)
    assert first.low <= first.value <= first.high


def test_more_samples_narrow_it():
    errors, weights = np.tile([0, 1, 0, 3], 5), np.tile([10], 20)
    few, many = bootstrap(errors, weights), bootstrap(np.tile(errors, 16), np.tile(weights, 16))
    assert (many.high - many.low) < (few.high - few.low) / 2


def test_a_faultless_set_is_not_proof_of_a_faultless_model():
    assert bootstrap([0] * 100, [10] * 100).high == pytest.approx(0.0362, abs=1e-4)
    assert bootstrap([0] * 10, [10] * 10).high == pytest.approx(0.3085, abs=1e-4)
    assert bootstrap([0], [1]).high == pytest.approx(0.975)


def test_a_hopeless_set_is_no_proof_either():
    interval = bootstrap([10] * 20, [10] * 20)
    assert (interval.value, interval.high) == (1, 1)
    assert interval.low == pytest.approx(1 - 0.1684, abs=1e-4)


def test_jackknife_of_none_or_all_right_is_as_careful():
    for value in (0.0, 1.0):
        knife = jackknife(lambda chosen, value=value: {"exact": value}, 100)["exact"]
        assert knife.high - knife.low == pytest.approx(0.0362, abs=1e-4)


def test_jackknife_of_a_share_of_few_samples_is_as_wide_as_they_are_few():
    # One class of ten pictures among a hundred, all of them told.
    knife = jackknife(lambda _: {"recall": 1.0, "never": 0.0}, 100, {"recall": 10, "never": 0}.get)
    assert knife["recall"].low == pytest.approx(1 - 0.3085, abs=1e-4)
    # A share of nothing is unknown, not none.
    assert (knife["never"].low, knife["never"].high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("errors", "weights", "expected"),
    [([], [], (0, 0, 0)), ([2, 2], [0, 0], (4, 2.0, 6.0)), ([1], [1], (1, 1, 1))],
)
def test_edges_stay_finite(errors, weights, expected):
    interval = bootstrap(errors, weights)
    assert interval.value == expected[0]
    assert np.isfinite([interval.low, interval.high]).all()


def test_columns_of_different_length_are_our_mistake():
    with pytest.raises(ValueError, match="one length"):
        bootstrap([1, 2], [1])


def test_large_sets_need_little_memory():
    # 100,000 samples × 2,000 resamples would be 1.6 GB at once.
    errors = np.zeros(100_000)
    errors[::10] = 1
    interval = bootstrap(errors, np.ones(100_000), resamples=50)
    assert interval.low < 0.1 < interval.high


def test_pairing_sees_what_two_separate_intervals_cannot():
    rng = np.random.default_rng(2)
    weights = np.full(200, 20)
    hard = rng.integers(0, 15, 200)  # both fail where it is hard
    champion, candidate = hard + 1, hard
    difference = paired_difference(candidate, champion, weights)
    assert difference.high < 0
    assert difference.better == 1
    apart = bootstrap(candidate, weights).high - bootstrap(champion, weights).low
    assert apart > 0  # the separate intervals overlap


def test_difference_of_equals_is_a_coin_toss():
    errors, weights = [0, 1, 2], [3, 3, 3]
    difference = paired_difference(errors, errors, weights)
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert difference.better == 0.5
    assert paired_difference(errors, errors, weights, margin=0.01).better == 0
    fewer = [0.5, 1.5, 2.5]
    assert paired_difference(fewer, [1, 2, 3], weights, margin=0.5 / 3).better == 1


def test_one_lucky_sample_is_not_certain():
    champion = np.zeros(20)
    champion[0] = 1
    difference = paired_difference(np.zeros(20), champion, np.full(20, 10))
    # 1 - (19/20)^20 of resamples hold the lucky one; the others are ties and count half.
    assert difference.better == pytest.approx(0.82, abs=0.03)


def test_no_samples_make_no_difference():
    assert paired_difference([], [], []).better == 0


def test_jackknife_agrees_with_the_bootstrap():
    rng = np.random.default_rng(3)
    weights = rng.integers(5, 40, 300)
    errors = rng.binomial(weights, 0.1)
    score = lambda chosen: {"cer": errors[chosen].sum() / weights[chosen].sum()}  # noqa: E731
    knife, boot = jackknife(score, 300)["cer"], bootstrap(errors, weights)
    assert knife.value == pytest.approx(boot.value)
    assert knife.high - knife.low == pytest.approx(boot.high - boot.low, rel=0.5)


@pytest.mark.parametrize("samples", [0, 1, 2, 3])
def test_jackknife_of_few_samples_stays_finite(samples):
    values = np.array([0.0, 1.0, 0.5])
    score = lambda chosen: {"x": float(values[chosen].mean()) if len(chosen) else 0.0}  # noqa: E731
    interval = jackknife(score, samples)["x"]
    assert 0 <= interval.low <= interval.value <= interval.high < np.inf
