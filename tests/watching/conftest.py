"""Uploads that were answered and taken in, written straight into store and catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from nhan.catalog.schema import labels, predictions, samples
from nhan.images import content_hash
from nhan.models.bundled import bundled_package
from nhan.samples.pictures import examine
from nhan.workspace import Workspace

MODEL = "vi-line"


@pytest.fixture
def answered(workspace: Workspace) -> Callable[..., list[int]]:
    """Adds answers of the bundled reader; gives their samples."""
    version = str(bundled_package().spec.version)
    made = 0

    def add(
        pictures: Sequence[bytes],
        values: Sequence[str],
        *,
        truths: Sequence[str | None] = (),
        sampled: str = "",
        confidence: float = 0.9,
    ) -> list[int]:
        nonlocal made
        ids = []
        for number, data in enumerate(pictures):
            made += 1
            sha256 = content_hash(data)
            facts = examine(data, sha256, workspace.picture_limits)
            workspace.store.put_once(facts.path, data)
            truth = truths[number] if truths else None
            now = datetime.now(UTC)
            with workspace.catalog.write() as connection:
                sample = connection.execute(
                    samples.insert().values(
                        task="text", sha256=sha256, path=facts.path, bytes=len(data),
                        width=facts.width, height=facts.height, phash=facts.phash,
                        thumbnail=facts.thumbnail, name=str(made), source="uploads", group="",
                        split_asked="", split="", state="queued", reason="", created_at=now,
                    )
                ).inserted_primary_key[0]  # fmt: skip
                connection.execute(
                    predictions.insert().values(
                        id=f"{made:028x}", sample_id=sample, model=MODEL, version=version,
                        value=values[number], confidence=confidence, details={}, user="",
                        consent=None, sampled=sampled, at=now,
                    )
                )  # fmt: skip
                if truth is not None:
                    label = connection.execute(
                        labels.insert().values(
                            sample_id=sample, value=truth, origin="review", given_by="an",
                            external_id="", given_at=now,
                        )
                    ).inserted_primary_key[0]  # fmt: skip
                    connection.execute(
                        sa.update(samples)
                        .where(samples.c.id == sample)
                        .values(label_id=label, state="accepted")
                    )
            ids.append(sample)
        return ids

    return add
