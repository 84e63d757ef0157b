from __future__ import annotations

import math

import pytest

from nhan.errors import SettingsError
from nhan.tasks.text.charset import DEFAULT_CHARSET
from nhan.tasks.text.lm import CharacterModel, build, shipped

TEXTS = ["hà nội mùa thu", "hà nội", "hà tĩnh", "số 12 hà nội", "số 34 hà tĩnh"] * 4


@pytest.fixture(scope="module")
def model() -> CharacterModel:
    return build(TEXTS, order=4)


@pytest.mark.parametrize("context", ["", "h", "hà", "hà n", "nội", "số 1", "xyz"])
def test_probabilities_add_up_to_one(model: CharacterModel, context: str) -> None:
    state = model.start()
    for char in context:
        _, state = model.step(state, char)
    chars = [char for char in model.symbols if char not in "\n0"] + list("0123456789")
    total = sum(math.exp(model.step(state, char)[0]) for char in chars)
    total += math.exp(model.end(state))
    assert total == pytest.approx(1.0, abs=0.02)


def test_seen_text_is_likelier_than_unseen(model: CharacterModel) -> None:
    assert model.score("hà nội") > model.score("hà nôi") + 2
    assert model.score("hà nội") > model.score("hà nội mù")
    assert model.score("hà nội") > model.score("à hnội")


def test_digits_are_all_alike(model: CharacterModel) -> None:
    assert model.score("số 12 hà nội") == pytest.approx(model.score("số 99 hà nội"))


def test_unknown_characters_are_unlikely_but_possible(model: CharacterModel) -> None:
    assert -60 < model.score("hà ★ nội") < model.score("hà nội") - 10


def test_the_model_survives_saving(model: CharacterModel) -> None:
    again = CharacterModel.from_bytes(model.to_bytes())
    assert again.order == model.order
    assert again.symbols == model.symbols
    for text in ("hà nội", "số 7", "tĩnh hà", ""):
        # Scores are rounded to a sixteenth of a nat for each number looked up.
        assert again.score(text) == pytest.approx(model.score(text), abs=0.1 * (len(text) + 1))


def test_saving_is_compact() -> None:
    model = build(TEXTS, order=5)
    assert len(model.to_bytes()) < 3000


def test_rare_long_sequences_are_left_out() -> None:
    all_of_them = build([*TEXTS, "xe bus"], order=4, min_count=1)
    frequent = build([*TEXTS, "xe bus"], order=4, min_count=3)
    assert len(frequent.table) < len(all_of_them.table)


def test_broken_files_are_refused() -> None:
    for data in (b"", b"not a zip", CharacterModel(2, "a", {1: 0.0}, {}).to_bytes()[:-30]):
        with pytest.raises(SettingsError, match="language model"):
            CharacterModel.from_bytes(data)


@pytest.mark.parametrize("order", [1, 8])
def test_orders_out_of_range_are_refused(order: int) -> None:
    with pytest.raises(SettingsError):
        build(TEXTS, order=order)


def test_too_many_symbols_are_refused() -> None:
    with pytest.raises(SettingsError, match="256"):
        build(["".join(map(chr, range(1000, 1255)))])


def test_the_shipped_model_knows_vietnamese() -> None:
    model = shipped("vi-characters")
    assert model.score("Số 12 đường Lê Lợi, Hà Nội") > model.score("Số 12 đuờng Lê Lơi, Hà Nôi") + 5
    assert model.score("CỘNG HÒA XÃ HỘI") > model.score("CỌNG HÓA XA HỖI") + 5
    assert set(model.symbols) - {"\n"} <= set(DEFAULT_CHARSET)
    assert shipped("vi-characters") is model


def test_what_is_remembered_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Cộng hòa xã hội chủ nghĩa Việt Nam, 12 tháng 3"
    fresh, forgetful = build([text], order=4), build([text], order=4)
    expected = fresh.score(text)
    assert fresh.score(text) == expected
    monkeypatch.setattr("nhan.tasks.text.lm._REMEMBERED", 3)
    assert forgetful.score(text) == expected
    assert len(forgetful._steps) <= 3
