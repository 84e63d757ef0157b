"""Annotations from Label Studio: a page at a time, only what changed since the last pull.

Pages begin after a task's number, so that tasks which vanish meanwhile hide no others. A page is
one transaction; the mark that says how far we read moves only after the last. So a pull that was
killed begins where the one before it ended, and what it had written is recognised by its hash.

Changes to tasks move their `updated_at`, which Label Studio can filter by, with two exceptions:
a draft moves nothing (drafts are asked for by name), and a deleted task is simply no longer there
(the project's count tells; then all numbers are compared).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog import State
from nhan.catalog.events import log_events
from nhan.catalog.labelstudio import (
    Link,
    all_links,
    count_links,
    find_links,
    find_samples,
    forget_tasks,
    links_with_reason,
    record_pulled,
    record_tasks,
)
from nhan.catalog.samples import Sample, load_samples, lock_writers, write_samples
from nhan.errors import BadLabel
from nhan.review.labelstudio import standing
from nhan.review.labelstudio.client import Json, LabelStudio
from nhan.review.labelstudio.config import Fields
from nhan.review.labelstudio.connection import (
    Connection,
    Mark,
    load_mark,
    read_moment,
    save_mark,
)
from nhan.review.labelstudio.links import hash_in
from nhan.samples.doors.label_studio.opinions import read_opinions
from nhan.samples.doors.label_studio.verdict import Fault, Verdict, judge
from nhan.samples.record import Skip, Vote
from nhan.samples.settle import Normalised, given_label
from nhan.tasks import get_task
from nhan.tasks.base import Task
from nhan.workspace import Workspace

# Tasks of one request and of one transaction.
PAGE = 100

Progress = Callable[[int, int | None], None]


@dataclass
class PullReport:
    """What a pull did, or would do.

    `read == unchanged + outcomes + skipped`: every task that was read is in exactly one of them.

    Attributes:
        project: the connection's key.
        read: tasks that were read.
        unchanged: of them without news for us.
        outcomes: of them by what happened to the sample; see `standing.Effect`.
        skipped: of them not taken, each with its reason.
        begun, dropped: drafts that began, and that ended without an annotation.
        deleted: tasks that are gone; `unlabelled` of them had no label.
        changes: what changed, `NAME: before → after`, for people; at most a few hundred.
        swept: whether every task was looked at.
    """

    project: str
    dry_run: bool
    read: int = 0
    unchanged: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    skipped: list[Skip] = field(default_factory=list)
    begun: int = 0
    dropped: int = 0
    deleted: int = 0
    unlabelled: int = 0
    changes: list[str] = field(default_factory=list)
    swept: bool = False

    @property
    def labels(self) -> int:
        """Samples whose standing label is new or another one."""
        return self.outcomes["labelled"] + self.outcomes["relabelled"]

    @property
    def changed(self) -> bool:
        """Whether it did anything."""
        return bool(self.outcomes.total() or self.begun or self.dropped or self.deleted)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            **{name: value for name, value in vars(self).items() if name != "skipped"},
            "labels": self.labels,
            "outcomes": dict(self.outcomes),
            "skipped": len(self.skipped),
            "skipped_by_reason": dict(Counter(one.code for one in self.skipped)),
            "skipped_items": [one.to_json() for one in self.skipped],
        }


def pull(
    workspace: Workspace,
    client: LabelStudio,
    connection: Connection,
    *,
    full: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> PullReport:
    """Take what annotators did since the last pull.

    Args:
        workspace: where the labels go.
        client: Label Studio.
        connection: the project.
        full: read every task, not only those that changed.
        dry_run: look and count, change nothing.
        progress: called with the tasks read.

    Raises:
        NhanError: Label Studio is away, refuses, or lost the project; what was read is kept.
        StorageError: the catalogue or store is.
    """
    work = _Pull(workspace, client, connection, dry_run)
    work.read(full, progress)
    return work.report


@dataclass
class _Task:
    """A task of a page with what stands in the catalogue."""

    number: int
    sha256: str
    opinions: Json
    said: str
    known: Link | None


class _Pull:
    def __init__(
        self, workspace: Workspace, client: LabelStudio, connection: Connection, dry_run: bool
    ) -> None:
        self._workspace = workspace
        self._client = client
        self._connection = connection
        self._dry_run = dry_run
        self._task: Task = get_task(connection.task)
        self._project = client.project(connection.project)
        self._fields = Fields.of(str(self._project.get("label_config", "")))
        self._people = client.users()
        self.report = PullReport(connection.key, dry_run)

    def read(self, full: bool, progress: Progress | None) -> None:
        """Read what changed, then what `updated_at` does not tell, then move the mark."""
        store, connection = self._workspace.store, self._connection
        mark = load_mark(store, connection)
        began = datetime.now(UTC)
        latest = mark.changed
        for page in self._pages("" if full else mark.since):
            self._enter(page)
            moments = filter(None, (read_moment(one.get("updated_at")) for one in page))
            latest = max([*moments, latest] if latest else moments, default=None)
            if progress is not None:
                progress(self.report.read, None)
        self._drafts()
        self.report.swept = full or mark.swept is None
        if self._sweep(every=self.report.swept):
            self.report.swept = True
        if self._dry_run:
            return
        swept = began if self.report.swept else mark.swept
        moved = Mark(project=connection.key, changed=latest, swept=swept)
        if moved != mark:
            save_mark(store, connection.task, moved)
        if self.report.changed:
            with self._workspace.catalog.write() as transaction:
                said = self.report.to_json().items()
                counts = {
                    name: value for name, value in said if isinstance(value, str | int | dict)
                }
                log_events(transaction, [{"kind": "labelstudio.pull", "data": counts}])

    def _pages(self, since: str) -> Iterator[list[Json]]:
        after = 0
        while True:
            page = self._client.tasks(
                self._connection.project,
                after=after,
                since=since,
                size=PAGE,
                fields="id,data,annotations,updated_at",
            )
            if not page:
                return
            after = int(page[-1]["id"])
            yield page

    def _enter(self, page: list[Json]) -> None:
        """One transaction: all of the page or nothing."""
        key = self._connection.key
        self.report.read += len(page)
        with self._transaction() as connection:
            links = find_links(connection, key, [int(one["id"]) for one in page])
            tasks = [self._look(one, links.get(int(one["id"]))) for one in page]
            tasks = self._adopt(connection, tasks)
            news = [one for one in tasks if one.known and one.said != one.known.pulled]
            self.report.unchanged += len(tasks) - len(news)
            hashes = [one.sha256 for one in news]
            samples = load_samples(connection, self._connection.task, hashes)
            wanted = find_samples(connection, self._connection.task, hashes)
            events = []
            for one in news:
                event = self._settle(one, samples[one.sha256], wanted[one.sha256][1])
                if event is not None:
                    events.append(event)
            if self._dry_run:
                return
            write_samples(connection, self._connection.task, list(samples.values()))
            log_events(connection, events)
            record_pulled(connection, key, {one.number: one.said for one in news})

    def _look(self, task: Json, known: Link | None) -> _Task:
        data = task.get("data") or {}
        said = data.get("sha256")
        link = str(data.get(self._fields.picture) or "")
        sha256 = known.sha256 if known else str(said) if said else hash_in(link)
        annotations = [self._named(one) for one in task.get("annotations") or []]
        return _Task(
            int(task["id"]), sha256, {"annotations": annotations}, _digest(annotations), known
        )

    def _named(self, annotation: Json) -> Json:
        """An annotation with its annotator's address in place of their number."""
        who = annotation.get("completed_by")
        if isinstance(who, int):
            who = self._people.get(who, who)
        return {**annotation, "completed_by": who}

    def _adopt(self, connection: sa.Connection, tasks: list[_Task]) -> list[_Task]:
        """Tasks of our samples that a killed push left unrecorded; others are skipped."""
        strays = {one.sha256: one for one in reversed(tasks) if one.known is None}
        ours = find_samples(connection, self._connection.task, strays)
        key = self._connection.key
        shown = {link.sample_id: link for link in all_links(connection, key)} if ours else {}
        kept = []
        for one in tasks:
            if one.known is None:
                self._take_in(connection, one, strays, ours, shown)
            if one.known is not None:
                kept.append(one)
        return kept

    def _take_in(
        self,
        connection: sa.Connection,
        one: _Task,
        strays: dict[str, _Task],
        ours: dict[str, tuple[int, int]],
        shown: dict[int, Link],
    ) -> None:
        name = f"task {one.number}"
        if one.sha256 not in ours:
            message = "the task shows no picture of this workspace"
            hint = "export the project as JSON and `nhan import` it, to take in its pictures too"
            self.report.skipped.append(Skip(name, "unknown_picture", message, hint))
            return
        number = ours[one.sha256][0]
        if number in shown or strays[one.sha256] is not one:
            message = "a second task of the same picture; the first one counts"
            self.report.skipped.append(
                Skip(name, "second_task", message, "delete it in Label Studio")
            )
            return
        if not self._dry_run:
            record_tasks(connection, self._connection.key, {number: (one.number, "")})
        one.known = Link(number, one.sha256, "", State.QUEUED, one.number, "", "")

    def _settle(self, one: _Task, sample: Sample, needed: int) -> Json | None:
        """Apply one task to its sample; the event to log, if anything happened."""
        verdict = judge(read_opinions(one.opinions), self._fields.where)
        if isinstance(verdict, Fault):
            self._skip(one, sample, verdict.code, verdict.message, verdict.hint)
            return None
        try:
            labels = self._normalised(verdict)
        except BadLabel as error:
            self._skip(one, sample, error.code, error.message, error.hint)
            return None
        effect = standing.apply(sample, verdict, labels, needed=needed)
        if effect.outcome == "unchanged":
            self.report.unchanged += 1
            return None
        self.report.outcomes[effect.outcome] += 1
        if len(self.report.changes) < 500:
            self.report.changes.append(
                f"{sample.name}: {effect.outcome} {effect.before} → {effect.after}"
            )
        return {
            "kind": f"labelstudio.{effect.outcome}",
            "sample_id": sample.id,
            "given_by": labels.label.given_by if labels.label else "",
            "data": {
                "before": effect.before,
                "after": effect.after,
                "task": one.number,
                "project": self._connection.key,
            },
        }

    def _normalised(self, verdict: Verdict) -> Normalised:
        """The verdict's labels as the task writes them.

        Raises:
            BadLabel: the one that would stand is no label.
        """
        label = None
        if verdict.label is not None:
            label = given_label(verdict.label, self._value(verdict.label))
        others = []
        for vote in verdict.others:
            try:
                others.append(given_label(vote, self._value(vote)))
            except BadLabel:  # an opinion that is no label; the one that stands is what counts
                continue
        return Normalised(label, tuple(others))

    def _value(self, vote: Vote) -> str:
        return self._task.normalise(vote.value)

    def _skip(self, one: _Task, sample: Sample, code: str, message: str, hint: str) -> None:
        name = f"task {one.number} ({sample.name})"
        self.report.skipped.append(Skip(name, code, message, hint))

    def _drafts(self) -> None:
        """Mark samples that somebody has begun, and let go of those whose draft is gone."""
        key = self._connection.key
        drafted: set[int] = set()
        after = 0
        while page := self._client.tasks_with_drafts(
            self._connection.project, after=after, size=PAGE
        ):
            after = int(page[-1]["id"])
            drafted |= {int(one["id"]) for one in page}
        with self._workspace.catalog.read() as connection:
            links = find_links(connection, key, drafted)
            ended = [
                link
                for link in links_with_reason(connection, key, State.DRAFT, standing.PLACE)
                if link.task_id not in drafted
            ]
        begun = [link for link in links.values() if link.state in (State.NEW, State.QUEUED)]
        authors = {link.sha256: self._author(link.task_id) for link in begun}
        for part in _parts([*begun, *ended]):
            with self._transaction() as connection:
                hashes = [link.sha256 for link in part]
                samples = load_samples(connection, self._connection.task, hashes)
                for sha256, sample in samples.items():
                    if sha256 in authors:
                        self.report.begun += standing.begin_draft(sample, authors[sha256])
                    else:
                        self.report.dropped += standing.end_draft(sample)
                if not self._dry_run:
                    write_samples(connection, self._connection.task, list(samples.values()))

    def _author(self, task: int) -> str:
        drafts = self._client.drafts(task)
        return str(drafts[-1].get("user") or "") if drafts else ""

    def _sweep(self, *, every: bool) -> bool:
        """Find tasks that are gone; whether all numbers were compared."""
        key = self._connection.key
        with self._workspace.catalog.read() as connection:
            known = count_links(connection, key)
        if not known or (not every and int(self._project.get("task_number") or 0) >= known):
            return False
        there: set[int] = set()
        after = 0
        while page := self._client.tasks(
            self._connection.project, after=after, size=PAGE * 10, fields="id"
        ):
            after = int(page[-1]["id"])
            there |= {int(one["id"]) for one in page}
        with self._workspace.catalog.read() as connection:
            gone = [link for link in all_links(connection, key) if link.task_id not in there]
        for part in _parts(gone):
            self._forget(part)
        return True

    def _forget(self, gone: list[Link]) -> None:
        with self._transaction() as connection:
            samples = load_samples(
                connection, self._connection.task, [link.sha256 for link in gone]
            )
            events = []
            for link in gone:
                sample = samples[link.sha256]
                lost = standing.lose_task(sample)
                self.report.deleted += 1
                self.report.unlabelled += lost
                events.append(
                    {
                        "kind": "labelstudio.task_deleted",
                        "sample_id": sample.id,
                        "data": {"task": link.task_id, "project": self._connection.key},
                    }
                )
            if self._dry_run:
                return
            write_samples(connection, self._connection.task, list(samples.values()))
            log_events(connection, events)
            forget_tasks(connection, self._connection.key, [link.task_id for link in gone])

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """One that writes, alone among the writers of samples; of a dry run, one that reads."""
        if self._dry_run:
            with self._workspace.catalog.read() as connection:
                yield connection
            return
        with self._workspace.catalog.write() as connection:
            lock_writers(connection)
            yield connection


def _digest(annotations: Iterable[Json]) -> str:
    """What tells one state of a task's annotations from another; empty where there are none."""
    said = sorted(
        (
            int(one.get("id") or 0),
            str(one.get("updated_at")),
            str(one.get("completed_by")),
            bool(one.get("was_cancelled")),
            bool(one.get("ground_truth")),
            json.dumps(one.get("result"), sort_keys=True, ensure_ascii=False),
        )
        for one in annotations
    )
    if not said:
        return ""
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


def _parts(links: list[Link]) -> Iterator[list[Link]]:
    return (links[start : start + PAGE] for start in range(0, len(links), PAGE))
