"""What this process knows to be in its spool and not yet in the object store.

Entries go by the segment they are in: whoever shipped it, this process, another server or an
intake, what was in a segment that is gone is in the store.
"""

from __future__ import annotations

import threading
from pathlib import Path

from nhan.errors import NhanError
from nhan.uploads import journal
from nhan.uploads.journal import Frame
from nhan.uploads.record import CorrectionRecord, parse, time_of


class Ledger:
    """Uploads by id, and corrections by the prediction they are about."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, str] = {}
        self._corrections: dict[str, dict[str, CorrectionRecord]] = {}
        self._segments: dict[str, list[tuple[str, str]]] = {}

    def __len__(self) -> int:
        """Uploads that are not shipped yet."""
        return len(self._tasks)

    def task_of(self, prediction: str) -> str | None:
        """The task of an upload that waits here; None when none does."""
        return self._tasks.get(prediction)

    def corrections_of(self, prediction: str) -> list[CorrectionRecord]:
        """The corrections of a prediction that wait here, in the order they were given."""
        with self._lock:
            return list(self._corrections.get(prediction, {}).values())

    def oldest_s(self, now: float) -> float:
        """The age of the upload that waits longest, seconds; 0 when none does.

        Args:
            now: seconds since the epoch.
        """
        with self._lock:
            first = next(iter(self._tasks), None)
        return max(0.0, now - time_of(first).timestamp()) if first else 0.0

    def add(self, segment: str, frame: Frame) -> None:
        """A frame was written to the segment of that name."""
        self._note(segment, frame.kind, frame.key, frame.head)

    def forget_gone(self, folder: Path) -> None:
        """Forget what was in segments that are no longer there."""
        with self._lock:
            names = list(self._segments)
        for name in names:
            # Only names noted before this look: a segment is made before anything in it is noted.
            if not (folder / name).exists():
                self.forget(name)

    def recover(self, folder: Path) -> None:
        """Learn what an earlier process left in a spool."""
        for path in journal.segments(folder):
            try:
                for kind, key, head in journal.read_keys(path):
                    self._note(path.name, kind, key, head)
            except FileNotFoundError:  # shipped by another server meanwhile
                continue

    def _note(self, segment: str, kind: bytes, key: str, head: bytes) -> None:
        words = key.split()
        if kind == journal.UPLOAD and len(words) == 3:
            with self._lock:
                self._tasks[words[0]] = words[1]
                self._segments.setdefault(segment, []).append((words[0], ""))
        elif kind == journal.CORRECTION:
            try:
                record = CorrectionRecord.from_json(parse(head))
            except NhanError:
                return  # a torn frame; it was not acknowledged
            with self._lock:
                self._corrections.setdefault(record.prediction, {})[record.id] = record
                self._segments.setdefault(segment, []).append((record.prediction, record.id))

    def forget(self, segment: str) -> None:
        """A segment was shipped."""
        with self._lock:
            for prediction, correction in self._segments.pop(segment, ()):
                if not correction:
                    self._tasks.pop(prediction, None)
                    continue
                given = self._corrections.get(prediction, {})
                given.pop(correction, None)
                if not given:
                    self._corrections.pop(prediction, None)
