"""Sentences: English for logs, and the same facts in another language."""

from __future__ import annotations

import copy
import json
import re

import pytest

from nhan.evaluation.gate_words import GATE_WORDS
from nhan.evaluation.sentences import make, tell
from nhan.sentences import Sentence

TABLE = {
    "outer": ("{inner} of {members:comma}", "{inner} trong {members:comma}"),
    "inner": ("{metric:metric} {value:.2f}", "{metric:metric} {value:.2f}"),
    "plain": ("{words}", "{words}"),
}


def test_a_sentence_is_english_text_and_keeps_what_it_says():
    said = make(TABLE, "inner", metric="cer", value=1234.5)
    assert said == "CER 1234.50"
    kept = json.loads(json.dumps({"because": said, "said": said.to_json()}))
    assert kept["because"] == "CER 1234.50"
    assert tell(kept["said"], TABLE, "vi") == "tỉ lệ lỗi ký tự 1234,50"
    copied = copy.deepcopy(said)
    assert (copied, copied.code, copied.facts) == (said, "inner", said.facts)


def test_sentences_stand_within_others():
    inner = make(TABLE, "inner", metric="error", value=0.5)
    said = make(TABLE, "outer", inner=inner, members=["a, b", inner])
    assert said == "error 0.50 of a, b, error 0.50"
    told = tell(json.loads(json.dumps(said.to_json())), TABLE, "vi")
    assert told == "tỉ lệ lỗi 0,50 trong a, b, tỉ lệ lỗi 0,50"


@pytest.mark.parametrize(
    ("form", "value", "english", "vietnamese"),
    [
        ("samples", 1, "1 sample", "1 ảnh"),
        ("samples", 1234, "1,234 samples", "1.234 ảnh"),
        ("signed", -0.0125, "−0.013", "−0,013"),
        ("signed", 0.0001, "0.000", "0,000"),
        ("change", 0.5, "+0.5000", "+0,5000"),
        (".0%", 0.955, "96%", "96%"),
        (",", 1234, "1,234", "1.234"),
        ("split", "test", "test", "phần kiểm tra"),
        ("start", "", "scratch", "con số không"),
        ("metric", "cer_ignoring_case", "cer ignoring case", "CER nếu không kể hoa thường"),
        ("metric", "own_metric", "own metric", "own_metric"),
        ("", "1,5 {x} <b>", "1,5 {x} <b>", "1,5 {x} <b>"),
    ],
)
def test_facts_are_written_as_the_language_writes_them(form, value, english, vietnamese):
    table = {"one": (f"{{fact:{form}}}",) * 2}
    said = make(table, "one", fact=value)
    assert said == english
    assert tell(said.to_json(), table, "vi") == vietnamese


@pytest.mark.parametrize(
    "kept",
    [
        None,
        {},
        {"code": "unheard", "facts": {}},
        {"code": "inner", "facts": {}},
        {"code": "inner", "facts": {"metric": "cer", "value": "no number"}},
        {"code": "inner"},
    ],
)
def test_what_another_release_kept_is_not_told_wrongly(kept):
    assert tell(kept, TABLE, "vi") == ""


def test_words_without_a_code_are_shown_as_they_are():
    said = make(TABLE, "plain", words=Sentence("the disk is full"))
    assert tell(said.to_json(), TABLE, "vi") == "the disk is full"


def facts_of(sentence: str) -> set[str]:
    return set(re.findall(r"\{(\w+)", sentence))


@pytest.mark.parametrize("code", GATE_WORDS)
def test_the_gate_says_the_same_facts_in_both_languages(code):
    english, vietnamese = GATE_WORDS[code]
    assert facts_of(english) == facts_of(vietnamese)
