"""A name has one spelling, whatever typed it."""

from __future__ import annotations

import unicodedata

from nhan.names import one_spelling, spellings

COMPOSED = "Nguyễn Ắng"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


def test_letters_and_marks_are_the_same_name():
    assert COMPOSED != DECOMPOSED
    assert one_spelling(DECOMPOSED) == one_spelling(COMPOSED) == COMPOSED


def test_every_stored_form_is_looked_for():
    half = "Nguyễn A\u0306\u0301ng"
    assert set(spellings(half)) == {half, COMPOSED, DECOMPOSED}
    assert spellings("lan") == ["lan"]
