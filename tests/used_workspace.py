"""A workspace that has seen some use, and ways to make its files old."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

import bars
from nhan.catalog.schema import metadata
from nhan.datasets.freeze import freeze
from nhan.datasets.read import list_datasets, open_dataset
from nhan.images import content_hash
from nhan.models.package import publish
from nhan.models.registry import Promotion, Registry
from nhan.review.queue import next_items
from nhan.samples.importer import import_samples
from nhan.samples.pictures import picture_path
from nhan.storage import NumberedLog
from nhan.uploads.intake import take_in
from nhan.uploads.record import (
    REFUSED,
    CorrectionRecord,
    UploadRecord,
    corrections_prefix,
    dump,
    inbox_path,
)
from nhan.workspace import Workspace
from uploads.conftest import draw, make_record

NONE = timedelta(0)


def age(workspace: Workspace, days: float = 3.0) -> None:
    """Let every file of a workspace on a folder have been written days ago."""
    then = time.time() - days * 86400
    for path in [*workspace.root.rglob("*"), workspace.root]:
        os.utime(path, (then, then), follow_symlinks=False)


def put_upload(workspace: Workspace, number: int, **changes: object) -> UploadRecord:
    """An upload as a server ships it."""
    record = make_record(number, **changes)
    workspace.store.put_once(record.path, draw(number))
    workspace.store.put_once(inbox_path(record.id), record.to_bytes())
    return record


def put_orphan(workspace: Workspace, number: int) -> str:
    """A picture that nothing refers to; its path."""
    data = draw(number)
    path = picture_path(content_hash(data), "png")
    workspace.store.put(path, data)
    return path


def fill(workspace: Workspace, folder: Path) -> None:
    """Samples, a dataset version, a champion, uploads in every state, a held sample."""
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.png").write_bytes(draw(number))
    labels = {f"{number}.png": f"dòng {number}" for number in range(8)}
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    import_samples(workspace, folder)
    freeze(workspace, "lines")
    ref = open_dataset(workspace.store, "lines").ref
    files = {"model.onnx": bars.model(1.0)}
    spec = {**bars.spec(), "dataset": ref}
    package = publish(workspace.store, "bars", files, spec, run="run-1")
    Registry(workspace.store).record("bars", Promotion(action="promote", version=1), expected=0)
    publish(workspace.store, "bars", files, spec, run="run-2")
    workspace.store.put("models/bars/3/claim.json", b'{"run": "run-3"}')  # a publish that died
    workspace.store.put("runs/run-1/run.json", json.dumps({"dataset": ref}).encode())
    assert package.ref == "bars@1"
    for number in range(20, 24):
        put_upload(workspace, number, sampled="random", user="lan")
    taken = put_upload(workspace, 24)
    corrected = CorrectionRecord.make(taken.id, "khác", "an", trusted=False)
    NumberedLog(workspace.store, corrections_prefix(taken.id)).append(corrected.to_json())
    workspace.store.put(inbox_path(taken.id, corrected.id), dump(corrected.to_json()))
    take_in(workspace)
    next_items(workspace, "text", "an", 2)
    for number in range(30, 33):
        put_upload(workspace, number)
    refused = put_upload(workspace, 33)
    workspace.store.put(f"{REFUSED}/2026-01-01/{refused.id}.json", refused.to_bytes())
    workspace.store.delete(inbox_path(refused.id))


def contents(workspace: Workspace) -> dict[str, object]:
    """All objects, and all rows but what clearing away may say and forget."""
    with workspace.catalog.read() as connection:
        rows = {
            table.name: sorted(map(repr, connection.execute(sa.select(table))))
            for table in metadata.sorted_tables
            if table.name not in ("reviews", "events")
        }
    return {**rows, **{path: workspace.store.read(path) for path in workspace.store.list("")}}


def assert_whole(workspace: Workspace) -> None:
    """Every dataset can be read, every model loaded, every sample reviewed, every upload taken."""
    for summary in list_datasets(workspace.store):
        for version in summary.versions:
            dataset = open_dataset(workspace.store, f"{summary.name}@{version}")
            rows = [row for split in dataset.splits for row in dataset.rows(split)]
            assert len(rows) == dataset.manifest["rows"]
    registry = Registry(workspace.store)
    for name in registry.models():
        for version in registry.versions(name):
            registry.open(name, version).verify()
    report = take_in(workspace)
    assert not report.refused
    for item in next_items(workspace, "text", "bình", 100):
        assert content_hash(workspace.store.read(picture_path(item.sha256, "png"))) == item.sha256
