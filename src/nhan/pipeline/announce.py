"""What rounds and people did, for the event log, from which webhooks are told."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from nhan.catalog.events import log_event
from nhan.catalog.samples import lock_writers
from nhan.catalog.schema import events
from nhan.errors import NhanError
from nhan.pipeline.step import Say
from nhan.workspace import Workspace

# A step is repeated soon after it died, so its event is among the newest of its kind.
_LOOKED_AT = 20


def announce(workspace: Workspace, kind: str, number: int, **data: Any) -> None:
    """Append an event that a round causes once at most, however often its step is begun again.

    Args:
        workspace: where.
        kind: of the event: `run`, `promoted`, `refused`.
        number: of the round.
        data: JSON-able.
    """
    query = sa.select(events.c.data).where(events.c.kind == kind)
    with workspace.catalog.write() as connection:
        lock_writers(connection)  # or webhooks pass over an event whose number comes too late
        newest = connection.scalars(query.order_by(events.c.id.desc()).limit(_LOOKED_AT))
        if not any(one.get("round") == number for one in newest):
            log_event(connection, kind, round=number, **data)


def announce_by_hand(
    workspace: Workspace, kind: str, say: Say, *, by: str = "", **data: Any
) -> None:
    """Append what somebody did at the terminal; a catalogue that is away does not undo it.

    Args:
        workspace: where.
        kind: of the event: `run`, `promoted`, `refused`.
        say: is told if it cannot be written.
        by: who.
        data: JSON-able.
    """
    try:
        with workspace.catalog.write() as connection:
            lock_writers(connection)
            log_event(connection, kind, given_by=by, **data)
    except NhanError as error:
        say(f"the event log was not told: {error.message}")
