"""Uploads as serving leaves them in the object store."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nhan.images import content_hash
from nhan.samples.pictures import picture_path
from nhan.storage import NumberedLog
from nhan.uploads.record import (
    CorrectionRecord,
    UploadRecord,
    corrections_prefix,
    dump,
    inbox_path,
)
from nhan.workspace import Workspace


def draw(number: int) -> bytes:
    cells = np.random.default_rng(number).integers(0, 256, (4, 24), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(cells).resize((96, 16), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def make_record(number: int, data: bytes | None = None, **changes: object) -> UploadRecord:
    data = draw(number) if data is None else data
    sha256 = content_hash(data)
    now = datetime.now(UTC)
    record = UploadRecord(
        id=f"{int(now.timestamp() * 1e3):012x}{number:016x}",
        at=now,
        task="text",
        model="vi-line",
        version="1",
        value=f"dòng {number}",
        confidence=0.5,
        details={"text": f"dòng {number}", "characters": []},
        sha256=sha256,
        path=picture_path(sha256, "png"),
        size_bytes=len(data),
        format="png",
    )
    return replace(record, **changes)


@pytest.fixture
def picture() -> Callable[[int], bytes]:
    """A small PNG, different for each number."""
    return draw


@pytest.fixture
def upload(workspace: Workspace) -> Callable[..., UploadRecord]:
    """Puts an upload into the inbox, as the server does."""

    def put(number: int, *, data: bytes | None = None, **changes: object) -> UploadRecord:
        data = draw(number) if data is None else data
        record = make_record(number, data, **changes)
        workspace.store.put_once(record.path, data)
        workspace.store.put_once(inbox_path(record.id), record.to_bytes())
        return record

    return put


@pytest.fixture
def correct(workspace: Workspace) -> Callable[..., CorrectionRecord]:
    """Puts a correction into log and inbox, as the server does."""

    def put(prediction: str, label: str, by: str = "", **options: object) -> CorrectionRecord:
        one = CorrectionRecord.make(prediction, label, by, **{"trusted": False, **options})
        NumberedLog(workspace.store, corrections_prefix(prediction)).append(one.to_json())
        data = dump(one.to_json())
        workspace.store.put(inbox_path(prediction, one.id), data)
        return one

    return put


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
