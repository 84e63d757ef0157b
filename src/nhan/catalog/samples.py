"""Samples with the labels given to them: read in batches, written in batches.

A label that was given is a row for ever; a sample points at the one that stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog.database import Catalog
from nhan.catalog.schema import State, labels, samples

# One query's share: SQLite takes 32,766 bound values, PostgreSQL 65,535.
_AT_ONCE = 1000
# Any number other than the migrations'; writers of one PostgreSQL catalogue must agree on it.
_WRITER_LOCK = 7_239_115

LabelKey = tuple[str, str, str, str]


@dataclass(slots=True)
class GivenLabel:
    """One label that somebody or something gave.

    Attributes:
        value: normalised by the task.
        given: as written, where normalising changed it; else None.
        id: in the catalogue; None before it is written.
    """

    value: str
    given: str | None
    origin: str
    given_by: str
    external_id: str
    given_at: datetime
    id: int | None = None

    @property
    def key(self) -> LabelKey:
        """What makes it the same label when it comes again."""
        return self.value, self.origin, self.given_by, self.external_id


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of a sample's picture; see the table's column comments."""

    path: str
    size_bytes: int
    width: int
    height: int
    phash: str
    thumbnail: bytes


@dataclass(slots=True)
class Sample:
    """A sample with all its labels, as a writer sees it.

    Attributes:
        id: None before it is written.
        picture: needed to write a new sample; None when an existing one was read.
        label: the one that stands, if any.
        labels: every label ever given, by key.
        priority: usefulness of looking at it next, higher first.
        may_train: false where whoever sent it did not consent.
        changed: its own columns differ from the catalogue's.
    """

    sha256: str
    name: str
    source: str
    group: str
    split_asked: str
    state: State
    reason: str = ""
    split: str = ""
    priority: float = 0.0
    may_train: bool = True
    id: int | None = None
    picture: Picture | None = None
    label: GivenLabel | None = None
    labels: dict[LabelKey, GivenLabel] = field(default_factory=dict)
    changed: bool = False


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A sample as readers see it, with the label that stands."""

    id: int
    sha256: str
    path: str
    size_bytes: int
    width: int
    height: int
    phash: int
    thumbnail: bytes
    name: str
    source: str
    group: str
    split_asked: str
    split: str
    state: State
    reason: str
    label: str | None
    given: str | None
    may_train: bool = True


def known_hashes(catalog: Catalog, task: str) -> Iterator[str]:
    """The SHA-256 of every picture of a task."""
    with catalog.read() as connection:
        query = sa.select(samples.c.sha256).where(samples.c.task == task)
        for (sha256,) in connection.execution_options(stream_results=True).execute(query):
            yield sha256


def load_samples(connection: sa.Connection, task: str, hashes: Iterable[str]) -> dict[str, Sample]:
    """The samples with these hashes that exist, with all labels."""
    wanted = sorted(set(hashes))
    found: dict[str, Sample] = {}
    standing: dict[int, int] = {}
    by_id: dict[int, Sample] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        rows = connection.execute(
            sa.select(samples).where(
                samples.c.task == task, samples.c.sha256.in_(wanted[start : start + _AT_ONCE])
            )
        )
        for row in rows.mappings():
            sample = Sample(
                sha256=row["sha256"],
                name=row["name"],
                source=row["source"],
                group=row["group"],
                split_asked=row["split_asked"],
                split=row["split"],
                state=State(row["state"]),
                reason=row["reason"],
                priority=row["priority"],
                may_train=row["may_train"],
                id=row["id"],
            )
            found[sample.sha256] = by_id[row["id"]] = sample
            if row["label_id"] is not None:
                standing[row["id"]] = row["label_id"]
    ids = sorted(by_id)
    for start in range(0, len(ids), _AT_ONCE):
        rows = connection.execute(
            sa.select(labels)
            .where(labels.c.sample_id.in_(ids[start : start + _AT_ONCE]))
            .order_by(labels.c.id)
        )
        for row in rows.mappings():
            sample = by_id[row["sample_id"]]
            label = GivenLabel(
                row["value"],
                row["given"],
                row["origin"],
                row["given_by"],
                row["external_id"],
                row["given_at"],
                row["id"],
            )
            sample.labels[label.key] = label
            if standing.get(row["sample_id"]) == row["id"]:
                sample.label = label
    return found


def lock_writers(connection: sa.Connection) -> None:
    """Let one writer of samples go at a time, until the transaction ends.

    SQLite's write transactions are alone anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:n)"), {"n": _WRITER_LOCK})


def write_samples(connection: sa.Connection, task: str, written: Sequence[Sample]) -> None:
    """Insert new samples and labels, and update what changed; fills in the ids."""
    new = [sample for sample in written if sample.id is None]
    if new:
        ids = connection.execute(
            samples.insert().returning(samples.c.id, sort_by_parameter_order=True),
            [_columns(task, sample) for sample in new],
        ).scalars()
        for sample, number in zip(new, ids, strict=True):
            sample.id = number
    given = [
        (sample, label)
        for sample in written
        for label in sample.labels.values()
        if label.id is None
    ]
    if given:
        ids = connection.execute(
            labels.insert().returning(labels.c.id, sort_by_parameter_order=True),
            [
                {
                    "sample_id": sample.id,
                    "value": label.value,
                    "given": label.given,
                    "origin": label.origin,
                    "given_by": label.given_by,
                    "external_id": label.external_id,
                    "given_at": label.given_at,
                }
                for sample, label in given
            ],
        ).scalars()
        for (_, label), number in zip(given, ids, strict=True):
            label.id = number
    _update(connection, [sample for sample in written if sample.changed])


def read_rows(
    catalog: Catalog, task: str, *, states: Sequence[State] | None = None, split: bool = False
) -> Iterator[SampleRow]:
    """Samples in the order of their ids, a page at a time, so that writers never wait for us.

    Args:
        catalog: where.
        task: which samples.
        states: only these; None for all.
        split: also samples of other states that have a split already.
    """
    last = 0
    condition: sa.ColumnElement[bool] = sa.true()
    if states is not None:
        condition = samples.c.state.in_(list(states))
    if split:
        condition = sa.or_(condition, samples.c.split != "")
    query = (
        sa.select(samples, labels.c.value, labels.c.given)
        .outerjoin(labels, labels.c.id == samples.c.label_id)
        .where(samples.c.task == task, condition)
        .order_by(samples.c.id)
        .limit(_AT_ONCE)
    )
    while True:
        with catalog.read() as connection:
            page = connection.execute(query.where(samples.c.id > last)).mappings().all()
        if not page:
            return
        last = page[-1]["id"]
        yield from map(_row, page)


def fix_splits(connection: sa.Connection, splits: dict[int, str]) -> None:
    """Write splits of samples that have none yet; one that stands is never changed."""
    if splits:
        connection.execute(
            samples.update()
            .where(samples.c.id == sa.bindparam("b_id"), samples.c.split == "")
            .values(split=sa.bindparam("b_split")),
            [{"b_id": number, "b_split": split} for number, split in sorted(splits.items())],
        )


def count_placed(connection: sa.Connection, task: str) -> int:
    """How many samples of a task have a split."""
    query = (
        sa.select(sa.func.count())
        .select_from(samples)
        .where(samples.c.task == task, samples.c.split != "")
    )
    return int(connection.scalar(query) or 0)


def _columns(task: str, sample: Sample) -> dict[str, Any]:
    picture = sample.picture
    assert picture is not None, "a new sample needs its picture's facts"
    return {
        "task": task,
        "sha256": sample.sha256,
        "path": picture.path,
        "bytes": picture.size_bytes,
        "width": picture.width,
        "height": picture.height,
        "phash": picture.phash,
        "thumbnail": picture.thumbnail,
        "name": sample.name,
        "source": sample.source,
        "group": sample.group,
        "split_asked": sample.split_asked,
        "split": sample.split,
        "state": sample.state.value,
        "reason": sample.reason,
        "label_id": None,
        "priority": sample.priority,
        "may_train": sample.may_train,
        "created_at": datetime.now(UTC),
    }


def _update(connection: sa.Connection, changed: Sequence[Sample]) -> None:
    if not changed:
        return
    connection.execute(
        samples.update()
        .where(samples.c.id == sa.bindparam("b_id"))
        .values(
            {
                name: sa.bindparam(f"b_{name}")
                for name in (
                    "label_id",
                    "state",
                    "reason",
                    "group",
                    "split_asked",
                    "priority",
                    "may_train",
                )
            }
        ),
        [
            {
                "b_id": sample.id,
                "b_label_id": sample.label.id if sample.label else None,
                "b_state": sample.state.value,
                "b_reason": sample.reason,
                "b_group": sample.group,
                "b_split_asked": sample.split_asked,
                "b_priority": sample.priority,
                "b_may_train": sample.may_train,
            }
            for sample in changed
        ],
    )


def _row(row: sa.RowMapping) -> SampleRow:
    return SampleRow(
        id=row["id"],
        sha256=row["sha256"],
        path=row["path"],
        size_bytes=row["bytes"],
        width=row["width"],
        height=row["height"],
        phash=int(row["phash"], 16),
        thumbnail=row["thumbnail"],
        name=row["name"],
        source=row["source"],
        group=row["group"],
        split_asked=row["split_asked"],
        split=row["split"],
        state=State(row["state"]),
        reason=row["reason"],
        label=row["value"],
        given=row["given"],
        may_train=row["may_train"],
    )
