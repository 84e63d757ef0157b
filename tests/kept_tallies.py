"""A catalogue whose samples and reviews change in every way, and what must then agree."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog import Catalog, State
from nhan.catalog.schema import reviews, samples
from nhan.catalog.tallies import count_by_reviewer, count_states, count_unasked

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def sample_row(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "id": number, "task": chance.choice(["text", "classes"]), "sha256": f"{number:064x}",
        "path": "", "bytes": 1, "width": 1, "height": 1, "phash": "", "thumbnail": b"", "name": "",
        "source": "", "group": "", "split_asked": "", "split": "", "reason": "",
        "state": chance.choice(list(State)).value, "may_train": chance.random() < 0.7,
        "created_at": NOW,
    }  # fmt: skip


def change(catalog: Catalog, *, seed: int, count: int = 60) -> None:
    """Insert, update and delete samples and reviews, many and one at a time."""
    chance = random.Random(seed)
    with catalog.write() as connection:
        connection.execute(samples.insert(), [sample_row(n, chance) for n in range(1, count + 1)])
        connection.execute(
            reviews.insert(),
            [
                {
                    "sample_id": number, "reviewer": chance.choice("abc"), "revision": 0,
                    "state": chance.choice(["open", "done"]), "reason": "", "begun_at": NOW,
                }
                for number in range(1, count + 1)
            ],
        )  # fmt: skip
    for number in chance.choices(range(1, count + 1), k=count):
        with catalog.write() as connection:
            connection.execute(
                samples.update()
                .where(samples.c.id == number)
                .values(state=chance.choice(list(State)).value, may_train=chance.random() < 0.5)
            )
            connection.execute(
                reviews.update()
                .where(reviews.c.sample_id == number)
                .values(state=chance.choice(["open", "done", "skipped"]))
            )
    with catalog.write() as connection:
        connection.execute(samples.update().values(priority=0.5))
        connection.execute(
            samples.update().where(samples.c.state == State.NEW).values(state=State.QUEUED.value)
        )
        connection.execute(reviews.delete().where(reviews.c.sample_id <= count // 3))
        connection.execute(samples.delete().where(samples.c.id <= count // 3))


def assert_agree(catalog: Catalog) -> None:
    """What is kept is what a count finds."""
    with catalog.read() as connection:
        rows = list(connection.execute(sa.select(samples)).mappings())
        tasks = {row["id"]: row["task"] for row in rows}
        given = list(connection.execute(sa.select(reviews)).mappings())
        for task in ("text", "classes"):
            own = [row for row in rows if row["task"] == task]
            assert count_states(connection, task) == Counter(State(row["state"]) for row in own)
            assert count_unasked(connection, task) == sum(
                row["state"] == "new" and not row["may_train"] for row in own
            )
            said = Counter(
                (row["reviewer"], row["state"]) for row in given if tasks[row["sample_id"]] == task
            )
            assert count_by_reviewer(connection, task) == [
                (*key, number) for key, number in sorted(said.items())
            ]
        assert rows, "nothing would be compared"
        assert given
