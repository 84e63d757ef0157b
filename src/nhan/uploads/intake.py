"""Intake: what serving collected becomes samples, predictions and corrections in the catalogue.

Each batch is one transaction; only then its objects leave the inbox. Whatever is killed in between
is found known the next time, and of two intakes at once each does what the other has not done. An
object that cannot be taken in is moved aside with the reason; nothing is dropped in silence.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from nhan.catalog.events import log_event
from nhan.catalog.uploads import list_uploads
from nhan.errors import NhanError, NotFound
from nhan.names import spellings
from nhan.storage import Store
from nhan.uploads import record as layout
from nhan.uploads.enter import Entered, Found, enter_corrections, enter_notes, enter_uploads
from nhan.uploads.erased import Erased, make_nameless
from nhan.uploads.record import CorrectionRecord, UploadRecord
from nhan.uploads.remove import finish, remove
from nhan.uploads.retention import expire
from nhan.uploads.ship import ship_leftovers
from nhan.workspace import Workspace

# Uploads in one transaction: enough to spread its cost, few enough that others can write soon.
_BATCH = 500
# Reading, decoding and moving spend their time outside the interpreter.
_THREADS = min(8, 2 * (os.cpu_count() or 1))

_NOTE = "disagreement"
# A correction or note whose prediction has not arrived by then never had one that was kept; a spool
# that could not reach the store for longer is looked at by somebody.
_PATIENCE = timedelta(days=30)

Progress = Callable[[int, int | None], None]


@dataclass
class IntakeReport:
    """What an intake did.

    Attributes:
        taken: uploads that are new in the catalogue.
        known: uploads that were there already.
        samples: pictures seen for the first time.
        queued: uploads that a policy chose for review.
        corrections: new corrections by what became of them: `stands`, `queued`, `agrees`,
            `contradicts`.
        notes: disagreements of candidates.
        erased: uploads that were to be erased, dropped.
        expired: uploads that were older than `uploads.keep_days`, and gone now.
        refused: what could not be taken in, with the reason.
        waiting: objects that are still in the inbox: over the limit, or corrections whose
            prediction has not arrived.
    """

    taken: int = 0
    known: int = 0
    samples: int = 0
    queued: int = 0
    corrections: Counter[str] = field(default_factory=Counter)
    notes: int = 0
    erased: int = 0
    expired: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    waiting: int = 0
    dry_run: bool = False

    @property
    def new_corrections(self) -> int:
        """Corrections that the catalogue did not have."""
        return self.corrections.total() - self.corrections["known"]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "taken": self.taken,
            "known": self.known,
            "samples": self.samples,
            "queued": self.queued,
            "corrections": dict(self.corrections),
            "notes": self.notes,
            "erased": self.erased,
            "expired": self.expired,
            "refused": [{"path": path, "reason": reason} for path, reason in self.refused],
            "waiting": self.waiting,
            "dry_run": self.dry_run,
        }


def take_in(
    workspace: Workspace,
    *,
    limit: int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> IntakeReport:
    """Take what serving collected into the catalogue.

    What a server that no longer runs left in this workspace's spool is shipped first.

    Args:
        workspace: where.
        limit: at most so many uploads; corrections and notes of all.
        dry_run: look at the inbox and count, change nothing.
        progress: called with the objects done and their number.

    Returns:
        What happened; `waiting` is what a further intake would find.

    Raises:
        StorageError: object store or catalogue are out of reach; what was done stays done.
    """
    report = IntakeReport(dry_run=dry_run)
    if not dry_run:
        ship_leftovers(workspace.root / workspace.settings.uploads.spool, workspace.store)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="intake") as pool:
        intake = _Intake(workspace, pool, report)
        done = 0
        # A day at a time, oldest first: corrections lie in the day of their prediction.
        for day in workspace.store.folders(layout.INBOX):
            left = None if limit is None else limit - report.taken - report.known
            inbox = _Inbox(workspace.store, day, left)
            report.waiting += inbox.beyond
            if dry_run:
                report.waiting += len(inbox)
                continue
            for batch, take in inbox.work(intake):
                take(batch)
                done += len(batch)
                if progress is not None:
                    progress(done, None)
        if dry_run:
            return report
        intake.erased.forget_pictures(workspace)
        finish(workspace)
        report.expired = expire(workspace).uploads
    if done:
        counts = {name: value for name, value in report.to_json().items() if name != "refused"}
        with workspace.catalog.write() as connection:
            log_event(connection, "intake", **counts, refused=len(report.refused))
    return report


class _Inbox:
    """What waits of one day.

    Attributes:
        uploads, corrections, notes: paths, in order of time.
        beyond: uploads over the limit.
    """

    def __init__(self, store: Store, day: str, limit: int | None) -> None:
        self.uploads: list[str] = []
        self.corrections: list[str] = []
        self.notes: list[str] = []
        for path in sorted(store.list(f"{layout.INBOX}/{day}")):
            prediction, _, part = _stem(path).partition("-")
            if not path.endswith(".json") or not layout.is_id(prediction):
                continue  # a temporary file of a store, or somebody's own
            kind = self.uploads if not part else self.corrections
            (self.notes if part == _NOTE else kind).append(path)
        self.beyond = 0
        if limit is not None:
            self.beyond = max(0, len(self.uploads) - max(0, limit))
            del self.uploads[max(0, limit) :]

    def __len__(self) -> int:
        return len(self.uploads) + len(self.corrections) + len(self.notes)

    def work(self, intake: _Intake) -> Iterator[tuple[Sequence[str], Callable[..., None]]]:
        """Batches and who takes them; uploads first, what is said of them after."""
        for paths, take in (
            (self.uploads, intake.uploads),
            (self.corrections, intake.corrections),
            (self.notes, intake.notes),
        ):
            for start in range(0, len(paths), _BATCH):
                yield paths[start : start + _BATCH], take


class _Intake:
    def __init__(
        self, workspace: Workspace, pool: ThreadPoolExecutor, report: IntakeReport
    ) -> None:
        self._workspace = workspace
        self._store = workspace.store
        self._pool = pool
        self._report = report
        self.erased = Erased(workspace.store)

    def uploads(self, paths: Sequence[str]) -> None:
        """One batch: read, decode, enter, move."""
        found: list[Found] = []
        for path, data in self._read(paths):
            try:
                record = UploadRecord.from_bytes(data)
            except NhanError as error:
                self._refuse(path, data, error.message)
                continue
            if self.erased.covers(record):
                self._store.delete(path)
                self.erased.drop(record)
                self._report.erased += 1
            else:
                found.append(Found(path, data, record))
        entered = enter_uploads(self._workspace, found, self._pool)
        self._count(entered)
        self._move([one for one in found if one.path not in entered.refused])
        for one in found:
            if one.path in entered.refused:
                self._refuse(one.path, one.data, entered.refused[one.path])
        self._take_back(found)

    def _take_back(self, found: Sequence[Found]) -> None:
        """Remove what was erased while it was taken in.

        Notes are read once more when all of a batch is written: whoever erases leaves a note first
        and looks then, so either we see the note, or they see what we wrote.
        """
        self.erased.renew()
        late = [one for one in found if self.erased.covers(one.record)]
        if not late:
            return
        rows = list_uploads(self._workspace.catalog, among=[one.record.id for one in late])
        remove(self._workspace, list(rows), why="uploads.erased")
        for one in late:
            self._store.delete(layout.taken_path(one.record.id))
            self._store.delete(_aside(one.path))
            self.erased.drop(one.record)
        self._report.erased += len(late)

    def corrections(self, paths: Sequence[str]) -> None:
        """One batch of corrections, in the order in which they were given."""
        given: dict[str, CorrectionRecord] = {}
        raw: dict[str, bytes] = {}
        nameless: set[str] = set()
        for path, data in self._read(paths):
            try:
                record = CorrectionRecord.from_json(layout.parse(data))
            except NhanError as error:
                self._refuse(path, data, error.message)
                continue
            if self.erased.is_gone(record.prediction):
                self._drop_correction(path, record)
                continue
            if self.erased.is_of_erased(record.given_by, record.at):
                make_nameless(self._store, record.prediction, spellings(record.given_by))
                record = replace(record, given_by="")
                nameless.add(path)
            given[path] = record
            raw[path] = layout.dump(record.to_json())
        entered = enter_corrections(self._workspace, given)
        # Of such a one nobody can tell any more whether it is about an upload that was erased too.
        for path in nameless & entered.waiting:
            entered.waiting.remove(path)
            self._drop_correction(path, given.pop(path))
        self._give_up(entered)
        self._count(entered)
        for path in given:
            if path in entered.refused:
                self._refuse(path, raw[path], entered.refused[path])
            elif path not in entered.waiting:
                self._store.delete(path)

    def _drop_correction(self, path: str, record: CorrectionRecord) -> None:
        """Delete what was said of an upload that was erased."""
        for entry in list(self._store.list(layout.corrections_prefix(record.prediction))):
            if record.id.encode() in self._store.read(entry):
                self._store.delete(entry)
        self._store.delete(path)

    def notes(self, paths: Sequence[str]) -> None:
        """One batch of disagreements; a note is worth nothing without its prediction."""
        predictions = {path: _stem(path).partition("-")[0] for path in paths}
        entered = enter_notes(self._workspace, predictions)
        self._give_up(entered)
        self._count(entered)
        done = [path for path in predictions if path not in entered.waiting]
        list(self._pool.map(self._store.delete, done))
        self._report.refused += [(path, entered.refused[path]) for path in entered.refused]

    def _give_up(self, entered: Entered) -> None:
        """Wait no longer for predictions that will not come."""
        for path in list(entered.waiting):
            answered = layout.time_of(_stem(path).partition("-")[0])
            if datetime.now(UTC) - answered > _PATIENCE:
                entered.waiting.remove(path)
                entered.refused[path] = f"its prediction of {answered.date()} was never kept"

    def _read(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        def read(path: str) -> tuple[str, bytes] | None:
            try:
                return path, self._store.read(path)
            except NotFound:  # another intake was quicker
                return None

        yield from (one for one in self._pool.map(read, paths) if one is not None)

    def _move(self, found: Sequence[Found]) -> None:
        def move(one: Found) -> None:
            self._store.put(layout.taken_path(one.record.id), one.data)
            self._store.delete(one.path)

        list(self._pool.map(move, found))

    def _refuse(self, path: str, data: bytes, reason: str) -> None:
        note = {"reason": reason, "content": data.decode("utf-8", "replace")}
        self._store.put(_aside(path), json.dumps(note, ensure_ascii=False, indent=1).encode())
        self._store.delete(path)
        self._report.refused.append((path, reason))

    def _count(self, entered: Entered) -> None:
        report = self._report
        report.taken += entered.taken
        report.known += entered.known
        report.samples += entered.samples
        report.queued += entered.queued
        report.corrections.update(entered.corrections)
        report.notes += entered.notes
        report.waiting += len(entered.waiting)


def _aside(path: str) -> str:
    return layout.REFUSED + path.removeprefix(layout.INBOX)


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json")
