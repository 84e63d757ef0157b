"""Erasing: everything of one user or one upload, and a word on what was made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from nhan.catalog.deliveries import forget_name
from nhan.catalog.schema import corrections, events, labels
from nhan.catalog.uploads import corrections_by, list_uploads
from nhan.datasets.read import list_datasets, open_dataset
from nhan.errors import NotFound, UserError
from nhan.models.registry import Registry
from nhan.names import spellings
from nhan.storage import Store
from nhan.uploads.erased import forget_refused, make_nameless, note_erased
from nhan.uploads.intake import take_in
from nhan.uploads.remove import Removed, finish, remove
from nhan.uploads.settle import ORIGIN
from nhan.workspace import Workspace

# Servers' clocks differ a little; what was on its way when the order came belongs to it.
_SLACK = timedelta(minutes=5)


@dataclass
class EraseReport:
    """What an erasure did, or would do.

    Attributes:
        removed: uploads and samples that are gone.
        waiting: uploads in the inbox, or set aside, that were dropped before they became samples.
        anonymous: corrections of other people's uploads, kept without the name.
        datasets: rows in each dataset version that hold a picture of those; versions never
            change, so they keep it.
        models: versions trained on these datasets.
    """

    removed: Removed
    waiting: int = 0
    anonymous: int = 0
    datasets: dict[str, int] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "uploads": self.removed.uploads + self.waiting,
            "samples": self.removed.samples,
            "pictures": self.removed.pictures,
            "shared_samples_kept": self.removed.kept,
            "corrections_made_anonymous": self.anonymous,
            "datasets": self.datasets,
            "models": self.models,
            "dry_run": self.dry_run,
        }


def erase(
    workspace: Workspace, *, user: str = "", upload: str = "", dry_run: bool = False
) -> EraseReport:
    """Erase every upload of a user, or one upload, with everything known of it.

    What is still in a spool when this runs is dropped by the intake that meets it. Dataset
    versions and models are not touched; the report says which of them contained something.

    Args:
        workspace: where.
        user: as in `X-Nhan-User`.
        upload: the id of one prediction.
        dry_run: look and report, change nothing; what is not taken in yet is not looked at.

    Raises:
        UserError: neither or both are named.
        NotFound: there is nothing of that user, or no such upload.
        StorageError: something is out of reach; call again to go on.
    """
    if bool(user) == bool(upload):
        raise UserError("name a user or an upload", hint="--user NAME, or --upload ID")
    waiting = 0
    begun: set[str] = set()
    if not dry_run:
        note_erased(workspace.store, user=user, upload=upload, before=datetime.now(UTC) + _SLACK)
        begun = finish(workspace)  # of an erasure that was killed
        waiting = take_in(workspace).erased
        waiting += forget_refused(workspace, user=user, upload=upload)
    rows = list(list_uploads(workspace.catalog, user=user or None, upload=upload))
    going = {row.id for row in rows}
    anonymous = _make_anonymous(workspace, user, going, dry_run=dry_run) if user else 0
    if not rows and not waiting and not anonymous and not begun:
        what = f"user {user!r}" if user else f"upload {upload!r}"
        raise NotFound(f"nothing is kept of {what}", hint="nhan uploads list shows what is")
    datasets = find_datasets(workspace.store, begun | {row.sha256 for row in rows})
    models = find_models(workspace.store, datasets)
    removed = remove(workspace, rows, why="uploads.erased", dry_run=dry_run)
    return EraseReport(removed, waiting, anonymous, datasets, models, dry_run)


def find_datasets(store: Store, hashes: set[str]) -> dict[str, int]:
    """How many rows of each dataset version hold one of these pictures; not those with none."""
    found: dict[str, int] = {}
    if not hashes:
        return found
    for summary in list_datasets(store):
        for version in summary.versions:
            dataset = open_dataset(store, f"{summary.name}@{version}")
            count = sum(
                row.sha256 in hashes
                for split in dataset.splits
                for row in dataset.rows(split, pictures=False)
            )
            if count:
                found[dataset.ref] = count
    return found


def find_models(store: Store, datasets: Iterable[str]) -> list[str]:
    """Model versions that were trained on one of these dataset versions."""
    wanted = set(datasets)
    registry = Registry(store)
    return [
        f"{name}@{version}"
        for name in registry.models()
        for version in registry.versions(name)
        if registry.open(name, version).spec.dataset in wanted
    ]


def _make_anonymous(workspace: Workspace, user: str, going: set[str], *, dry_run: bool) -> int:
    """Take a user's name off the corrections they gave to others' uploads; the labels stay."""
    catalog, store, names = workspace.catalog, workspace.store, spellings(user)
    with catalog.read() as connection:
        found = [row["prediction_id"] for row in corrections_by(connection, user)]
    given = [prediction for prediction in found if prediction not in going]
    if dry_run:
        return len(given)
    for prediction in set(given):
        make_nameless(store, prediction, names)
    with catalog.write() as connection:
        for table in (corrections, labels, events):
            change = table.update().where(table.c.given_by.in_(names)).values(given_by="")
            if table is labels:
                change = change.where(labels.c.origin == ORIGIN)
            if table is events:
                change = change.where(events.c.kind == "correction")
            connection.execute(change)
        forget_name(connection, user)
    return len(given)
