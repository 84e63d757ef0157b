"""Retention: uploads that nobody labelled go after a number of days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from nhan.catalog.uploads import list_uploads
from nhan.uploads.remove import Removed, remove
from nhan.workspace import Workspace

# Removed together, and looked at once more just before: people label while the list is read.
_AT_ONCE = 200


def expire(workspace: Workspace, *, now: datetime | None = None, dry_run: bool = False) -> Removed:
    """Remove uploads older than `uploads.keep_days` that were never given a label.

    What was labelled stays: people worked on it, and dataset versions may contain it; so does what
    somebody has begun to label, or was handed to look at. Nothing goes where `keep_days` is 0.
    """
    total, catalog = Removed(), workspace.catalog
    days = workspace.settings.uploads.keep_days
    if not days:
        return total
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    for some in _parts(row.id for row in list_uploads(catalog, before=before, unlabelled=True)):
        rows = list(list_uploads(catalog, among=some, unlabelled=True))
        part = remove(workspace, rows, why="uploads.expired", dry_run=dry_run, unlabelled=True)
        _add(total, part)
    return total


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while some := list(islice(left, _AT_ONCE)):
        yield some


def _add(total: Removed, part: Removed) -> None:
    total.uploads += part.uploads
    total.samples += part.samples
    total.pictures += part.pictures
    total.kept += part.kept
