from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest

from nhan.errors import BadLabel
from nhan.tasks import get_task
from nhan.tasks.base import Rate
from nhan.tasks.text import TextTask
from nhan.tasks.text.charset import DEFAULT_CHARSET, Charset

TASK = TextTask()


def test_the_task_is_found_by_name() -> None:
    assert isinstance(get_task("text"), TextTask)
    assert TASK.primary in TASK.score(["a"], ["b"])


def test_labels_are_normalised_by_the_one_rule() -> None:
    assert TASK.normalise(unicodedata.normalize("NFD", " Huế\n")) == "Huế"
    with pytest.raises(BadLabel):
        TASK.normalise(" ")


def test_the_vocabulary_is_the_standard_charset_and_what_labels_add() -> None:
    assert TASK.vocabulary(["Hà Nội"]) == {"charset": DEFAULT_CHARSET}
    assert TASK.vocabulary(["20 m²", "★", "m²"])["charset"] == DEFAULT_CHARSET + "²★"


def test_the_vocabulary_does_not_depend_on_the_order_of_labels() -> None:
    assert TASK.vocabulary(["★", "☎", "²"]) == TASK.vocabulary(["²", "☎", "★"])


def test_mistaken_characters_do_not_enter_the_vocabulary() -> None:
    # Cyrillic а, a stray mark, the replacement character, an Icelandic Ð.
    found = TASK.vocabulary(["Hа Nội", "q\u0303", "Ti\ufffdng", "Ðường"])
    assert found == {"charset": DEFAULT_CHARSET}
    with pytest.raises(BadLabel):
        Charset(found["charset"]).encode("Ðường")


def test_one_lines_share_of_the_cer() -> None:
    assert TASK.rate("Huế", "Hue.") == Rate(2, 3)
    assert TASK.rate("", "a") == Rate(1, 0)


def test_scores_agree_with_each_other() -> None:
    truths, answers = ["Hà Nội", "Huế", "Đà Nẵng"], ["Hà Nôi", "huế", "Đà Nẵng"]
    score = TASK.score(truths, answers)
    rates = [TASK.rate(t, a) for t, a in zip(truths, answers, strict=True)]
    assert score["cer"] == sum(r.errors for r in rates) / sum(r.weight for r in rates) == 2 / 16
    parts = score["cer_letter"] + score["cer_mark"] + score["cer_tone"]
    assert parts == pytest.approx(score["cer"])
    assert score["exact"] == score["accuracy_by_field"] == pytest.approx(1 / 3)
    assert score["cer_ignoring_case"] == score["cer_ignoring_marks"] == 1 / 16


@pytest.mark.parametrize(
    ("truth", "length", "characters"),
    [
        ("0968.189.123", "11-20", "numbers and signs"),
        ("TỔNG CỘNG", "6-10", "capitals"),
        ("Tổng", "1-5", "with marks"),
        ("Tong cong", "6-10", "without marks"),
        ("A", "1-5", "without marks"),
        ("a" * 80, "41-80", "without marks"),
        ("a" * 81, "over 80", "without marks"),
        ("", "1-5", "numbers and signs"),
    ],
)
def test_slices(truth: str, length: str, characters: str) -> None:
    assert TASK.slices(truth) == {"length": length, "characters": characters}


def test_shares_end_at_1_and_rates_of_edits_do_not() -> None:
    task = TextTask()
    bounds = {name: task.highest(name) for name in task.score(["a"], ["abc"])}
    assert {name for name, bound in bounds.items() if bound == 1} == {
        "exact",
        "accuracy_by_char",
        "accuracy_by_field",
    }
    assert all(bounds[name] > 2 for name in ("cer", "wer", "cer_tone"))


def test_the_text_task_imports_no_torch() -> None:
    code = "import sys, nhan.tasks.text, nhan.tasks.text.reader; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
