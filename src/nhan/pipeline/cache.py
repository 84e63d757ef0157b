"""What a step read, as a key; and what it made of it, found again by that key.

A step is skipped only if the content it reads is the same: pictures, labels, weights, settings,
never names or arguments alone. The record says which round did the work.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa

from nhan import __version__
from nhan.catalog import TRAINABLE
from nhan.catalog.schema import labels, samples
from nhan.errors import NotFound
from nhan.storage import Store
from nhan.workspace import Workspace

_KEY_LENGTH = 20


def key_of(*content: Any) -> str:
    """A key of JSON-able content; another version of the program is other content."""
    text = json.dumps([__version__, *content], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_LENGTH]


def remembered(store: Store, step: str, key: str) -> dict[str, Any] | None:
    """What a step made of this content before: `round` and `outputs`; None if it never did."""
    try:
        record: dict[str, Any] = json.loads(store.read(_path(step, key)))
    except NotFound:
        return None
    return record


def remember(store: Store, step: str, key: str, number: int, outputs: dict[str, Any]) -> None:
    """Keep what a step made of its content; the newest record stands."""
    record = {"round": number, "outputs": outputs}
    store.put(_path(step, key), json.dumps(record, ensure_ascii=False, indent=1).encode())


def forget(store: Store, step: str, key: str) -> None:
    """Drop a record whose outputs are gone."""
    store.delete(_path(step, key))


def labelled_content(
    workspace: Workspace, task: str, *, votes: bool = False, splits: bool = True
) -> str:
    """A hash over every sample that may be learned from, as freezing and the label doctor see it.

    Args:
        workspace: where.
        task: whose samples.
        votes: also over every label ever given to them, which the label doctor compares.
        splits: also over the splits that freezing fixed.
    """
    digest = hashlib.sha256(json.dumps(workspace.settings.split.model_dump()).encode())
    columns = (
        samples.c.sha256,
        samples.c.state,
        samples.c.split if splits else sa.literal(""),
        samples.c.split_asked,
        samples.c.group,
        samples.c.source,
        samples.c.may_train,
        samples.c.width,
        samples.c.height,
        samples.c.phash,
        labels.c.value,
        labels.c.given,
    )
    relevant = sa.or_(samples.c.state.in_(TRAINABLE), samples.c.split != "")
    query = (
        sa.select(*columns)
        .outerjoin(labels, labels.c.id == samples.c.label_id)
        .where(samples.c.task == task, relevant)
        .order_by(samples.c.sha256)
    )
    with workspace.catalog.read() as connection:
        rows = connection.execution_options(stream_results=True).execute(query)
        for row in rows:
            digest.update(json.dumps(list(row), ensure_ascii=False).encode())
        if votes:
            given = (
                sa.select(samples.c.sha256, labels.c.value, labels.c.origin, labels.c.given_by)
                .join(labels, labels.c.sample_id == samples.c.id)
                .where(samples.c.task == task, samples.c.state.in_(TRAINABLE))
                .order_by(samples.c.sha256, labels.c.id)
            )
            for vote in connection.execution_options(stream_results=True).execute(given):
                digest.update(json.dumps(list(vote), ensure_ascii=False).encode())
    return digest.hexdigest()


def _path(step: str, key: str) -> str:
    return f"rounds/cache/{step}/{key}.json"
