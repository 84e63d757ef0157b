"""What webhooks told, or are still to tell, of samples and people that were erased."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from nhan.catalog.schema import deliveries, events
from nhan.names import spellings


def forget_samples(connection: sa.Connection, hashes: Collection[str]) -> None:
    """Delete every delivery about samples, by the SHA-256 of their pictures."""
    about = deliveries.c.body["data"]["sample"].as_string()
    connection.execute(deliveries.delete().where(about.in_(sorted(hashes))))


def forget_name(connection: sa.Connection, user: str) -> None:
    """Take a user's name off the deliveries about labels that they gave."""
    by = deliveries.c.body["data"]["by"].as_string()
    found = connection.execute(
        sa.select(deliveries.c.id, deliveries.c.body).where(by.in_(spellings(user)))
    ).all()
    for number, body in found:
        nameless = {**body, "data": {**body["data"], "by": ""}}
        connection.execute(
            deliveries.update().where(deliveries.c.id == number).values(body=nameless)
        )


def events_went(connection: sa.Connection) -> None:
    """Tell after events were deleted that those to come are new, whatever their numbers.

    SQLite gives the highest numbers again when their rows have gone; how far each address was told
    stands in its greeting (`nhan.pipeline.notify`).
    """
    newest = connection.scalar(sa.select(sa.func.max(events.c.id))) or 0
    greetings = sa.select(deliveries.c.id, deliveries.c.body).where(deliveries.c.event == "ping")
    for number, body in connection.execute(greetings).all():
        if body["event"] > newest:
            connection.execute(
                deliveries.update()
                .where(deliveries.c.id == number)
                .values(body={**body, "event": newest})
            )
