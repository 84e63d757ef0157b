"""A workspace with bars models and bars datasets, written without the parts that make them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bars
from nhan.datasets import layout
from nhan.models.package import Package, publish
from nhan.storage import NumberedLog
from nhan.tasks import TASKS, get_task
from nhan.workspace import Workspace

# (digits, source) of one sample
Sample = tuple[str, str]


@pytest.fixture(autouse=True)
def _bars_task(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(TASKS, "bars", "bars:BarsTask")
    yield
    get_task.cache_clear()


@pytest.fixture
def rows() -> Callable[..., list[Sample]]:
    """Draws rows of digits, reproducible; every tenth digit or so is a 9, an 8 …"""

    def make(count: int, *, seed: int = 0, source: str = "shop") -> list[Sample]:
        rng = np.random.default_rng(seed)
        return [
            ("".join(map(str, rng.integers(0, 10, rng.integers(3, 12)))), source)
            for _ in range(count)
        ]

    return make


@pytest.fixture
def make_dataset(workspace: Workspace) -> Callable[..., str]:
    """Freezes samples by split and returns `NAME@VERSION`."""

    def make(name: str = "d", task: str = "bars", **splits: Sequence[Sample]) -> str:
        return write_dataset(workspace, name, splits, task=task)

    return make


def write_dataset(
    workspace: Workspace, name: str, splits: Mapping[str, Sequence[Sample]], *, task: str = "bars"
) -> str:
    version = hashlib.sha256(json.dumps(splits).encode()).hexdigest()[: layout.VERSION_LENGTH]
    files = []
    for split, samples in splits.items():
        table = pa.Table.from_pylist(
            [_row(number, split, *sample) for number, sample in enumerate(samples)], layout.SCHEMA
        )
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        path = layout.shard_path(name, version, split, 0)
        workspace.store.put(path, buffer.getvalue())
        files.append({"file": path.rsplit("/", 1)[-1], "split": split})
    manifest = {
        "task": task,
        "vocabulary": {"digits": "0123456789"},
        "splits": {split: len(samples) for split, samples in splits.items()},
        "files": files,
        "created": "2024-02-29T00:00:00+00:00",
    }
    workspace.store.put(layout.manifest_path(name, version), json.dumps(manifest).encode())
    NumberedLog(workspace.store, layout.log_prefix(name)).append({"version": version})
    return f"{name}@{version}"


def _row(number: int, split: str, digits: str, source: str) -> dict[str, object]:
    # A digit row may occur twice; the height makes each a picture of its own.
    picture = b"broken" if source == "broken" else bars.draw(digits, height=10 + number % 200)
    return {
        "image": {"bytes": picture, "path": f"{number}.png"},
        "label": digits,
        "split": split,
        "sha256": hashlib.sha256(picture + digits.encode()).hexdigest(),
        "source": source,
        "group": "",
        "width": len(digits) * bars.BAR,
        "height": 10 + number % 200,
        "sample": number,
    }


@pytest.fixture
def make_version(workspace: Workspace) -> Callable[..., Package]:
    """Publishes the next version of `bars`, trained (so it says) on a dataset."""

    def make(gain: float = 1.0, *, dataset: str = "", run: str = "") -> Package:
        run = run or f"run-{len(workspace.store.folders('models/bars'))}"
        files = {"model.onnx": bars.model(gain)}
        return publish(workspace.store, "bars", files, bars.spec(dataset=dataset), run=run)

    return make
