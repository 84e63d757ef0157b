"""Predictions and corrections in the catalogue: what intake writes and what people ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog.database import Catalog
from nhan.catalog.schema import State, corrections, labels, predictions, reviews, samples
from nhan.names import spellings

# One query's share: SQLite takes 32,766 bound values, PostgreSQL 65,535.
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One answer; see the table's column comments."""

    id: str
    sample_id: int
    model: str
    version: str
    value: str
    confidence: float
    details: dict[str, Any]
    user: str
    consent: bool | None
    sampled: str
    at: datetime


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An answer with its sample, for lists.

    Attributes:
        label: the label of the sample that stands; None when there is none.
        corrections: how many were given to this answer.
    """

    id: str
    at: datetime
    task: str
    model: str
    version: str
    value: str
    confidence: float
    user: str
    consent: bool | None
    sampled: str
    sample_id: int
    sha256: str
    path: str
    size_bytes: int
    state: str
    label: str | None
    corrections: int


@dataclass(frozen=True, slots=True)
class Subject:
    """What a correction is about: the sample behind a prediction."""

    sample_id: int
    task: str
    sha256: str


def known_predictions(connection: sa.Connection, ids: Iterable[str]) -> set[str]:
    """Those of the ids that are in the catalogue."""
    return _known(connection, predictions.c.id, ids)


def known_corrections(connection: sa.Connection, ids: Iterable[str]) -> set[str]:
    """Those of the ids that are in the catalogue."""
    return _known(connection, corrections.c.id, ids)


def subjects_of(connection: sa.Connection, ids: Iterable[str]) -> dict[str, Subject]:
    """The samples behind predictions, by the prediction's id; unknown ones are missing."""
    found: dict[str, Subject] = {}
    query = sa.select(predictions.c.id, samples.c.id, samples.c.task, samples.c.sha256).join_from(
        predictions, samples
    )
    for some in _slices(ids):
        for row in connection.execute(query.where(predictions.c.id.in_(some))):
            found[row[0]] = Subject(row[1], row[2], row[3])
    return found


def refused_samples(connection: sa.Connection, ids: Iterable[int]) -> set[int]:
    """Those of the samples that somebody sent without consent to train."""
    found: set[int] = set()
    query = sa.select(predictions.c.sample_id).where(predictions.c.consent.is_(False))
    for some in _slices(ids):
        found |= set(connection.scalars(query.where(predictions.c.sample_id.in_(some))))
    return found


def corrections_by(connection: sa.Connection, user: str) -> Sequence[sa.RowMapping]:
    """What a user said of anybody's pictures, in order: `prediction_id`, `value`, `at`."""
    query = sa.select(corrections.c.prediction_id, corrections.c.value, corrections.c.at)
    query = query.where(corrections.c.given_by.in_(spellings(user)))
    return connection.execute(query.order_by(corrections.c.at, corrections.c.id)).mappings().all()


def write_predictions(connection: sa.Connection, rows: Sequence[PredictionRow]) -> None:
    """Add predictions that are not there yet; see `known_predictions`."""
    if rows:
        connection.execute(
            predictions.insert(),
            [
                {name: getattr(row, name) for name in PredictionRow.__dataclass_fields__}
                for row in rows
            ],
        )


def note_sampled(connection: sa.Connection, ids: Iterable[str], policy: str) -> None:
    """Say which policy chose these predictions, where none had."""
    for some in _slices(ids):
        connection.execute(
            predictions.update()
            .where(predictions.c.id.in_(some), predictions.c.sampled == "")
            .values(sampled=policy)
        )


def write_corrections(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add corrections: `id`, `prediction_id`, `label_id`, `value`, `given_by`, `at`."""
    if rows:
        connection.execute(corrections.insert(), list(rows))


def list_uploads(
    catalog: Catalog,
    *,
    user: str | None = None,
    upload: str = "",
    among: Collection[str] = (),
    state: str = "",
    before: datetime | None = None,
    unlabelled: bool = False,
    newest_first: bool = False,
) -> Iterator[UploadRow]:
    """Uploads in the order of their ids, which is that of time, a page at a time.

    Args:
        catalog: where.
        user: only those of this user.
        upload: only the one with this id.
        among: only those with these ids; none means all.
        state: only those whose sample is in this state.
        before: only those answered earlier.
        unlabelled: only those whose sample nobody ever gave a label, has begun to, or looks at.
        newest_first: begin with the last.
    """
    given = sa.select(sa.func.count()).where(corrections.c.prediction_id == predictions.c.id)
    query = (
        sa.select(
            predictions.c.id,
            predictions.c.at,
            samples.c.task,
            predictions.c.model,
            predictions.c.version,
            predictions.c.value,
            predictions.c.confidence,
            predictions.c.user,
            predictions.c.consent,
            predictions.c.sampled,
            predictions.c.sample_id,
            samples.c.sha256,
            samples.c.path,
            samples.c.bytes,
            samples.c.state,
            labels.c.value,
            given.scalar_subquery(),
        )
        .join_from(predictions, samples)
        .outerjoin(labels, labels.c.id == samples.c.label_id)
    )
    if user is not None:
        query = query.where(predictions.c.user.in_(spellings(user)))
    if upload:
        query = query.where(predictions.c.id == upload)
    if among:
        query = query.where(predictions.c.id.in_(among))
    if state:
        query = query.where(samples.c.state == state)
    if before is not None:
        query = query.where(predictions.c.at < before)
    if unlabelled:
        query = query.where(_unlabelled())
    order = predictions.c.id.desc() if newest_first else predictions.c.id
    last: str | None = None
    while True:
        page = query.order_by(order).limit(_AT_ONCE)
        if last is not None:
            beyond = predictions.c.id < last if newest_first else predictions.c.id > last
            page = page.where(beyond)
        with catalog.read() as connection:
            rows = connection.execute(page).all()
        if not rows:
            return
        last = rows[-1][0]
        for row in rows:
            columns: tuple[Any, ...] = tuple(row)
            yield UploadRow(*columns)


def still_there(
    connection: sa.Connection, ids: Iterable[str], *, unlabelled: bool = False
) -> set[str]:
    """Those of the uploads that `list_uploads` would list now; see there."""
    query = sa.select(predictions.c.id).join_from(predictions, samples)
    if unlabelled:
        query = query.where(_unlabelled())
    found: set[str] = set()
    for some in _slices(ids):
        found |= set(connection.scalars(query.where(predictions.c.id.in_(some))))
    return found


def _unlabelled() -> sa.ColumnElement[bool]:
    said = labels.alias()  # a query may have joined `labels` itself for the one that stands
    return sa.and_(
        samples.c.state != State.DRAFT,
        ~sa.exists().where(said.c.sample_id == samples.c.id),
        ~sa.exists().where(
            reviews.c.sample_id == samples.c.id,
            reviews.c.state == "open",
            reviews.c.held_until > datetime.now(UTC),
        ),
    )


def count_uploads(catalog: Catalog) -> int:
    """How many predictions are in the catalogue."""
    with catalog.read() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(predictions)) or 0)


def _known(connection: sa.Connection, column: sa.Column[Any], ids: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for some in _slices(ids):
        found |= set(connection.scalars(sa.select(column).where(column.in_(some))))
    return found


def _slices(ids: Iterable[Any]) -> Iterator[list[Any]]:
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), _AT_ONCE):
        yield wanted[start : start + _AT_ONCE]
