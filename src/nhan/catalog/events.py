"""The append-only event log: what happened, when, and by whom."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog.schema import events


def log_events(connection: sa.Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Append events in the caller's transaction.

    Args:
        connection: of the transaction.
        rows: each with `kind`, and `sample_id`, `given_by`, `data` where they apply.
    """
    now = datetime.now(UTC)
    filled = [{"at": now, "sample_id": None, "given_by": "", "data": {}, **row} for row in rows]
    if filled:
        connection.execute(events.insert(), filled)


def log_event(
    connection: sa.Connection,
    kind: str,
    *,
    sample_id: int | None = None,
    given_by: str = "",
    **data: Any,
) -> None:
    """Append one event; `data` must be JSON-able."""
    log_events(
        connection,
        [{"kind": kind, "sample_id": sample_id, "given_by": given_by, "data": data}],
    )
