"""Taking a source in: decode, store, and only then let the catalogue know.

The picture's object is written before its row, and rows are written a batch a transaction, so an
import that is killed leaves nothing half-done: started again, it passes over what it knows after
one hash each. Memory is bounded by the pictures in flight, not by the source.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from nhan.catalog.events import log_event, log_events
from nhan.catalog.samples import (
    Picture,
    Sample,
    known_hashes,
    load_samples,
    lock_writers,
    write_samples,
)
from nhan.errors import BadLabel, BadPicture, BadSource
from nhan.images import PictureLimits, content_hash, probe
from nhan.samples.doors import Reading, find_door
from nhan.samples.media import Media
from nhan.samples.pictures import examine, heal, keep, picture_path
from nhan.samples.record import Record, Skip
from nhan.samples.report import ImportReport
from nhan.samples.settle import Normalised, Settled, given_label, new_sample, settle
from nhan.storage import Store
from nhan.tasks import get_task
from nhan.tasks.base import Task
from nhan.workspace import Workspace

# A transaction on a disk costs some ms; at this many samples they no longer show, and what a kill
# costs is a second's work.
_BATCH = 500
# Decoding, hashing and writing release the interpreter; more threads than cores keep a slow disk
# or an S3 server busy.
_THREADS = min(8, 2 * (os.cpu_count() or 1))
_IN_FLIGHT = 4 * _THREADS

Progress = Callable[[int, int | None], None]


def import_samples(
    workspace: Workspace,
    source: str | Path,
    *,
    task: str = "text",
    split: str = "",
    source_name: str = "",
    reading: Reading | None = None,
    relabel: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Take the labelled pictures of a source into a workspace.

    Args:
        workspace: where the samples go.
        source: file or folder in one of the layouts of `nhan.samples.doors.base.DOORS`.
        task: which labels they are.
        split: every sample asks for this split (`train`, `validation`, `test`).
        source_name: the slice they belong to; by default the first sub-folder of each.
        reading: further options of the source; `split` and `source_name` win over its own.
        relabel: labels of this source replace labels that stand.
        dry_run: decode and report everything, write nothing.
        progress: called with the items done and their number, if known.

    Returns:
        What happened to each item.

    Raises:
        BadSource: the source as a whole cannot be read, or holds nothing.
        NotFound: no such task.
    """
    rules = get_task(task)
    options = reading or Reading()
    options = replace(
        options,
        split=split or options.split,
        source_name=source_name or options.source_name,
        choices=rules.choices,
    )
    path = Path(source)
    started = time.monotonic()
    name, door = find_door(path, folder_is_label=rules.folder_is_label, layout=options.layout)
    folder = path if path.is_dir() else path.parent
    limits = workspace.picture_limits
    store = workspace.store
    opened = door.open(path, options, Media(folder, options.media, store, limits.max_bytes))
    report = ImportReport(str(source), name, task, dry_run)
    known = {_short(sha256) for sha256 in known_hashes(workspace.catalog, task)}
    intake = _Intake(rules, None if dry_run else store, limits, known)
    book = _DryBook(workspace, rules, relabel) if dry_run else _Book(workspace, rules, relabel)
    for batch in _batches(_prepared(opened.items, intake)):
        book.enter(batch, intake, report)
        if progress is not None:
            progress(report.read, opened.total)
    report.seconds = time.monotonic() - started
    report.check()
    if not report.read:
        raise BadSource(f"{source} holds no items", hint="is it the right folder or file?")
    if not dry_run:
        book.close(report)
    return report


@dataclass(frozen=True, slots=True)
class _Taken:
    """A record whose picture is in the store; `picture` is None when it was known already."""

    record: Record
    labels: Normalised
    sha256: str
    picture: Picture | None


def _short(sha256: str) -> int:
    """64 bits of a hash: enough to guess that a picture is known, a tenth of the memory."""
    return int(sha256[:16], 16)


class _Intake:
    """The part of the work that needs no catalogue, done by several threads."""

    def __init__(
        self, task: Task, store: Store | None, limits: PictureLimits, known: set[int]
    ) -> None:
        self._task = task
        self._store = store
        self._limits = limits
        self._known = known

    def take(self, item: Record | Skip) -> _Taken | Skip:
        """Normalise the labels; read, hash, decode and store the picture; hash a known one only."""
        if isinstance(item, Skip):
            return item
        try:
            labels = _normalise(item, self._task)
            data = item.picture()
            sha256 = content_hash(data)
            if not data or _short(sha256) not in self._known:
                return _Taken(item, labels, sha256, self._look(data, sha256))
            if self._store is not None:
                extension = probe(data, self._limits).extension
                heal(self._store, picture_path(sha256, extension), data)
            return _Taken(item, labels, sha256, None)
        except (BadLabel, BadPicture) as error:
            return Skip(item.name, error.code, error.message, error.hint)

    def again(self, taken: _Taken) -> Picture:
        """Look at a picture that was taken for known and is not (it was erased meanwhile).

        Raises:
            BadPicture: it can no longer be read.
        """
        return self._look(taken.record.picture(), taken.sha256)

    def learn(self, sha256: str) -> None:
        """From now on this picture is known."""
        self._known.add(_short(sha256))

    def _look(self, data: bytes, sha256: str) -> Picture:
        picture = examine(data, sha256, self._limits)
        if self._store is not None:
            keep(self._store, picture.path, data)
        return picture


def _normalise(record: Record, task: Task) -> Normalised:
    label = None
    if record.label is not None:
        label = given_label(record.label, task.normalise(record.label.value))
    others = []
    for vote in record.others:
        try:
            others.append(given_label(vote, task.normalise(vote.value)))
        except BadLabel:  # an opinion that is no label; the one that stands is what counts
            continue
    return Normalised(label, tuple(others))


def _prepared(items: Iterator[Record | Skip], intake: _Intake) -> Iterator[_Taken | Skip]:
    """Items in their order, a bounded number of them worked on ahead."""
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="import")
    waiting: deque[Future[_Taken | Skip]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(intake.take, item))
            if len(waiting) >= _IN_FLIGHT:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _batches(items: Iterator[_Taken | Skip]) -> Iterator[list[_Taken | Skip]]:
    batch: list[_Taken | Skip] = []
    for item in items:
        batch.append(item)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _Book:
    """Enters batches into the catalogue."""

    def __init__(self, workspace: Workspace, task: Task, relabel: bool) -> None:
        self._workspace = workspace
        self._catalog = workspace.catalog
        self._task = task
        self._relabel = relabel

    def enter(self, batch: list[_Taken | Skip], intake: _Intake, report: ImportReport) -> None:
        """One transaction: all of the batch or nothing."""
        with self._catalog.write() as connection:
            lock_writers(connection)
            hashes = {item.sha256 for item in batch if isinstance(item, _Taken)}
            samples = load_samples(connection, self._task.name, hashes)
            settled = self._settle(batch, samples, intake, report)
            write_samples(connection, self._task.name, list(samples.values()))
            log_events(
                connection,
                [
                    {
                        "kind": f"sample.{what.outcome}",
                        "sample_id": samples[sha256].id,
                        "data": {"before": what.before, "after": what.after},
                    }
                    for sha256, what in settled
                    if what.outcome in ("relabelled", "conflict", "set_aside")
                ],
            )
        for sha256, what in settled:
            if what.outcome == "added":
                intake.learn(sha256)

    def close(self, report: ImportReport) -> None:
        """Note in the log that the import ended, with its counts."""
        counts = {key: value for key, value in report.to_json().items() if _is_count(value)}
        with self._catalog.write() as connection:
            log_event(connection, "import", **counts)

    def _settle(
        self,
        batch: list[_Taken | Skip],
        samples: dict[str, Sample],
        intake: _Intake,
        report: ImportReport,
    ) -> list[tuple[str, Settled]]:
        """Decide on each item in order; new samples are put into `samples`."""
        settled = []
        for item in batch:
            outcome = item if isinstance(item, Skip) else self._one(item, samples, intake, report)
            if isinstance(outcome, Skip):
                report.skip(outcome)
            else:
                assert isinstance(item, _Taken)
                report.settled(item.record, outcome)
                settled.append((item.sha256, outcome))
        return settled

    def _one(
        self, taken: _Taken, samples: dict[str, Sample], intake: _Intake, report: ImportReport
    ) -> Settled | Skip:
        record, label = taken.record, taken.labels.label
        if label is not None and label.given is not None:
            report.mend(label.given, label.value)
        sample = samples.get(taken.sha256)
        if sample is not None:
            return settle(sample, record, taken.labels, fresh=False, relabel=self._relabel)
        try:
            picture = taken.picture or intake.again(taken)
        except BadPicture as error:
            return Skip(record.name, error.code, error.message, error.hint)
        sample = samples[taken.sha256] = new_sample(record, taken.sha256, picture)
        return settle(sample, record, taken.labels, fresh=True)


class _DryBook(_Book):
    """Decides as `_Book` does and remembers what it would have written, in memory."""

    def __init__(self, workspace: Workspace, task: Task, relabel: bool) -> None:
        super().__init__(workspace, task, relabel)
        self._would_be: dict[str, Sample] = {}

    def enter(self, batch: list[_Taken | Skip], intake: _Intake, report: ImportReport) -> None:
        """Settle a batch against the catalogue and what earlier batches would have written."""
        hashes = {item.sha256 for item in batch if isinstance(item, _Taken)}
        with self._catalog.read() as connection:
            samples = load_samples(connection, self._task.name, hashes - self._would_be.keys())
        samples |= {key: self._would_be[key] for key in hashes & self._would_be.keys()}
        self._settle(batch, samples, intake, report)
        for sha256, sample in samples.items():
            sample.picture = None  # only a thumbnail, but a hundred thousand of them
            self._would_be[sha256] = sample


def _is_count(value: object) -> bool:
    return isinstance(value, str | int | float | bool) or (
        isinstance(value, dict) and len(value) <= 50
    )
