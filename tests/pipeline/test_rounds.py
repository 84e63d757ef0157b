"""Rounds: what runs, what is skipped and why, what is refused, and what a kill leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from small_rounds import MODEL, numbers

from nhan.datasets.freeze import FreezeReport
from nhan.errors import Conflict, JobFailed, NotFound
from nhan.evaluation.gate import Verdict
from nhan.evaluation.promotion import promote
from nhan.models.registry import Registry
from nhan.pipeline import data_steps, model_steps, steps
from nhan.pipeline.foresee import foresee
from nhan.pipeline.plan import make_plan
from nhan.pipeline.rounds import (
    Round,
    begin_round,
    finish_round,
    list_rounds,
    read_round,
    run_step,
)
from nhan.pipeline.step import Outcome, Work
from nhan.pipeline.steps import STEPS
from nhan.workspace import Workspace

OneRound = Callable[..., Round]


def states(found: Round) -> dict[str, str]:
    return {name: record.state for name, record in found.steps.items()}


def quiet(words: str) -> None:
    del words


def pretend(monkeypatch: pytest.MonkeyPatch, name: str, work: Callable[[Work], Outcome]) -> None:
    monkeypatch.setitem(steps.STEPS, name, (work, ""))


@pytest.mark.xdist_group("rounds")
def test_rounds_learn_what_is_new_and_nothing_else(
    loop: Workspace, add_lines: Callable[..., None], one_round: OneRound
) -> None:
    pytest.importorskip("torch")
    add_lines(numbers(0, 60))
    first = one_round("the first labels")
    assert first.outcome == "promoted", first.to_json()
    assert states(first) == {
        **dict.fromkeys(STEPS, "skipped"),
        **dict.fromkeys(["audit", "freeze", "train", "evaluate", "gate", "promote"], "ran"),
    }
    assert Registry(loop.store).champion(MODEL) == 1
    entry = Registry(loop.store).log(MODEL).promotions[0]
    assert (entry.by, entry.because) == ("round 1", "the first labels")

    second = one_round()
    assert second.outcome == "nothing new"
    assert second.steps["freeze"].because.startswith("no sample or label has changed since round 1")
    assert "reader@1, the champion, was trained on" in second.steps["train"].because
    expected = {one.step: one.does for one in foresee(loop, make_plan(loop))}
    assert (expected["intake"], expected["freeze"], expected["train"]) == ("is skipped",) * 3

    add_lines(numbers(100, 104))
    expected = {one.step: one.because for one in foresee(loop, make_plan(loop))}
    assert expected["freeze"] == "4 labels are new to lines"
    third = one_round("four more")
    assert states(third)["freeze"] == states(third)["train"] == "ran"
    assert third.steps["train"].outputs["candidate"] == "reader@2"
    assert third.outcome in ("promoted", "refused")
    if third.outcome == "refused":  # the same candidate is judged again, not trained again
        fourth = one_round()
        assert states(fourth)["train"] == "skipped"
        assert fourth.outcome == "refused"
    assert [one.plan.number for one in list_rounds(loop, limit=2)] == sorted(
        (one.plan.number for one in list_rounds(loop, limit=2)), reverse=True
    )


def test_the_label_doctor_stops_a_round_and_says_what_to_mend(
    loop: Workspace, add_lines: Callable[..., None], one_round: OneRound
) -> None:
    add_lines(numbers(0, 5), label=lambda text: text.replace("x", "\u0456"))
    found = one_round()
    assert found.outcome == "refused"
    assert found.steps["audit"].because.startswith("5 things must be fixed before training")
    assert found.steps["freeze"].because == "audit refused"
    assert found.steps["watch"].state == "skipped"
    assert one_round().steps["audit"].key == found.steps["audit"].key


def test_a_label_that_comes_while_a_version_is_frozen_is_in_the_next(
    loop: Workspace, add_lines: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze, work = data_steps.freeze, Work(loop, make_plan(loop), {}, quiet)

    def busy(*arguments: Any) -> FreezeReport:
        report = freeze(*arguments)
        add_lines(numbers(100, 104))
        return report

    add_lines(numbers(0, 20))
    with monkeypatch.context() as patch:
        patch.setattr(data_steps, "freeze", busy)
        first = data_steps.freeze_samples(work)
    assert (first.outputs["rows"], first.outputs["left_out"]) == (20, 0)
    second = data_steps.freeze_samples(work)
    assert (second.state, second.outputs["rows"]) == ("ran", 24)
    assert data_steps.freeze_samples(work).state == "skipped"


def test_without_a_label_there_is_nothing_to_learn_from(
    loop: Workspace, one_round: OneRound
) -> None:
    found = one_round()
    assert found.outcome == "refused"
    assert found.because == "freeze: no sample of the task text has a label to learn from"


@pytest.fixture
def candidate(loop: Workspace, add_lines: Callable[..., None], one_round: OneRound) -> Workspace:
    """A workspace whose round 1 was promoted and whose round 2 stands before its promotion."""
    pytest.importorskip("torch")
    add_lines(numbers(0, 40))
    assert one_round().outcome == "promoted"
    add_lines(numbers(200, 203))
    loop.settings.gate.certainty = 0.5
    begin_round(loop, make_plan(loop))
    for name in STEPS:
        if name == "gate":
            break
        run_step(loop, 2, name, say=quiet)
    return loop


@pytest.mark.xdist_group("rounds")
def test_a_promotion_that_was_killed_half_way_is_found_done(
    candidate: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = Verdict(True, "passed: it is better")
    monkeypatch.setattr(model_steps, "judge", lambda *_, **__: better)
    monkeypatch.setattr("nhan.evaluation.promotion.decide", lambda *_: better)
    assert run_step(candidate, 2, "gate", say=quiet).state == "ran"
    first = run_step(candidate, 2, "promote", say=quiet)
    assert first.outputs["champion"] == "reader@2"
    # As if it had died after the log's entry and before its own record.
    candidate.store.delete("rounds/000002/promote.json")
    again = run_step(candidate, 2, "promote", say=quiet)
    assert (again.state, again.outputs) == ("ran", first.outputs)
    assert len(Registry(candidate.store).log(MODEL).promotions) == 2
    # As if somebody had gone back meanwhile: what was done once is not done again.
    Registry(candidate.store).rollback(MODEL, because="it is worse on receipts")
    candidate.store.delete("rounds/000002/promote.json")
    assert run_step(candidate, 2, "promote", say=quiet).state == "ran"
    assert Registry(candidate.store).champion(MODEL) == 1


@pytest.mark.xdist_group("rounds")
def test_what_people_rolled_back_only_people_bring_back(candidate: Workspace) -> None:
    promote(candidate, "reader@2", force=True, because="a try")
    Registry(candidate.store).rollback(MODEL, because="it is worse on receipts")
    refused = run_step(candidate, 2, "gate", say=quiet)
    assert refused.state == "refused"
    assert "was rolled back" in refused.because
    assert "it is worse on receipts" in refused.because
    assert run_step(candidate, 2, "promote", say=quiet).because == "gate refused"


def test_an_interrupted_round_is_gone_on_with(
    loop: Workspace, add_lines: Callable[..., None], one_round: OneRound,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    add_lines(numbers(0, 5))

    def die(work: Work) -> Outcome:
        raise KeyboardInterrupt

    pretend(monkeypatch, "train", die)
    with pytest.raises(KeyboardInterrupt):
        one_round("the first reason")
    stopped = read_round(loop, 1)
    assert (stopped.outcome, stopped.next_step) == ("", "train")
    pretend(monkeypatch, "train", lambda _: Outcome("skipped", "a test"))
    done = one_round("another reason")
    assert (done.plan.number, done.plan.reason) == (1, "the first reason")
    assert done.steps["freeze"].ended == stopped.steps["freeze"].ended
    log = [
        json.loads(loop.store.read(path)) for path in sorted(loop.store.list("rounds/000001/log"))
    ]
    assert [one["state"] for one in log if one["step"] == "train"] == [
        "running",
        "running",
        "skipped",
    ]


def test_a_failed_round_has_ended_and_the_next_is_a_new_one(
    loop: Workspace, add_lines: Callable[..., None], one_round: OneRound,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    add_lines(numbers(0, 5))

    def fail(work: Work) -> Outcome:
        raise JobFailed("the disk is full", hint="make room")

    pretend(monkeypatch, "train", fail)
    with pytest.raises(JobFailed):
        one_round()
    failed = read_round(loop, 1)
    assert (failed.outcome, failed.because) == ("failed", "train: the disk is full")
    assert failed.steps["train"].hint == "make room"
    with pytest.raises(Conflict, match="round 1 has ended: failed"):
        run_step(loop, 1, "train", say=quiet)
    pretend(monkeypatch, "train", lambda _: Outcome("skipped", "a test"))
    assert one_round().plan.number == 2


def test_steps_can_be_run_one_by_one_in_order_only(
    loop: Workspace, add_lines: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_lines(numbers(0, 5))
    pretend(monkeypatch, "train", lambda _: Outcome("skipped", "a test"))
    plan = make_plan(loop, key="run-77")
    assert begin_round(loop, plan).plan.number == begin_round(loop, plan).plan.number == 1
    with pytest.raises(Conflict, match="freeze comes after intake"):
        run_step(loop, 1, "freeze", say=quiet)
    with pytest.raises(NotFound, match="no step 'fraeze'"):
        run_step(loop, 1, "fraeze", say=quiet)
    with pytest.raises(Conflict, match="has not done intake yet"):
        finish_round(loop, 1)
    for name in STEPS:
        assert run_step(loop, 1, name, say=quiet) == run_step(loop, 1, name, say=quiet)
    assert finish_round(loop, 1).outcome == "nothing new"
    assert begin_round(loop, plan).outcome == "nothing new"  # the same key, the same round


def test_an_open_round_about_something_else_is_not_taken_over(
    loop: Workspace, add_lines: Callable[..., None]
) -> None:
    add_lines(numbers(0, 5))
    begin_round(loop, make_plan(loop))
    with pytest.raises(Conflict, match=r"round 1 \(lines → reader\) was interrupted at intake"):
        begin_round(loop, make_plan(loop, model="other"))
    assert begin_round(loop, make_plan(loop, model="other"), new=True).plan.number == 2
    assert read_round(loop, 1).outcome == "abandoned"


def test_consent_taken_back_is_content_that_changed(
    loop: Workspace, add_lines: Callable[..., None], one_round: OneRound,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    add_lines(numbers(0, 12))
    pretend(monkeypatch, "train", lambda _: Outcome("skipped", "a test"))
    before = one_round().steps["freeze"].outputs["dataset"]
    with loop.catalog.write() as connection:
        connection.exec_driver_sql("UPDATE samples SET may_train = 0 WHERE id = 1")
    after = one_round().steps["freeze"]
    assert after.state == "ran"
    assert after.outputs["dataset"] != before
