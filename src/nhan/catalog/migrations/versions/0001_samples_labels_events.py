"""Samples, labels and events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "samples",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("task", sa.String(32), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("path", sa.String(200), nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("phash", sa.String(16), nullable=False),
        sa.Column("thumbnail", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("group", sa.Text, nullable=False),
        sa.Column("split_asked", sa.String(16), nullable=False),
        sa.Column("split", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("label_id", _ID, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("task", "sha256", name="uq_samples_task_sha256"),
    )
    op.create_index("ix_samples_task_state", "samples", ["task", "state"])
    op.create_index("ix_samples_name", "samples", ["name"])
    op.create_table(
        "labels",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("given", sa.Text, nullable=True),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("given_by", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint(
            "sample_id",
            "value",
            "origin",
            "given_by",
            "external_id",
            name="uq_labels_sample_id_value_origin_given_by_external_id",
        ),
    )
    op.create_table(
        "events",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("sample_id", _ID, nullable=True),
        sa.Column("given_by", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_index("ix_events_kind_at", "events", ["kind", "at"])
    op.create_index("ix_events_sample_id", "events", ["sample_id"])


def downgrade() -> None:
    op.drop_table("events")
    op.drop_table("labels")
    op.drop_table("samples")
