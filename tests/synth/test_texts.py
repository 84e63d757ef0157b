from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

from nhan.synth import corpus, generators
from nhan.synth.dice import Dice
from nhan.synth.recipe import KINDS
from nhan.tasks.text.alphabet import ACCENTED
from nhan.tasks.text.charset import DEFAULT_CHARSET

CHARSET = set(DEFAULT_CHARSET)


class Certain(Dice):
    """Dice whose chances come out as told, in turn; the last answer stays."""

    def __init__(self, *answers: bool) -> None:
        super().__init__(1)
        self.answers = list(answers)

    def chance(self, share: float) -> bool:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_nfc_of_the_charset_and_fit(kind: str) -> None:
    for index in range(400):
        text = generators.text_of(Dice.of(3, index), kind, {}, 60)
        assert 0 < len(text) <= 60
        assert text == unicodedata.normalize("NFC", text) == " ".join(text.split())
        assert set(text) <= CHARSET


def test_short_fields_are_short() -> None:
    lengths = [len(generators.text_of(Dice.of(0, i), "short", {}, 90)) for i in range(300)]
    assert max(lengths) <= 16
    assert min(lengths) <= 4


def test_every_accented_letter_and_every_sign_comes_up() -> None:
    seen: Counter[str] = Counter()
    for index in range(9000):
        kind = KINDS[index % len(KINDS)]
        seen.update(generators.text_of(Dice.of(1, index), kind, {}, 90))
    assert min(seen[letter] for letter in ACCENTED) >= 10
    assert CHARSET - set(seen) == set()


def test_weights_choose_the_text() -> None:
    only = dict.fromkeys(generators.TEXTS, 0.0) | {"number": 1.0}
    texts = [generators.text_of(Dice.of(2, i), "print", only, 90) for i in range(100)]
    assert sum(any(c.isdigit() for c in text) for text in texts) > 80


def test_a_text_that_a_look_never_shows_may_still_be_asked_for() -> None:
    only = dict.fromkeys(generators.TEXTS, 0.0) | {"sentence": 1.0}
    assert generators.text_of(Dice.of(2, 1), "receipt", only, 90)


def test_both_spellings_of_open_syllables() -> None:
    old, new = "HÒA hóa thúy Thủy khỏe hoàn quý", "HOÀ hoá thuý Thuỷ khoẻ hoàn quý"
    assert generators.respelled(Certain(True, True), old) == new
    assert generators.respelled(Certain(True, False), new) == old
    assert generators.respelled(Certain(False), old) == old


def test_cutting_keeps_whole_words_where_it_can() -> None:
    assert generators.shorten(Certain(False), "một hai ba", 8) == "một hai"
    assert generators.shorten(Certain(False), "nghiêng", 3) == "ngh"


def test_unmarked_texts_are_ascii() -> None:
    assert generators.unmarked("Đường Ỷ Lan, phở") == "Duong Y Lan, pho"


def test_the_corpus_is_clean() -> None:
    rows = corpus.sentences()
    assert len(rows) > 20_000
    assert set().union(*rows) <= CHARSET
    assert all(row == unicodedata.normalize("NFC", row) for row in rows[::50])
    assert len(corpus.syllables()) > 6000
    assert len(corpus.names()["district"]) > 500


def test_lists_hold_no_empty_or_foreign_items() -> None:
    for section, items in corpus.names().items():
        assert items, section
        assert all(item.strip() == item and set(item) <= CHARSET for item in items), section
