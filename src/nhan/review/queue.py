"""Handing samples out: the most useful first, none to two people at once.

A sample that was handed out is held for its reviewer for a while. Whoever wants it double-blind
sets `opinions`: then so many people are given it, and none sees what another said.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from nhan.catalog import Catalog, reviews
from nhan.errors import BadRequest, NotFound
from nhan.review.item import Item, make_items
from nhan.tasks import TASKS, get_task
from nhan.workspace import Workspace

# More than anybody looks at before the holds run out.
MAX_COUNT = 100
_MAX_NAME = 200
# A class that was given a moment ago may be missing from the list for so long.
_CLASSES_S = 15.0


def next_items(workspace: Workspace, task: str, reviewer: str, count: int = 3) -> list[Item]:
    """What a reviewer should look at: what they hold already, and then what is most useful.

    All of it is held for them from now on, for `review.hold_minutes`.

    Args:
        workspace: where.
        task: of the samples; '' for the only task that has any.
        reviewer: who asks.
        count: how many, 1 to 100.

    Raises:
        BadRequest: no reviewer, a count out of range, or a task must be named.
        NotFound: no such task, or no samples at all.
    """
    check_count(count)
    return _hand_out(workspace, task, reviewer, count=count, held_too=True)


def one_more(workspace: Workspace, task: str, reviewer: str) -> Item | None:
    """The most useful sample that the reviewer does not hold yet; None when none waits.

    Raises:
        BadRequest, NotFound: as `next_items`.
    """
    return next(iter(_hand_out(workspace, task, reviewer, count=1, held_too=False)), None)


def peek(workspace: Workspace, task: str, count: int) -> list[Item]:
    """The head of the queue, as it would be handed to somebody new; nothing is held.

    Raises:
        BadRequest, NotFound: as `next_items`.
    """
    check_count(count)
    task = choose_task(workspace, task)
    with workspace.catalog.read() as connection:
        rows = reviews.waiting(connection, task, "", now=datetime.now(UTC), limit=count)
        return make_items(connection, rows, "", _classes(workspace.catalog, connection, task))


def held_item(workspace: Workspace, sample: int, reviewer: str) -> Item:
    """One sample as its reviewer sees it, whether or not it waits; the hold is not touched.

    Raises:
        NotFound: no such sample.
    """
    with workspace.catalog.read() as connection:
        row = reviews.read_sample(connection, sample)
        if row is None:
            raise no_sample(sample)
        classes = _classes(workspace.catalog, connection, row["task"])
        return make_items(connection, [row], reviewer, classes)[0]


def hold_until(workspace: Workspace, now: datetime) -> datetime:
    """When something handed out now may be given to somebody else."""
    return now + timedelta(minutes=workspace.settings.review.hold_minutes)


def check_reviewer(reviewer: str) -> str:
    """A reviewer's name, trimmed.

    Raises:
        BadRequest: it is empty or too long.
    """
    name = reviewer.strip()
    if not name or len(name) > _MAX_NAME:
        raise BadRequest(
            "nobody says who reviews" if not name else f"a name of {len(name)} characters",
            hint='give a name: "reviewer"',
        )
    check_text(name)
    return name


def check_text(text: str) -> None:
    """Pass what every catalogue can keep.

    Raises:
        BadRequest: a zero byte, or half of a surrogate pair, which are no text.
    """
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise BadRequest(f"{text[:40]!r} has characters that are no text", hint="send UTF-8")


def check_count(count: int) -> None:
    """Pass a count that may be asked for.

    Raises:
        BadRequest: it is out of range.
    """
    if not 1 <= count <= MAX_COUNT:
        raise BadRequest(f"count {count} is out of range", hint=f"1 to {MAX_COUNT}")


def choose_task(workspace: Workspace, task: str) -> str:
    """The task that is meant: the one named, else the only one that has samples.

    Raises:
        NotFound: no such task, or no samples at all.
        BadRequest: several have, and none was named.
    """
    if task:
        return get_task(task).name
    with workspace.catalog.read() as connection:
        there = reviews.tasks_there(connection, sorted(TASKS))
    if not there:
        raise NotFound("there are no samples yet", hint="nhan import SOURCE")
    if len(there) > 1:
        raise BadRequest(
            "there are samples of several tasks", hint=f"name the task: {' or '.join(there)}"
        )
    return there[0]


def no_sample(sample: int | None) -> NotFound:
    """The error for a sample that is not there."""
    return NotFound(f"no sample {sample}", hint="the queue gives samples by their number")


def _hand_out(
    workspace: Workspace, task: str, reviewer: str, *, count: int, held_too: bool
) -> list[Item]:
    reviewer, task = check_reviewer(reviewer), choose_task(workspace, task)
    now = datetime.now(UTC)
    until = hold_until(workspace, now)
    with workspace.catalog.write() as connection:
        reviews.lock_handout(connection)
        rows = reviews.held(connection, task, reviewer, now=now)[:count] if held_too else []
        if len(rows) < count:
            rows += reviews.waiting(connection, task, reviewer, now=now, limit=count - len(rows))
        reviews.hold(connection, [row["id"] for row in rows], reviewer, now=now, until=until)
        classes = _classes(workspace.catalog, connection, task)
        return make_items(connection, rows, reviewer, classes)


_lists: WeakKeyDictionary[Catalog, dict[str, tuple[float, list[str]]]] = WeakKeyDictionary()
_lists_lock = threading.Lock()


def _classes(catalog: Catalog, connection: sa.Connection, task: str) -> list[str]:
    """What to choose from, where one chooses; kept for a moment, for it reads every label."""
    if not get_task(task).choices:
        return []
    with _lists_lock:
        lists = _lists.setdefault(catalog, {})
        read_at, values = lists.get(task, (0.0, []))
    if not values or time.monotonic() - read_at > _CLASSES_S:
        values = reviews.known_values(connection, task)
        with _lists_lock:
            lists[task] = (time.monotonic(), values)
    return values
