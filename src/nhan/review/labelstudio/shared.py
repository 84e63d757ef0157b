"""Samples that several people are to label: what annotators say joins what reviewers say here.

Each annotator's word becomes a review of theirs, so that two people in Label Studio, or one there
and one in the console, count alike. Whether they agree, and what happens if they do not, is decided
where it is for everybody: `nhan.review.opinions` and `nhan.review.disputes`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog import State, reviews
from nhan.catalog.samples import GivenLabel, Sample
from nhan.errors import BadLabel
from nhan.review.decide import opinion_of, settle, snapshot, weigh_all
from nhan.review.labelstudio.standing import ORIGIN, PLACE, Effect, Outcome
from nhan.samples.doors.label_studio.opinions import Opinion
from nhan.samples.doors.label_studio.verdict import Fault, Field, judge
from nhan.samples.settle import given_label
from nhan.tasks.base import Task

_KINDS = {State.LABELLED: "done", State.SKIPPED: "skipped", State.REJECTED: "rejected"}


@dataclass(frozen=True)
class Word:
    """What one annotator says of one sample.

    Attributes:
        kind: state of their review: done, skipped, rejected, or final for ground truth.
        label: theirs; None for a skip or a rejection.
        reason: of a skip or a rejection.
        at: when they said so.
    """

    who: str
    kind: str
    label: GivenLabel | None
    reason: str
    at: datetime


def words(opinions: Iterable[Opinion], where: Field, task: Task) -> list[Word]:
    """The last word of each annotator; one that is no label says nothing."""
    by_person: dict[str, list[Opinion]] = defaultdict(list)
    for opinion in opinions:
        if not opinion.draft:
            by_person[opinion.given_by].append(opinion)
    found = []
    for who, said in by_person.items():
        verdict = judge(said, where)
        if isinstance(verdict, Fault) or verdict.state not in _KINDS:
            continue
        label = None
        if verdict.label is not None:
            try:
                label = given_label(verdict.label, task.normalise(verdict.label.value))
            except BadLabel:
                continue
        kind = "final" if verdict.ground_truth else _KINDS[verdict.state]
        moments = [one.given_at for one in said if one.given_at is not None]
        at = max(moments, default=datetime.now(UTC))
        reason = "" if label else verdict.reason + PLACE
        found.append(Word(who, kind, label, reason, at))
    return found


def hear(sample: Sample, said: Iterable[Word]) -> None:
    """Keep the labels among the words, so that they are written with the sample."""
    for word in said:
        if word.label is not None:
            sample.labels.setdefault(word.label.key, word.label)


def weigh(
    connection: sa.Connection, task: Task, sample: Sample, said: list[Word], tolerance: float
) -> Effect:
    """Make the words reviews, and settle the sample if they suffice.

    Args:
        connection: of the transaction that has written the sample's labels.
        task: of the sample.
        sample: as it was written.
        said: every annotator's last word.
        tolerance: see `nhan.review.opinions.standing`.
    """
    assert sample.id is not None, "it was read from the catalogue"
    for word in said:
        label_id = sample.labels[word.label.key].id if word.label else None
        reviews.write_review(
            connection,
            sample.id,
            word.who,
            state=word.kind,
            draft=None,
            reason=word.reason,
            label_id=label_id,
            held_until=None,
            begun_at=word.at,
            ended_at=word.at,
        )
    _take_back(connection, sample, {word.who for word in said})
    row = reviews.read_sample(connection, sample.id)
    assert row is not None, "its labels were written a moment ago"
    before = snapshot(row)
    given = [opinion_of(review) for review in reviews.read_opinions(connection, [sample.id])]
    after = weigh_all(task, before, given, tolerance) if given else _waiting(before)
    if after != before:
        settle(connection, sample.id, after)
    enough = len(given) >= before["opinions"]
    return _effect(sample, before, after, [one.value or "" for one in given], enough=enough)


def _take_back(connection: sa.Connection, sample: Sample, present: set[str]) -> None:
    """Undo the reviews of annotators whose annotations were deleted."""
    origins = {label.id: label.origin for label in sample.labels.values()}
    assert sample.id is not None, "it was read from the catalogue"
    for review in reviews.read_opinions(connection, [sample.id]):
        there = origins.get(review["label_id"]) == ORIGIN or review["reason"].endswith(PLACE)
        if there and review["reviewer"] not in present:
            reviews.write_review(
                connection,
                sample.id,
                review["reviewer"],
                state="undone",
                label_id=None,
                reason="",
                ended_at=datetime.now(UTC),
            )


def _waiting(before: dict[str, Any]) -> dict[str, Any]:
    """Nobody says anything any more."""
    return {**before, "state": State.QUEUED.value, "reason": "", "label_id": None}


def _effect(
    sample: Sample,
    before: dict[str, Any],
    after: dict[str, Any],
    values: list[str],
    *,
    enough: bool,
) -> Effect:
    texts = {label.id: label.value for label in sample.labels.values()}
    was, now = texts.get(before["label_id"], ""), texts.get(after["label_id"], "")
    outcome: Outcome = "voted"
    if after["label_id"] is not None and after["label_id"] != before["label_id"]:
        outcome = "relabelled" if was else "labelled"
    elif after["state"] != before["state"] and after["state"] in ("skipped", "rejected"):
        outcome = "skipped" if after["state"] == "skipped" else "rejected"
    elif not values:
        outcome = "withdrawn"
    elif enough and after["state"] == State.DRAFT.value:
        outcome = "disagreement"
    return Effect(outcome, was, now or " ≠ ".join(sorted(set(values))))
