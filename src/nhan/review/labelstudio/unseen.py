"""What a task's `updated_at` does not tell: drafts, and tasks that are gone or must go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import sqlalchemy as sa

from nhan.catalog import State
from nhan.catalog.events import log_events
from nhan.catalog.labelstudio import (
    Link,
    all_links,
    count_links,
    find_links,
    forget_tasks,
    links_with_reason,
    note_erased,
    tasks_to_erase,
)
from nhan.catalog.samples import load_samples, write_samples
from nhan.review.labelstudio import standing
from nhan.review.labelstudio.client import Json, LabelStudio
from nhan.review.labelstudio.connection import Connection
from nhan.review.labelstudio.report import PullReport
from nhan.workspace import Workspace

# Samples of one transaction; of bare numbers, ten times as many make a page.
_PAGE = 100


@dataclass
class Unseen:
    """Looks for them.

    Attributes:
        begin: opens a transaction; of a dry run, one that only reads.
        report: where it is counted.
    """

    workspace: Workspace
    client: LabelStudio
    connection: Connection
    begin: Callable[[], AbstractContextManager[sa.Connection]]
    report: PullReport

    def note_drafts(self) -> None:
        """Mark samples that somebody has begun, and let go of those whose draft is gone."""
        key = self.connection.key
        drafted: set[int] = set()
        after = 0
        while page := self.client.tasks_with_drafts(
            self.connection.project, after=after, size=_PAGE
        ):
            after = int(page[-1]["id"])
            drafted |= {int(one["id"]) for one in page}
        with self.workspace.catalog.read() as connection:
            links = find_links(connection, key, drafted)
            ended = [
                link
                for link in links_with_reason(connection, key, State.DRAFT, standing.PLACE)
                if link.task_id not in drafted
            ]
        begun = [link for link in links.values() if link.state in (State.NEW, State.QUEUED)]
        authors = {link.sha256: self._author(link.task_id) for link in begun}
        for part in _parts([*begun, *ended]):
            with self.begin() as connection:
                hashes = [link.sha256 for link in part]
                samples = load_samples(connection, self.connection.task, hashes)
                for sha256, sample in samples.items():
                    if sha256 in authors:
                        self.report.begun += standing.begin_draft(sample, authors[sha256])
                    else:
                        self.report.dropped += standing.end_draft(sample)
                if not self.report.dry_run:
                    write_samples(connection, self.connection.task, list(samples.values()))

    def _author(self, task: int) -> str:
        drafts = self.client.drafts(task)
        return str(drafts[-1].get("user") or "") if drafts else ""

    def erase_there(self) -> None:
        """Delete the tasks of samples that were erased here, with all their annotations."""
        with self.workspace.catalog.read() as connection:
            wanted = tasks_to_erase(connection, self.connection.key)
        for task in wanted:
            self.report.erased += 1
            if not self.report.dry_run:
                self.client.delete_task(task)
                with self.begin() as connection:
                    note_erased(connection, self.connection.key, task)

    def forget_deleted(self, project: Json, *, every: bool) -> bool:
        """Find tasks that are gone and settle their samples.

        Args:
            project: as Label Studio tells it, with its count of tasks.
            every: compare all numbers, whatever the count.

        Returns:
            Whether all numbers were compared.
        """
        key = self.connection.key
        with self.workspace.catalog.read() as connection:
            known = count_links(connection, key)
        if not known or (not every and int(project.get("task_number") or 0) >= known):
            return False
        # Before the list is read: a task that a push makes meanwhile is in neither, and not gone.
        with self.workspace.catalog.read() as connection:
            links = list(all_links(connection, key))
        there: set[int] = set()
        after = 0
        while page := self.client.tasks(
            self.connection.project, after=after, size=_PAGE * 10, fields="id"
        ):
            after = int(page[-1]["id"])
            there |= {int(one["id"]) for one in page}
        for part in _parts([link for link in links if link.task_id not in there]):
            self._forget(part)
        return True

    def _forget(self, gone: list[Link]) -> None:
        with self.begin() as connection:
            samples = load_samples(connection, self.connection.task, [link.sha256 for link in gone])
            events = []
            for link in gone:
                sample = samples.get(link.sha256)
                if sample is None:  # erased here meanwhile, its task along with it
                    continue
                lost = standing.lose_task(sample)
                self.report.deleted += 1
                self.report.unlabelled += lost
                events.append(
                    {
                        "kind": "labelstudio.task_deleted",
                        "sample_id": sample.id,
                        "data": {"task": link.task_id, "project": self.connection.key},
                    }
                )
            if self.report.dry_run:
                return
            write_samples(connection, self.connection.task, list(samples.values()))
            log_events(connection, events)
            forget_tasks(connection, self.connection.key, [link.task_id for link in gone])


def _parts(links: list[Link]) -> Iterator[list[Link]]:
    return (links[start : start + _PAGE] for start in range(0, len(links), _PAGE))
