"""Decisions: what becomes of the sample, what is kept, what is refused."""

from __future__ import annotations

import pytest

from nhan.catalog import TRAINABLE, State
from nhan.catalog.reviews import update_sample
from nhan.errors import BadLabel, BadRequest, Conflict, NotFound
from nhan.review.decide import Decision, decide
from nhan.review.undo import undo


def test_an_accepted_label_is_normalised_stands_and_may_train(add_samples, say, rows) -> None:
    (one,) = add_samples([0.5])
    decided = say("an", one, "accept", "pho\u031b\u0309  bo\u0300 ")
    assert (decided.state, decided.label) == (State.ACCEPTED, "phở bò")
    (label,) = rows("labels")
    assert (label["value"], label["origin"], label["given_by"]) == ("phở bò", "review", "an")
    assert label["given"] == "pho\u031b\u0309  bo\u0300 "
    (sample,) = rows("samples")
    assert (sample["label_id"], sample["priority"]) == (label["id"], 0.0)
    assert sample["state"] in TRAINABLE


def test_a_skipped_sample_says_why_and_never_trains(add_samples, say, rows) -> None:
    new, labelled = add_samples([0.5]) + add_samples([1.9], state=State.LABELLED, label="một")
    for sample in (new, labelled):
        assert say("an", sample, "skip", reason="two lines").label is None
    for sample in rows("samples"):
        assert (sample["state"], sample["reason"]) == ("skipped", "two lines")
        assert sample["state"] not in TRAINABLE


def test_a_rejected_sample_says_why(add_samples, say, rows) -> None:
    (one,) = add_samples([0.5])
    assert say("an", one, "reject", reason="no text").state == State.REJECTED
    assert rows("samples")[0]["reason"] == "no text"


def test_changing_ones_mind_keeps_every_label(add_samples, say, rows) -> None:
    (one,) = add_samples([0.5])
    for value in ("một", "hai", "một"):
        assert say("an", one, "accept", value).label == value
    assert [label["value"] for label in rows("labels")] == ["một", "hai", "một"]
    assert rows("samples")[0]["label_id"] == rows("labels")[-1]["id"]
    assert [event["kind"] for event in rows("events")] == ["review.accept"] * 3


def test_a_decision_sent_twice_counts_once(workspace, add_samples, rows) -> None:
    (one,) = add_samples([0.5])
    decision = Decision("d1", one, "an", "accept", "một")
    assert decide(workspace, decision) == decide(workspace, decision)
    assert len(rows("labels")) == len(rows("decisions")) == len(rows("events")) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"value": "hai"},
        {"reviewer": "bình"},
        {"action": "skip", "reason": "blurred"},
        {"sample": 2},
    ],
)
def test_an_id_that_comes_with_another_decision_is_refused(workspace, add_samples, other) -> None:
    add_samples([0.5, 0.5])
    given = {"id": "d1", "sample": 1, "reviewer": "an", "action": "accept", "value": "một"}
    decide(workspace, Decision(**given))
    with pytest.raises(Conflict, match="d1"):
        decide(workspace, Decision(**{**given, **other}))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"sample": 9}, NotFound, "no sample 9"),
        ({"value": None}, BadRequest, "nothing to accept"),
        ({"value": " "}, BadLabel, "empty"),
        ({"action": "skip"}, BadRequest, "no reason to skip"),
        ({"action": "reject", "reason": "  "}, BadRequest, "no reason to reject"),
        ({"action": "adjudicate", "value": None}, BadRequest, "no reason"),
        ({"action": "praise"}, BadRequest, "praise"),
        ({"reviewer": " "}, BadRequest, "who"),
        ({"id": ""}, BadRequest, "id"),
        ({"id": "x" * 65}, BadRequest, "id"),
    ],
)
def test_what_cannot_be_decided_leaves_nothing(
    workspace, add_samples, rows, change, error, words
) -> None:
    add_samples([0.5])
    given = {"id": "d1", "sample": 1, "reviewer": "an", "action": "accept", "value": "một"}
    with pytest.raises(error, match=words):
        decide(workspace, Decision(**{**given, **change}))
    assert rows("labels") == rows("decisions") == rows("events") == []
    assert rows("samples")[0]["state"] == "queued"


def test_two_who_worked_on_one_sample_and_differ_both_keep_their_label(
    add_samples, say, rows
) -> None:
    (one,) = add_samples([0.5])
    say("an", one, "accept", "một")
    late = say("bình", one, "accept", "mót")
    assert late.disputed
    (sample,) = rows("samples")
    assert sample["state"] == "draft"
    assert sample["state"] not in TRAINABLE
    assert {label["value"] for label in rows("labels")} == {"một", "mót"}


def test_two_who_worked_on_one_sample_and_agree_change_nothing(add_samples, say, rows) -> None:
    (one,) = add_samples([0.5])
    say("an", one, "accept", "một")
    late = say("bình", one, "accept", "một")
    assert (late.state, late.label, late.disputed) == (State.ACCEPTED, "một", False)
    assert rows("samples")[0]["label_id"] == rows("labels")[0]["id"]
    assert len(rows("labels")) == 2


def test_an_accepted_label_that_a_correction_contradicts_is_decided_anew(
    workspace, add_samples, say, rows
) -> None:
    (one,) = add_samples([0.5])
    say("an", one, "accept", "một")
    with workspace.catalog.write() as connection:
        update_sample(connection, one, priority=1.0)
    decided = say("bình", one, "accept", "mốt")
    assert (decided.state, decided.label, decided.disputed) == (State.ACCEPTED, "mốt", False)


def test_undoing_brings_everything_back_and_keeps_the_history(
    workspace, add_samples, say, rows
) -> None:
    (one,) = add_samples([1.8], state=State.LABELLED, label="cũ")
    before = rows("samples")
    say("an", one, "accept", "mới")
    undone = undo(workspace, "u1", "an", one)
    assert (undone.state, undone.label) == (State.LABELLED, "cũ")
    assert rows("samples") == before
    assert [label["value"] for label in rows("labels")] == ["cũ", "mới"]
    (review,) = rows("reviews")
    assert (review["state"], review["draft"]) == ("open", "mới")
    assert [decision["action"] for decision in rows("decisions")] == ["accept", "undo"]
    assert undo(workspace, "u1", "an", one) == undone
    assert len(rows("decisions")) == 2


def test_undoing_goes_back_step_by_step(workspace, add_samples, say, rows) -> None:
    one, two = add_samples([0.5, 0.4])
    say("an", one, "accept", "một")
    say("an", two, "skip", reason="blurred")
    say("an", one, "accept", "hai")
    states = [undo(workspace, f"u{turn}", "an") for turn in range(3)]
    assert [(undone.sample, undone.label) for undone in states] == [
        (one, "một"),
        (two, None),
        (one, None),
    ]
    assert [sample["state"] for sample in rows("samples")] == ["queued", "queued"]
    with pytest.raises(NotFound, match="no decision"):
        undo(workspace, "u3", "an")


def test_undoing_leaves_what_others_said(workspace, add_samples, say, rows) -> None:
    (one,) = add_samples([0.5])
    say("an", one, "accept", "một")
    say("bình", one, "accept", "mót")
    undo(workspace, "u1", "an", one)
    assert rows("samples")[0]["state"] == "draft"
    agreed = say("an", one, "accept", "mót")
    assert (agreed.state, agreed.label) == (State.ACCEPTED, "mót")


def test_nothing_is_undone_that_was_settled_in_another_way_since(
    workspace, add_samples, say, rows
) -> None:
    one, two = add_samples([0.5, 0.5])
    say("an", one, "accept", "một")
    say("an", two, "accept", "một")
    say("chi", one, "adjudicate", "hai")
    with workspace.catalog.write() as connection:
        update_sample(connection, two, state="rejected")
    for sample in (one, two):
        with pytest.raises(Conflict, match="settled since"):
            undo(workspace, f"u{sample}", "an", sample)
    assert [sample["state"] for sample in rows("samples")] == ["accepted", "rejected"]
