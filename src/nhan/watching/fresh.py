"""How many labels have come in that no dataset version knows yet."""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from nhan.catalog import TRAINABLE
from nhan.catalog.schema import events, labels, samples
from nhan.datasets.layout import SPLITS
from nhan.datasets.read import open_dataset
from nhan.errors import NotFound
from nhan.workspace import Workspace


@dataclass
class FreshLabels:
    """Counts labels that the newest version of a dataset lacks, cheaply when asked again and again.

    A sample counts when it may train and the version has it not at all, or with another label.

    Attributes:
        dataset: its name.
        task: whose labels.
    """

    dataset: str
    task: str
    _version: str = ""
    _frozen: set[tuple[str, str]] = field(default_factory=set)
    _seen: tuple[object, ...] = ()
    _count: int = 0

    def count(self, workspace: Workspace) -> int:
        """How many there are now."""
        seen = (self._newest(workspace), self._marks(workspace))
        if seen != self._seen:
            # Only now is every label read: something has happened since the last look.
            self._count = sum(1 for pair in self._labels(workspace) if pair not in self._frozen)
            self._seen = seen
        return self._count

    def _newest(self, workspace: Workspace) -> str:
        try:
            dataset = open_dataset(workspace.store, self.dataset)
        except NotFound:
            return ""
        if dataset.version != self._version:
            rows = (row for split in SPLITS for row in dataset.rows(split, pictures=False))
            self._frozen = {(row.sha256, row.label) for row in rows}
            self._version = dataset.version
        return dataset.version

    def _marks(self, workspace: Workspace) -> tuple[object, ...]:
        with workspace.catalog.read() as connection:
            return tuple(
                connection.scalar(sa.select(sa.func.max(column)))
                for column in (events.c.id, labels.c.id, samples.c.id)
            )

    def _labels(self, workspace: Workspace) -> list[tuple[str, str]]:
        query = (
            sa.select(samples.c.sha256, labels.c.value)
            .join(labels, labels.c.id == samples.c.label_id)
            .where(
                samples.c.task == self.task,
                samples.c.state.in_(TRAINABLE),
                samples.c.may_train.is_(sa.true()),
            )
        )
        with workspace.catalog.read() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]
