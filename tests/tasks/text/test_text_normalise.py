from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nhan.errors import BadLabel
from nhan.tasks.text.alphabet import ACCENTED
from nhan.tasks.text.normalise import fold_tone_placement, normalise_text


def test_vietnamese_survives() -> None:
    text = "Đường Nguyễn Huệ – “đặc biệt” 5.000₫"
    assert normalise_text(text) == text
    assert normalise_text(ACCENTED) == ACCENTED


def test_decomposed_text_is_composed() -> None:
    assert normalise_text(unicodedata.normalize("NFD", ACCENTED)) == ACCENTED


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("e\u0301\u0302", "ế"),  # tone typed before the circumflex
        ("é\u0302", "ế"),
        ("A\u0300\u0306", "Ằ"),  # tone typed before the breve
        ("ô\u0323", "ộ"),
        ("o\u0301\u031b", "ớ"),  # horn after tone: plain NFC already mends this
    ],
)
def test_order_of_typing_marks_does_not_matter(typed: str, stored: str) -> None:
    assert normalise_text(typed) == stored


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("  Hà   Nội ", "Hà Nội"),
        ("Hà\u00a0Nội", "Hà Nội"),
        ("Hà\u3000Nội", "Hà Nội"),
        ("Hà\tNội\r\n", "Hà Nội"),
        ("dòng một\ndòng hai", "dòng một dòng hai"),
        ("\ufeffHà\u200b Nội\u00ad", "Hà Nội"),
    ],
)
def test_spaces_are_single_and_inkless_characters_go(typed: str, stored: str) -> None:
    assert normalise_text(typed) == stored


@pytest.mark.parametrize("text", ["HOÀ", "HÒA", "hoà bình", "thủy", "thuỷ", "quý", "K", "ß"])
def test_case_and_tone_placement_are_kept(text: str) -> None:
    assert normalise_text(text) == text


@pytest.mark.parametrize("text", ["", "   ", "\n", "\u200b", "\u00a0\ufeff"])
def test_empty_labels_are_refused(text: str) -> None:
    with pytest.raises(BadLabel, match="empty") as caught:
        normalise_text(text)
    assert caught.value.hint


@pytest.mark.parametrize("char", ["\x00", "\x07", "\x1b", "\x7f", "\x9d", "\ud800"])
def test_control_characters_are_refused_by_name(char: str) -> None:
    with pytest.raises(BadLabel, match=f"U\\+{ord(char):04X} at position 2"):
        normalise_text(f"ab{char}c")


@given(st.text(max_size=30))
def test_normalising_twice_changes_nothing(text: str) -> None:
    try:
        once = normalise_text(text)
    except BadLabel:
        return
    assert normalise_text(once) == once
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hòa", "hoà"),
        ("HÒA", "HOÀ"),
        ("khỏe", "khoẻ"),
        ("thủy", "thuỷ"),
        ("ủy ban", "uỷ ban"),
        ("Thanh Hóa, Hòa Bình", "Thanh Hoá, Hoà Bình"),
    ],
)
def test_both_habits_fold_to_the_same(old: str, new: str) -> None:
    assert fold_tone_placement(old) == fold_tone_placement(new) == new


@pytest.mark.parametrize(
    "text",
    [
        "quý",  # the u belongs to the consonant
        "hoàn",  # a closed syllable has one place
        "của",  # ua: the tone stays on the first
        "mía",
        "hoa",  # no tone at all
        "tòan",  # a misspelling stays an error
    ],
)
def test_folding_leaves_the_rest_alone(text: str) -> None:
    assert fold_tone_placement(text) == text
