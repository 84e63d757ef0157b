"""How many samples and reviews are in each state, without looking at them.

The database keeps these numbers itself, by triggers (migrations 0004 and 0005), whoever changes a
row and however: nothing here writes them. On PostgreSQL every change adds a row, so that no writer
waits for another's number, and now and then the rows are added up; what counts is their sum.
"""

from __future__ import annotations

import sqlalchemy as sa

from nhan.catalog.schema import State

# Not among the tables of `nhan.catalog.schema.metadata`: a backup leaves it out and a restore makes
# it anew, by the rows that it puts back.
_tallies = sa.table(
    "tallies",
    sa.column("about", sa.String),
    sa.column("task", sa.String),
    sa.column("who", sa.Text),
    sa.column("state", sa.String),
    sa.column("number", sa.BigInteger),
)


def count_states(connection: sa.Connection, task: str) -> dict[State, int]:
    """How many samples of a task are in each state."""
    return {State(state): number for _, state, number in _sums(connection, "samples", task)}


def count_unasked(connection: sa.Connection, task: str) -> int:
    """How many samples wait in vain: they may not train, and nothing put them into the queue."""
    return sum(number for _, _, number in _sums(connection, "unasked", task))


def count_by_reviewer(connection: sa.Connection, task: str) -> list[tuple[str, str, int]]:
    """How many samples each person has in each state of a review: (reviewer, state, count)."""
    return _sums(connection, "reviews", task)


def _sums(connection: sa.Connection, about: str, task: str) -> list[tuple[str, str, int]]:
    number = sa.func.sum(_tallies.c.number)
    query = (
        sa.select(_tallies.c.who, _tallies.c.state, number)
        .where(_tallies.c.about == about, _tallies.c.task == task)
        .group_by(_tallies.c.who, _tallies.c.state)
        .having(number != 0)
        .order_by(_tallies.c.who, _tallies.c.state)
    )
    return [(who, state, int(count)) for who, state, count in connection.execute(query)]
