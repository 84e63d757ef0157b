from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from nhan.tasks.base import Confusion
from nhan.tasks.text import metrics
from nhan.tasks.text.alignment import Edit, edits
from nhan.tasks.text.legacy import accuracy_by_char, accuracy_by_field

CER = [
    (["abc"], ["abc"], 0.0),
    (["abcd"], ["abxd"], 0.25),  # one substitution of four
    (["ab"], ["a"], 0.5),  # one missing of two
    (["a"], ["abc"], 2.0),  # two too many of one: above 1
    (["aaaaaaaaa", "b"], ["aaaaaaaaa", "c"], 0.1),  # corpus level: 1 of 10, not the mean of 0 and 1
    ([""], [""], 0.0),  # nothing to read, nothing read
    ([""], ["ab"], 2.0),  # nothing to read: the number of errors
    (["abc", ""], ["abc", "x"], 1 / 3),  # the empty truth adds an error, no length
    ([], [], 0.0),
    (["hòa"], ["hoà"], 2 / 3),  # the tone moved: two letters differ
    (["a b"], ["ab"], 1 / 3),  # a space is a character
]


@pytest.mark.parametrize(("truths", "answers", "expected"), CER)
def test_cer(truths: list[str], answers: list[str], expected: float) -> None:
    assert metrics.cer(truths, answers) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("truths", "answers", "expected"),
    [
        (["một hai ba"], ["một hai ba"], 0.0),
        (["một hai ba"], ["một hái ba"], 1 / 3),  # one wrong word of three
        (["một hai"], ["một"], 0.5),  # one missing
        (["một"], ["một hai ba"], 2.0),  # two too many
        (["một, hai"], ["một hai"], 0.5),  # the comma belongs to its word
        (["a b c", "d"], ["a b c", "e"], 0.25),  # corpus level
        ([""], [""], 0.0),
        ([""], ["a"], 1.0),  # nothing to read: the number of errors
    ],
)
def test_wer(truths: list[str], answers: list[str], expected: float) -> None:
    assert metrics.wer(truths, answers) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("truths", "answers", "expected"),
    [
        (["a", "b", "c", "d"], ["a", "b", "c", "x"], 0.75),
        (["A"], ["a"], 0.0),  # case counts
        ([""], [""], 1.0),
        ([], [], 0.0),  # nothing was read right
    ],
)
def test_exact_lines_and_fields(truths: list[str], answers: list[str], expected: float) -> None:
    assert metrics.exact(truths, answers) == expected
    assert accuracy_by_field(truths, answers) == expected


@pytest.mark.parametrize(
    ("metric", "truth", "answer", "expected"),
    [
        (metrics.cer_ignoring_case, "Đà Nẵng", "đÀ nẵng", 0.0),
        (metrics.cer_ignoring_case, "Ab", "aC", 0.5),
        (metrics.cer_ignoring_marks, "Đường", "duong", 0.2),  # only the case of d is left
        (metrics.cer_ignoring_marks, "ấầẩẫậ", "aaaaa", 0.0),
        (metrics.cer_ignoring_tone_placement, "hòa thủy", "hoà thuỷ", 0.0),
        (metrics.cer_ignoring_tone_placement, "hòa", "hoá", 1 / 3),  # another tone is an error
        (metrics.cer_ignoring_tone_placement, "hòa", "hòn", 1 / 3),  # folding adds no error
    ],
)
def test_forgiving_rates(
    metric: Callable[[list[str], list[str]], float], truth: str, answer: str, expected: float
) -> None:
    assert metric([truth], [answer]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("truth", "answer", "letter", "mark", "tone"),
    [
        ("ấ", "a", 0, 1, 0),  # mark and tone wrong: counted once, as a mark
        ("ấ", "ầ", 0, 0, 1),
        ("ấ", "á", 0, 1, 0),
        ("ấ", "o", 1, 0, 0),
        ("đ", "d", 0, 1, 0),  # the bar of đ is a mark
        ("đ", "Đ", 1, 0, 0),  # case is part of the base letter
        ("ab", "a", 1, 0, 0),  # a gap is a letter error
        ("bán cá", "bản cà", 0, 0, 2),
        ("mèo", "meo.", 1, 0, 1),
        ("", "", 0, 0, 0),
    ],
)
def test_cer_splits_by_part_of_the_letter(
    truth: str, answer: str, letter: int, mark: int, tone: int
) -> None:
    split = metrics.split_cer([truth], [answer])
    length = max(len(truth), 1)
    counts = [split.letter * length, split.mark * length, split.tone * length]
    assert counts == pytest.approx([letter, mark, tone])


VIETNAMESE = st.text("abđdeêếềo ôốơớ.", max_size=12)
# Few letters and much length, so that texts share stretches and differ between them.
REPETITIVE = st.text("aáb", max_size=40)


@given(VIETNAMESE, VIETNAMESE)
def test_the_parts_add_up_to_the_cer(truth: str, answer: str) -> None:
    split = metrics.split_cer([truth], [answer])
    assert split.letter + split.mark + split.tone == pytest.approx(metrics.cer([truth], [answer]))


@given(VIETNAMESE | REPETITIVE, VIETNAMESE | REPETITIVE)
def test_alignments_are_shortest(truth: str, answer: str) -> None:
    found = edits(truth, answer)
    assert len(found) == Levenshtein.distance(truth, answer)
    assert all(edit.truth != edit.answer for edit in found)
    assert Counter(truth) - Counter("".join(edit.truth for edit in found)) == Counter(
        answer
    ) - Counter("".join(edit.answer for edit in found))


@pytest.mark.parametrize(
    ("truth", "answer", "expected"),
    [
        # Each has a second alignment of two edits, which would pair x or o with the vowel.
        ("xa", "á", [Edit("x", ""), Edit("a", "á")]),
        ("ax", "á", [Edit("a", "á"), Edit("x", "")]),
        ("toan", "tàn", [Edit("o", ""), Edit("a", "à")]),
        ("toà", "tòa", [Edit("o", "ò"), Edit("à", "a")]),
    ],
)
def test_alignment_pairs_letters_of_one_base(truth: str, answer: str, expected: list[Edit]) -> None:
    assert edits(truth, answer) == expected


def test_very_long_texts_are_aligned_too() -> None:
    truth, answer = "ab" * 1500, "ba" * 1500
    assert len(edits(truth, answer)) == Levenshtein.distance(truth, answer)


def test_confusions_are_counted_by_kind() -> None:
    found = metrics.confusions(["bán bán", "ô đ"], ["bản bản", "ồ d,"])
    assert found["characters"][0] == Confusion("á", "ả", 2)
    assert found["tones"] == [Confusion("acute", "hook", 2), Confusion("level", "grave", 1)]
    assert found["marks"] == [Confusion("stroke", "none", 1)]
    assert found["letters"] == [Confusion("", ",", 1)]


def test_sequences_of_different_length_are_a_mistake() -> None:
    for metric in (metrics.cer, metrics.wer, metrics.exact, metrics.split_cer, accuracy_by_char):
        with pytest.raises(ValueError, match="argument 2"):
            metric(["a", "b"], ["a"])


@pytest.mark.parametrize(
    ("truths", "answers", "expected"),
    [
        (["abcd"], ["abcd"], 1.0),
        (["abcd"], ["abxd"], 0.75),  # blocks ab, d: M = 3; 2 * 3 / 8
        (["abcd"], ["ab"], 2 / 3),  # M = 2; P = 1, R = 1/2
        (["ab"], ["cd"], 0.0),
        ([""], ["a"], 0.0),
        ([""], [""], 1.0),
        (["ab", "cd"], ["ab", "xy"], 0.5),  # the mean over lines
        (["abxcd"], ["cdxab"], 0.4),  # blocks keep their order: ab or cd, not both; 2 * 2 / 10
        ([], [], 0.0),
    ],
)
def test_accuracy_by_char(truths: list[str], answers: list[str], expected: float) -> None:
    assert accuracy_by_char(truths, answers) == pytest.approx(expected)


def test_accuracy_by_char_survives_long_lines_and_exchange() -> None:
    truth = "0123456789 " * 24
    answer = truth[:130] + "x" + truth[131:]
    assert len(truth) == 264
    assert accuracy_by_char([truth], [answer]) == pytest.approx(263 / 264)
    assert accuracy_by_char([answer], [truth]) == accuracy_by_char([truth], [answer])


@given(st.text("ab c", max_size=10), st.text("ab c", max_size=10))
def test_accuracy_by_char_is_symmetric(one: str, other: str) -> None:
    assert accuracy_by_char([one], [other]) == accuracy_by_char([other], [one])
