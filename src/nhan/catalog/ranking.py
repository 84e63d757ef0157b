"""What a ranking of the review queue reads of every sample that waits, and writes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from nhan.catalog.database import Catalog
from nhan.catalog.reviews import (
    read_corrections,
    read_predictions,
    read_suggestions,
    worth_asking,
)
from nhan.catalog.schema import State, labels, samples, suggestions

# One query's share: SQLite takes 32,766 bound values, PostgreSQL 65,535.
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Unasked:
    """A sample that a model has not seen; `label` is the one that stands."""

    id: int
    path: str
    name: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample stood in the queue when it was read.

    Attributes:
        why: what the last ranking said.
    """

    id: int
    state: State
    priority: float
    why: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """A sample with what its worth is told from.

    Attributes:
        label: the one that stands; None when there is none.
        value: what a model said last, the server's or a ranking's; None when none was asked.
        confidence: its, 0..1; 0 when none was asked.
        sampled: the policy of collection that chose the sample; '' for none.
        corrected: a user said that an answer was wrong.
    """

    place: Place
    phash: int
    thumbnail: bytes
    width: int
    height: int
    label: str | None
    value: str | None
    confidence: float
    details: Mapping[str, Any]
    sampled: str
    corrected: bool


def read_unasked(
    catalog: Catalog, task: str, states: Sequence[State], *, model: str, version: str
) -> list[Unasked]:
    """Samples in these states that this version was not asked about; what waits comes first."""
    seen = (
        sa.select(suggestions.c.sample_id)
        .where(
            suggestions.c.sample_id == samples.c.id,
            suggestions.c.model == model,
            suggestions.c.version == version,
        )
        .correlate(samples)
    )
    query = (
        sa.select(samples.c.id, samples.c.path, samples.c.name, labels.c.value)
        .outerjoin(labels, labels.c.id == samples.c.label_id)
        .where(
            samples.c.task == task,
            samples.c.state.in_(list(states)),
            worth_asking(),
            ~seen.exists(),
        )
        .order_by(
            sa.case((samples.c.state == State.LABELLED, 1), else_=0),
            samples.c.priority.desc(),
            samples.c.id,
        )
    )
    with catalog.read() as connection:
        return [Unasked(*row) for row in connection.execute(query)]


def read_waiting(catalog: Catalog, task: str, states: Sequence[State]) -> Iterator[Ranked]:
    """Samples in these states in the order of their ids, a page at a time."""
    last = 0
    query = (
        sa.select(samples, labels.c.value)
        .outerjoin(labels, labels.c.id == samples.c.label_id)
        .where(samples.c.task == task, samples.c.state.in_(list(states)), worth_asking())
        .order_by(samples.c.id)
        .limit(_AT_ONCE)
    )
    while True:
        with catalog.read() as connection:
            page = connection.execute(query.where(samples.c.id > last)).mappings().all()
            if not page:
                return
            numbers = [row["id"] for row in page]
            said = read_suggestions(connection, numbers)
            answered = read_predictions(connection, numbers)
            corrected = read_corrections(connection, numbers)
        last = numbers[-1]
        for row in page:
            number = row["id"]
            guess, answer = said.get(number), answered.get(number)
            told = [one for one in (guess, answer) if one is not None]
            newest = max(told, key=lambda one: one["at"]) if told else None
            yield Ranked(
                place=Place(
                    number, State(row["state"]), row["priority"], guess["why"] if guess else ""
                ),
                phash=int(row["phash"], 16),
                thumbnail=row["thumbnail"],
                width=row["width"],
                height=row["height"],
                label=row["value"],
                value=newest["value"] if newest else None,
                confidence=newest["confidence"] if newest else 0.0,
                details=newest["details"] if newest else {},
                sampled=answer["sampled"] if answer else "",
                corrected=number in corrected,
            )


def write_priorities(connection: sa.Connection, ranked: Sequence[tuple[Place, float, str]]) -> None:
    """Write what samples are worth, and why in words, where there is a suggestion to say it of.

    Somebody may have decided on a sample since it was read; it is left alone then.
    """
    connection.execute(
        samples.update()
        .where(samples.c.id == sa.bindparam("b_id"), samples.c.state == sa.bindparam("b_state"))
        .values(priority=sa.bindparam("b_priority")),
        [
            {"b_id": one.id, "b_state": one.state.value, "b_priority": priority}
            for one, priority, _ in ranked
        ],
    )
    connection.execute(
        suggestions.update()
        .where(suggestions.c.sample_id == sa.bindparam("b_id"))
        .values(why=sa.bindparam("b_why")),
        [{"b_id": one.id, "b_why": why} for one, _, why in ranked],
    )
