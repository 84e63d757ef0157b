"""Small sources, drawn."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nhan.samples.importer import import_samples
from nhan.samples.report import ImportReport
from nhan.workspace import Workspace


@pytest.fixture
def picture() -> Callable[[int], bytes]:
    """A small PNG, different for each number."""

    def make(number: int) -> bytes:
        cells = np.random.default_rng(number).integers(0, 256, (4, 24), dtype=np.uint8)
        image = Image.fromarray(cells).resize((96, 16), Image.Resampling.NEAREST)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    return make


@pytest.fixture
def put(tmp_path: Path, picture: Callable[[int], bytes]) -> Callable[[str, int], Path]:
    """Write picture `number` under a path of the source folder."""

    def write(name: str, number: int) -> Path:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path, put: Callable[[str, int], Path]) -> Callable[[dict[str, str]], Path]:
    """A folder with a labels.json and a picture for each of its keys."""

    def make(labels: dict[str, str]) -> Path:
        for number, name in enumerate(labels):
            put(name, number)
        source = tmp_path / "source"
        (source / "labels.json").write_text(json.dumps(labels, ensure_ascii=False), "utf-8")
        return source

    return make


@pytest.fixture
def take(workspace: Workspace) -> Callable[..., ImportReport]:
    """Import into the fresh workspace."""

    def run(source: Path, **options: object) -> ImportReport:
        return import_samples(workspace, source, **options)  # type: ignore[arg-type]

    return run
