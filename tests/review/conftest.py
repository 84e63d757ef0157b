"""Samples to review, written straight into the catalogue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

import pytest
import sqlalchemy as sa

from nhan.catalog import State
from nhan.catalog.reviews import update_sample
from nhan.catalog.samples import GivenLabel, Picture, Sample, write_samples
from nhan.catalog.schema import decisions, events, labels, reviews, samples
from nhan.review.decide import Decided, Decision, decide
from nhan.samples.pictures import examine, keep
from nhan.workspace import Workspace
from serving.conftest import toy_files, toy_package, toy_picture

__all__ = ["toy_files", "toy_package", "toy_picture"]


def make_samples(
    workspace: Workspace,
    priorities: list[float],
    *,
    task: str = "text",
    state: State = State.QUEUED,
    label: str = "",
    opinions: int = 1,
) -> list[int]:
    """One sample a priority; their numbers."""
    made = []
    with workspace.catalog.write() as connection:
        start = connection.scalar(sa.select(sa.func.count()).select_from(samples)) or 0
        for number, priority in enumerate(priorities, start=start + 1):
            picture = Picture(f"images/{number}.png", 10, 100, 20, f"{number:016x}", bytes(512))
            sample = Sample(f"{number:064x}", f"{number}.png", "drawn", "", "", state)
            sample.picture = picture
            if label:
                given = GivenLabel(label, None, "import", "", "", datetime.now(UTC))
                sample.labels[given.key] = sample.label = given
                sample.changed = True
            write_samples(connection, task, [sample])
            assert sample.id is not None
            update_sample(connection, sample.id, priority=priority, opinions=opinions)
            made.append(sample.id)
    return made


@pytest.fixture
def add_samples(workspace: Workspace) -> Callable[..., list[int]]:
    return lambda priorities, **options: make_samples(workspace, priorities, **options)


_numbers = count(1)


@pytest.fixture
def say(workspace: Workspace) -> Callable[..., Decided]:
    """Decides under a new id: `say("an", 1, "accept", "một")`."""

    def decided(reviewer: str, sample: int, action: str, value=None, reason: str = "") -> Decided:
        identity = f"t-{next(_numbers)}"
        return decide(workspace, Decision(identity, sample, reviewer, action, value, reason))

    return decided


@pytest.fixture
def rows(workspace: Workspace) -> Callable[[str], list[dict]]:
    """All rows of a table, as dictionaries, by id."""
    tables = {t.name: t for t in (samples, labels, events, decisions, reviews)}

    def read(name: str) -> list[dict]:
        table = tables[name]
        key = table.c.number if name == "decisions" else table.c.id
        with workspace.catalog.read() as connection:
            found = connection.execute(sa.select(table).order_by(key)).mappings()
            return [dict(row) for row in found]

    return read


@pytest.fixture
def add_picture(workspace, toy_picture):
    """A sample with a picture that the toy reads as this text."""

    def add(text: str, *, label: str = "", state: State = State.NEW) -> int:
        data = toy_picture(text)
        sha256 = hashlib.sha256(data).hexdigest()
        picture = examine(data, sha256, workspace.picture_limits)
        keep(workspace.store, picture.path, data)
        sample = Sample(sha256, f"{text}.png", "drawn", "", "", state, picture=picture)
        if label:
            given = GivenLabel(label, None, "import", "", "", datetime.now(UTC))
            sample.labels[given.key] = sample.label = given
            sample.changed = True
        with workspace.catalog.write() as connection:
            write_samples(connection, "text", [sample])
        assert sample.id is not None
        return sample.id

    return add
