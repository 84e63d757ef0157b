"""Progress: what waits, what was done, how fast each person goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from nhan.catalog import State
from nhan.catalog.schema import decisions
from nhan.review.progress import pace, progress
from nhan.review.undo import undo

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Noon(datetime):
    """A clock that stands: what is done around midnight belongs to two days."""

    @classmethod
    def now(cls, tz=None) -> datetime:
        return NOW


def at(*minutes: float) -> list[datetime]:
    return [NOW - timedelta(minutes=ago) for ago in minutes]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (at(), 0.0),
        (at(1), 0.0),
        (at(3, 2, 1), 40.0),  # two steps in three minutes, the last one still running
        (at(50, 49, 1, 0), 60.0),  # the break of 48 minutes is none of it
        (at(30, 20), 0.0),  # nothing but breaks
        (at(*[10 - number / 1000 for number in range(50)]), 0.0),  # a script's burst, then away
        (at(0.5, 0.25), 0.0),  # half a minute tells nothing yet
        (at(1, 0.5), 60.0),  # a minute does
    ],
)
def test_pace_counts_work_and_not_breaks(times, expected) -> None:
    assert pace(times, NOW) == expected


def test_everything_is_counted_once(workspace, add_samples, say, monkeypatch) -> None:
    add_samples([0.9] * 6)
    add_samples([0.9], opinions=2)
    add_samples([1.5, 0.0], state=State.LABELLED, label="một")
    say("an", 1, "accept", "một")
    say("an", 2, "accept", "hai")
    say("an", 3, "skip", reason="cut")
    say("bình", 4, "accept", "ba")
    say("an", 7, "accept", "một")
    say("bình", 7, "accept", "hai")
    say("an", 5, "accept", "năm")
    undo(workspace, "u1", "an", 5)
    with workspace.catalog.write() as connection:
        connection.execute(decisions.update().values(at=NOW))
    monkeypatch.setattr("nhan.review.progress.datetime", Noon)
    found = progress(workspace, "text", "an")
    assert found.waiting == 3  # 5 and 6, and the label under suspicion; 7 waits to be settled
    assert (found.done_today, found.done_by_me) == (6, 4)
    assert (found.skipped, found.disagreements) == (1, 1)
    assert [(one.reviewer, one.done, one.skipped, one.today) for one in found.people] == [
        ("an", 3, 1, 4),
        ("bình", 2, 0, 2),
    ]
    assert found.per_hour == 0  # all within a moment
    stranger = progress(workspace, "text", "nobody")
    assert (stranger.done_by_me, stranger.per_hour, stranger.waiting) == (0, 0.0, 3)


def test_yesterday_is_not_today(workspace, add_samples, say) -> None:
    add_samples([0.9])
    say("an", 1, "accept", "một")
    with workspace.catalog.write() as connection:
        connection.execute(decisions.update().values(at=datetime.now(UTC) - timedelta(days=1)))
    found = progress(workspace, "text", "an")
    assert (found.done_today, found.people[0].done) == (0, 1)


@contextmanager
def steps(workspace) -> Iterator[list[int]]:
    """Counts SQLite's work in hundreds of its own instructions."""
    done = [0]

    def count() -> int:
        done[0] += 1
        return 0

    def listen(connection, *_rest) -> None:
        connection.connection.driver_connection.set_progress_handler(count, 100)

    sa.event.listen(workspace.catalog.engine, "begin", listen)
    yield done
    sa.event.remove(workspace.catalog.engine, "begin", listen)


def test_it_takes_no_longer_the_more_samples_there_are(workspace, add_samples) -> None:
    def work() -> int:
        with steps(workspace) as done:
            progress(workspace, "text", "an")
        return done[0]

    add_samples([0.9] * 20)
    add_samples([0.0] * 20, state=State.LABELLED, label="một")
    few = work()
    add_samples([0.9] * 1000)
    add_samples([0.0] * 1000, state=State.LABELLED, label="một")
    assert work() <= few + 5
    assert progress(workspace, "text").waiting == 1020
