"""What a push may send at all, told by a project that only listens."""

from __future__ import annotations

import pytest

from nhan.catalog import State
from nhan.catalog.schema import samples
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
