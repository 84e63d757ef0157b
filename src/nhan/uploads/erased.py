"""Who and what was erased: what still arrives of it, from a spool somewhere, is dropped."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog.schema import samples
from nhan.errors import BadRequest, NhanError, NotFound
from nhan.names import spellings
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


def make_nameless(store: Store, prediction: str, names: Collection[str]) -> None:
    """Take a user's name, however it is spelled, off the log of a prediction's corrections."""
    for path in list(store.list(layout.corrections_prefix(prediction))):
        try:
            entry = layout.parse(store.read(path))
        except (BadRequest, NotFound):
            continue
        if entry.get("given_by") in names:
            store.put(path, layout.dump({**entry, "given_by": ""}))


def forget_refused(workspace: Workspace, *, user: str = "", upload: str = "") -> int:
    """Delete what could not be taken in of a user, or of one upload; how many uploads it was."""
    store, names, erased = workspace.store, spellings(user), Erased(workspace.store)
    uploads = 0
    for path in list(store.list(layout.REFUSED)):
        prediction, _, part = path.rpartition("/")[2].removesuffix(".json").partition("-")
        about = _refused(store, path)
        whose = {about.get("user"), about.get("given_by")} - {"", None}
        if prediction != upload and whose.isdisjoint(names if user else ()):
            continue
        if part:
            make_nameless(store, prediction, names)
        else:
            uploads += 1
            with suppress(BadRequest):
                erased.drop(UploadRecord.from_bytes(layout.dump(about)))
        store.delete(path)
    erased.forget_pictures(workspace)
    return uploads


def _refused(store: Store, path: str) -> dict[str, Any]:
    """What was refused, as far as it can be read."""
    try:
        document = layout.parse(store.read(path))
        content = document.get("content")
        return document if content is None else layout.parse(str(content).encode())
    except (BadRequest, NotFound):
        return {}


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
        return self.is_gone(record.id) or self.is_of_erased(record.user, record.at)

    def is_gone(self, prediction: str) -> bool:
        """Whether the upload with this id was erased by it."""
        if self._read is None:
            self.renew()
        return bool(self._before) and layout.erased_path("upload", prediction) in self._before

    def is_of_erased(self, user: str, at: datetime) -> bool:
        """Whether what this user said or sent then is to be gone."""
        if self._read is None:
            self.renew()
        if not self._before or not user:
            return False
        before = self._before.get(layout.erased_path("user", user))
        return before is not None and at <= before

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
