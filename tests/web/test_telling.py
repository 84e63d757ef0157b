"""The gate's words and the reasons of steps, in the visitor's language."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter

import pytest

from nhan.datasets.findings import Findings
from nhan.datasets.words import DOCTOR_WORDS
from nhan.errors import GateRefused
from nhan.evaluation.gate import Verdict
from nhan.evaluation.gate_words import GATE_WORDS
from nhan.evaluation.sentences import make
from nhan.pipeline.data_steps import _found, _refusal
from nhan.pipeline.reasons import passed_on, reason_of
from nhan.pipeline.step import Plan, Record
from nhan.pipeline.step_words import STEP_WORDS, say
from nhan.tasks.base import Finding
from nhan.tasks.classes.check_words import CLASS_WORDS
from nhan.tasks.text import check_words as text_words
from nhan.tasks.text.check_words import TEXT_WORDS
from nhan.web.errand import Errands
from nhan.web.telling import tell_finding, tell_steps, tell_verdict

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


def test_what_began_a_round_is_told_and_a_persons_reason_stands_as_given():
    labels, clock = say("reason.labels", count=1234), say("reason.clock", cron="0 2 * * *")
    reason = say("several", parts=[labels, clock])
    assert reason == "1234 new labels; the clock (0 2 * * *)"
    given = Plan(1, "lines", "text", "reader", reason=reason_of(reason, passed_on(reason)))
    kept = json.loads(json.dumps({**given.to_json(), "steps": []}))
    assert Plan.from_json(kept) == given
    shown = tell_steps(kept, "vi")
    assert shown["reason"] == "có 1234 nhãn mới; theo lịch (0 2 * * *)"
    assert shown["reason_language"] == "vi"
    ours = Plan(2, "lines", "text", "reader", reason=reason_of("hoá đơn mới"))
    shown = tell_steps({**ours.to_json(), "steps": []}, "en")
    assert (shown["reason"], shown["reason_language"]) == ("hoá đơn mới", "")


def test_a_round_that_a_person_asked_for_says_so_in_vietnamese():
    plan = Plan(1, "lines", "text", "reader", reason=reason_of("on demand"))
    assert tell_steps({**plan.to_json(), "steps": []}, "vi")["reason"] == "theo yêu cầu"
    assert passed_on("hoá đơn mới") == ""


def test_what_the_doctor_refused_is_told_within_the_step():
    finding = Finding("empty_label", "error", text_words.say("label.empty", text=" "))
    found = Findings()
    found.add(finding.code, finding.severity, None, finding.message)
    report = found.report("text", 3, {})
    outputs = {"errors": 1, "said": [one.to_json() for one in _found(report)]}
    because = _refusal(json.loads(json.dumps(outputs)))
    assert because.endswith("1 × empty_label: the label ' ' is empty")
    record = Record("refused", because, step="audit").to_json()
    plan = Plan(1, "lines", "text", "reader").to_json()
    (step,) = tell_steps({**plan, "steps": [json.loads(json.dumps(record))]}, "vi")["steps"]
    assert step["because"].endswith("1 × Nhãn rỗng: nhãn ' ' rỗng")
    older = _refusal({"errors": 1, "found": ["1 × empty_label: so it was"]})
    assert older.endswith("1 × empty_label: so it was")


def test_findings_kept_in_english_alone_are_shown_as_english():
    example = {"sample": 1, "name": "1.png", "message": "so it was"}
    old = {"code": "own_kind", "severity": "info", "hint": "look", "examples": [example]}
    told = tell_finding(old, "vi")
    assert (told["name"], told["hint"], told["language"]) == ("own kind", "look", "en")
    assert told["examples"] == [{**example, "language": "en"}]


@pytest.mark.parametrize("table", [TEXT_WORDS, CLASS_WORDS, DOCTOR_WORDS])
def test_the_doctor_says_the_same_facts_in_both_languages(table):
    for english, vietnamese in table.values():
        facts = [set(re.findall(r"\{(\w+)", one)) for one in (english, vietnamese)]
        assert facts[0] == facts[1]


def test_no_area_takes_anothers_code():
    tables = (GATE_WORDS, STEP_WORDS, TEXT_WORDS, CLASS_WORDS, DOCTOR_WORDS)
    codes = Counter(code for table in tables for code in table)
    assert [code for code, count in codes.items() if count > 1] == []


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
