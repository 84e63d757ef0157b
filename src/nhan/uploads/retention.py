"""Retention: uploads that nobody labelled go after a number of days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nhan.catalog.uploads import list_uploads
from nhan.uploads.remove import Removed, remove
from nhan.workspace import Workspace

# Removed together; so few that what people begin to label meanwhile is seen by the next ones.
_AT_ONCE = 500


def expire(workspace: Workspace, *, now: datetime | None = None, dry_run: bool = False) -> Removed:
    """Remove uploads older than `uploads.keep_days` that were never given a label.

    What was labelled stays: people worked on it, and dataset versions may contain it; so does what
    somebody has begun to label, or was handed to look at. Nothing goes where `keep_days` is 0.
    """
    total = Removed()
    days = workspace.settings.uploads.keep_days
    if not days:
        return total
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    some = []
    for row in list_uploads(workspace.catalog, before=before, unlabelled=True):
        some.append(row)
        if len(some) >= _AT_ONCE:
            _add(total, remove(workspace, some, why="uploads.expired", dry_run=dry_run))
            some = []
    _add(total, remove(workspace, some, why="uploads.expired", dry_run=dry_run))
    return total


def _add(total: Removed, part: Removed) -> None:
    total.uploads += part.uploads
    total.samples += part.samples
    total.pictures += part.pictures
    total.kept += part.kept
