"""Deciding on a sample: accept a label, skip the picture, reject it; or settle a dispute.

A decision is one transaction: a row of `decisions`, a row of `labels` where a label was given, the
reviewer's row of `reviews`, the sample's new state, and an event. Sent again under the same id it
changes nothing and answers the same. Nothing that anybody said is overwritten.

One opinion is enough for most samples. If another person settled the sample while somebody was
still working on it, and the two differ, neither is lost and neither wins: the sample is in dispute,
trains no model, and waits for whoever settles it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa

from nhan.catalog import decisions, reviews
from nhan.catalog.events import log_event
from nhan.catalog.samples import lock_writers
from nhan.catalog.schema import State
from nhan.errors import BadRequest, Conflict
from nhan.review.opinions import Opinion, standing
from nhan.review.queue import check_reviewer, check_text, no_sample
from nhan.tasks import get_task
from nhan.tasks.base import Task
from nhan.workspace import Workspace

Action = Literal["accept", "skip", "reject", "adjudicate"]

_VERDICTS = {"done": State.ACCEPTED, "skipped": State.SKIPPED, "rejected": State.REJECTED}
_REVIEW_STATES = {"accept": "done", "skip": "skipped", "reject": "rejected", "adjudicate": "final"}
_SETTLED = (State.ACCEPTED, State.SKIPPED, State.REJECTED)
_IDENTITY = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True)
class Decision:
    """What a reviewer decides.

    Attributes:
        id: made by the client, new for each decision; sent again, it counts once.
        action: `adjudicate` settles a dispute: with a label, or by skipping the picture.
        value: the label; needed to accept.
        reason: needed where there is no label.
    """

    id: str
    sample: int
    reviewer: str
    action: Action
    value: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Decided:
    """What became of the sample.

    Attributes:
        label: the one that stands now; None when there is none.
        disputed: opinions differ, and somebody must settle it.
    """

    sample: int
    state: State
    label: str | None
    disputed: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the review API gives it."""
        return {
            "sample": self.sample,
            "state": self.state.value,
            "label": self.label,
            "disputed": self.disputed,
        }


def decide(workspace: Workspace, decision: Decision) -> Decided:
    """Carry a decision out.

    Raises:
        NotFound: no such sample.
        BadRequest: no reviewer, an unknown action, no label to accept or no reason to skip.
        BadLabel: the label cannot be one of this task.
        Conflict: the id was used for another decision.
    """
    decision = _checked(decision)
    with workspace.catalog.write() as connection:
        lock_writers(connection)
        known = decisions.find_decision(connection, decision.id)
        if known is not None:
            return repeated(known, decision.reviewer, decision.action, decision.sample, decision)
        sample = reviews.read_sample(connection, decision.sample)
        if sample is None:
            raise no_sample(decision.sample)
        task = get_task(sample["task"])
        review = reviews.read_review(connection, decision.sample, decision.reviewer)
        now = datetime.now(UTC)
        label_id, value = _keep_label(connection, task, decision, now)
        _answer(connection, decision, label_id, now, begun=review is not None)
        mine = _opinion_of(decision, value, label_id)
        tolerance = workspace.settings.review.tolerance
        after = _weigh(connection, task, sample, review, mine, tolerance)
        settle(connection, decision.sample, after)
        decided = outcome(connection, decision.sample)
        decisions.add_decision(
            connection,
            id=decision.id,
            sample_id=decision.sample,
            reviewer=decision.reviewer,
            action=decision.action,
            value=decision.value,
            reason=decision.reason,
            label_id=label_id,
            before={"sample": snapshot(sample), "review": _review_snapshot(review)},
            after={**after, "label": decided.label, "disputed": decided.disputed},
            at=now,
        )
        log_event(
            connection,
            f"review.{decision.action}",
            sample_id=decision.sample,
            given_by=decision.reviewer,
            decision=decision.id,
            value=value,
            reason=decision.reason,
            state=decided.state.value,
            disputed=decided.disputed,
        )
    return decided


def _checked(decision: Decision) -> Decision:
    """The decision with its names trimmed, or why it cannot be carried out.

    Raises:
        BadRequest: see `decide`.
    """
    if decision.action not in get_args(Action):
        raise BadRequest(
            f"no action {decision.action!r}", hint=f"{', '.join(get_args(Action))}, undo"
        )
    check_identity(decision.id)
    if decision.action == "accept" and decision.value is None:
        raise BadRequest("nothing to accept", hint='give the label: "value"')
    reason = decision.reason.strip()
    if not reason and (decision.action in ("skip", "reject") or decision.value is None):
        raise BadRequest(
            f"no reason to {decision.action} sample {decision.sample}",
            hint='say why, e.g. "reason": "unreadable"',
        )
    check_text(reason + (decision.value or ""))
    value = None if decision.action in ("skip", "reject") else decision.value
    reviewer = check_reviewer(decision.reviewer)
    return replace(decision, reviewer=reviewer, reason=reason, value=value)


def check_identity(identity: str) -> None:
    """Pass an id that a client may give to a decision.

    Raises:
        BadRequest: it is empty, too long or has other characters.
    """
    if not _IDENTITY.fullmatch(identity):
        raise BadRequest(
            f"{identity!r} is no id of a decision",
            hint="1 to 64 letters, digits or . _ : -, new for each decision; a UUID will do",
        )


def repeated(
    known: decisions.Row,
    reviewer: str,
    action: str,
    sample: int | None,
    decision: Decision | None = None,
) -> Decided:
    """The answer to a decision that was carried out before.

    Raises:
        Conflict: the id was used for another decision.
    """
    same = (known["reviewer"], known["action"]) == (reviewer, action)
    same = same and sample in (None, known["sample_id"])
    if decision is not None:
        same = same and (known["value"], known["reason"]) == (decision.value, decision.reason)
    if not same:
        raise Conflict(
            f"the id {known['id']} was used for another decision, on sample {known['sample_id']}",
            hint="make a new id for each decision",
            details={"yours": sample, "known": known["sample_id"]},
        )
    after = known["after"]
    return Decided(known["sample_id"], State(after["state"]), after["label"], after["disputed"])


def outcome(connection: sa.Connection, sample_id: int) -> Decided:
    """How a sample stands now."""
    sample = reviews.read_sample(connection, sample_id)
    assert sample is not None, "it was read in this transaction"
    label = None
    if sample["label_id"] is not None and sample["state"] in (State.ACCEPTED, State.LABELLED):
        label = reviews.read_labels(connection, [sample["label_id"]])[sample["label_id"]]["value"]
    given = len(reviews.read_opinions(connection, [sample_id]))
    disputed = sample["state"] == State.DRAFT and given >= sample["opinions"] > 1
    return Decided(sample_id, State(sample["state"]), label, disputed)


def snapshot(sample: reviews.Row) -> dict[str, Any]:
    """The columns of a sample that a decision may change."""
    names = ("state", "reason", "label_id", "priority", "opinions")
    return {name: sample[name] for name in names}


def settle(connection: sa.Connection, sample_id: int, after: dict[str, Any]) -> None:
    """Write those columns."""
    reviews.update_sample(connection, sample_id, **after)


def weigh_all(
    task: Task, sample: dict[str, Any], opinions: list[Opinion], tolerance: float
) -> dict[str, Any]:
    """The sample's columns when these opinions are all there are.

    Args:
        task: of the sample.
        sample: its `snapshot`.
        opinions: oldest first; may be fewer than wanted.
        tolerance: see `standing`.
    """
    if len(opinions) >= sample["opinions"] or any(opinion.final for opinion in opinions):
        stands = standing(task, opinions, tolerance=tolerance)
        if stands is not None:
            return _stand(sample, stands)
        return {**sample, "state": State.DRAFT.value, "opinions": max(len(opinions), 2)}
    # A label that stood goes on standing until the opinions are complete.
    waits = sample["state"] != State.LABELLED
    return {**sample, "state": State.DRAFT.value, "reason": ""} if waits else sample


def opinion_of(review: reviews.Row) -> Opinion:
    """An answer as it is kept, with its label's value."""
    final = review["state"] == "final"
    return Opinion(
        review["reviewer"],
        _final_verdict(review["label_id"]) if final else _VERDICTS[review["state"]],
        review["value"],
        review["label_id"],
        review["reason"],
        final,
    )


def _keep_label(
    connection: sa.Connection, task: Task, decision: Decision, now: datetime
) -> tuple[int | None, str | None]:
    if decision.value is None:
        return None, None
    value = task.normalise(decision.value)
    number = reviews.add_label(
        connection,
        sample_id=decision.sample,
        value=value,
        given=decision.value if decision.value != value else None,
        origin="review",
        given_by=decision.reviewer,
        external_id=decision.id,
        given_at=now,
    )
    return number, value


def _answer(
    connection: sa.Connection,
    decision: Decision,
    label_id: int | None,
    now: datetime,
    *,
    begun: bool,
) -> None:
    reviews.write_review(
        connection,
        decision.sample,
        decision.reviewer,
        state=_REVIEW_STATES[decision.action],
        draft=None,
        reason=decision.reason,
        label_id=label_id,
        held_until=None,
        ended_at=now,
        **({} if begun else {"begun_at": now}),
    )


def _opinion_of(decision: Decision, value: str | None, label_id: int | None) -> Opinion:
    final = decision.action == "adjudicate"
    state = _REVIEW_STATES[decision.action]
    verdict = _final_verdict(label_id) if final else _VERDICTS[state]
    return Opinion(decision.reviewer, verdict, value, label_id, decision.reason, final)


def _final_verdict(label_id: int | None) -> State:
    return State.SKIPPED if label_id is None else State.ACCEPTED


def _weigh(
    connection: sa.Connection,
    task: Task,
    sample: reviews.Row,
    review: reviews.Row | None,
    mine: Opinion,
    tolerance: float,
) -> dict[str, Any]:
    """The sample's columns after this opinion; `review` is the reviewer's earlier one."""
    before = snapshot(sample)
    if mine.final:
        return _stand(before, mine)
    if sample["opinions"] > 1:
        given = [opinion_of(row) for row in reviews.read_opinions(connection, [sample["id"]])]
        return weigh_all(task, before, given, tolerance)
    in_doubt = sample["priority"] >= reviews.SUSPECT
    if sample["state"] not in _SETTLED or in_doubt or _was_theirs(sample, review):
        return _stand(before, mine)
    # Somebody settled it while this reviewer was at work.
    settled = _settled_opinion(connection, sample)
    if standing(task, [settled, mine], tolerance=tolerance) is not None:
        return before
    return {**before, "state": State.DRAFT.value, "opinions": 2}


def _was_theirs(sample: reviews.Row, review: reviews.Row | None) -> bool:
    """Whether it is this reviewer's own earlier answer that stands."""
    if review is None or review["state"] not in _VERDICTS:
        return False
    same_label = review["state"] != "done" or review["label_id"] == sample["label_id"]
    return bool(_VERDICTS[review["state"]] == sample["state"] and same_label)


def _settled_opinion(connection: sa.Connection, sample: reviews.Row) -> Opinion:
    value = None
    if sample["state"] == State.ACCEPTED and sample["label_id"] is not None:
        value = reviews.read_labels(connection, [sample["label_id"]])[sample["label_id"]]["value"]
    return Opinion("", State(sample["state"]), value, sample["label_id"], sample["reason"])


def _stand(before: dict[str, Any], opinion: Opinion) -> dict[str, Any]:
    accepted = opinion.verdict == State.ACCEPTED
    return {
        **before,
        "state": opinion.verdict.value,
        "reason": "" if accepted else opinion.reason,
        "label_id": opinion.label_id if accepted else before["label_id"],
        "priority": 0.0,
    }


def _review_snapshot(review: reviews.Row | None) -> dict[str, Any] | None:
    if review is None:
        return None
    names = ("state", "draft", "reason", "label_id")
    return {name: review[name] for name in names}
