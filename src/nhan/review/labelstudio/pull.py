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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from nhan.catalog import State
from nhan.catalog.events import log_events
from nhan.catalog.labelstudio import (
    Link,
    all_links,
    find_links,
    find_samples,
    record_pulled,
    record_tasks,
)
from nhan.catalog.samples import Sample, load_samples, lock_writers, write_samples
from nhan.errors import BadLabel, UpstreamFailed
from nhan.review.labelstudio import shared, standing
from nhan.review.labelstudio.client import Json, LabelStudio
from nhan.review.labelstudio.config import Fields
from nhan.review.labelstudio.connection import (
    Connection,
    load_mark,
    moment_text,
    read_moment,
    save_mark,
)
from nhan.review.labelstudio.links import hash_in
from nhan.review.labelstudio.report import PullReport
from nhan.review.labelstudio.unseen import Unseen
from nhan.samples.doors.label_studio.opinions import read_opinions
from nhan.samples.doors.label_studio.verdict import Fault, Verdict, judge
from nhan.samples.record import Skip, Vote
from nhan.samples.settle import Normalised, given_label
from nhan.tasks import get_task
from nhan.tasks.base import Task
from nhan.workspace import Workspace

# Of the report's list for people.
_MAX_CHANGES = 500
# Tasks of one request and of one transaction.
PAGE = 100
# Of tasks and of their annotations alike: Label Studio applies one list to both.
_OF_ANNOTATION = ("result", "completed_by", "was_cancelled", "ground_truth", "created_at")
_FIELDS = ",".join(("id", "data", "annotations", "updated_at", *_OF_ANNOTATION))

Progress = Callable[[int, int | None], None]


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
        # What changes while we read may lie before the page we are at: it is for the next pull.
        newest = read_moment(self._client.newest_change(connection.project))
        for page in self._pages("" if full or mark.since is None else moment_text(mark.since)):
            self._enter(page)
            if progress is not None:
                progress(self.report.read, None)
        unseen = Unseen(self._workspace, self._client, connection, self._begin, self.report)
        unseen.erase_there()
        unseen.note_drafts()
        first = full or mark.swept is None
        self.report.swept = unseen.forget_deleted(self._project, every=first) or first
        if self._dry_run:
            return
        moved = mark.move(newest, began, swept=self.report.swept)
        if moved != mark:
            save_mark(store, connection.task, moved)
        if self.report.changed:
            with self._workspace.catalog.write() as transaction:
                said = self.report.to_json().items()
                counts = {
                    name: value for name, value in said if isinstance(value, str | int | dict)
                }
                log_events(transaction, [{"kind": "labelstudio.pull", "data": counts}])

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        """A transaction, alone among the writers of samples; of a dry run, one that only reads."""
        if self._dry_run:
            with self._workspace.catalog.read() as connection:
                yield connection
            return
        with self._workspace.catalog.write() as connection:
            lock_writers(connection)
            yield connection

    def _pages(self, since: str) -> Iterator[list[Json]]:
        after = 0
        while True:
            page = self._client.tasks(
                self._connection.project,
                after=after,
                since=since,
                size=PAGE,
                fields=_FIELDS,
            )
            if not page:
                return
            after = int(page[-1]["id"])
            yield page

    def _enter(self, page: list[Json]) -> None:
        """One transaction: all of the page or nothing."""
        key = self._connection.key
        self.report.read += len(page)
        with self._begin() as connection:
            links = find_links(connection, key, [int(one["id"]) for one in page])
            tasks = [self._look(one, links.get(int(one["id"]))) for one in page]
            tasks = self._adopt(connection, tasks)
            news = [one for one in tasks if one.known and one.said != one.known.pulled]
            self.report.unchanged += len(tasks) - len(news)
            hashes = [one.sha256 for one in news]
            samples = load_samples(connection, self._connection.task, hashes)
            wanted = find_samples(connection, self._connection.task, hashes)
            double = [one for one in news if wanted[one.sha256][1] > 1]  # several are to label it
            events = []
            for one in news:
                sample = samples[one.sha256]
                if wanted[one.sha256][1] > 1:
                    shared.hear(sample, self._words(one))
                else:
                    events += self._settle(one, sample)
            if self._dry_run:
                self.report.outcomes["voted"] += len(double)
                return
            write_samples(connection, self._connection.task, list(samples.values()))
            for one in double:
                events += self._weigh(connection, one, samples[one.sha256])
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
        if "result" not in annotation or "updated_at" not in annotation:
            raise UpstreamFailed(
                f"annotation {annotation.get('id')} came without what it says",
                hint="this version of Label Studio is not known to work; 1.23 is",
            )
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

    def _settle(self, one: _Task, sample: Sample) -> list[Json]:
        """Apply one task to its sample; the event to log, if anything happened."""
        verdict = judge(read_opinions(one.opinions), self._fields.where)
        if isinstance(verdict, Fault):
            self._skip(one, sample, verdict.code, verdict.message, verdict.hint)
            return []
        try:
            labels = self._normalised(verdict)
        except BadLabel as error:
            self._skip(one, sample, error.code, error.message, error.hint)
            return []
        who = labels.label.given_by if labels.label else ""
        return self._happened(one, sample, standing.apply(sample, verdict, labels), who)

    def _words(self, one: _Task) -> list[shared.Word]:
        return shared.words(read_opinions(one.opinions), self._fields.where, self._task)

    def _weigh(self, connection: sa.Connection, one: _Task, sample: Sample) -> list[Json]:
        """Let several people's words settle a sample; the event to log."""
        said = self._words(one)
        tolerance = self._workspace.settings.review.tolerance
        effect = shared.weigh(connection, self._task, sample, said, tolerance)
        return self._happened(one, sample, effect, ", ".join(word.who for word in said))

    def _happened(
        self, one: _Task, sample: Sample, effect: standing.Effect, who: str
    ) -> list[Json]:
        """Count an effect; the event to log, if there was any."""
        if effect.outcome == "unchanged":
            self.report.unchanged += 1
            return []
        self.report.outcomes[effect.outcome] += 1
        if len(self.report.changes) < _MAX_CHANGES:
            self.report.changes.append(
                f"{sample.name}: {effect.outcome} {effect.before} → {effect.after}"
            )
        data = {
            "before": effect.before,
            "after": effect.after,
            "task": one.number,
            "project": self._connection.key,
        }
        kind = f"labelstudio.{effect.outcome}"
        return [{"kind": kind, "sample_id": sample.id, "given_by": who, "data": data}]

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
