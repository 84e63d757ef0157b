"""The gate's words and the reasons of steps, in the visitor's language."""

from __future__ import annotations

import asyncio
import json

import pytest

from nhan.errors import GateRefused
from nhan.evaluation.gate import Verdict
from nhan.evaluation.gate_words import GATE_WORDS
from nhan.evaluation.sentences import make
from nhan.pipeline.step import Plan, Record
from nhan.pipeline.step_words import say
from nhan.web.errand import Errands
from nhan.web.telling import tell_steps, tell_verdict

WHERE = make(GATE_WORDS, "gate.where", samples=1234, dataset="lines@1", split="test")
TOO_BAD = make(GATE_WORDS, "gate.first_too_bad", metric="cer", mine=0.5, most=0.25, where=WHERE)
REFUSED = Verdict(
    False,
    make(GATE_WORDS, "gate.refused", reasons=[TOO_BAD]),
    (TOO_BAD,),
    hint=make(GATE_WORDS, "gate.import_more"),
)


def test_a_verdict_is_told_in_vietnamese_and_stays_english_in_the_log():
    kept = json.loads(json.dumps(REFUSED.to_dict()))
    assert kept["words"].startswith("refused: CER 0.500 (1,234 samples of lines@1 test) exceeds")
    told = tell_verdict(kept, "vi")
    assert told["language"] == "vi"
    assert told["words"].startswith(
        "không đạt: tỉ lệ lỗi ký tự 0,500 (1.234 ảnh của lines@1, phần kiểm tra) vượt quá 0,25"
    )
    assert told["hint"].startswith("hãy nhập")
    assert tell_verdict(kept, "en")["words"] == kept["words"]


def test_what_was_kept_in_english_alone_is_shown_as_english():
    assert tell_verdict({"words": "refused: so it was", "hint": "h"}, "vi") == {
        "words": "refused: so it was", "hint": "h", "language": "en",
    }  # fmt: skip
    assert tell_verdict(None, "vi")["words"] == ""


def test_steps_are_named_and_explained():
    steps = [
        Record("skipped", say("refused_before", step=say("step.audit")), step="freeze"),
        Record("failed", "the disk is full", step="train"),
    ]
    found = {**Plan(1, "lines", "text", "reader").to_json(), "steps": [s.to_json() for s in steps]}
    shown = tell_steps(json.loads(json.dumps(found)), "vi")["steps"]
    assert [one["name"] for one in shown] == ["đóng băng", "huấn luyện"]
    assert (shown[0]["because"], shown[0]["language"]) == ("bước khám nhãn từ chối", "vi")
    assert (shown[1]["because"], shown[1]["language"]) == ("the disk is full", "en")


def test_a_refused_promotion_brings_its_verdict_along(tmp_path, monkeypatch):
    refusal = GateRefused(REFUSED.words, details={"verdict": REFUSED.to_dict()})

    async def refuse(arguments, environment):
        printed = json.dumps(refusal.to_json()).encode()
        return 1, printed, f"error: {REFUSED.words}\nhint: more".encode()

    monkeypatch.setattr("nhan.web.errand._run", refuse)
    with pytest.raises(GateRefused, match="exceeds") as raised:
        asyncio.run(Errands(tmp_path).run("promote", "reader@1", "--json"))
    assert raised.value.hint == "more"
    assert "vượt quá" in tell_verdict(raised.value.details["verdict"], "vi")["words"]
