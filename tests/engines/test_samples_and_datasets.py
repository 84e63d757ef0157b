"""Import, audit, freeze and read on an S3 server and a PostgreSQL at once."""

from __future__ import annotations

import io
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nhan.catalog.samples import read_rows
from nhan.datasets.audit import audit
from nhan.datasets.freeze import freeze
from nhan.datasets.read import open_dataset
from nhan.images import content_hash
from nhan.samples.importer import import_samples
from nhan.workspace import Workspace

pytestmark = pytest.mark.engine

_SPAWN = get_context("spawn")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    labels = {}
    for number in range(60):
        cells = np.random.default_rng(number).integers(0, 256, (4, 24), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(cells).resize((96, 16), Image.Resampling.NEAREST).save(buffer, "PNG")
        (folder / f"{number}.png").write_bytes(buffer.getvalue())
        labels[f"{number}.png"] = f"dòng {number}"
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def _import(root: Path, source: Path) -> tuple[int, int]:
    with Workspace.open(root) as workspace:
        report = import_samples(workspace, source)
    return report.added.total(), report.known


def test_the_way_from_pictures_to_a_dataset(
    tmp_path: Path, source: Path, s3_url: str, postgres_url: str
) -> None:
    with Workspace.init(tmp_path / "w", objects=s3_url, catalog=postgres_url) as workspace:
        assert import_samples(workspace, source, dry_run=True).added.total() == 60
        assert list(workspace.store.list("images")) == []
        assert import_samples(workspace, source).added.total() == 60
        assert import_samples(workspace, source).known == 60
        assert audit(workspace).errors == 0
        dataset = freeze(workspace, "lines").dataset
        assert freeze(workspace, "lines").existed
        again = open_dataset(workspace.store, "lines")
        assert again.ref == dataset.ref
        rows = [row for split in again.splits for row in again.rows(split)]
        assert len(rows) == 60
        assert all(content_hash(row.image) == row.sha256 for row in rows)
        assert len(again.labels("train")) == again.count("train")


def test_two_processes_import_the_same_source_at_once(
    tmp_path: Path, source: Path, postgres_url: str
) -> None:
    root = tmp_path / "w"
    Workspace.init(root, catalog=postgres_url).close()
    with ProcessPoolExecutor(2, mp_context=_SPAWN) as pool:
        parts = list(pool.map(_import, [root, root], [source, source]))
    assert sum(added for added, _ in parts) == 60
    assert sum(added + known for added, known in parts) == 120
    with Workspace.open(root) as workspace:
        assert len(list(read_rows(workspace.catalog, "text"))) == 60
