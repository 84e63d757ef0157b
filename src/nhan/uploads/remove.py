"""Removing uploads: the rows that name them first, then their objects.

Rows go in one transaction with a last look at them: a label that somebody gave before it is seen,
and who comes after it is told that the sample is gone. It leaves a note of the objects that are
to go; where it is killed before they have, the next removal or intake finds the note and goes on.
Where somebody else sent the same picture, or it came in by another door too, picture and sample
stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import sqlalchemy as sa

from nhan.catalog import reviews
from nhan.catalog.deliveries import events_went, forget_samples
from nhan.catalog.events import log_event
from nhan.catalog.labelstudio import erase_tasks
from nhan.catalog.samples import lock_writers
from nhan.catalog.schema import events, metadata, predictions, samples
from nhan.catalog.uploads import UploadRow, still_there
from nhan.samples.pictures import forget_aside
from nhan.storage import Store
from nhan.uploads import record as layout
from nhan.uploads.settle import SOURCE
from nhan.workspace import Workspace

_BATCH = 200
# The note of objects that are to go; it goes after them.
_GOING = "uploads.going"


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
    workspace: Workspace,
    rows: Sequence[UploadRow],
    *,
    why: str,
    dry_run: bool = False,
    unlabelled: bool = False,
) -> Removed:
    """Remove uploads, with the samples that nobody else has a part in.

    Args:
        workspace: where.
        rows: the uploads.
        why: for the event log, which keeps numbers only.
        dry_run: count, change nothing.
        unlabelled: leave those that somebody labelled, or began to, since they were listed.

    Raises:
        StorageError: object store or catalogue are out of reach; call again to go on.
    """
    removed, touched, gone = Removed(), set(), set()
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        if dry_run:
            # Whether one is shared is asked with all rows in view: none of them has gone.
            with workspace.catalog.read() as connection:
                alone = _alone(connection, {row.id for row in rows}, batch)
                pictures = _unshared_pictures(connection, batch, alone)
        else:
            batch, alone, pictures = _remove(workspace, batch, unlabelled=unlabelled)
        removed.uploads += len(batch)
        removed.hashes |= {row.sha256 for row in batch}
        removed.pictures += len(pictures)
        touched |= {row.sample_id for row in batch}
        gone |= alone
    removed.samples, removed.kept = len(gone), len(touched - gone)
    if removed.uploads and not dry_run:
        with workspace.catalog.write() as connection:
            log_event(connection, why, uploads=removed.uploads, samples=removed.samples)
    return removed


def finish(workspace: Workspace) -> set[str]:
    """Delete the objects of removals that were killed when their rows had gone.

    Returns:
        The SHA-256 of their pictures.
    """
    with workspace.catalog.read() as connection:
        query = sa.select(events.c.id, events.c.data).where(events.c.kind == _GOING)
        notes = connection.execute(query).all()
    hashes = set()
    for number, data in notes:
        _delete_objects(workspace, number, data["uploads"], data["pictures"])
        hashes |= {PurePosixPath(path).stem for path in data["pictures"]}
    return hashes


def _remove(
    workspace: Workspace, batch: Sequence[UploadRow], *, unlabelled: bool
) -> tuple[Sequence[UploadRow], set[int], set[str]]:
    """One batch: what of it went, with which samples and pictures."""
    written = {path: _written(workspace.store, path) for path in {row.path for row in batch}}
    with workspace.catalog.write() as connection:
        if connection.dialect.name == "sqlite":
            # Else the words would stay readable in the file until their place is used again.
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
        lock_writers(connection)
        reviews.lock_handout(connection)  # or one of these samples is handed out while it goes
        there = still_there(connection, (row.id for row in batch), unlabelled=unlabelled)
        batch = [row for row in batch if row.id in there]
        alone = _alone(connection, there, batch)
        pictures = _unshared_pictures(connection, batch, alone)
        _delete_rows(connection, sorted(there), sorted(alone))
        going = {path: written[path] for path in sorted(pictures)}
        note = connection.execute(
            events.insert()
            .values(
                at=datetime.now(UTC),
                kind=_GOING,
                sample_id=None,
                given_by="",
                data={"uploads": sorted(there), "pictures": going},
            )
            .returning(events.c.id)
        ).scalar_one()
    _delete_objects(workspace, note, sorted(there), going)
    return batch, alone, pictures


def _alone(connection: sa.Connection, going: set[str], batch: Sequence[UploadRow]) -> set[int]:
    """Samples of uploads whose every prediction goes."""
    numbers = sorted({row.sample_id for row in batch})
    query = sa.select(samples.c.id).where(samples.c.id.in_(numbers))
    ours = set(connection.scalars(query.where(samples.c.source == SOURCE)))
    sent = connection.execute(
        sa.select(predictions.c.sample_id, predictions.c.id).where(
            predictions.c.sample_id.in_(numbers)
        )
    ).all()
    return ours - {number for number, prediction in sent if prediction not in going}


def _unshared_pictures(
    connection: sa.Connection, batch: Sequence[UploadRow], alone: set[int]
) -> set[str]:
    """Objects of pictures that no sample of any task needs any more."""
    paths = {row.sha256: row.path for row in batch if row.sample_id in alone}
    needed = connection.execute(
        sa.select(samples.c.sha256, samples.c.id).where(samples.c.sha256.in_(sorted(paths)))
    ).all()
    shared = {sha256 for sha256, number in needed if number not in alone}
    return {path for sha256, path in paths.items() if sha256 not in shared}


def _delete_objects(
    workspace: Workspace, note: int, uploads: Iterable[str], pictures: Mapping[str, str]
) -> None:
    """Delete what a removal left a note of, and the note.

    Args:
        workspace: where.
        note: its number.
        uploads: ids.
        pictures: their paths, and when they had been written.
    """
    store = workspace.store
    for upload in uploads:
        for path in list(store.list(layout.corrections_prefix(upload))):
            store.delete(path)
        store.delete(layout.inbox_path(upload))
        store.delete(layout.taken_path(upload))
    for path, written in pictures.items():
        if _written(store, path) == written and not _is_needed(workspace, path):
            store.delete(path)  # nobody has sent the same picture since
    # Copies may be left of the time before somebody sent the same pictures again.
    forget_aside(store, set(pictures))
    with workspace.catalog.write() as connection:
        lock_writers(connection)
        connection.execute(events.delete().where(events.c.id == note, events.c.kind == _GOING))
        events_went(connection)


def _written(store: Store, path: str) -> str:
    """When an object was written, by the store's clock; empty where there is none."""
    at = store.modified(path)
    return at.isoformat() if at is not None else ""


def _is_needed(workspace: Workspace, path: str) -> bool:
    query = sa.select(samples.c.id).where(samples.c.sha256 == PurePosixPath(path).stem).limit(1)
    with workspace.catalog.read() as connection:
        return connection.scalar(query) is not None


def _delete_rows(connection: sa.Connection, uploads: Sequence[str], numbers: Sequence[int]) -> None:
    _delete_referring(connection, predictions, uploads)
    connection.execute(predictions.delete().where(predictions.c.id.in_(uploads)))
    erase_tasks(connection, numbers)
    hashes = sa.select(samples.c.sha256).where(samples.c.id.in_(numbers))
    forget_samples(connection, set(connection.scalars(hashes)))
    _delete_referring(connection, samples, numbers)
    connection.execute(events.delete().where(events.c.sample_id.in_(numbers)))
    events_went(connection)
    connection.execute(samples.delete().where(samples.c.id.in_(numbers)))


def _delete_referring(connection: sa.Connection, target: sa.Table, ids: Sequence[Any]) -> None:
    """Delete what refers to rows of a table, in whichever tables there are."""
    for table in reversed(metadata.sorted_tables):
        for column in table.columns:
            if any(key.column is target.c.id for key in column.foreign_keys):
                connection.execute(table.delete().where(column.in_(ids)))
