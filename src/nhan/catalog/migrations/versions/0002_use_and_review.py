"""What comes back from use: predictions, corrections, reviews, Label Studio tasks, webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("samples", sa.Column("priority", sa.Float, nullable=False, server_default="0"))
    op.add_column("samples", sa.Column("opinions", sa.Integer, nullable=False, server_default="1"))
    op.add_column(
        "samples", sa.Column("may_train", sa.Boolean, nullable=False, server_default=sa.true())
    )
    op.create_index("ix_samples_queue", "samples", ["task", "state", "priority", "id"])
    op.create_table(
        "predictions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("consent", sa.Boolean, nullable=True),
        sa.Column("sampled", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_predictions_sample_id", "predictions", ["sample_id"])
    op.create_index("ix_predictions_user", "predictions", ["user"])
    op.create_index("ix_predictions_model", "predictions", ["model", "version", "at"])
    op.create_table(
        "corrections",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("prediction_id", sa.String(64), sa.ForeignKey("predictions.id"), nullable=False),
        sa.Column("label_id", _ID, sa.ForeignKey("labels.id"), nullable=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("given_by", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_corrections_prediction_id", "corrections", ["prediction_id"])
    op.create_table(
        "reviews",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("draft", sa.Text, nullable=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("label_id", _ID, sa.ForeignKey("labels.id"), nullable=True),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.UniqueConstraint("sample_id", "reviewer"),
    )
    op.create_index("ix_reviews_reviewer", "reviews", ["reviewer", "state"])
    op.create_table(
        "labelstudio_tasks",
        sa.Column("project", sa.String(200), primary_key=True),
        sa.Column("sample_id", _ID, sa.ForeignKey("samples.id"), primary_key=True),
        sa.Column("task_id", _ID, nullable=False),
        sa.Column("prediction", sa.Text, nullable=False),
        sa.Column("pulled", sa.String(64), nullable=False),
        sa.Column("pushed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pulled_at", sa.DateTime(timezone=True), nullable=True),
        sa.UniqueConstraint("project", "task_id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index("ix_deliveries_next_at", "deliveries", ["next_at"])


def downgrade() -> None:
    op.drop_table("deliveries")
    op.drop_table("labelstudio_tasks")
    op.drop_table("reviews")
    op.drop_table("corrections")
    op.drop_table("predictions")
    op.drop_index("ix_samples_queue", "samples")
    for name in ("may_train", "opinions", "priority"):
        op.drop_column("samples", name)
