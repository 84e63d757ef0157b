"""Steps say why in English, and keep what a Vietnamese page says instead."""

from __future__ import annotations

import json
import re

import pytest

from nhan.evaluation.sentences import tell
from nhan.pipeline.step import Record
from nhan.pipeline.step_words import STEP_WORDS, say
from nhan.pipeline.steps import STEPS


def facts_of(sentence: str) -> set[str]:
    return set(re.findall(r"\{(\w+)", sentence))


@pytest.mark.parametrize("code", STEP_WORDS)
def test_both_languages_say_the_same_facts(code):
    english, vietnamese = STEP_WORDS[code]
    assert facts_of(english) == facts_of(vietnamese)


def test_every_step_has_a_name():
    assert {code for code in STEP_WORDS if code.startswith("step.")} == {
        f"step.{name}" for name in STEPS
    }


def test_a_record_keeps_what_was_said():
    because = say("refused_before", step=say("step.audit"))
    record = Record("skipped", because, step="freeze")
    assert because == "audit refused"
    kept = Record.from_json(json.loads(json.dumps(record.to_json())))
    assert kept == record
    assert tell(kept.to_json()["said"], STEP_WORDS, "vi") == "bước khám nhãn từ chối"


def test_a_record_of_an_older_release_is_read():
    old = {"state": "ran", "because": "it is done", "step": "audit", "outputs": {}, "key": ""}
    assert Record.from_json(old).because == "it is done"
    assert Record.from_json(old).to_json()["said"] is None
