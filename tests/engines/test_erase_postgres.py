"""Erasing uploads on a real PostgreSQL while people review and models rank them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from nhan.catalog import reviews
from nhan.catalog.schema import metadata, samples
from nhan.errors import Conflict, NotFound
from nhan.review.drafts import save_draft
from nhan.review.queue import next_items
from nhan.uploads import remove
from nhan.uploads.erase import erase
from nhan.uploads.intake import take_in
from nhan.workspace import Workspace
from used_workspace import put_upload

pytestmark = pytest.mark.engine

# Whoever wrongly does not wait for the other is through by then.
_PATIENCE_S = 1.0


@pytest.fixture
def shared(tmp_path: Path, postgres_url: str) -> Iterator[Workspace]:
    with Workspace.init(tmp_path / "workspace", catalog=postgres_url) as workspace:
        for number in range(4):
            put_upload(workspace, number, user="lan", sampled="random")
        put_upload(workspace, 9, user="an", sampled="random")
        take_in(workspace)
        yield workspace


def erase_beside(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, other: Callable[[], Any]
) -> Any:
    """Erase Lan's uploads; in the middle of it the other begins. What the other came to."""
    halfway, delete_referring = threading.Event(), remove._delete_referring

    def slowly(connection: sa.Connection, target: sa.Table, ids: Any) -> None:
        delete_referring(connection, target, ids)
        if target is samples:
            halfway.set()
            done.wait(_PATIENCE_S)

    done = threading.Event()

    def begin() -> Any:
        assert halfway.wait(120)
        try:
            return other()
        finally:
            done.set()

    monkeypatch.setattr(remove, "_delete_referring", slowly)
    with ThreadPoolExecutor(2) as pool:
        result = pool.submit(begin)
        report = pool.submit(erase, workspace, user="lan").result()
    assert report.removed.samples == 4
    assert_gone(workspace)
    return result.result()


def assert_gone(workspace: Workspace) -> None:
    with workspace.catalog.read() as connection:
        (left,) = connection.execute(sa.select(samples.c.id)).scalars()
        for table in metadata.sorted_tables:
            if "sample_id" in table.columns and table.name != "events":
                found = set(connection.execute(sa.select(table.c.sample_id)).scalars())
                assert found <= {left}, table.name


def test_samples_that_are_being_erased_are_handed_to_nobody(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = erase_beside(shared, monkeypatch, lambda: next_items(shared, "text", "bình", 10))
    assert [item.sample for item in given] == [5]


def test_a_draft_of_a_sample_that_is_being_erased_is_told_so(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound):
        erase_beside(shared, monkeypatch, lambda: save_draft(shared, 1, "bình", "đang gõ", 0))
    assert_gone(shared)


def test_what_a_model_says_of_a_sample_that_is_being_erased_is_dropped(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"sample_id": number, "model": "m", "version": "1", "value": "x", "confidence": 0.5,
         "details": {}, "why": "", "at": datetime.now(UTC)}
        for number in (1, 5)
    ]  # fmt: skip

    def write() -> int:
        with shared.catalog.write() as connection:
            reviews.write_suggestions(connection, rows)
            return len(reviews.read_suggestions(connection, [1, 5]))

    assert erase_beside(shared, monkeypatch, write) == 1


def test_erasing_beside_people_at_work_ends_well(shared: Workspace) -> None:
    for number in range(100, 160):
        put_upload(shared, number, user="mai", sampled="random")
    take_in(shared)
    stop, together = threading.Event(), threading.Barrier(4)

    def work(reviewer: str) -> int:
        turns = 0
        together.wait(120)
        while not stop.is_set():
            for item in next_items(shared, "text", reviewer, 20):
                try:
                    save_draft(shared, item.sample, reviewer, f"lượt {turns}", 0)
                except (NotFound, Conflict):  # erased, or their own draft of the last turn
                    continue
            turns += 1
        return turns

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work, f"person {number}") for number in range(3)]
        together.wait(120)
        erase(shared, user="mai")
        erase(shared, user="lan")
        stop.set()
        assert sum(one.result() for one in working) > 0
    assert_gone(shared)
