"""The spool: one thread writes what serving hands over, many at a time, one fsync for all of them.

The event loop only appends to a list and gets a future; hashing, JSON, writing and fsync happen
here. While one fsync is under way the next batch gathers, so a slow disk makes batches larger, not
answers fewer. Whoever has time says so, and waits a little for others to share an fsync with.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from nhan.errors import NotReady, StorageError
from nhan.uploads import journal
from nhan.uploads.journal import Frame, Segment
from nhan.uploads.ledger import Ledger

log = logging.getLogger("nhan.uploads")

# A segment is read whole by whoever ships it.
_SEGMENT_BYTES = 8_000_000
# What may wait in memory for a disk that does not keep up.
_QUEUED_BYTES = 64_000_000
# Corrections and notes may still be written when pictures may not: people typed them.
_RESERVE_BYTES = 16_000_000
_LOG_EVERY_S = 60.0
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SpoolFull(NotReady):
    """There is no room for another picture until older ones have been shipped."""

    code = "spool_full"


@dataclass(frozen=True)
class SpoolLimits:
    """What the spool may take.

    Attributes:
        bytes: all segments together.
        free_bytes: disk space left to others.
        segment_s: age at which a segment is closed and shipped.
        durable: fsync before anything is acknowledged.
    """

    bytes: int = 1_000_000_000
    free_bytes: int = 0
    segment_s: float = 2.0
    durable: bool = True


@dataclass(slots=True)
class _Entry:
    kind: bytes
    build: Callable[[], Frame | None]
    size: int
    due: float
    future: Future[bool] = field(default_factory=Future)


class Spool:
    """A folder of segments and the thread that writes the newest.

    Args:
        folder: made if it is missing.
        limits: may be replaced at any time.
        on_closed: called in the writing thread whenever a segment may be shipped.

    Attributes:
        ledger: what is not shipped yet.
        dropped: what was not written, by reason.
        written: frames written since the start.
        full: whether the last picture found no room.
    """

    def __init__(
        self, folder: Path, limits: SpoolLimits, *, on_closed: Callable[[], None] = lambda: None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        journal.sweep(folder)
        self.folder = folder
        self.limits = limits
        self.ledger = Ledger()
        self.dropped: Counter[str] = Counter()
        self.written = 0
        self.full = False
        self._on_closed = on_closed
        self._segment: Segment | None = None
        self._others = journal.size_of(folder)
        self._waiting: deque[_Entry] = deque()
        self._waiting_bytes = 0
        self._due = 0.0  # the first of those that wait, on the monotonic clock
        self._changed = threading.Condition()
        self._closing = False
        self._needed = 0
        self._complained = -_LOG_EVERY_S
        self.ledger.recover(folder)
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Frames that are in memory only."""
        return len(self._waiting)

    @property
    def size(self) -> int:
        """Bytes of all segments, as far as this process knows."""
        segment = self._segment
        return self._others + (segment.size if segment else 0)

    def has_room(self) -> bool:
        """Whether the picture that was refused last would find room now."""
        if self.full and self._room() >= self._needed:
            self.full = False
        return not self.full

    def put(
        self, kind: bytes, build: Callable[[], Frame | None], size: int, *, gather_s: float = 0.0
    ) -> Future[bool]:
        """Hand something over to be written.

        Args:
            kind: of the frame.
            build: makes the frame, in the writing thread; None when there is nothing to keep.
            size: bytes it holds in memory until then.
            gather_s: how long it may wait for others to share an fsync with.

        Returns:
            Done when the frame is written (and synced, where `durable`); true if there was one.
            Fails with `SpoolFull` or `StorageError`.
        """
        due = time.monotonic() + (gather_s if self.limits.durable else 0.0)
        entry = _Entry(kind, build, size, due)
        # Whoever waits may go away; what they handed over is written all the same.
        entry.future.set_running_or_notify_cancel()
        with self._changed:
            if self._closing:
                self._fail(entry, SpoolFull("the server is shutting down"), "closing")
            elif kind == journal.UPLOAD and self._waiting_bytes + size > _QUEUED_BYTES:
                self._fail(entry, SpoolFull("the spool's disk is too slow"), "slow_disk")
            else:
                # The thread sleeps until the first is due; only an earlier one must wake it.
                if not self._waiting or due < self._due:
                    self._due = due
                    self._changed.notify()
                self._waiting.append(entry)
                self._waiting_bytes += size
        return entry.future

    def shipped(self) -> None:
        """Segments may have been removed; look again what is left."""
        self.ledger.forget_gone(self.folder)
        segment = self._segment
        own = segment.size if segment else 0
        self._others = max(0, journal.size_of(self.folder) - own)

    def close(self) -> None:
        """Write what was handed over, then close the last segment."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closing and not self._is_due():
                    patience = self._patience()
                    if patience is not None and patience <= 0:
                        break
                    self._changed.wait(patience)
                batch = list(self._waiting)
                self._waiting.clear()
                self._waiting_bytes = 0
                closing = self._closing
            if batch:
                self._write(batch)
            if self._is_due() or closing:
                self._close_segment()
            if closing and not batch:
                return

    def _patience(self) -> float | None:
        """Seconds until there is something to do; None where nothing is to come."""
        ends = [self._due] if self._waiting else []
        if self._segment is not None:
            ends.append(self._segment.born + self.limits.segment_s)
        return min(ends) - time.monotonic() if ends else None

    def _is_due(self) -> bool:
        segment = self._segment
        return segment is not None and (
            segment.size >= _SEGMENT_BYTES
            or time.monotonic() - segment.born >= self.limits.segment_s
        )

    def _close_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            self._others += segment.size
            segment.close()
            self._on_closed()

    def _write(self, batch: list[_Entry]) -> None:
        """Write a batch whole; where that fails, each entry alone, so that small ones may fit."""
        frames = [(entry, frame) for entry in batch if (frame := self._build(entry)) is not None]
        frames = self._admit(frames)
        if frames and (error := self._append([frame for _, frame in frames])) is not None:
            if len(frames) == 1:
                self._refuse(frames[0][0], error)
                return
            for pair in frames:
                if (alone := self._append([pair[1]])) is not None:
                    self._refuse(pair[0], alone)
                else:
                    self._acknowledge([pair])
            return
        self._acknowledge(frames)

    def _build(self, entry: _Entry) -> Frame | None:
        try:
            frame = entry.build()
        except Exception as error:  # a bug must cost one record, never the thread
            log.exception("a record could not be made")
            self._fail(entry, StorageError(f"the upload cannot be recorded: {error}"), "failed")
            return None
        if frame is None:
            entry.future.set_result(False)
        return frame

    def _admit(self, frames: list[tuple[_Entry, Frame]]) -> list[tuple[_Entry, Frame]]:
        """Those for which there is room."""
        room = self._room()
        admitted = []
        for entry, frame in frames:
            picture = frame.kind == journal.UPLOAD
            if frame.size > room + (0 if picture else _RESERVE_BYTES):
                self._needed = frame.size
                self._refuse(entry, SpoolFull("the spool is full"))
                continue
            room -= frame.size
            admitted.append((entry, frame))
        return admitted

    def _room(self) -> int:
        """Bytes that may still be written."""
        try:
            space = os.statvfs(self.folder)
        except OSError:
            return 0
        free = space.f_bavail * space.f_frsize - self.limits.free_bytes
        return min(self.limits.bytes - self.size, free)

    def _append(self, frames: list[Frame]) -> Exception | None:
        data = b"".join(piece for frame in frames for piece in frame.pack())
        try:
            if self._segment is None:
                self._segment = Segment(self.folder)
            self._segment.append(data, sync=self.limits.durable)
        except OSError as error:
            # The segment may be in any state now; its whole frames are shipped as they are.
            self._close_segment()
            if error.errno in _NO_SPACE:
                return SpoolFull(f"the disk of {self.folder} is full")
            return StorageError(f"cannot write to {self.folder}: {error.strerror or error}")
        return None

    def _acknowledge(self, frames: list[tuple[_Entry, Frame]]) -> None:
        segment = self._segment
        for entry, frame in frames:
            if segment is not None:
                self.ledger.add(segment.path.name, frame)
            self.written += 1
            if frame.kind == journal.UPLOAD:
                self.full = False
            entry.future.set_result(True)

    def _refuse(self, entry: _Entry, error: Exception) -> None:
        if entry.kind == journal.UPLOAD:
            self.full = True
        self._fail(entry, error, "full" if isinstance(error, SpoolFull) else "failed")
        if time.monotonic() - self._complained >= _LOG_EVERY_S:
            self._complained = time.monotonic()
            log.error(
                "uploads are not kept: %s; %d so far (spool %s, %d bytes)",
                error, self.dropped.total(), self.folder, self.size,
            )  # fmt: skip

    def _fail(self, entry: _Entry, error: Exception, reason: str) -> None:
        if entry.kind == journal.UPLOAD:
            self.dropped[reason] += 1
        entry.future.set_exception(error)
