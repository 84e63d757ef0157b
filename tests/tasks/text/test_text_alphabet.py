from __future__ import annotations

import unicodedata

import pytest

from nhan.tasks.text.alphabet import (
    ACCENTED,
    TONES,
    Letter,
    compose,
    decompose,
    strip_marks,
)

# Typed by hand from a grammar, so that the construction is checked against a second source.
LOWER = ("àáảãạ ăằắẳẵặ âầấẩẫậ đ èéẻẽẹ êềếểễệ ìíỉĩị òóỏõọ ôồốổỗộ ơờớởỡợ ùúủũụ ưừứửữự ỳýỷỹỵ").replace(
    " ", ""
)


def test_all_134_accented_letters_are_built() -> None:
    assert len(LOWER) == 67
    assert set(ACCENTED) == set(LOWER) | set(LOWER.upper())
    assert len(ACCENTED) == 134


def test_every_letter_is_one_nfc_code_point() -> None:
    assert unicodedata.normalize("NFC", ACCENTED) == ACCENTED


@pytest.mark.parametrize(
    ("char", "letter"),
    [
        ("ặ", Letter("a", "breve", "dot")),
        ("Ế", Letter("E", "circumflex", "acute")),
        ("ỡ", Letter("o", "horn", "tilde")),
        ("đ", Letter("d", "stroke", "level")),
        ("ỷ", Letter("y", "", "hook")),
        ("ê", Letter("e", "circumflex", "level")),
        ("b", Letter("b")),
        ("7", Letter("7")),
        ("", Letter("")),
    ],
)
def test_letters_come_apart(char: str, letter: Letter) -> None:
    assert decompose(char) == letter


def test_composing_undoes_decomposing() -> None:
    for char in ACCENTED + "abcXYZ 09":
        assert compose(decompose(char)) == char


def test_unknown_parts_are_refused() -> None:
    with pytest.raises(KeyError):
        compose(Letter("b", "", "tilde"))


def test_each_vowel_has_six_tones() -> None:
    tones = [decompose(char).tone for char in "aàáảãạ"]
    assert sorted(tones) == sorted(TONES)


def test_marks_are_stripped_and_the_rest_is_kept() -> None:
    assert strip_marks("Đường Nguyễn Huệ, số 5/7 – Quận 1") == "Duong Nguyen Hue, so 5/7 – Quan 1"
