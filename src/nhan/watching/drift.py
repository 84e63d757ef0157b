"""Drift: are recent uploads still like what the champion was trained on?

Measured are the confidence of answers, the size, brightness and sharpness of pictures, the length
of answers and the mix of what they are made of. The reference is the champion's dataset version;
where it has none (the bundled reader), the first uploads that it answered, half of them at most:
what is recent is never compared with itself. The outcome is an object, `watching/MODEL/drift.json`,
for the console, the metrics and the schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from nhan.catalog.schema import predictions, samples
from nhan.datasets.read import DatasetVersion, open_dataset
from nhan.errors import BadPicture, NotFound
from nhan.evaluation.kept import stored
from nhan.images import decode
from nhan.models.bundled import bundled_package
from nhan.models.package import Package
from nhan.tasks import get_task
from nhan.watching.place import answering, read_watch, version_name, write_watch
from nhan.watching.stability import Stability, compare_numbers, compare_symbols
from nhan.watching.traits import Traits, look, look_at, numbers
from nhan.workspace import Workspace

DRIFT = "drift.json"

# Uploads that are compared: enough for a steady index, few enough to decode in seconds.
_RECENT, _REFERENCE = 400, 400
# Fewer tell nothing.
_MIN_RECENT = 30
_EXAMPLES = 6
_NUMBERS = {
    "confidence": "confidence of answers",
    "width": "width of pictures",
    "height": "height of pictures",
    "brightness": "brightness of pictures",
    "sharpness": "sharpness of pictures",
}


def measure_drift(workspace: Workspace, model: str) -> dict[str, Any] | None:
    """Compare recent uploads of a model with its reference and write it down.

    Args:
        workspace: where.
        model: whose answers.

    Returns:
        What `drift.json` holds; None where too few uploads have come in to tell.
    """
    package = answering(workspace, model)
    if package is None:
        return None
    count = _RECENT if package.spec.dataset else min(_RECENT, _count(workspace, package) // 2)
    if count < _MIN_RECENT:
        return None
    recent = _answered(workspace, package, count, newest=True)
    reference = _reference(workspace, package, count)
    if len(recent) < _MIN_RECENT or len(reference.traits) < _MIN_RECENT:
        return None
    threshold = workspace.settings.loop.drift_psi
    features: dict[str, Any] = {}
    for name, words in _NUMBERS.items():
        known, _ = numbers(reference.traits, name)
        known = reference.confidence if name == "confidence" else known
        new, places = numbers(recent, name)
        _add(features, name, words, compare_numbers(known, new), recent, places, threshold)
    symbols = get_task(package.spec.task).symbols
    mixes = [[symbols(one.value) for one in some] for some in (reference.traits, recent)]
    lengths = [[float(len(one)) for one in mix] for mix in mixes]
    everyone = list(range(len(recent)))
    found = compare_numbers(*lengths)
    _add(features, "length", "length of answers", found, recent, everyone, threshold)
    found = compare_symbols(*mixes)
    _add(features, "mix", "what answers are made of", found, recent, everyone, threshold)
    document = {
        "model": model,
        "version": version_name(workspace, package),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "recent": len(recent),
        "reference": {
            "of": reference.of,
            "uploads_of": reference.uploads_of,
            "count": len(reference.traits),
        },
        "threshold": threshold,
        "drifted": [name for name, one in features.items() if one["drifted"]],
        "features": features,
    }
    write_watch(workspace.store, model, DRIFT, document)
    return document


def drifted_features(workspace: Workspace, model: str) -> list[str]:
    """What has drifted, by the last measurement of the version that answers."""
    document = read_watch(workspace.store, model, DRIFT)
    package = answering(workspace, model)
    if document is None or package is None:
        return []
    if document["version"] != version_name(workspace, package):
        return []
    return [str(name) for name in document["drifted"]]


def _add(
    features: dict[str, Any],
    name: str,
    words: str,
    found: Stability | None,
    recent: Sequence[Traits],
    places: Sequence[int],
    threshold: float,
) -> None:
    if found is None:
        return
    drifted = found.psi >= threshold and found.psi > found.luck
    examples = found.strangest(_EXAMPLES) if drifted else []
    features[name] = {
        "words": words,
        "psi": round(found.psi, 4),
        "luck": round(found.luck, 4),
        "drifted": drifted,
        "bins": [asdict(one) for one in found.bins],
        "examples": [recent[places[index]].sha256 for index in examples],
    }


def _count(workspace: Workspace, package: Package) -> int:
    """How many answers of a version there are; no more than are compared count."""
    some = (
        sa.select(predictions.c.id)
        .where(*_given_by(workspace, package))
        .limit(_RECENT + _REFERENCE)
    )
    with workspace.catalog.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(some.subquery())) or 0


def _answered(workspace: Workspace, package: Package, count: int, *, newest: bool) -> list[Traits]:
    """The newest, or the first, answers of a version; one for each picture."""
    order = predictions.c.at.desc() if newest else predictions.c.at
    query = (
        sa.select(predictions, samples.c.sha256, samples.c.path, samples.c.width, samples.c.height)
        .join(samples, samples.c.id == predictions.c.sample_id)
        .where(*_given_by(workspace, package))
        .order_by(order)
        .limit(count)
    )
    with workspace.catalog.read() as connection:
        rows = list(connection.execute(query).mappings())
    rows = list({row["sha256"]: row for row in rows}.values())
    looks = look_at(workspace.store, (row["path"] for row in rows), workspace.picture_limits)
    return [
        Traits(
            sha256=row["sha256"],
            width=row["width"],
            height=row["height"],
            value=row["value"],
            brightness=seen[0] if seen else None,
            sharpness=seen[1] if seen else None,
            confidence=row["confidence"],
        )
        for row, seen in zip(rows, looks, strict=True)
    ]


def _given_by(workspace: Workspace, package: Package) -> list[sa.ColumnElement[bool]]:
    """A version's answers, without the bundled reader's under the same number before it."""
    name, version = package.spec.name, package.spec.version
    own = [predictions.c.model == name, predictions.c.version == str(version)]
    bundled = bundled_package()
    if bundled is None or (bundled.spec.name, bundled.spec.version) != (name, version):
        return own
    if package.store is not workspace.store:
        return own
    return [*own, predictions.c.at >= datetime.fromisoformat(package.spec.created)]


@dataclass(frozen=True)
class _Reference:
    """What recent uploads are compared with.

    Attributes:
        of: how it is called.
        uploads_of: the version whose first uploads it is; empty for a dataset.
        traits: of its pictures and labels.
        confidence: of the version's answers on its test split.
    """

    of: str
    traits: list[Traits]
    confidence: list[float]
    uploads_of: str = ""


def _reference(workspace: Workspace, package: Package, count: int) -> _Reference:
    """What the version was trained on, kept because it never changes; else its first uploads."""
    if not package.spec.dataset:
        first = _answered(workspace, package, count, newest=False)
        confidence = numbers(first, "confidence")[0]
        return _Reference(f"first uploads of {package.ref}", first, confidence, package.ref)
    name, place = package.spec.name, f"reference-{package.spec.version}.json"
    kept = read_watch(workspace.store, name, place)
    confidence = _tested(workspace, package)
    if kept is not None and kept["of"] == package.spec.dataset:
        return _Reference(kept["of"], [Traits(**one) for one in kept["traits"]], confidence)
    try:
        dataset = open_dataset(workspace.store, package.spec.dataset)
    except NotFound:
        return _Reference(package.spec.dataset, [], [])
    traits = _learned(workspace, dataset)
    document = {"of": dataset.ref, "traits": [asdict(one) for one in traits]}
    write_watch(workspace.store, name, place, document)
    return _Reference(dataset.ref, traits, confidence)


def _learned(workspace: Workspace, dataset: DatasetVersion) -> list[Traits]:
    """Training pictures, evenly over the split; rows lie in the order of their hashes."""
    step = max(1, dataset.splits["train"] // _REFERENCE)
    found: list[Traits] = []
    for row in islice(dataset.rows("train"), 0, None, step):
        try:
            brightness, sharpness = look(decode(row.image, workspace.picture_limits))
        except BadPicture:
            continue
        found.append(Traits(row.sha256, row.width, row.height, row.label, brightness, sharpness))
        if len(found) == _REFERENCE:
            break
    return found


def _tested(workspace: Workspace, package: Package) -> list[float]:
    """Confidences on the test split, where the version was evaluated: the gate sees to that."""
    for record in stored(workspace.store, package):
        if record.dataset == package.spec.dataset and record.split == "test":
            return [result.confidence for result in record.results]
    return []
