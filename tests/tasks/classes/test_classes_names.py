"""One name, one class: however it was typed."""

from __future__ import annotations

import unicodedata

import pytest

from nhan.errors import BadLabel
from nhan.tasks.classes.names import class_order, normalise_class


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("daisy", "daisy"),
        ("  hoa   hồng ", "hoa hồng"),
        (unicodedata.normalize("NFD", "hoa hồng đỏ"), "hoa hồng đỏ"),
        ("ro\u200bses", "roses"),
    ],
)
def test_names_have_one_form(given, stored):
    assert normalise_class(given) == stored
    assert normalise_class(stored) == stored


@pytest.mark.parametrize("bad", ["", " \t", "a\x00b", "x" * 101])
def test_what_is_no_name_is_refused(bad):
    with pytest.raises(BadLabel):
        normalise_class(bad)


def test_order_depends_on_names_alone():
    assert class_order(["b", "a", "đ", "b"]) == class_order(["đ", "b", "a"]) == ["a", "b", "đ"]
