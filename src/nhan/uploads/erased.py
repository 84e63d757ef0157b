"""Who and what was erased: what still arrives of it, from a spool somewhere, is dropped."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from nhan.catalog.schema import samples
from nhan.errors import NhanError
from nhan.samples.pictures import forget_aside
from nhan.storage import Entry, Store
from nhan.uploads import record as layout
from nhan.uploads.record import UploadRecord
from nhan.workspace import Workspace


def note_erased(store: Store, *, user: str = "", upload: str = "", before: datetime) -> None:
    """Remember that what a user sent before a moment, or one upload, is to be gone.

    The note does not tell who it was: its name is a hash.
    """
    note = {"before": before.astimezone(UTC).isoformat(timespec="milliseconds")}
    path = layout.erased_path("user", user) if user else layout.erased_path("upload", upload)
    store.put(path, layout.dump(note))


class Erased:
    """The notes of a store, read when they are first needed, and those that came since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._before: dict[str, datetime] = {}
        self._read: dict[str, datetime] | None = None
        self._dropped: dict[str, UploadRecord] = {}

    def renew(self) -> None:
        """Read the notes that came, or were written anew, since the last time."""
        known = self._read = self._read or {}
        for entry in self._store.entries(layout.ERASED):
            if entry.path.endswith(".json") and known.get(entry.path) != entry.modified:
                self._before[entry.path] = self._note(entry)
                known[entry.path] = entry.modified

    def _note(self, entry: Entry) -> datetime:
        try:
            return datetime.fromisoformat(layout.parse(self._store.read(entry.path))["before"])
        except (NhanError, KeyError, TypeError, ValueError):
            return entry.modified  # a power cut left it empty; its name says who it is about

    def covers(self, record: UploadRecord) -> bool:
        """Whether this upload is to be gone."""
        if self._read is None:
            self.renew()
        if not self._before:
            return False
        if layout.erased_path("upload", record.id) in self._before:
            return True
        before = self._before.get(layout.erased_path("user", record.user))
        return bool(record.user) and before is not None and record.at <= before

    def drop(self, record: UploadRecord) -> None:
        """Remember the picture of a dropped upload."""
        self._dropped[record.sha256] = record

    def forget_pictures(self, workspace: Workspace) -> None:
        """Delete the pictures of dropped uploads, but none that somebody else sent too."""
        gone = set()
        for sha256, record in self._dropped.items():
            with workspace.catalog.read() as connection:
                query = sa.select(samples.c.id).where(samples.c.sha256 == sha256).limit(1)
                if connection.scalar(query) is None:
                    self._store.delete(record.path)
                    gone.add(record.path)
        forget_aside(self._store, gone)
