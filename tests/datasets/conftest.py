"""Workspaces with drawn samples."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from nhan.catalog import State
from nhan.catalog.samples import GivenLabel, Sample, write_samples
from nhan.images import content_hash
from nhan.samples.pictures import examine, keep
from nhan.workspace import Workspace


def noise_png(number: int, *, quality: int = 0) -> bytes:
    """A small picture, different for each number; the same one as a JPEG with a quality."""
    cells = np.random.default_rng(number).integers(0, 256, (4, 24), dtype=np.uint8)
    image = Image.fromarray(cells).resize((96, 16), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    if quality:
        image.save(buffer, "JPEG", quality=quality)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def add(workspace: Workspace) -> Callable[..., str]:
    """Put one sample into the workspace; returns the SHA-256 of its picture."""

    def put(
        number: int,
        label: str | None = None,
        *,
        quality: int = 0,
        group: str = "",
        asked: str = "",
        source: str = "drawn",
        state: State = State.LABELLED,
        given: str | None = None,
    ) -> str:
        data = noise_png(number, quality=quality)
        sha256 = content_hash(data)
        picture = examine(data, sha256, workspace.picture_limits)
        keep(workspace.store, picture.path, data)
        value = f"dòng {number}" if label is None else label
        name = f"{number}{'-again' if quality else ''}.png"
        sample = Sample(sha256, name, source, group, asked, state, picture=picture)
        gave = GivenLabel(value, given, "import", "", "", datetime.now(UTC))
        sample.labels[gave.key] = sample.label = gave
        sample.changed = True
        with workspace.catalog.write() as connection:
            write_samples(connection, "text", [sample])
        return sha256

    return put
