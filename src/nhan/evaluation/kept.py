"""Records kept beside the version they are of: `models/NAME/VERSION/evaluations/`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from nhan.errors import NotFound
from nhan.evaluation.record import FORMAT, Evaluation
from nhan.models.card import CardScore, render_card
from nhan.models.package import CARD_FILE, Package
from nhan.storage import Store


def find(
    store: Store, package: Package, dataset: str, split: str, *, key: str
) -> Evaluation | None:
    """The stored record of a version on a split, if it still says what a new one would.

    Args:
        store: the workspace's objects.
        package: the version.
        dataset: `NAME@VERSION`.
        split: which part of it.
        key: `Evaluation.key` of what would be measured now.
    """
    try:
        data = store.read(_path(package, dataset, split))
    except NotFound:
        return None
    # A record of an older format may lack fields: look at its key before reading it as one.
    if json.loads(data).get("key") != key:
        return None
    return Evaluation.model_validate_json(data).model_copy(update={"reused": True})


def stored(store: Store, package: Package) -> list[Evaluation]:
    """Every record kept beside a version, the newest last."""
    paths = [path for path in store.list(f"{package.path}/evaluations") if path.endswith(".json")]
    records = [json.loads(store.read(path)) for path in paths]
    current = [record for record in records if record.get("format") == FORMAT]
    return sorted((Evaluation.model_validate(record) for record in current), key=lambda e: e.at)


def keep(store: Store, package: Package, evaluation: Evaluation) -> None:
    """Store a record, and put its figures on the model card."""
    path = _path(package, evaluation.dataset, evaluation.split)
    store.put(path, evaluation.model_dump_json(indent=1).encode())
    scores = [line for record in stored(store, package) for line in _card_scores(record)]
    card = render_card(package.spec.to_dict(), scores)
    store.put(f"{package.path}/{CARD_FILE}", card.encode())


def _path(package: Package, dataset: str, split: str) -> str:
    return f"{package.path}/evaluations/{dataset}-{split}.json"


def _card_scores(evaluation: Evaluation) -> Iterator[CardScore]:
    where = f"{evaluation.dataset} {evaluation.split}"
    lines = [(where, name, score) for name, score in evaluation.metrics.items()]
    for dimension, slices in evaluation.slices.items():
        lines += [
            (f"{where}, {dimension} {name}", evaluation.metric, score)
            for name, score in slices.items()
        ]
    for place, name, score in lines:
        yield CardScore(place, name, score.value, score.low, score.high, score.samples)
