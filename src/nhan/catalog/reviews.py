"""The review queue in the catalogue: what waits, who holds what, what was said of it.

Nothing here decides anything; `nhan.review` does. The queue's head is found through the index
`ix_samples_queue`, so a call costs the same whether a thousand samples wait or a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog.samples import lock_writers
from nhan.catalog.schema import (
    State,
    corrections,
    labels,
    predictions,
    reviews,
    samples,
    suggestions,
)

# In these states a sample waits for somebody.
WAITING = (State.QUEUED, State.DRAFT, State.NEW)
# From this priority on a labelled sample waits too: its label is under suspicion, because a model
# is sure of something else, or because a user's correction contradicts it.
SUSPECT = 1.0
# States of a review in which the reviewer has said what they think.
GIVEN = ("done", "skipped", "rejected", "final")

# Handed out in this order, each by priority: labels under suspicion; what a policy, a person or
# a correction put into the queue; whatever else nobody has labelled.
_TIERS = (
    (State.LABELLED, State.ACCEPTED),
    (State.QUEUED, State.DRAFT),
    (State.NEW,),
)
# More people than a sample's opinions can be wanted of.
_ALL = 1_000_000
# Any number other than the catalogue's other locks.
_HANDOUT_LOCK = 7_239_116

Row = sa.RowMapping

# Written out, or the index `ix_samples_doubled` would not be seen to hold what is asked for.
_doubled = samples.c.opinions > sa.literal_column("1")

# All but the thumbnail, which no reviewer sees.
_SAMPLE = [column for column in samples.c if column.name != "thumbnail"]


def lock_handout(connection: sa.Connection) -> None:
    """Let one reviewer be handed samples at a time, until the transaction ends.

    Whoever needs `nhan.catalog.samples.lock_writers` too takes that one first. SQLite's write
    transactions are alone anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:n)"), {"n": _HANDOUT_LOCK})


def waiting(
    connection: sa.Connection, task: str, reviewer: str, *, now: datetime, limit: int
) -> list[Row]:
    """The samples that this reviewer should be handed next, most useful first.

    Not those that they hold or have answered, nor those that as many others hold or have answered
    as there must be opinions.
    """
    found: list[Row] = []
    for states in _TIERS:
        tier: list[Row] = []
        for state in states:
            query = (
                sa.select(*_SAMPLE)
                .where(samples.c.task == task, samples.c.state == state.value)
                .where(_free_for(reviewer, now))
                .order_by(samples.c.priority.desc(), samples.c.id)
                .limit(limit - len(found))
            )
            if state in _TIERS[0]:
                query = query.where(samples.c.priority >= SUSPECT)
            if state == State.NEW:
                query = query.where(worth_asking())
            tier += connection.execute(query).mappings()
        tier.sort(key=lambda row: (-row["priority"], row["id"]))
        found += tier[: limit - len(found)]
        if len(found) >= limit:
            break
    return found


def _free_for(reviewer: str, now: datetime) -> sa.ColumnElement[bool]:
    taken = sa.or_(
        sa.and_(reviews.c.state == "open", reviews.c.held_until > now),
        # Where one opinion is enough, a sample that was answered waits only if it was put back; and
        # a label that was accepted, only if it is in doubt again.
        sa.and_(
            samples.c.opinions > 1,
            samples.c.state != State.ACCEPTED,
            reviews.c.state.in_(GIVEN),
        ),
    )
    # Both questions in one, for the head of the queue may be thousands that are not for them: what
    # they took themselves counts as more people than are ever asked.
    people = sa.select(
        sa.func.coalesce(sa.func.sum(sa.case((reviews.c.reviewer == reviewer, _ALL), else_=1)), 0)
    ).where(reviews.c.sample_id == samples.c.id, taken)
    return people.correlate(samples).scalar_subquery() < samples.c.opinions


def worth_asking() -> sa.ColumnElement[bool]:
    """Not what may not train, unless a policy or a correction put it into the queue."""
    return sa.or_(samples.c.state != State.NEW, samples.c.may_train.is_(sa.true()))


def _under_suspicion() -> sa.ColumnElement[bool]:
    return sa.and_(samples.c.state.in_(list(_TIERS[0])), samples.c.priority >= SUSPECT)


def held(connection: sa.Connection, task: str, reviewer: str, *, now: datetime) -> list[Row]:
    """What a reviewer was handed and still holds, in the order it was handed out."""
    query = (
        sa.select(*_SAMPLE)
        .join(reviews, reviews.c.sample_id == samples.c.id)
        .where(
            reviews.c.reviewer == reviewer,
            reviews.c.state == "open",
            reviews.c.held_until > now,
            samples.c.task == task,
            # Not what was settled meanwhile in another way, such as an import.
            sa.or_(
                samples.c.state.in_(list(WAITING)),
                _under_suspicion(),
            ),
        )
        .order_by(reviews.c.begun_at, samples.c.priority.desc(), samples.c.id)
    )
    return list(connection.execute(query).mappings())


def hold(
    connection: sa.Connection,
    sample_ids: Iterable[int],
    reviewer: str,
    *,
    now: datetime,
    until: datetime,
) -> None:
    """Give samples to nobody else for a while; a hold that stands is only made longer."""
    for sample_id in sample_ids:
        review = read_review(connection, sample_id, reviewer)
        if review is None:
            write_review(connection, sample_id, reviewer, begun_at=now, held_until=until)
        elif review["state"] == "open":
            write_review(connection, sample_id, reviewer, held_until=until)
        else:  # it was put back into the queue after they had answered
            write_review(
                connection,
                sample_id,
                reviewer,
                state="open",
                reason="",
                label_id=None,
                begun_at=now,
                ended_at=None,
                held_until=until,
            )


def drop_holds(
    connection: sa.Connection, before: datetime, *, dry_run: bool = False
) -> list[tuple[int, str]]:
    """Forget what was handed out, ran out before a moment, and was never drafted or answered.

    Returns:
        Samples and reviewers.
    """
    spent = sa.and_(
        reviews.c.state == "open", reviews.c.revision == 0, reviews.c.held_until < before
    )
    gone = connection.execute(sa.select(reviews.c.sample_id, reviews.c.reviewer).where(spent)).all()
    if gone and not dry_run:
        connection.execute(reviews.delete().where(spent))
    return [(sample, reviewer) for sample, reviewer in gone]


def read_sample(connection: sa.Connection, sample_id: int) -> Row | None:
    """One sample, all but its thumbnail."""
    query = sa.select(*_SAMPLE).where(samples.c.id == sample_id)
    return connection.execute(query).mappings().first()


def read_review(connection: sa.Connection, sample_id: int, reviewer: str) -> Row | None:
    """One person's work on one sample."""
    query = sa.select(reviews).where(
        reviews.c.sample_id == sample_id, reviews.c.reviewer == reviewer
    )
    return connection.execute(query).mappings().first()


def write_review(connection: sa.Connection, sample_id: int, reviewer: str, **columns: Any) -> None:
    """Change one person's work on one sample, or begin it; `begun_at` must be given to begin."""
    changed = connection.execute(
        reviews.update()
        .where(reviews.c.sample_id == sample_id, reviews.c.reviewer == reviewer)
        .values(**columns)
    )
    if not changed.rowcount:
        blank = {"state": "open", "draft": None, "revision": 0, "reason": ""}
        connection.execute(
            reviews.insert().values(**{**blank, **columns}, sample_id=sample_id, reviewer=reviewer)
        )


def update_sample(connection: sa.Connection, sample_id: int, **columns: Any) -> None:
    """Change a sample's own columns."""
    connection.execute(samples.update().where(samples.c.id == sample_id).values(**columns))


def begin_draft(connection: sa.Connection, sample_id: int) -> None:
    """Somebody types: a sample that only waited is a draft now."""
    connection.execute(
        samples.update()
        .where(samples.c.id == sample_id, samples.c.state.in_([State.NEW, State.QUEUED]))
        .values(state=State.DRAFT.value)
    )


def read_opinions(connection: sa.Connection, sample_ids: Sequence[int]) -> list[Row]:
    """Every answer that stands for these samples, with its label, in the order given."""
    query = (
        sa.select(reviews, labels.c.value)
        .outerjoin(labels, labels.c.id == reviews.c.label_id)
        .where(reviews.c.sample_id.in_(list(sample_ids)), reviews.c.state.in_(GIVEN))
        .order_by(reviews.c.ended_at, reviews.c.id)
    )
    return list(connection.execute(query).mappings())


def read_labels(connection: sa.Connection, label_ids: Iterable[int]) -> dict[int, Row]:
    """Labels by id."""
    query = sa.select(labels).where(labels.c.id.in_(sorted(set(label_ids))))
    return {row["id"]: row for row in connection.execute(query).mappings()}


def add_label(connection: sa.Connection, **columns: Any) -> int:
    """Keep a label that somebody gave; its id."""
    number = connection.execute(
        labels.insert().values(**columns).returning(labels.c.id)
    ).scalar_one()
    return int(number)


def known_values(connection: sa.Connection, task: str) -> list[str]:
    """Every value that stands as a label of a task, sorted."""
    query = (
        sa.select(labels.c.value)
        .join(samples, samples.c.label_id == labels.c.id)
        .where(samples.c.task == task)
        .distinct()
    )
    return sorted(connection.execute(query).scalars())


def tasks_there(connection: sa.Connection, names: Iterable[str]) -> list[str]:
    """Which of these tasks have a sample."""
    return [
        name
        for name in names
        if connection.scalar(sa.select(samples.c.id).where(samples.c.task == name).limit(1))
    ]


def read_suggestions(connection: sa.Connection, sample_ids: Sequence[int]) -> dict[int, Row]:
    """What a ranking's model said of these samples."""
    query = sa.select(suggestions).where(suggestions.c.sample_id.in_(list(sample_ids)))
    return {row["sample_id"]: row for row in connection.execute(query).mappings()}


def read_predictions(connection: sa.Connection, sample_ids: Sequence[int]) -> dict[int, Row]:
    """The newest answer that the server gave for each of these samples."""
    # Ids begin with their time. One picture may have been sent a hundred thousand times: only the
    # ids of all its answers are looked at, and of the newest the rest.
    newest = (
        sa.select(sa.func.max(predictions.c.id))
        .where(predictions.c.sample_id.in_(list(sample_ids)))
        .group_by(predictions.c.sample_id)
    )
    query = sa.select(predictions).where(predictions.c.id.in_(newest))
    return {row["sample_id"]: row for row in connection.execute(query).mappings()}


def read_corrections(connection: sa.Connection, sample_ids: Sequence[int]) -> dict[int, Row]:
    """The newest correction of each of these samples, with its `sample_id`."""
    query = (
        sa.select(corrections, predictions.c.sample_id)
        .join(predictions, predictions.c.id == corrections.c.prediction_id)
        .where(predictions.c.sample_id.in_(list(sample_ids)))
        .order_by(corrections.c.at, corrections.c.id)
    )
    return {row["sample_id"]: row for row in connection.execute(query).mappings()}


def write_suggestions(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put new suggestions in place of the old ones; of samples that were erased meanwhile, none."""
    lock_writers(connection)
    numbers = [row["sample_id"] for row in rows]
    there = set(connection.scalars(sa.select(samples.c.id).where(samples.c.id.in_(numbers))))
    connection.execute(suggestions.delete().where(suggestions.c.sample_id.in_(numbers)))
    if kept := [dict(row) for row in rows if row["sample_id"] in there]:
        connection.execute(suggestions.insert(), kept)


def count_suspects(connection: sa.Connection, task: str) -> int:
    """How many labels are under suspicion."""
    query = (
        sa.select(sa.func.count())
        .select_from(samples)
        .where(samples.c.task == task, _under_suspicion())
    )
    return int(connection.scalar(query) or 0)


def doubly_labelled(connection: sa.Connection, task: str) -> list[tuple[int, str, str]]:
    """Labels of samples that several people labelled: (sample, reviewer, value).

    The opinion that settled a dispute is not among them: whoever gave it had seen the others.
    """
    query = (
        sa.select(reviews.c.sample_id, reviews.c.reviewer, labels.c.value)
        .join(samples, samples.c.id == reviews.c.sample_id)
        .join(labels, labels.c.id == reviews.c.label_id)
        .where(samples.c.task == task, _doubled, reviews.c.state == "done")
        .order_by(reviews.c.sample_id)
    )
    return [(sample, reviewer, value) for sample, reviewer, value in connection.execute(query)]


def disputed(connection: sa.Connection, task: str) -> list[Row]:
    """Samples with as many opinions as wanted, none of which stands."""
    query = (
        sa.select(*_SAMPLE)
        .where(samples.c.id.in_(_in_dispute(task)))
        .order_by(samples.c.priority.desc(), samples.c.id)
    )
    return list(connection.execute(query).mappings())


def count_disputed(connection: sa.Connection, task: str) -> int:
    """How many samples `disputed` finds."""
    query = sa.select(sa.func.count()).select_from(_in_dispute(task).subquery())
    return int(connection.scalar(query) or 0)


def _in_dispute(task: str) -> sa.Select[tuple[int]]:
    """Their ids."""
    # An outer join, which SQLite begins with the few samples that need several opinions and not
    # with all that was ever said; PostgreSQL makes it in half the time of a count for each.
    given = sa.and_(reviews.c.sample_id == samples.c.id, reviews.c.state.in_(GIVEN))
    return (
        sa.select(samples.c.id)
        .outerjoin(reviews, given)
        .where(samples.c.task == task, samples.c.state.in_(list(WAITING)), _doubled)
        .group_by(samples.c.id, samples.c.opinions)
        .having(sa.func.count(reviews.c.id) >= samples.c.opinions)
    )


def want_opinions(connection: sa.Connection, task: str, *, share: float, opinions: int) -> int:
    """Ask for several opinions on a share of what nobody has begun; how many were changed."""
    changed = connection.execute(
        samples.update().where(_to_double(task, share, opinions)).values(opinions=opinions)
    )
    return changed.rowcount


def count_doubled(connection: sa.Connection, task: str, *, share: float, opinions: int) -> int:
    """How many `want_opinions` would change."""
    query = sa.select(sa.func.count()).select_from(samples)
    return int(connection.scalar(query.where(_to_double(task, share, opinions))) or 0)


def _to_double(task: str, share: float, opinions: int) -> sa.ColumnElement[bool]:
    # A hash is as good as a die, and always falls the same way. "g" comes after every digit.
    below = "g" if share >= 1 else f"{int(share * 16**12):012x}"
    return sa.and_(
        samples.c.task == task,
        samples.c.state.in_([State.NEW, State.QUEUED]),
        samples.c.opinions < opinions,
        samples.c.sha256 < below,
    )
