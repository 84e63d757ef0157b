"""Whatever happened before: clearing away leaves what is referred to, and nothing else."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from nhan.catalog.schema import samples
from nhan.datasets.freeze import freeze
from nhan.datasets.read import list_datasets, open_dataset
from nhan.doctor import examine
from nhan.errors import NotFound, UserError
from nhan.gc.run import collect_garbage
from nhan.images import content_hash
from nhan.uploads.erase import erase
from nhan.uploads.intake import take_in
from nhan.uploads.record import CorrectionRecord, dump, inbox_path
from nhan.workspace import Workspace
from uploads.conftest import draw
from used_workspace import NONE, assert_whole, put_orphan, put_upload

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["upload", "orphan", "intake", "freeze", "erase", "correct", "gc", "lose"]),
        st.integers(0, 5),
    ),
    max_size=25,
)


class Story:
    """Things that happen in a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def upload(self, number: int) -> None:
        put_upload(self.workspace, number, user=f"user {number % 3}")

    def orphan(self, number: int) -> None:
        put_orphan(self.workspace, number)

    def intake(self, _: int) -> None:
        take_in(self.workspace)

    def freeze(self, _: int) -> None:
        with suppress(UserError):  # nothing is labelled yet
            freeze(self.workspace, "lines")

    def erase(self, number: int) -> None:
        with suppress(NotFound):
            erase(self.workspace, user=f"user {number % 3}")

    def correct(self, number: int) -> None:
        record = put_upload(self.workspace, number)
        one = CorrectionRecord.make(record.id, f"dòng {number}", "an", trusted=True)
        self.workspace.store.put(inbox_path(record.id, one.id), dump(one.to_json()))

    def gc(self, _: int) -> None:
        collect_garbage(self.workspace, grace=NONE)

    def lose(self, number: int) -> None:
        """A freeze is killed before its manifest."""
        path = f"datasets/lines/{number:012x}/data-train-00000.parquet"
        self.workspace.store.put(path, b"half")


def referred_to(workspace: Workspace) -> set[str]:
    with workspace.catalog.read() as connection:
        found = set(connection.scalars(sa.select(samples.c.sha256)))
    for summary in list_datasets(workspace.store):
        for version in summary.versions:
            dataset = open_dataset(workspace.store, f"{summary.name}@{version}")
            found |= {row.sha256 for split in dataset.splits for row in dataset.rows(split)}
    return found


@settings(max_examples=12, deadline=None)
@given(STEPS)
def test_all_that_is_referred_to_stays_and_nothing_else(steps: list[tuple[str, int]]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace.init(Path(folder) / "workspace") as workspace,
    ):
        story = Story(workspace)
        put_upload(workspace, 9)
        for name, number in steps:
            getattr(story, name)(number)
        before = {path: workspace.store.read(path) for path in workspace.store.list("images")}
        waiting = len(list(workspace.store.list("uploads/inbox")))
        for _ in range(2):
            collect_garbage(workspace, grace=NONE)
        assert len(list(workspace.store.list("uploads/inbox"))) == waiting
        assert not [one for one in examine(workspace.root) if one.state == "error"]
        assert_whole(workspace)
        wanted = referred_to(workspace)
        left = {path: workspace.store.read(path) for path in workspace.store.list("images")}
        assert left.items() <= before.items()
        assert {content_hash(data) for data in left.values()} <= wanted
        with workspace.catalog.read() as connection:
            own = set(connection.scalars(sa.select(samples.c.sha256)))
        assert own <= {content_hash(data) for data in left.values()}
        assert not list(workspace.store.list("gc"))
        known = {f"datasets/{one.name}/{version}/"
                 for one in list_datasets(workspace.store) for version in one.versions}  # fmt: skip
        shards = [path for path in workspace.store.list("datasets") if path.endswith(".parquet")]
        assert all(path.startswith(tuple(known)) for path in shards)
        assert draw(9) in left.values()
