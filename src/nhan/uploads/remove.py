"""Removing uploads: objects first, then the rows that name them.

A removal that is killed in between is found again by its rows and finished by the next call. Where
somebody else sent the same picture, or it came in by another door too, picture and sample stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from nhan.catalog import reviews
from nhan.catalog.deliveries import forget_samples
from nhan.catalog.events import log_event
from nhan.catalog.labelstudio import erase_tasks
from nhan.catalog.samples import lock_writers
from nhan.catalog.schema import events, metadata, predictions, samples
from nhan.catalog.uploads import UploadRow
from nhan.samples.pictures import forget_aside
from nhan.storage import Store
from nhan.uploads import record as layout
from nhan.uploads.settle import SOURCE
from nhan.workspace import Workspace

_BATCH = 200


@dataclass
class Removed:
    """What is gone, or would be.

    Attributes:
        uploads: answered pictures.
        samples: samples that nobody else had sent.
        pictures: their objects.
        kept: samples that stay, because somebody else sent the picture too.
        hashes: SHA-256 of all their pictures.
    """

    uploads: int = 0
    samples: int = 0
    pictures: int = 0
    kept: int = 0
    hashes: set[str] = field(default_factory=set)


def remove(
    workspace: Workspace, rows: Sequence[UploadRow], *, why: str, dry_run: bool = False
) -> Removed:
    """Remove uploads, with the samples that nobody else has a part in.

    Args:
        workspace: where.
        rows: the uploads.
        why: for the event log, which keeps numbers only.
        dry_run: count, change nothing.

    Raises:
        StorageError: object store or catalogue are out of reach; call again to go on.
    """
    removed = Removed()
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        # One that others share stays; whether they do is asked with all rows in view.
        alone = _alone(workspace, {row.id for row in rows}, batch)
        lone_pictures = _unshared_pictures(workspace, batch, alone)
        removed.uploads += len(batch)
        removed.samples += len(alone)
        removed.kept += len({row.sample_id for row in batch} - alone)
        removed.pictures += len(lone_pictures)
        removed.hashes |= {row.sha256 for row in batch}
        if not dry_run:
            _delete_objects(workspace.store, batch, lone_pictures)
            # Copies may be left of the time before somebody sent the same pictures again.
            forget_aside(workspace.store, lone_pictures)
            _delete_rows(workspace, [row.id for row in batch], alone)
    if rows and not dry_run:
        with workspace.catalog.write() as connection:
            log_event(connection, why, uploads=removed.uploads, samples=removed.samples)
    return removed


def _alone(workspace: Workspace, going: set[str], batch: Sequence[UploadRow]) -> set[int]:
    """Samples of uploads whose every prediction goes."""
    numbers = sorted({row.sample_id for row in batch})
    with workspace.catalog.read() as connection:
        query = sa.select(samples.c.id).where(samples.c.id.in_(numbers))
        ours = set(connection.scalars(query.where(samples.c.source == SOURCE)))
        sent = connection.execute(
            sa.select(predictions.c.sample_id, predictions.c.id).where(
                predictions.c.sample_id.in_(numbers)
            )
        ).all()
    return ours - {number for number, prediction in sent if prediction not in going}


def _unshared_pictures(
    workspace: Workspace, batch: Sequence[UploadRow], alone: set[int]
) -> set[str]:
    """Objects of pictures that no sample of any task needs any more."""
    paths = {row.sha256: row.path for row in batch if row.sample_id in alone}
    with workspace.catalog.read() as connection:
        needed = connection.execute(
            sa.select(samples.c.sha256, samples.c.id).where(samples.c.sha256.in_(sorted(paths)))
        ).all()
    shared = {sha256 for sha256, number in needed if number not in alone}
    return {path for sha256, path in paths.items() if sha256 not in shared}


def _delete_objects(store: Store, batch: Sequence[UploadRow], pictures: Iterable[str]) -> None:
    for row in batch:
        for path in list(store.list(layout.corrections_prefix(row.id))):
            store.delete(path)
        store.delete(layout.inbox_path(row.id))
        store.delete(layout.taken_path(row.id))
    for path in pictures:
        store.delete(path)


def _delete_rows(workspace: Workspace, uploads: Sequence[str], alone: Iterable[int]) -> None:
    numbers = sorted(alone)
    with workspace.catalog.write() as connection:
        if connection.dialect.name == "sqlite":
            # Else the words would stay readable in the file until their place is used again.
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
        lock_writers(connection)
        reviews.lock_handout(connection)  # or one of these samples is handed out while it goes
        # Somebody may have sent the same picture a moment ago; then its sample stays after all.
        later = connection.scalars(
            sa.select(predictions.c.sample_id).where(
                predictions.c.sample_id.in_(numbers), predictions.c.id.not_in(uploads)
            )
        )
        numbers = sorted(set(numbers) - set(later))
        _delete_referring(connection, predictions, uploads)
        connection.execute(predictions.delete().where(predictions.c.id.in_(uploads)))
        erase_tasks(connection, numbers)
        hashes = sa.select(samples.c.sha256).where(samples.c.id.in_(numbers))
        forget_samples(connection, set(connection.scalars(hashes)))
        _delete_referring(connection, samples, numbers)
        connection.execute(events.delete().where(events.c.sample_id.in_(numbers)))
        connection.execute(samples.delete().where(samples.c.id.in_(numbers)))


def _delete_referring(connection: sa.Connection, target: sa.Table, ids: Sequence[Any]) -> None:
    """Delete what refers to rows of a table, in whichever tables there are."""
    for table in reversed(metadata.sorted_tables):
        for column in table.columns:
            if any(key.column is target.c.id for key in column.foreign_keys):
                connection.execute(table.delete().where(column.in_(ids)))
