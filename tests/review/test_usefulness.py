"""What a sample is worth looking at: uncertainty, novelty, suspicion, copies."""

from __future__ import annotations

import pytest

from nhan.datasets.near import Look
from nhan.review.usefulness import Known, Worth, suspicion, thin_out, worth
from nhan.tasks import get_task
from nhan.tasks.base import Answer
from nhan.tasks.text.contradict import contradiction

TEXT, CLASSES = get_task("text"), get_task("classes")
PAPER = bytes([200]) * 256 + bytes([210]) * 256
NIGHT = bytes([10]) * 512


def look(phash: int = 0, *, thumbnail: bytes = PAPER, width: int = 100, height: int = 20) -> Look:
    return Look(phash, thumbnail, width, height)


def line(value: str, confidence: float, *characters: float) -> Answer:
    scored = [{"text": "c", "confidence": one} for one in characters]
    return Answer(value, confidence, {"text": value, "characters": scored})


@pytest.fixture
def known() -> Known:
    labelled = [(look(number % 4), "một hai") for number in range(60)]
    return Known.of(TEXT, labelled)


def priorities(known: Known, *cases: tuple[Look, Answer | None, str]) -> list[float]:
    looks = [case[0] for case in cases]
    return [one.priority for one in worth(TEXT, known, looks, [case[1:] for case in cases])]


def test_uncertainty_of_a_line_is_that_of_the_line_and_of_its_worst_character() -> None:
    assert TEXT.uncertainty(line("ab", 0.8, 0.9, 0.4)) == pytest.approx(1 - (0.8 + 0.4) / 2)
    assert TEXT.uncertainty(line("", 0.8)) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("scores", "expected"), [({"a": 0.5, "b": 0.5}, 1.0), ({"a": 0.9, "b": 0.1}, 0.2), ({}, 0.1)]
)
def test_uncertainty_of_a_class_is_the_margin_to_the_second(scores, expected) -> None:
    answer = Answer("a", max(scores.values(), default=0.9), {"label": "a", "labels": scores})
    assert CLASSES.uncertainty(answer) == pytest.approx(expected)


def test_the_less_sure_is_worth_more(known) -> None:
    one, other = priorities(known, (look(), line("một", 0.4), ""), (look(), line("một", 0.9), ""))
    assert one == pytest.approx(0.6 * 0.5)  # nothing new in it: half its uncertainty
    assert other == pytest.approx(0.1 * 0.5)


def test_what_looks_new_is_worth_up_to_twice_as_much(known) -> None:
    far = look(0xFFFF_FFFF_FFFF_FFFF)
    dark, huge = look(thumbnail=NIGHT), look(width=4000, height=900)
    answer = line("một", 0.4)
    cases = ((far, answer, ""), (dark, answer, ""), (huge, answer, ""))
    assert priorities(known, *cases) == pytest.approx([0.6, 0.6, 0.6])
    assert worth(TEXT, known, [dark], [(answer, "")])[0].why == (
        "low confidence; looks unlike the rest"
    )


def test_a_character_that_was_never_labelled_is_new(known) -> None:
    (one,) = worth(TEXT, known, [look()], [(line("một @", 0.4), "")])
    assert one.priority == pytest.approx(0.6)
    assert "new: @" in one.why


def test_nothing_is_new_while_hardly_anything_is_labelled() -> None:
    few = Known.of(TEXT, [(look(), "một")] * 3)
    assert few.new_parts(TEXT, "xyz") == []
    (one,) = worth(TEXT, Known(), [look()], [(line("một", 0.4), "")])
    assert one.priority == pytest.approx(0.6)


def test_what_no_model_has_seen_is_as_uncertain_as_can_be(known) -> None:
    (one,) = worth(TEXT, known, [look()], [(None, "")])
    assert one.priority == pytest.approx(0.5)
    assert one.why == "no model has seen it"


def test_what_was_chosen_by_chance_is_not_left_for_last(known) -> None:
    sure = line("một", 0.99, 0.99)
    chance, none = priorities(known, (look(), sure, "random"), (look(), sure, ""))
    assert chance == 0.5
    assert none < 0.01


@pytest.mark.parametrize(
    ("value", "confidence", "priority"),
    [("lá", 0.95, 1.95), ("lá", 0.9, 1.9), ("lá", 0.89, 0.0), ("hoa", 0.99, 0.0)],
)
def test_a_label_is_doubted_where_the_model_is_very_sure_of_another(
    value, confidence, priority
) -> None:
    found = suspicion(CLASSES, "hoa", Answer(value, confidence), sure=0.9)
    assert found.priority == pytest.approx(priority)
    assert bool(found.why) == bool(priority)


def test_a_text_is_doubted_by_the_characters_that_differ_and_no_others() -> None:
    sure_there = line("mốt", 0.3, 0.4, 1.0, 0.4)
    unsure_there = line("mốt", 0.9, 1.0, 0.9, 1.0)
    assert suspicion(TEXT, "một", sure_there, sure=0.9).priority == pytest.approx(2.0)
    assert suspicion(TEXT, "một", unsure_there, sure=0.9).priority == 0.0
    assert suspicion(TEXT, "mốt", sure_there, sure=0.9).priority == 0.0


@pytest.mark.parametrize(
    ("label", "text", "scores", "least"),
    [
        ("ab", "ab", (0.5, 0.5), 0.0),  # nothing differs
        ("ab", "xb", (0.9, 0.1), 0.9),  # x stands against a
        ("ab", "axb", (0.1, 0.9, 0.1), 0.9),  # x is missing from the label
        ("axb", "ab", (0.9, 0.8), 0.8),  # those beside its place deny x
        ("abx", "ab", (0.1, 0.8), 0.8),
        ("xab", "ab", (0.8, 0.1), 0.8),
        ("xb", "ay", (0.9, 0.7), 0.7),  # the less sure of two
        ("ab", "", (), 0.0),  # what read nothing denies nothing
    ],
)
def test_who_speaks_against_a_label(label, text, scores, least) -> None:
    assert contradiction(label, text, scores) == pytest.approx(least**10)


def test_copies_are_worth_half_of_the_one_before() -> None:
    worths = [Worth(0.4), Worth(0.8, "low confidence"), Worth(0.6), Worth(0.5)]
    thinned = thin_out(worths, [0, 0, 0, 3])
    assert [one.priority for one in thinned] == pytest.approx([0.1, 0.8, 0.3, 0.5])
    assert thinned[2].why == "nearly the same as another"
    assert thinned[1] == worths[1]


def test_no_samples_are_no_trouble(known) -> None:
    assert worth(TEXT, known, [], []) == []
    assert worth(TEXT, Known.of(TEXT, []), [], []) == []
    assert thin_out([], []) == []
