"""What models there are, how their versions scored, and who answers: one look at the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nhan.errors import NotFound
from nhan.evaluation.kept import stored
from nhan.models.registry import Promotion, Registry
from nhan.storage import Store


@dataclass(frozen=True)
class VersionEntry:
    """A version and its scores on every split it was evaluated on.

    Attributes:
        scores: `dataset`, `split`, `metric`, `value`, `low`, `high`, `samples` of each.
    """

    version: int
    created: str
    task: str
    run: str
    dataset: str
    serve: str
    scores: list[dict[str, Any]]


@dataclass(frozen=True)
class ModelEntry:
    """A model: its versions, ascending, its champion and its promotion log, oldest first."""

    name: str
    champion: int | None
    versions: list[VersionEntry]
    log: list[Promotion]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "champion": self.champion,
            "versions": [vars(version) for version in self.versions],
            "log": [promotion.model_dump() for promotion in self.log],
        }


def inventory(store: Store, model: str = "") -> list[ModelEntry]:
    """Look all models up, or one.

    Raises:
        NotFound: the named model does not exist.
        BadPackage: a version's `nhan.json` is damaged.
    """
    registry = Registry(store)
    names = registry.models()
    if model and model not in names:
        raise NotFound(
            f"no model {model!r}",
            hint=f"models: {', '.join(names)}" if names else "train one: nhan train DATASET",
        )
    return [_model(registry, name) for name in ([model] if model else names)]


def _model(registry: Registry, name: str) -> ModelEntry:
    state = registry.log(name)
    versions = [_version(registry, name, version) for version in registry.versions(name)]
    return ModelEntry(name, state.champion, versions, list(state.promotions))


def _version(registry: Registry, name: str, version: int) -> VersionEntry:
    package = registry.open(name, version)
    spec = package.spec
    scores = [
        {
            "dataset": record.dataset,
            "split": record.split,
            "metric": record.metric,
            **record.primary.model_dump(),
        }
        for record in stored(registry.store, package)
    ]
    return VersionEntry(
        version, spec.created, spec.task, spec.run, spec.dataset, spec.serve, scores
    )
