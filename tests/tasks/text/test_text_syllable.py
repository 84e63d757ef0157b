from __future__ import annotations

import pytest

from nhan.tasks.text.syllable import has_marks, is_syllable, misspelled

REAL = (
    "nghiêng nghĩ gì giếng giường già quốc quyền quý quả quăng quên quặp khuỷu khuya thuở hoà hòa "
    "thủy thuỷ khỏe khoẻ ngoài xoáy yêu yếu ủy uống ươm kỹ ghế gà kẻ cả được Đường ĐƯỜNG tiếng "
    "Việt nguyễn huệ boong xoong soóc gấc ngoằn ngoèo uỵch huỳnh quỳnh suýt khuân tuần luật Lắk"
)

UNREAL = "nghưỉ ngê cê kà gế đuợc họat tóan bảc bạc̣ tyêu qúy tễt zố fố wá ưo đựơc lêch thănhh"


@pytest.mark.parametrize("word", REAL.split())
def test_real_syllables_are_known(word: str) -> None:
    assert is_syllable(word)


@pytest.mark.parametrize("word", UNREAL.split())
def test_impossible_ones_are_not(word: str) -> None:
    assert not is_syllable(word)


def test_only_words_with_marks_are_judged() -> None:
    text = "Windows 11 của đuợc 5kg WiFi, HĐND họat."
    assert misspelled(text) == ["đuợc", "họat"]


def test_marks() -> None:
    assert has_marks("đi")
    assert has_marks("ăn")
    assert has_marks("Á")
    assert not has_marks("Windows")
