from __future__ import annotations

import math
from itertools import groupby, product

import numpy as np
import pytest

from nhan.tasks.text import beam
from nhan.tasks.text.beam import BeamSearch
from nhan.tasks.text.decode import LogProbs, greedy
from nhan.tasks.text.lm import build

CHARACTERS = "abú"


def random_lines(count: int, frames: int, classes: int, sharpness: float) -> list[LogProbs]:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, sharpness, (count, frames, classes))
    tables = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return [table.astype(np.float32) for table in tables]


def by_all_paths(log_probs: LogProbs) -> dict[str, float]:
    """The probability of every text, by listing every path."""
    found: dict[str, float] = {}
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        text = "".join(CHARACTERS[index - 1] for index, _ in groupby(path) if index)
        p = math.exp(sum(float(row[index]) for row, index in zip(log_probs, path, strict=True)))
        found[text] = found.get(text, 0.0) + p
    return found


@pytest.mark.parametrize("log_probs", random_lines(8, 5, 4, 1.5))
def test_a_wide_search_finds_the_likeliest_text_and_its_probability(
    log_probs: LogProbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beam, "_TRIED", math.log(1e-6))
    monkeypatch.setattr(beam, "_HOPELESS", 40.0)
    truth = by_all_paths(log_probs)
    search = BeamSearch(width=2000, tried=3, syllable_penalty=0.0)
    reading = search.read(log_probs, CHARACTERS)
    assert truth[reading.text] == pytest.approx(max(truth.values()), rel=1e-3)
    # All readings are left at the end, so the share is the probability itself.
    assert reading.score == pytest.approx(truth[reading.text] ** 1.25, rel=0.01)


def test_it_never_does_worse_than_the_greedy_path() -> None:
    search = BeamSearch(width=4, syllable_penalty=0.0)
    for log_probs in random_lines(10, 6, 4, 1.0):
        truth = by_all_paths(log_probs)
        found = search.read(log_probs, CHARACTERS).text
        assert truth[found] >= 0.99 * truth[greedy(log_probs, CHARACTERS).text]


def spell(characters: str, *frames: dict[str, float]) -> LogProbs:
    table = np.full((len(frames), len(characters) + 1), 1e-6)
    for row, given in zip(table, frames, strict=True):
        for char, p in given.items():
            row[("-" + characters).index(char)] = p
    return np.log(table).astype(np.float32)


def test_nearly_sure_lines_read_as_the_greedy_path() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        paths = rng.choice(list("-abú"), (2, 60))
        log_probs = spell("abú", *({b: 0.1, a: 0.9} for a, b in zip(*paths, strict=True)))
        expected = greedy(log_probs, "abú").text
        assert BeamSearch(syllable_penalty=0.0).read(log_probs, "abú").text == expected


def test_the_language_model_decides_between_nearly_equal_readings() -> None:
    model = build(["hà nội"] * 50 + ["hà tĩnh", "nôi"] * 2, order=4)
    characters = " hàniôộtĩ"
    frames = [{char: 1.0} for char in "hà n"]
    log_probs = spell(characters, *frames, {"ô": 0.52, "ộ": 0.47}, {"i": 1.0})
    assert greedy(log_probs, characters).text == "hà nôi"
    assert BeamSearch(model=model).read(log_probs, characters).text == "hà nội"


def test_the_model_does_not_overrule_a_clear_picture() -> None:
    model = build(["hà nội"] * 50, order=4)
    characters = " hàniôộ"
    log_probs = spell(characters, *({char: 0.999} for char in "hà nôi"))
    assert BeamSearch(model=model).read(log_probs, characters).text == "hà nôi"


def test_an_impossible_syllable_loses_to_a_possible_one() -> None:
    characters = "nghưỉĩi"
    frames = [{char: 1.0} for char in "ngh"]
    log_probs = spell(characters, *frames, {"ỉ": 0.5, "ĩ": 0.48})
    assert BeamSearch().read(log_probs, characters).text == "nghỉ"
    log_probs = spell(
        "tếêd ", {"t": 1.0}, {"ế": 0.45, "ê": 0.5}, {"t": 1.0}, {" ": 1.0}, {"d": 1.0}
    )
    assert greedy(log_probs, "tếêd ").text == "têt d"
    assert BeamSearch().read(log_probs, "tếêd ").text == "tết d"


def test_characters_and_score_belong_to_the_text() -> None:
    log_probs = spell("ab", {"a": 0.9, "b": 0.1}, {"-": 1.0}, {"b": 0.8, "a": 0.2})
    reading = BeamSearch(syllable_penalty=0.0).read(log_probs, "ab")
    assert reading.text == "ab"
    assert reading.characters == pytest.approx((0.9, 0.8), abs=1e-3)
    # All readings are left at the end, so the share is the probability itself.
    assert reading.score == pytest.approx(0.72 * 0.72**0.25, abs=1e-3)


def test_sure_lines_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    log_probs = spell("ab", {"a": 1.0}, {"b": 1.0})
    monkeypatch.setattr(BeamSearch, "_advance", None)
    assert BeamSearch().read(log_probs, "ab") == greedy(log_probs, "ab")


def test_no_stray_spaces() -> None:
    log_probs = spell("a ", *({char: 1.0} for char in [" ", "a", " ", "-", " "]))
    assert BeamSearch().read(log_probs, "a ").text == "a"


def test_no_frames_and_blank_frames_read_as_nothing() -> None:
    assert BeamSearch().read(np.zeros((0, 4), np.float32), CHARACTERS).text == ""
    reading = BeamSearch().read(spell(CHARACTERS, *[{"-": 1.0}] * 20), CHARACTERS)
    assert (reading.text, reading.characters) == ("", ())
    assert reading.score == pytest.approx(1.0, abs=1e-3)


def test_only_the_likeliest_classes_of_a_frame_are_tried() -> None:
    (frame, blank) = spell("abcdefgh", {"c": 0.3, "h": 0.25, "a": 0.2, "e": 0.02}, {"-": 0.9999})
    table = np.stack([frame, blank, frame])

    def tried(most: int) -> list[list[int]]:
        found = BeamSearch(tried=most)._candidates(table)
        for classes, line in zip(found, table, strict=True):
            assert all(score == line[index] for index, score in classes)
        return [[index for index, _ in classes] for classes in found]

    assert tried(3) == [[3, 8, 1], [], [3, 8, 1]]
    assert tried(6) == [[1, 3, 5, 8], [], [1, 3, 5, 8]]


def test_nothing_is_counted_twice_where_a_blank_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the beam is then reached through its parent alone."""
    monkeypatch.setattr(beam, "_TRIED", math.log(1e-6))
    monkeypatch.setattr(beam, "_HOPELESS", 40.0)
    for log_probs in random_lines(4, 5, 4, 1.5):
        log_probs[:, 0] = -np.inf
        log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
        truth = by_all_paths(log_probs)
        reading = BeamSearch(width=2000, tried=3, syllable_penalty=0.0).read(log_probs, CHARACTERS)
        assert truth[reading.text] == pytest.approx(max(truth.values()), rel=1e-3)
        assert reading.score == pytest.approx(truth[reading.text] ** 1.25, rel=0.01)
