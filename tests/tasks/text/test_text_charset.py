from __future__ import annotations

import string
import unicodedata

import pytest

from nhan.errors import BadLabel
from nhan.tasks.text.alphabet import ACCENTED
from nhan.tasks.text.charset import DEFAULT_CHARSET, Charset


def test_the_standard_charset_is_complete() -> None:
    needed = set(ACCENTED) | set(string.printable.strip() + " ") | set("–“”‘’…₫°€")
    assert needed == set(DEFAULT_CHARSET)


def test_the_standard_charset_is_nfc_without_doubles() -> None:
    assert len(set(DEFAULT_CHARSET)) == len(DEFAULT_CHARSET) == 238
    assert all(unicodedata.normalize("NFC", char) == char for char in DEFAULT_CHARSET)


def test_the_order_never_changes() -> None:
    # Models in use number their classes by it.
    assert DEFAULT_CHARSET.startswith(" 0123456789abc")
    assert DEFAULT_CHARSET.index("à") == 95
    assert DEFAULT_CHARSET.endswith("Ỹ–“”‘’…₫°€")


def test_texts_go_there_and_back() -> None:
    charset = Charset()
    text = "Số 12, đường Lê Lợi"
    classes = charset.encode(text)
    assert min(classes) >= 1
    assert max(classes) < charset.classes == 239
    assert charset.decode(classes) == text
    assert charset.decode([0, *classes, 0]) == text


def test_classes_count_from_one() -> None:
    assert Charset("ab ").encode("b a") == [2, 3, 1]


def test_encoding_names_every_character_outside() -> None:
    with pytest.raises(BadLabel, match="'★☎'"):
        Charset().encode("gọi ★ ☎ ★")


def test_missing_characters_are_counted_with_samples() -> None:
    labels = [(f"s{i}", "★ một") for i in range(7)] + [("last", "☎★★")]
    star, phone = Charset().missing(labels)
    assert (star.char, star.count) == ("★", 9)
    assert star.samples == ("s0", "s1", "s2", "s3", "s4")
    assert (phone.char, phone.count, phone.samples) == ("☎", 1, ("last",))
    assert "U+2605" in str(star)


def test_nothing_is_missing_from_plain_vietnamese() -> None:
    assert Charset().missing([("a", "Tiếng Việt"), ("b", "")]) == []


def test_extending_keeps_every_old_class() -> None:
    old = Charset()
    new = old.extend("★đ☎★")
    assert new.characters == DEFAULT_CHARSET + "★☎"
    assert new.encode(DEFAULT_CHARSET) == old.encode(DEFAULT_CHARSET)
    assert old.extend("abc") is old


@pytest.mark.parametrize(
    ("characters", "fault"),
    [
        ("aba", "twice"),
        ("a\u0301", "combining"),
        ("a\u212b", "not NFC"),  # the Ångström sign composes to Å
        ("a\n", "control"),
        ("a\u200b", "no ink"),
        ("a\u00a0", "white space"),
    ],
)
def test_a_broken_charset_is_refused(characters: str, fault: str) -> None:
    with pytest.raises(BadLabel, match=fault):
        Charset(characters)
