"""Taking a decision back. The decision and its label stay in the history; they stand no longer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog import decisions, reviews
from nhan.catalog.events import log_event
from nhan.catalog.samples import lock_writers
from nhan.errors import Conflict, NotFound
from nhan.review.decide import (
    Decided,
    check_identity,
    opinion_of,
    outcome,
    repeated,
    settle,
    snapshot,
    weigh_all,
)
from nhan.review.queue import check_reviewer, hold_until
from nhan.tasks import get_task
from nhan.workspace import Workspace


def undo(workspace: Workspace, identity: str, reviewer: str, sample: int | None = None) -> Decided:
    """Take a reviewer's last decision back and hold the sample for them again.

    What they had typed is their draft again. Others' decisions on the sample stay.

    Args:
        workspace: where.
        identity: made by the client; sent again, it counts once.
        reviewer: whose decision.
        sample: on which sample; None for the last of all.

    Raises:
        NotFound: there is nothing to take back.
        Conflict: the sample was settled in another way since.
        BadRequest: no reviewer, or no proper id.
    """
    reviewer = check_reviewer(reviewer)
    check_identity(identity)
    now = datetime.now(UTC)
    with workspace.catalog.write() as connection:
        lock_writers(connection)
        known = decisions.find_decision(connection, identity)
        if known is not None:
            return repeated(known, reviewer, "undo", sample)
        last = decisions.last_decision(connection, reviewer, sample)
        if last is None:
            where = "" if sample is None else f" on sample {sample}"
            raise NotFound(
                f"{reviewer} has no decision{where} to take back",
                hint="nhan review progress says who decided how much",
            )
        row = reviews.read_sample(connection, last["sample_id"])
        assert row is not None, "decisions refer to samples"
        before = snapshot(row)
        _reopen(connection, last, hold_until(workspace, now))
        settle(connection, row["id"], _without(connection, workspace, row, last))
        decided = outcome(connection, row["id"])
        decisions.add_decision(
            connection,
            id=identity,
            sample_id=row["id"],
            reviewer=reviewer,
            action="undo",
            value=None,
            reason="",
            label_id=None,
            undoes=last["number"],
            before={"sample": before, "review": None},
            after={
                "state": decided.state.value,
                "label": decided.label,
                "disputed": decided.disputed,
            },
            at=now,
        )
        log_event(
            connection,
            "review.undo",
            sample_id=row["id"],
            given_by=reviewer,
            decision=identity,
            undoes=last["id"],
            state=decided.state.value,
        )
    return decided


def _without(
    connection: sa.Connection, workspace: Workspace, sample: reviews.Row, last: decisions.Row
) -> dict[str, Any]:
    """The sample's columns as if that decision had not been made.

    Raises:
        Conflict: see `undo`.
    """
    later = decisions.later_decisions(connection, last)
    now, left = snapshot(sample), last["before"]["sample"]
    if not later:
        if any(now[name] != last["after"][name] for name in ("state", "label_id")):
            raise _settled_since(last, "an import or a correction")
        return dict(left)
    final = [decision for decision in later if decision["action"] == "adjudicate"]
    if final:
        raise _settled_since(last, final[-1]["reviewer"])
    given = [opinion_of(row) for row in reviews.read_opinions(connection, [sample["id"]])]
    # The place of this opinion stays open: others may have differed from it.
    wanted = {**left, "opinions": max(now["opinions"], left["opinions"])}
    tolerance = workspace.settings.review.tolerance
    return weigh_all(get_task(sample["task"]), wanted, given, tolerance)


def _reopen(connection: sa.Connection, last: decisions.Row, until: datetime) -> None:
    earlier = last["before"]["review"]
    if last["action"] == "adjudicate" and earlier is not None and earlier["state"] != "open":
        # Their own earlier opinion counts again.
        reviews.write_review(connection, last["sample_id"], last["reviewer"], **earlier)
        return
    draft = last["value"] if last["value"] is not None else (earlier or {}).get("draft")
    reviews.write_review(
        connection,
        last["sample_id"],
        last["reviewer"],
        state="open",
        draft=draft,
        reason="",
        label_id=None,
        held_until=until,
        ended_at=None,
    )


def _settled_since(last: decisions.Row, by: str) -> Conflict:
    return Conflict(
        f"sample {last['sample_id']} was settled since, by {by}",
        hint="give your label again: it is kept beside the one that stands",
    )
