"""Everything kept of one user, as files they can be given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nhan.catalog.uploads import UploadRow, corrections_by, list_uploads
from nhan.errors import Conflict, NotFound
from nhan.storage import NumberedLog
from nhan.uploads import record as layout
from nhan.uploads.intake import take_in
from nhan.workspace import Workspace


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        missing: pictures that are no longer in the store.
        corrections: what the user said of others' pictures.
    """

    folder: Path
    uploads: int
    missing: int
    corrections: int

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "folder": str(self.folder),
            "uploads": self.uploads,
            "missing": self.missing,
            "corrections_of_others": self.corrections,
        }


def export_user(workspace: Workspace, user: str, folder: Path) -> ExportReport:
    """Write a user's pictures as they were sent, and `uploads.json` with what is known of each.

    With it go the corrections that they gave to others' pictures, without those pictures. What
    waits in the inbox is taken in first, so that nothing is left out.

    Raises:
        NotFound: nothing is kept of that user.
        Conflict: the folder is there and not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty", hint="choose a new folder")
    take_in(workspace)
    entries: list[dict[str, Any]] = []
    missing = 0
    for row in list_uploads(workspace.catalog, user=user):
        entry = _entry(workspace, row)
        try:
            data = workspace.store.read(row.path)
        except NotFound:
            missing += 1
        else:
            name = f"{row.id}{Path(row.path).suffix}"
            (folder / "pictures").mkdir(parents=True, exist_ok=True)
            (folder / "pictures" / name).write_bytes(data)
            entry["file"] = f"pictures/{name}"
        entries.append(entry)
    said = _said_of_others(workspace, user, {entry["id"] for entry in entries})
    if not entries and not said:
        raise NotFound(f"nothing is kept of user {user!r}", hint="nhan uploads list")
    document = {"user": user, "uploads": entries, "corrections_of_others": said}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "uploads.json").write_text(
        json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8"
    )
    return ExportReport(folder, len(entries), missing, len(said))


def _said_of_others(workspace: Workspace, user: str, own: set[str]) -> list[dict[str, Any]]:
    with workspace.catalog.read() as connection:
        given = corrections_by(connection, user)
    return [
        {
            "prediction": row["prediction_id"],
            "label": row["value"],
            "at": row["at"].isoformat(timespec="milliseconds"),
        }
        for row in given
        if row["prediction_id"] not in own
    ]


def _entry(workspace: Workspace, row: UploadRow) -> dict[str, Any]:
    """The record as it was kept, what was corrected and what became of it."""
    try:
        record = layout.parse(workspace.store.read(layout.taken_path(row.id)))
    except NotFound:
        record = {"id": row.id, "at": row.at.isoformat(), "value": row.value, "user": row.user}
    history = NumberedLog(workspace.store, layout.corrections_prefix(row.id)).entries()
    own = [
        entry if entry.get("given_by") == row.user else {**entry, "given_by": "somebody else"}
        for _, entry in history
    ]
    return {**record, "corrections": own, "state": row.state, "label": row.label}
