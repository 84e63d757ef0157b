"""Users who were erased: what still arrives from them, from a spool somewhere, is dropped."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from nhan.catalog.schema import samples
from nhan.storage import Store
from nhan.uploads import record as layout
from nhan.uploads.record import UploadRecord
from nhan.workspace import Workspace


def note_erased(store: Store, user: str, before: datetime) -> None:
    """Remember that everything a user sent before a moment is to be gone; not who it was."""
    note = {"before": before.astimezone(UTC).isoformat(timespec="milliseconds")}
    store.put(layout.erased_path(user), layout.dump(note))


class ErasedUsers:
    """The notes of a store, read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._before: dict[str, datetime] = {}
        self._dropped: dict[str, UploadRecord] = {}
        for path in store.list(layout.ERASED):
            if path.endswith(".json"):
                moment = layout.parse(store.read(path))["before"]
                self._before[path] = datetime.fromisoformat(moment)

    def covers(self, record: UploadRecord) -> bool:
        """Whether this upload is one of those."""
        if not record.user or not self._before:
            return False
        before = self._before.get(layout.erased_path(record.user))
        return before is not None and record.at <= before

    def drop(self, record: UploadRecord) -> None:
        """Remember the picture of a dropped upload."""
        self._dropped[record.sha256] = record

    def forget_pictures(self, workspace: Workspace) -> None:
        """Delete the pictures of dropped uploads, but none that somebody else sent too."""
        for sha256, record in self._dropped.items():
            with workspace.catalog.read() as connection:
                query = sa.select(samples.c.id).where(samples.c.sha256 == sha256).limit(1)
                if connection.scalar(query) is None:
                    self._store.delete(record.path)
