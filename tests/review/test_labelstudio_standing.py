"""What an annotator's word does to a sample, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nhan.catalog import State
from nhan.catalog.samples import GivenLabel, Sample
from nhan.review.labelstudio.standing import Effect, apply, begin_draft, end_draft, lose_task
from nhan.samples.doors.label_studio.verdict import Verdict
from nhan.samples.record import Vote
from nhan.samples.settle import Normalised

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def label(
    value: str, who: str = "an", number: str = "1", *, minutes: int = 0, origin: str = "labelstudio"
) -> GivenLabel:
    return GivenLabel(value, None, origin, who, number, NOON + timedelta(minutes=minutes))


def sample(standing: GivenLabel | None = None, state: State = State.QUEUED) -> Sample:
    made = Sample("0" * 64, "a.png", "t", "", "", state, id=1)
    if standing is not None:
        made.labels[standing.key] = made.label = standing
    return made


def say(made: Sample, best: GivenLabel | None, *others: GivenLabel, **more: object) -> Effect:
    state = State.LABELLED if best else State.NEW
    vote = Vote(best.value) if best else None
    verdict = Verdict(vote, state=more.pop("state", state), **more)  # type: ignore[arg-type]
    return apply(made, verdict, Normalised(best, others))


def test_the_first_label_stands() -> None:
    made = sample()
    assert say(made, label("một")).outcome == "labelled"
    assert (made.state, made.label.value, made.changed) == (State.LABELLED, "một", True)
    assert say(made, label("một")).outcome == "unchanged"


def test_what_is_settled_is_under_no_suspicion() -> None:
    made = sample()
    made.priority = 1.0  # the most useful of all: a user's correction came in
    say(made, label("một"))
    assert made.priority == 0.0


def test_a_later_label_of_another_person_stands_and_both_are_kept() -> None:
    made = sample()
    say(made, label("một"))
    effect = say(made, label("hai", "binh", "2", minutes=1), label("một"))
    assert effect == Effect("relabelled", "một", "hai")
    assert {value for value, *_ in made.labels} == {"một", "hai"}


@pytest.mark.parametrize("origin", ["review", "import", "correction"])
def test_a_label_from_elsewhere_stays(origin: str) -> None:
    made = sample(label("ở nhà", origin=origin), State.LABELLED)
    assert say(made, label("khác")) == Effect("conflict", "ở nhà", "khác")
    assert made.label.value == "ở nhà"
    assert say(made, label("khác")).outcome == "unchanged"  # said once
    assert say(made, None, state=State.SKIPPED, reason="skipped by an").outcome == "unchanged"
    assert say(made, None).outcome == "unchanged"
    assert made.state == State.LABELLED


def test_the_same_label_from_elsewhere_is_a_vote() -> None:
    made = sample(label("một", origin="import"), State.LABELLED)
    assert say(made, label("một")).outcome == "voted"


def test_newer_ground_truth_replaces_a_label_from_elsewhere() -> None:
    made = sample(label("cũ", origin="import"), State.LABELLED)
    effect = say(made, label("đúng", minutes=5), ground_truth=True)
    assert effect == Effect("relabelled", "cũ", "đúng")


def test_what_a_reviewer_accepted_is_not_undone() -> None:
    made = sample(label("một"), State.ACCEPTED)
    assert say(made, label("hai", minutes=1)).outcome == "conflict"
    assert say(made, None).outcome == "unchanged"
    assert (made.state, made.label.value) == (State.ACCEPTED, "một")


def test_what_a_reviewer_rejected_stays_rejected() -> None:
    made = sample(state=State.REJECTED)
    made.reason = "blurred"
    assert say(made, label("một")).outcome == "voted"
    assert (made.state, made.reason, made.label) == (State.REJECTED, "blurred", None)


def test_skipped_and_back() -> None:
    made = sample()
    assert say(made, None, state=State.SKIPPED, reason="skipped by an").outcome == "skipped"
    assert (made.state, made.reason) == (State.SKIPPED, "skipped by an in Label Studio")
    assert say(made, None, state=State.SKIPPED, reason="skipped by an").outcome == "unchanged"
    assert say(made, None).outcome == "withdrawn"
    assert (made.state, made.reason) == (State.QUEUED, "")


def test_rejected_takes_the_label_away_and_a_label_brings_it_back() -> None:
    made = sample()
    say(made, label("một"))
    assert say(made, None, state=State.REJECTED, reason="marked bad by an").outcome == "rejected"
    assert (made.state, made.label) == (State.REJECTED, None)
    assert say(made, label("một")).outcome == "labelled"


def test_deleted_annotations_take_their_label_and_leave_it_among_those_given() -> None:
    made = sample()
    say(made, label("một"))
    assert say(made, None) == Effect("withdrawn", "một", "")
    assert (made.state, made.label) == (State.QUEUED, None)
    assert len(made.labels) == 1


def test_a_skip_of_the_console_is_not_undone_by_an_empty_task() -> None:
    made = sample(state=State.SKIPPED)
    made.reason = "too dark"
    assert say(made, None).outcome == "unchanged"
    assert made.state == State.SKIPPED


def test_drafts_begin_and_end() -> None:
    made = sample()
    assert begin_draft(made, "an")
    assert not begin_draft(made, "an")
    assert (made.state, made.reason) == (State.DRAFT, "begun by an in Label Studio")
    assert end_draft(made)
    assert made.state == State.QUEUED
    made.state, made.reason = State.DRAFT, "typing in the console"
    assert not end_draft(made)


@pytest.mark.parametrize("state", [State.LABELLED, State.ACCEPTED, State.REJECTED, State.SKIPPED])
def test_a_draft_does_not_touch_what_is_settled(state: State) -> None:
    made = sample(state=state)
    assert not begin_draft(made, "an")
    assert not lose_task(made)
    assert made.state == state


def test_a_lost_task_is_not_wanted_unless_it_was_labelled() -> None:
    labelled, waiting = sample(label("một"), State.LABELLED), sample()
    assert not lose_task(labelled)
    assert lose_task(waiting)
    assert (labelled.state, waiting.state) == (State.LABELLED, State.SKIPPED)
