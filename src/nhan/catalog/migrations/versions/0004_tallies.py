"""How many samples and reviews are in each state, counted by the database with every change."""

# ruff: noqa: S608  the words are those of this file

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# What a row of each table counts for, by the row's name in a trigger: (about, task, who, state,
# condition).
_SAMPLE = (
    ("'samples'", "{row}.task", "''", "{row}.state", "true"),
    ("'unasked'", "{row}.task", "''", "{row}.state", "{row}.state = 'new' AND NOT {row}.may_train"),
)
_REVIEW = (
    (
        "'reviews'",
        "(SELECT task FROM samples WHERE samples.id = {row}.sample_id)",
        "{row}.reviewer",
        "{row}.state",
        "true",
    ),
)
_COUNTED = {"samples": _SAMPLE, "reviews": _REVIEW}
# Changes of anything else count for nothing.
_TELLING = {"samples": "task, state, may_train", "reviews": "reviewer, state"}

# PostgreSQL's writers only add rows, so that none waits for another; whoever finds very many adds
# them up. Rows that somebody else is adding up are left to them.
_FOLD = """
CREATE FUNCTION nhan_fold_tallies() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FROM (SELECT FROM tallies LIMIT 257) AS first) > 256 THEN
    WITH gone AS (
      DELETE FROM tallies
      WHERE id IN (SELECT id FROM tallies ORDER BY id LIMIT 4096 FOR UPDATE SKIP LOCKED)
      RETURNING about, task, who, state, number
    )
    INSERT INTO tallies (about, task, who, state, number)
    SELECT about, task, who, state, sum(number) FROM gone
    GROUP BY about, task, who, state HAVING sum(number) <> 0;
  END IF;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("about", sa.String(16), nullable=False),
        sa.Column("task", sa.String(32), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    # What needs several opinions is a small part of what waits; without numbers about the table,
    # which SQLite does not gather by itself, it took the index of all that waits to be better.
    op.drop_index("ix_samples_opinions", "samples")
    op.create_index(
        "ix_samples_doubled",
        "samples",
        ["task", "state", "opinions", "id"],
        sqlite_where=sa.text("opinions > 1"),
        postgresql_where=sa.text("opinions > 1"),
    )
    op.create_index("ix_tallies_about", "tallies", ["about", "task", "who", "state"])
    for table, counted in _COUNTED.items():
        op.execute(_added(counted, {table: 1}))
    postgres = op.get_bind().dialect.name == "postgresql"
    if postgres:
        op.execute(_FOLD)
    for table in _COUNTED:
        for statement in _postgres_triggers(table) if postgres else _sqlite_triggers(table):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in _COUNTED:
            for event in ("insert", "update", "delete"):
                op.execute(f"DROP TRIGGER nhan_tally_{table}_{event} ON {table}")
                op.execute(f"DROP FUNCTION nhan_tally_{table}_{event}()")
        op.execute("DROP FUNCTION nhan_fold_tallies()")
    else:
        for table in _COUNTED:
            for statement in _sqlite_triggers(table):
                op.execute(f"DROP TRIGGER {statement.split()[2]}")
    op.drop_table("tallies")
    op.drop_index("ix_samples_doubled", "samples")
    op.create_index("ix_samples_opinions", "samples", ["task", "opinions", "state"])


def _added(counted: tuple[tuple[str, ...], ...], tables: dict[str, int]) -> str:
    """A statement that counts the rows of tables, each row for 1 or -1."""
    rows = " UNION ALL ".join(
        f"SELECT {about} AS about, {task} AS task, {who} AS who, {state} AS state, {one} AS number "
        f"FROM {table} WHERE {where}"
        for table, one in tables.items()
        for about, task, who, state, where in (
            [part.format(row=table) for part in parts] for parts in counted
        )
    )
    return (
        "INSERT INTO tallies (about, task, who, state, number) "
        f"SELECT about, task, who, state, sum(number) FROM ({rows}) AS changed "
        "GROUP BY about, task, who, state HAVING sum(number) <> 0"
    )


def _postgres_triggers(table: str) -> list[str]:
    """One for each statement, however many rows it changes."""
    seen = {
        "insert": ("REFERENCING NEW TABLE AS added", {"added": 1}),
        "update": (
            "REFERENCING NEW TABLE AS added OLD TABLE AS gone", {"added": 1, "gone": -1}
        ),
        "delete": ("REFERENCING OLD TABLE AS gone", {"gone": -1}),
    }  # fmt: skip
    statements = []
    for event, (referencing, tables) in seen.items():
        name = f"nhan_tally_{table}_{event}"
        statements += [
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"{_added(_COUNTED[table], tables)}; PERFORM nhan_fold_tallies(); RETURN NULL; END $$",
            f"CREATE TRIGGER {name} AFTER {event.upper()} ON {table} {referencing} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
        ]
    return statements


def _sqlite_triggers(table: str) -> list[str]:
    """For each row; SQLite has no others, and one writer at a time, who may keep one number."""
    telling = _TELLING[table]
    changed = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in telling.split(", "))
    events = (
        ("insert", "INSERT", "true", (("NEW", 1),)),
        ("update", f"UPDATE OF {telling}", changed, (("OLD", -1), ("NEW", 1))),
        ("delete", "DELETE", "true", (("OLD", -1),)),
    )
    return [
        f"CREATE TRIGGER {_name(table, event, number, row)} AFTER {kind} ON {table} "
        f"WHEN ({when}) AND ({parts[-1].format(row=row)}) BEGIN {_kept(parts, row, one)} END"
        for event, kind, when, rows in events
        for row, one in rows
        for number, parts in enumerate(_COUNTED[table])
    ]


def _name(table: str, event: str, number: int, row: str) -> str:
    return f"nhan_tally_{table}_{event}_{number}_{row.lower()}"


def _kept(parts: tuple[str, ...], row: str, one: int) -> str:
    about, task, who, state, _ = (part.format(row=row) for part in parts)
    key = f"about = {about} AND task = {task} AND who = {who} AND state = {state}"
    change = f"UPDATE tallies SET number = number + {one} WHERE {key};"
    if one < 0:
        return f"{change} DELETE FROM tallies WHERE {key} AND number = 0;"
    return (
        "INSERT INTO tallies (about, task, who, state, number) "
        f"SELECT {about}, {task}, {who}, {state}, 0 "
        f"WHERE NOT EXISTS (SELECT 1 FROM tallies WHERE {key}); {change}"
    )
