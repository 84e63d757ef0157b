"""What a push may send at all, told by a project that only listens."""

from __future__ import annotations

import pytest

from nhan.catalog import State
from nhan.catalog.labelstudio import Said, record_tasks
from nhan.catalog.samples import lock_writers
from nhan.catalog.schema import samples
from nhan.errors import NotFound
from nhan.review.labelstudio.connection import Connection
from nhan.review.labelstudio.links import Links, load_signer
from nhan.review.labelstudio.push import push

CONNECTION = Connection(task="text", address="http://ls", project=7, title="x", config="")
CONFIG = '<View><Image name="image" value="$image"/><TextArea name="text" toName="image"/></View>'


class _Project:
    """It takes every task and has none before."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def project(self, _number):
        return {"label_config": CONFIG, "maximum_annotations": 1}

    def tasks(self, _project, *, after, size, fields):
        return []

    def import_tasks(self, _project, tasks):
        begun = len(self.names)
        self.names += [task["data"]["name"] for task in tasks]
        return list(range(begun + 1, len(self.names) + 1))


class _Shrinking(_Project):
    """Of its two tasks somebody deletes the first once they are listed."""

    def __init__(self, hashes) -> None:
        super().__init__()
        guess = {"id": 1, "model_version": "old@1"}
        self._there = [
            {"id": number, "data": {"sha256": sha256}, "predictions": [guess | {"id": number}]}
            for number, sha256 in enumerate(hashes, start=1)
        ]
        self.changed: list[str] = []

    def tasks(self, _project, *, after, size, fields):
        return [one for one in self._there if one["id"] > after]

    def update_task(self, number, _data):
        self._change("task", number)

    def update_prediction(self, number, **_fields):
        self._change("prediction", number)

    def update_project(self, _project, **_fields):
        return {}

    def _change(self, what, number):
        if number == 1:
            raise NotFound(f"Label Studio at http://ls has nothing at {what} {number}")
        self.changed.append(f"{what} {number}")


class _Champion:
    ref = "new@1"

    def answers(self, asked):
        return {number: Said("chữ", 0.9) for number in asked}, {}


def test_a_task_that_is_deleted_meanwhile_holds_up_no_other(workspace, add_samples) -> None:
    """A watch ended of it, as of a project that is gone."""
    numbers = add_samples([0.9, 0.8])
    with workspace.catalog.write() as connection:
        lock_writers(connection)
        record_tasks(
            connection, CONNECTION.key, {number: (at + 1, "") for at, number in enumerate(numbers)}
        )
        hashes = connection.scalars(samples.select().with_only_columns(samples.c.sha256)).all()
    client = _Shrinking(hashes)
    links = Links(load_signer(workspace.root), "http://here", 365)
    report = push(workspace, client, CONNECTION, links, suggester=_Champion())
    assert client.changed == ["task 2", "prediction 2"]
    assert (report.relinked, report.refreshed) == (1, 1)


@pytest.fixture
def refused(workspace, add_samples):
    """One new sample that may train; two new ones and a queued one that may not."""
    numbers = [*add_samples([0.1] * 3, state=State.NEW), *add_samples([0.5])]
    with workspace.catalog.write() as connection:
        connection.execute(
            samples.update().where(samples.c.id.in_(numbers[1:])).values(may_train=False)
        )


@pytest.mark.parametrize("dry_run", [True, False])
def test_pictures_whose_senders_did_not_consent_stay_here(workspace, refused, dry_run) -> None:
    """Unless chance, another policy or a correction put them into the queue, as in review."""
    client = _Project()
    links = Links(load_signer(workspace.root), "http://here", 365)
    report = push(workspace, client, CONNECTION, links, suggester=None, dry_run=dry_run)
    assert (report.pushed, report.withheld) == (2, 2)
    assert client.names == ([] if dry_run else ["4.png", "1.png"])
    only_queued = push(
        workspace, client, CONNECTION, links, suggester=None, states=[State.QUEUED], dry_run=True
    )
    assert only_queued.withheld == 0
