from __future__ import annotations

import unicodedata

import pytest

from nhan.tasks.text import TextTask
from nhan.tasks.text.charset import Charset
from nhan.tasks.text.check import check_label, is_learnable, steps_needed
from nhan.tasks.text.lookalikes import decoded_twice, look_alikes, plain


def codes(label: str, steps: int = 100) -> list[str]:
    return [finding.code for finding in check_label(label, charset=Charset(), steps=steps)]


@pytest.mark.parametrize("label", ["Hà Nội", "Số 12, đường “Lê Lợi” – 5.000₫", "a"])
def test_good_labels_have_no_findings(label: str) -> None:
    assert codes(label) == []


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("", ["empty_label"]),
        (" \u200b", ["empty_label"]),
        ("a\x07b", ["control_character"]),
        (unicodedata.normalize("NFD", "Nội"), ["not_nfc"]),
        ("e\u0301\u0302", ["not_nfc"]),
        ("Hà\u00a0Nội", ["unusual_space"]),
        ("Hà Nội\n", ["unusual_space"]),
        ("Hà\u200bNội", ["zero_width"]),
        ("Hà \u202eNội\u202c", ["zero_width"]),  # direction marks, as copied from a PDF
        ("☎\ufe0f 113", ["outside_charset", "zero_width"]),
        ("Hà\ue000Nội", ["unusable_character"]),  # of a private font
        ("Hà\u0378Nội", ["unusable_character"]),  # not assigned
        ("Нà Nội", ["look_alike"]),  # a Cyrillic Н
        ("Ðường", ["look_alike"]),  # an Icelandic Ð
        ("ｓố 1", ["look_alike"]),  # fullwidth
        ("ﬁn", ["look_alike"]),  # a ligature
        ("q\u0303", ["combining_mark"]),
        ("Ti\ufffdng", ["broken_encoding"]),
        ("Ä‘Æ°á»\x9dng", ["broken_encoding"]),  # đường, read as Windows-1252
        ("20 m² ★", ["outside_charset"]),
        ("★Ð\n", ["look_alike", "outside_charset", "unusual_space"]),  # errors first
    ],
)
def test_each_fault_has_its_finding(label: str, expected: list[str]) -> None:
    assert codes(label) == expected


def test_findings_name_the_value_and_suggest_the_cure() -> None:
    (finding,) = check_label("Ðường", charset=Charset(), steps=100)
    assert finding.severity == "error"
    assert "U+00D0" in finding.message
    assert "Đường" in finding.hint


def test_characters_of_an_extended_charset_are_fine() -> None:
    assert check_label("★", charset=Charset().extend("★"), steps=10) == []


@pytest.mark.parametrize(
    ("text", "steps"), [("", 0), ("a", 1), ("ab", 2), ("aa", 3), ("aaa", 5), ("1001", 5)]
)
def test_ctc_needs_a_blank_between_equal_neighbours(text: str, steps: int) -> None:
    assert steps_needed(text) == steps


def test_labels_longer_than_their_steps_are_found() -> None:
    assert codes("1001", steps=5) == []
    assert codes("1001", steps=4) == ["too_long"]


def test_the_task_counts_steps_at_the_prepared_width() -> None:
    task = TextTask()
    # 128 x 64 gives 31 steps; the same picture at half the size is enlarged to the same.
    assert task.check("ab" * 15, width=128, height=64) == []
    assert task.check("ab" * 15, width=64, height=32) == []
    assert [f.code for f in task.check("ab" * 16, width=64, height=32)] == ["too_long"]


def test_every_look_alike_turns_into_what_the_charset_has() -> None:
    charset = Charset()
    pairs = look_alikes("АВЕЅІЈКМНОРСТУХЗасеѕіјорухԁԛԝһΑΒΕΖΗΙΚΜΝΟΡΤΥΧοικνÐƉðɖ‐‑−—ʼ′″º˚ıＡｚ０ﬁ")
    assert len(pairs) == 66
    assert all(char in charset for real in pairs.values() for char in real)
    assert plain("а") == "a"
    assert plain("ѕ") == "s"


@pytest.mark.parametrize("char", "²½★®«»•éÿ№Ω")
def test_other_visible_characters_are_no_look_alikes(char: str) -> None:
    assert plain(char) == char
    assert is_learnable(char)


@pytest.mark.parametrize("char", ["\u0303", "\ufffd", "\u0410", "\u200b", "\u00a0"])
def test_mistakes_are_not_learned(char: str) -> None:
    assert not is_learnable(char)


@pytest.mark.parametrize("text", ["đường", "Đặng Văn Ê", "café", "Ã", "abc", ""])
def test_sound_text_is_not_taken_for_broken(text: str) -> None:
    assert decoded_twice(text) == ""


def test_broken_text_is_repaired() -> None:
    for text in ("Hà Nội", "Nguyễn Đức Cảnh", "“đặc biệt”"):
        broken = text.encode().decode("latin-1")
        assert decoded_twice(broken) == text
