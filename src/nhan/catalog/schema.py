"""The tables. Nothing a person said is ever overwritten: a new label is a new row."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa


class State(StrEnum):
    """Where a sample stands on its way to being learnt from."""

    NEW = "new"
    QUEUED = "queued"
    DRAFT = "draft"
    LABELLED = "labelled"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    SKIPPED = "skipped"


# Only these may enter a dataset version; a draft or a skipped picture never trains a model.
TRAINABLE = (State.LABELLED, State.ACCEPTED)


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets the zone, so it is put back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        del dialect
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a moment without a time zone: {value}")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        del dialect
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows itself only for INTEGER PRIMARY KEY; PostgreSQL wants 64 bits.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

samples = sa.Table(
    "samples",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("task", sa.String(32), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False, comment="of the original bytes"),
    sa.Column("path", sa.String(200), nullable=False, comment="object of the original bytes"),
    sa.Column("bytes", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False, comment="upright, px"),
    sa.Column("height", sa.Integer, nullable=False, comment="upright, px"),
    sa.Column("phash", sa.String(16), nullable=False, comment="64-bit dHash, hexadecimal"),
    sa.Column("thumbnail", sa.LargeBinary, nullable=False, comment="512 grey cells"),
    sa.Column("name", sa.Text, nullable=False, comment="as the source called it"),
    sa.Column("source", sa.Text, nullable=False, comment="where it came from; a slice of reports"),
    sa.Column(
        "group", sa.Text, nullable=False, comment="document or writer; never split; may be ''"
    ),
    sa.Column(
        "split_asked", sa.String(16), nullable=False, comment="train, validation, test or ''"
    ),
    sa.Column(
        "split", sa.String(16), nullable=False, comment="fixed by the first freeze; '' before"
    ),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, comment="why skipped or rejected"),
    sa.Column("label_id", _ID, nullable=True, comment="the label that stands"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("task", "sha256"),
    sa.Index("ix_samples_task_state", "task", "state"),
    sa.Index("ix_samples_name", "name"),
)

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), nullable=False),
    sa.Column("value", sa.Text, nullable=False, comment="normalised by the task"),
    sa.Column("given", sa.Text, nullable=True, comment="as given, where normalising changed it"),
    sa.Column("origin", sa.String(32), nullable=False, comment="import, labelstudio, review …"),
    sa.Column("given_by", sa.Text, nullable=False, comment="who; may be ''"),
    sa.Column("external_id", sa.Text, nullable=False, comment="the source's own id; may be ''"),
    sa.Column("given_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("sample_id", "value", "origin", "given_by", "external_id"),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("sample_id", _ID, nullable=True),
    sa.Column("given_by", sa.Text, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Index("ix_events_kind_at", "kind", "at"),
    sa.Index("ix_events_sample_id", "sample_id"),
)
