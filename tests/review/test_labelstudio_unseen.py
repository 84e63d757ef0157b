"""Tasks that are gone from Label Studio: told from those that only just came there."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from nhan.catalog.labelstudio import all_links, erase_tasks, record_tasks
from nhan.catalog.samples import lock_writers
from nhan.catalog.schema import labelstudio_tasks, samples
from nhan.review.labelstudio.connection import Connection
from nhan.review.labelstudio.report import PullReport
from nhan.review.labelstudio.unseen import Unseen

CONNECTION = Connection(task="text", address="http://ls", project=7, title="x", config="")


class _Project:
    """Its tasks by number; something may happen while they are listed."""

    def __init__(self, tasks, meanwhile=lambda: None) -> None:
        self._tasks = tasks
        self._meanwhile = meanwhile

    def tasks(self, project, *, after, size, fields):
        found = [{"id": number} for number in self._tasks if number > after][:size]
        if not found:
            self._meanwhile()
        return found


@pytest.fixture
def pushed(workspace, add_samples):
    """Three samples of which two are tasks; gives their numbers."""
    numbers = add_samples([0.9, 0.8, 0.7])
    with workspace.catalog.write() as connection:
        record_tasks(connection, CONNECTION.key, {numbers[0]: (1, ""), numbers[1]: (2, "")})
    return numbers


def sweep(workspace, client) -> PullReport:
    @contextmanager
    def begin():
        with workspace.catalog.write() as connection:
            lock_writers(connection)
            yield connection

    report = PullReport(CONNECTION.key, False)
    unseen = Unseen(workspace, client, CONNECTION, begin, report)
    assert unseen.forget_deleted({"task_number": 1}, every=True)
    return report


def states(workspace) -> list[str]:
    with workspace.catalog.read() as connection:
        rows = connection.execute(samples.select().order_by(samples.c.id)).mappings()
        return [str(row["state"]) for row in rows]


def test_a_task_that_is_gone_takes_its_sample_out_of_the_queue(workspace, pushed) -> None:
    assert sweep(workspace, _Project([1])).deleted == 1
    assert states(workspace) == ["queued", "skipped", "queued"]


def test_a_task_that_a_push_makes_while_we_look_is_not_gone(workspace, pushed) -> None:
    def push() -> None:
        with workspace.catalog.write() as connection:
            record_tasks(connection, CONNECTION.key, {pushed[2]: (3, "")})

    assert sweep(workspace, _Project([1, 2], meanwhile=push)).deleted == 0
    assert states(workspace) == ["queued"] * 3
    with workspace.catalog.read() as connection:
        assert len(all_links(connection, CONNECTION.key)) == 3


def test_a_sample_that_is_erased_while_we_look_is_passed_over(workspace, pushed) -> None:
    def erase() -> None:
        with workspace.catalog.write() as connection:
            erase_tasks(connection, [pushed[1]])
            connection.execute(labelstudio_tasks.delete().where(labelstudio_tasks.c.task_id == 2))
            connection.execute(samples.delete().where(samples.c.id == pushed[1]))

    assert sweep(workspace, _Project([1], meanwhile=erase)).deleted == 0
    assert states(workspace) == ["queued", "queued"]
