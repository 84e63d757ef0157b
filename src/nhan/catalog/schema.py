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
    sa.Column(
        "priority",
        sa.Float,
        nullable=False,
        server_default="0",
        comment="usefulness of looking at it next; higher first",
    ),
    sa.Column(
        "opinions",
        sa.Integer,
        nullable=False,
        server_default="1",
        comment="people who must label it, unseen by each other, before one answer stands",
    ),
    sa.Column(
        "may_train",
        sa.Boolean,
        nullable=False,
        server_default=sa.true(),
        comment="false where whoever sent it did not consent",
    ),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("task", "sha256"),
    sa.Index("ix_samples_task_state", "task", "state"),
    sa.Index("ix_samples_name", "name"),
    # The queue's order, so that its head is found without looking at the rest; and what it leaves
    # out, so that it is left out without a look at the row.
    sa.Index("ix_samples_queue", "task", "state", sa.text("priority DESC"), "id", "may_train"),
    sa.Index(
        "ix_samples_doubled",
        "task",
        "state",
        "opinions",
        "id",
        sqlite_where=sa.text("opinions > 1"),
        postgresql_where=sa.text("opinions > 1"),
    ),
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

# What the server answered, as intake found it among the collected uploads.
predictions = sa.Table(
    "predictions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True, comment="the answer's own id"),
    sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), nullable=False),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("value", sa.Text, nullable=False, comment="the text or class answered"),
    sa.Column("confidence", sa.Float, nullable=False, comment="calibrated, 0..1"),
    sa.Column("details", sa.JSON, nullable=False, comment="characters or class scores"),
    sa.Column("user", sa.Text, nullable=False, comment="who asked; may be ''"),
    sa.Column("consent", sa.Boolean, nullable=True, comment="may train; null: was not said"),
    sa.Column("sampled", sa.String(32), nullable=False, comment="policy that chose it; may be ''"),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("ix_predictions_sample_id", "sample_id"),
    sa.Index("ix_predictions_user", "user"),
    sa.Index("ix_predictions_model", "model", "version", "at"),
)

corrections = sa.Table(
    "corrections",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("prediction_id", sa.String(64), sa.ForeignKey("predictions.id"), nullable=False),
    sa.Column("label_id", _ID, sa.ForeignKey("labels.id"), nullable=True),
    sa.Column("value", sa.Text, nullable=False, comment="as given"),
    sa.Column("given_by", sa.Text, nullable=False, comment="who; may be ''"),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("ix_corrections_prediction_id", "prediction_id"),
)

# One person's work on one sample: handed out, drafted, done. The label itself is a row of `labels`.
reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), nullable=False),
    sa.Column("reviewer", sa.Text, nullable=False),
    sa.Column(
        "state", sa.String(16), nullable=False, comment="open, done, skipped, rejected, final"
    ),
    sa.Column("draft", sa.Text, nullable=True, comment="typed and not yet decided"),
    sa.Column("revision", sa.Integer, nullable=False, comment="of the draft; grows by one"),
    sa.Column("reason", sa.Text, nullable=False, comment="why skipped; may be ''"),
    sa.Column("label_id", _ID, sa.ForeignKey("labels.id"), nullable=True),
    sa.Column("held_until", UtcDateTime, nullable=True, comment="nobody else is given it before"),
    sa.Column("begun_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime, nullable=True),
    sa.UniqueConstraint("sample_id", "reviewer"),
    sa.Index("ix_reviews_reviewer", "reviewer", "state"),
)

# What each reviewer decided, in order. An undo is a decision too; rows are never changed.
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("number", _ID, primary_key=True, comment="their order"),
    sa.Column("id", sa.String(64), nullable=False, unique=True, comment="made by the client"),
    sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), nullable=False),
    sa.Column("reviewer", sa.Text, nullable=False),
    sa.Column(
        "action", sa.String(16), nullable=False, comment="accept, skip, reject, adjudicate, undo"
    ),
    sa.Column("value", sa.Text, nullable=True, comment="as given"),
    sa.Column("reason", sa.Text, nullable=False, comment="may be ''"),
    sa.Column("label_id", _ID, sa.ForeignKey("labels.id"), nullable=True),
    sa.Column("undoes", _ID, sa.ForeignKey("decisions.number"), nullable=True, unique=True),
    sa.Column("before", sa.JSON, nullable=False, comment="the sample and review before it"),
    sa.Column("after", sa.JSON, nullable=False, comment="the sample after it"),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("ix_decisions_sample_id", "sample_id"),
    sa.Index("ix_decisions_reviewer", "reviewer", "at"),
    sa.Index("ix_decisions_at", "at"),
)

# What a model says of a sample that waits: shown to reviewers, renewed by the next ranking.
suggestions = sa.Table(
    "suggestions",
    metadata,
    sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), primary_key=True),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("value", sa.Text, nullable=False, comment="the text or class answered"),
    sa.Column("confidence", sa.Float, nullable=False, comment="calibrated, 0..1"),
    sa.Column("details", sa.JSON, nullable=False, comment="characters or class scores"),
    sa.Column("why", sa.Text, nullable=False, comment="why to look at it, in words; may be ''"),
    sa.Column("at", UtcDateTime, nullable=False),
)

# Which task of which Label Studio project shows which sample.
labelstudio_tasks = sa.Table(
    "labelstudio_tasks",
    metadata,
    sa.Column("project", sa.String(200), primary_key=True, comment="ADDRESS#PROJECT"),
    sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), primary_key=True),
    sa.Column("task_id", _ID, nullable=False, comment="Label Studio's number"),
    sa.Column("prediction", sa.Text, nullable=False, comment="MODEL@VERSION last pushed; or ''"),
    sa.Column("pulled", sa.String(64), nullable=False, comment="hash of what was last pulled"),
    sa.Column("pushed_at", UtcDateTime, nullable=False),
    sa.Column("pulled_at", UtcDateTime, nullable=True),
    sa.UniqueConstraint("project", "task_id"),
)

# Webhooks still to be delivered, and those that were.
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("event", sa.String(64), nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=True, comment="null: delivered or given up"),
    sa.Column("delivered_at", UtcDateTime, nullable=True),
    sa.Column("error", sa.Text, nullable=False, comment="of the last attempt; may be ''"),
    sa.Index("ix_deliveries_next_at", "next_at"),
)
