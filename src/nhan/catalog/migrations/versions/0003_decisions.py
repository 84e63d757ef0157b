"""What reviewers decided, what models suggest to them, and the queue in its order."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.drop_index("ix_samples_queue", "samples")
    op.create_index(
        "ix_samples_queue",
        "samples",
        ["task", "state", sa.text("priority DESC"), "id", "may_train"],
    )
    op.create_index("ix_samples_opinions", "samples", ["task", "opinions", "state"])
    op.create_table(
        "decisions",
        sa.Column("number", _ID, primary_key=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("value", sa.Text, nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("label_id", _ID, sa.ForeignKey("labels.id"), nullable=True),
        sa.Column("undoes", _ID, sa.ForeignKey("decisions.number"), nullable=True, unique=True),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_decisions_sample_id", "decisions", ["sample_id"])
    op.create_index("ix_decisions_reviewer", "decisions", ["reviewer", "at"])
    op.create_index("ix_decisions_at", "decisions", ["at"])
    op.create_table(
        "suggestions",
        sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), primary_key=True),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("suggestions")
    op.drop_table("decisions")
    op.drop_index("ix_samples_opinions", "samples")
    op.drop_index("ix_samples_queue", "samples")
    op.create_index("ix_samples_queue", "samples", ["task", "state", "priority", "id"])
