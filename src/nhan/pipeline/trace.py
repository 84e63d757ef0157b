"""From an answer back to the pixels and people behind it, and from a sample or label forward.

Everything is read from what stands: predictions and labels in the catalogue, versions, runs and
dataset versions in the object store. What a link of the chain lacks is said, not guessed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog.schema import corrections, decisions, labels, predictions, samples
from nhan.datasets.layout import SPLITS
from nhan.datasets.read import DatasetVersion, list_datasets, open_dataset
from nhan.errors import NotFound
from nhan.models.package import Package
from nhan.models.registry import Registry
from nhan.uploads.record import UploadRecord, inbox_path, is_id, taken_path
from nhan.watching.place import version_at
from nhan.workspace import Workspace

# Samples of a dataset version that are shown for each who labelled; the manifest counts all.
_SHOWN = 2
# One query's share: SQLite takes 32,766 bound values.
_AT_ONCE = 1000
# Of a row's number, at most; more would not fit into the 64 bits of a database.
_DIGITS = 18

Json = dict[str, Any]


def trace(workspace: Workspace, what: str) -> Json:
    """The chain of a prediction, a sample (`sample:ID` or its SHA-256) or a label (`label:ID`).

    Args:
        workspace: where.
        what: a prediction's id, or one of the above.

    Returns:
        JSON-able. From a prediction: `prediction`, `sample` (its labels, corrections and reviews),
        `model` (with its promotions), `run`, `dataset` (with the newest samples it learned from and
        who labelled them). From a sample or label: `sample`, the `datasets` that hold it, the
        `models` trained on those, and its `predictions`.

    Raises:
        NotFound: nothing of that name.
    """
    kind, colon, rest = what.partition(":")
    if colon and kind == "label":
        return _forward(workspace, _sample_of_label(workspace, rest))
    if colon and kind == "sample":
        return _forward(workspace, _find_sample(workspace, rest))
    prediction = _prediction(workspace, what)
    if prediction is not None:
        return _backward(workspace, prediction)
    try:
        return _forward(workspace, _find_sample(workspace, what))
    except NotFound as error:
        raise NotFound(
            f"no prediction {what!r}",
            hint="its id is in the answer; nhan trace sample:ID and label:ID work as well; what "
            "was answered a moment ago may not have reached the object store yet",
        ) from error


def _backward(workspace: Workspace, prediction: Json) -> Json:
    found: Json = {"prediction": prediction}
    sample = prediction.pop("sample_id", None)
    if sample is not None:
        found["sample"] = _sample(workspace, sample)
    at = datetime.fromisoformat(prediction["at"])
    package = version_at(workspace, prediction["model"], prediction["version"], at)
    if package is None:
        return found
    found["model"] = _model(workspace, package)
    found["run"] = _run(workspace, package)
    if package.spec.dataset:
        found["dataset"] = _dataset(workspace, package.spec.dataset)
    return found


def _forward(workspace: Workspace, number: int) -> Json:
    sample = _sample(workspace, number)
    holding = []
    for summary in list_datasets(workspace.store):
        for version in summary.versions:
            dataset = open_dataset(workspace.store, f"{summary.name}@{version}")
            if split := _split_of(dataset, sample["sha256"]):
                holding.append({"dataset": dataset.ref, **split})
    refs = {one["dataset"]: one["split"] for one in holding}
    registry = Registry(workspace.store)
    packages = [
        registry.open(name, version)
        for name in registry.models()
        for version in registry.versions(name)
    ]
    models = [
        {**_model(workspace, one), "dataset": one.spec.dataset, "split": refs[one.spec.dataset]}
        for one in packages
        if one.spec.dataset in refs
    ]
    query = sa.select(predictions).where(predictions.c.sample_id == number)
    with workspace.catalog.read() as connection:
        rows = connection.execute(query.order_by(predictions.c.at)).mappings().all()
    answers = [_answer(dict(row)) for row in rows]
    for answer in answers:
        answer.pop("sample_id")
    return {"sample": sample, "datasets": holding, "models": models, "predictions": answers}


def _prediction(workspace: Workspace, number: str) -> Json | None:
    """From the catalogue, or from the inbox where intake has not been yet."""
    with workspace.catalog.read() as connection:
        query = sa.select(predictions).where(predictions.c.id == number)
        row = connection.execute(query).mappings().first()
    if row is not None:
        return _answer(dict(row))
    if not is_id(number):
        return None
    for path in (inbox_path(number), taken_path(number)):
        try:
            record = UploadRecord.from_bytes(workspace.store.read(path))
        except NotFound:
            continue
        values = {name: getattr(record, name) for name in UploadRecord.__dataclass_fields__}
        return _answer(values)
    return None


def _answer(row: Json) -> Json:
    kept = ("id", "at", "model", "version", "value", "confidence", "user", "consent", "sampled",
            "sample_id", "sha256")  # fmt: skip
    found = {name: row[name] for name in kept if name in row}
    return {**found, "at": row["at"].isoformat()}


def _sample(workspace: Workspace, number: int) -> Json:
    """A sample with every label, correction and decision."""
    with workspace.catalog.read() as connection:
        row = connection.execute(sa.select(samples).where(samples.c.id == number)).mappings().one()
        given = (
            connection.execute(
                sa.select(labels).where(labels.c.sample_id == number).order_by(labels.c.id)
            )
            .mappings()
            .all()
        )
        corrected = (
            connection.execute(
                sa.select(corrections)
                .join(predictions, predictions.c.id == corrections.c.prediction_id)
                .where(predictions.c.sample_id == number)
                .order_by(corrections.c.at)
            )
            .mappings()
            .all()
        )
        decided = (
            connection.execute(
                sa.select(decisions)
                .where(decisions.c.sample_id == number)
                .order_by(decisions.c.number)
            )
            .mappings()
            .all()
        )
    return {
        "id": number,
        "sha256": row["sha256"],
        "object": row["path"],
        "name": row["name"],
        "source": row["source"],
        "task": row["task"],
        "state": row["state"],
        "split": row["split"],
        "label": next((_label(one) for one in given if one["id"] == row["label_id"]), None),
        "labels": [_label(one) for one in given],
        "corrections": [
            {"id": one["id"], "prediction": one["prediction_id"], "value": one["value"],
             "by": one["given_by"], "at": one["at"].isoformat()}
            for one in corrected
        ],
        "decisions": [
            {"action": one["action"], "value": one["value"], "by": one["reviewer"],
             "reason": one["reason"], "at": one["at"].isoformat()}
            for one in decided
        ],
    }  # fmt: skip


def _label(row: sa.RowMapping) -> Json:
    return {
        "id": row["id"],
        "value": row["value"],
        "origin": row["origin"],
        "by": row["given_by"],
        "external": row["external_id"],
        "at": row["given_at"].isoformat(),
    }


def _model(workspace: Workspace, package: Package) -> Json:
    log = Registry(workspace.store).log(package.spec.name).promotions
    return {
        "ref": package.ref,
        "file": package.spec.serve,
        "created": package.spec.created,
        "promotions": [
            {"at": one.at, "action": one.action, "by": one.by, "because": one.because,
             "verdict": (one.verdict or {}).get("words", "")}
            for one in log
            if one.version == package.spec.version
        ],
    }  # fmt: skip


def _run(workspace: Workspace, package: Package) -> Json:
    run = package.spec.run
    try:
        facts = json.loads(workspace.store.read(f"runs/{run}/run.json"))
    except NotFound:
        return {"run": run}
    environment = facts.get("environment", {})
    return {
        "run": run,
        "started": facts.get("started"),
        "from": facts.get("start_from") or "scratch",
        "commit": environment.get("commit", ""),
        "config": f"runs/{run}/config.json",
    }


def _dataset(workspace: Workspace, ref: str) -> Json:
    """A dataset version: its counts, who labelled it, and a few of the samples that were new."""
    try:
        dataset = open_dataset(workspace.store, ref)
    except NotFound:
        return {"ref": ref, "missing": True}
    new = _new_samples(workspace, dataset)
    everyone = Counter(
        f"{one['origin']} by {one['given_by'] or '?'}"
        for one in _standing(workspace, dataset.task, [sha for sha, _ in _hashes(dataset)])
    )
    return {
        "ref": ref,
        "created": dataset.manifest["created"],
        "splits": dataset.splits,
        "parents": dataset.manifest.get("parents", []),
        "new": len(new),
        "labels": dict(everyone.most_common()),
        "examples": [
            _sample(workspace, number)
            for number in _of_everybody(_standing(workspace, dataset.task, new))
        ],
    }


def _of_everybody(rows: Iterable[sa.RowMapping]) -> list[int]:
    """Samples of each who labelled, in turn, so that nobody's work is missing from the few."""
    shown: Counter[tuple[str, str]] = Counter()
    chosen = []
    for row in rows:
        who = row["origin"], row["given_by"]
        shown[who] += 1
        if shown[who] <= _SHOWN:
            chosen.append((shown[who], int(row["id"])))
    return [number for _, number in sorted(chosen)[: 3 * _SHOWN]]


def _new_samples(workspace: Workspace, dataset: DatasetVersion) -> list[str]:
    """Hashes of what it learned from and its parent did not."""
    known: set[tuple[str, str]] = set()
    for parent in dataset.manifest.get("parents", []):
        try:
            known |= set(_hashes(open_dataset(workspace.store, f"{dataset.name}@{parent}")))
        except NotFound:
            continue
    return [sha for sha, label in _hashes(dataset) if (sha, label) not in known]


def _hashes(dataset: DatasetVersion) -> Iterator[tuple[str, str]]:
    for row in dataset.rows("train", pictures=False):
        yield row.sha256, row.label


def _split_of(dataset: DatasetVersion, sha256: str) -> Json | None:
    for split in SPLITS:
        for row in dataset.rows(split, pictures=False):
            if row.sha256 == sha256:
                return {"split": split, "label": row.label}
    return None


def _standing(workspace: Workspace, task: str, hashes: Sequence[str]) -> Iterator[sa.RowMapping]:
    """Who gave the labels that stand for these pictures."""
    query = (
        sa.select(samples.c.id, labels.c.origin, labels.c.given_by)
        .join(labels, labels.c.id == samples.c.label_id)
        .where(samples.c.task == task)
        .order_by(samples.c.sha256)
    )
    for start in range(0, len(hashes), _AT_ONCE):
        some = hashes[start : start + _AT_ONCE]
        with workspace.catalog.read() as connection:
            yield from connection.execute(query.where(samples.c.sha256.in_(some))).mappings().all()


def _find_sample(workspace: Workspace, text: str) -> int:
    condition = samples.c.id == int(text) if _is_number(text) else samples.c.sha256 == text
    with workspace.catalog.read() as connection:
        found = connection.scalar(sa.select(samples.c.id).where(condition))
    if found is None:
        raise NotFound(f"no sample {text!r}", hint="sample:ID, or the SHA-256 of its picture")
    return int(found)


def _is_number(text: str) -> bool:
    """Whether it can be a row's; a prediction's id may be of digits alone, and is longer."""
    return text.isdecimal() and len(text) <= _DIGITS


def _sample_of_label(workspace: Workspace, text: str) -> int:
    with workspace.catalog.read() as connection:
        found = connection.scalar(
            sa.select(labels.c.sample_id).where(labels.c.id == int(text))
            if _is_number(text)
            else sa.select(sa.null())
        )
    if found is None:
        raise NotFound(f"no label {text!r}", hint="label:ID; nhan trace sample:ID lists them")
    return int(found)
