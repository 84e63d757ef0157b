"""What a round did, for the event log: once, however often a step is begun again."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from nhan.catalog.events import log_event
from nhan.catalog.schema import events
from nhan.workspace import Workspace

# A step is repeated soon after it died, so its event is among the newest of its kind.
_LOOKED_AT = 20


def announce(workspace: Workspace, kind: str, number: int, **data: Any) -> None:
    """Append an event that a round causes once at most.

    Args:
        workspace: where.
        kind: of the event: `run`, `promoted`, `refused`.
        number: of the round.
        data: JSON-able.
    """
    query = sa.select(events.c.data).where(events.c.kind == kind)
    with workspace.catalog.write() as connection:
        newest = connection.scalars(query.order_by(events.c.id.desc()).limit(_LOOKED_AT))
        if not any(one.get("round") == number for one in newest):
            log_event(connection, kind, round=number, **data)
