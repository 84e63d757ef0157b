"""What reviewers decided, in order: written once, read for repeats, undoing and progress."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog.schema import decisions, samples

Row = sa.RowMapping

_undone = sa.select(decisions.c.undoes).where(decisions.c.undoes.is_not(None))


def add_decision(connection: sa.Connection, **columns: Any) -> None:
    """Append a decision."""
    connection.execute(decisions.insert().values(**columns))


def find_decision(connection: sa.Connection, identity: str) -> Row | None:
    """The decision that a client called so."""
    query = sa.select(decisions).where(decisions.c.id == identity)
    return connection.execute(query).mappings().first()


def last_decision(connection: sa.Connection, reviewer: str, sample_id: int | None) -> Row | None:
    """A reviewer's last decision that was not undone; on one sample, or on any."""
    query = (
        sa.select(decisions)
        .where(
            decisions.c.reviewer == reviewer,
            decisions.c.action != "undo",
            decisions.c.number.not_in(_undone),
        )
        .order_by(decisions.c.number.desc())
        .limit(1)
    )
    if sample_id is not None:
        query = query.where(decisions.c.sample_id == sample_id)
    return connection.execute(query).mappings().first()


def later_decisions(connection: sa.Connection, decision: Row) -> list[Row]:
    """What was decided on the same sample since, and not undone."""
    query = (
        sa.select(decisions)
        .where(
            decisions.c.sample_id == decision["sample_id"],
            decisions.c.number > decision["number"],
            decisions.c.action != "undo",
            decisions.c.number.not_in(_undone),
        )
        .order_by(decisions.c.number)
    )
    return list(connection.execute(query).mappings())


def read_history(connection: sa.Connection, sample_id: int) -> list[Row]:
    """Every decision on a sample, undone ones too, oldest first."""
    query = (
        sa.select(decisions).where(decisions.c.sample_id == sample_id).order_by(decisions.c.number)
    )
    return list(connection.execute(query).mappings())


def decision_times(
    connection: sa.Connection, task: str, since: datetime
) -> list[tuple[str, datetime]]:
    """Who decided when, from a moment on, without what was undone; oldest first."""
    query = (
        sa.select(decisions.c.reviewer, decisions.c.at)
        .where(
            decisions.c.at >= since,
            # Not by a join: that SQLite began with every sample of the task.
            sa.select(samples.c.task).where(samples.c.id == decisions.c.sample_id).scalar_subquery()
            == task,
            decisions.c.action != "undo",
            decisions.c.number.not_in(_undone),
        )
        .order_by(decisions.c.at)
    )
    return [(reviewer, at) for reviewer, at in connection.execute(query)]
