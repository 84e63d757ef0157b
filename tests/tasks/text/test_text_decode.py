from __future__ import annotations

import numpy as np
import pytest

from nhan.tasks.text.decode import LogProbs, greedy

CHARACTERS = " abc"  # classes: 0 blank, 1 space, 2 a, 3 b, 4 c


def frames(*rows: dict[str, float]) -> LogProbs:
    """Log-probabilities from named probabilities ("-" is the blank); the rest is spread evenly."""
    table = np.zeros((len(rows), 5))
    for row, given in zip(table, rows, strict=True):
        named = {("-" + CHARACTERS).index(char): p for char, p in given.items()}
        row[:] = (1 - sum(named.values())) / max(5 - len(named), 1)
        for index, p in named.items():
            row[index] = p
    return np.log(np.maximum(table, 1e-12)).astype(np.float32)


def spell(path: str) -> LogProbs:
    return frames(*({char: 0.96} for char in path))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("abc", "abc"),
        ("aabbcc", "abc"),  # equal neighbours merge
        ("a-a", "aa"),  # a blank between keeps both
        ("--a--b-", "ab"),
        ("----", ""),
        ("a b", "a b"),
        (" a b ", "a b"),  # no spaces at the ends
        ("a - b", "a b"),  # no double spaces
        (" - ", ""),
    ],
)
def test_paths_collapse_to_texts(path: str, text: str) -> None:
    reading = greedy(spell(path), CHARACTERS)
    assert reading.text == text
    assert len(reading.characters) == len(text)


def test_character_confidence_is_the_best_frame_of_its_run() -> None:
    reading = greedy(frames({"a": 0.6}, {"a": 0.9}, {"-": 0.99}, {"b": 0.7}), CHARACTERS)
    assert reading.characters == pytest.approx((0.9, 0.7), abs=1e-6)


def test_line_score_is_the_product_over_runs() -> None:
    reading = greedy(frames({"a": 0.6}, {"a": 0.9}, {"b": 0.7}), CHARACTERS)
    assert reading.score == pytest.approx(0.9 * 0.7, abs=1e-6)


def test_one_unsure_letter_lowers_the_line() -> None:
    sure = greedy(spell("abcabcabc"), CHARACTERS).score
    unsure = greedy(
        np.concatenate([spell("abcab"), frames({"c": 0.5, "a": 0.45}), spell("abc")]), CHARACTERS
    ).score
    assert unsure < 0.55 * sure


def test_a_nearly_missed_character_lowers_the_line() -> None:
    # The middle frame reads blank, but c was nearly there.
    missed = greedy(frames({"a": 1.0}, {"-": 0.55, "c": 0.45}, {"b": 1.0}), CHARACTERS)
    assert missed.text == "ab"
    assert missed.score == pytest.approx(0.55, abs=1e-5)


def test_doubt_about_where_a_character_begins_does_not() -> None:
    reading = greedy(frames({"a": 1.0}, {"-": 0.5, "a": 0.3, "b": 0.2}, {"b": 1.0}), CHARACTERS)
    assert reading.text == "ab"
    assert reading.score == pytest.approx(1.0, abs=1e-5)


def test_the_same_letter_on_both_sides_counts_once() -> None:
    reading = greedy(frames({"a": 1.0}, {"-": 0.7, "a": 0.3}, {"a": 1.0}), CHARACTERS)
    assert reading.text == "aa"
    assert reading.score <= 1.0


def test_a_blank_line_keeps_the_doubt_of_its_worst_frame() -> None:
    reading = greedy(frames({"-": 1.0}, {"-": 0.6, "a": 0.4}, {"-": 0.9}), CHARACTERS)
    assert (reading.text, reading.characters) == ("", ())
    assert reading.score == pytest.approx(0.6, abs=1e-5)


def test_no_frames_read_as_nothing() -> None:
    reading = greedy(np.zeros((0, 5), np.float32), CHARACTERS)
    assert (reading.text, reading.characters, reading.score) == ("", (), 0.0)


def test_probabilities_stay_in_range_for_any_network() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        logits = rng.normal(0, 6, (40, 5)).astype(np.float32)
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        reading = greedy(log_probs, CHARACTERS)
        assert 0 <= reading.score <= 1
        assert all(0 < p <= 1 for p in reading.characters)


@pytest.mark.parametrize("shape", [(4,), (4, 4), (1, 4, 5)])
def test_wrong_shapes_are_a_mistake(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(frames, 5\)"):
        greedy(np.zeros(shape, np.float32), CHARACTERS)
