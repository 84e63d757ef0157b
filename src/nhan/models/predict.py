"""Answers for files and folders, without a server: what `nhan predict` does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nhan.errors import BadPicture, NhanError, NotFound, UserError
from nhan.images import EXTENSIONS
from nhan.models.bundled import bundled_package
from nhan.models.package import Package
from nhan.models.predictor import Predictor
from nhan.models.registry import Registry
from nhan.tasks.base import Answer
from nhan.workspace import Workspace

# What a folder is searched for; a file named on its own is tried whatever it is called.
_ENDINGS = frozenset({*(f".{ending}" for ending in EXTENSIONS.values()), ".jpeg", ".tiff"})


@dataclass(frozen=True)
class Prediction:
    """One file's answer, or why there is none.

    Attributes:
        file: as it was named, or as it was found below a named folder.
        answer: None when the file could not be read.
        error: None when it was answered.
        duration_ms: reading the picture's bytes to the answer.
    """

    file: Path
    answer: Answer | None
    error: NhanError | None
    duration_ms: float

    def to_dict(self, package: Package) -> dict[str, Any]:
        """The prediction's JSON: as over HTTP, with the file in place of an id."""
        if self.answer is None:
            assert self.error is not None, "a prediction has an answer or an error"
            return {"file": str(self.file), **self.error.to_json()}
        return {
            "file": str(self.file),
            "task": package.spec.task,
            "model": package.spec.name,
            "version": str(package.spec.version),
            **self.answer.details,
            "confidence": self.answer.confidence,
            "duration_ms": round(self.duration_ms, 2),
        }


def choose(workspace: Workspace | None, model: str = "") -> Package:
    """The version that is meant to answer.

    Args:
        workspace: None outside any.
        model: `NAME` or `NAME@VERSION`; empty for `serve.model`, else the workspace's only model,
            else the bundled reader.

    Raises:
        NotFound: there is none, or no such model.
        UserError: several models and none named.
    """
    bundled = bundled_package()
    if workspace is not None:
        registry = Registry(workspace.store)
        wanted = model or workspace.settings.serve.model
        if wanted and not _is_bundled(wanted, bundled, registry):
            return registry.resolve(wanted)
        models = registry.models()
        if not wanted and len(models) == 1:
            return registry.resolve(models[0])
        if not wanted and models:
            raise UserError(
                "there are several models and none was named",
                hint=f"--model {models[0]}   (models: {', '.join(models)})",
            )
    if bundled is not None and (not model or model in (bundled.spec.name, bundled.ref)):
        return bundled
    if model:
        raise NotFound(f"no model {model!r}", hint="name a workspace with --workspace DIR")
    raise NotFound(
        "there is no model to answer with",
        hint="train one: nhan train DATASET, in a workspace made by nhan init DIR",
    )


def predict_files(predictor: Predictor, sources: Iterable[str | Path]) -> Iterator[Prediction]:
    """Answer for every picture, as it is found; what cannot be read is reported, not fatal.

    Args:
        predictor: who answers.
        sources: files, and folders that are walked for pictures in the order of their names.
    """
    for source in map(Path, sources):
        yield from (_predict(predictor, file) for file in _pictures(source))


def _is_bundled(wanted: str, bundled: Package | None, registry: Registry) -> bool:
    """Whether a name means the bundled reader: a workspace's own model of that name goes first."""
    if bundled is None or wanted not in (bundled.spec.name, bundled.ref):
        return False
    return not registry.versions(bundled.spec.name)


def _pictures(source: Path) -> Iterator[Path]:
    if not source.is_dir():
        yield source
        return
    found = sorted(
        path
        for path in source.rglob("*")
        if path.suffix.lower() in _ENDINGS and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise NotFound(f"no pictures in {source}", hint=f"endings: {', '.join(sorted(_ENDINGS))}")
    yield from found


def _predict(predictor: Predictor, file: Path) -> Prediction:
    start = time.perf_counter()
    answer, error = None, None
    try:
        answer = predictor.predict(_read(file))
    except (BadPicture, NotFound) as caught:
        error = caught
    return Prediction(file, answer, error, (time.perf_counter() - start) * 1e3)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise NotFound("there is no such file", hint="check the path") from error
    except OSError as error:
        raise BadPicture(
            f"the file cannot be read: {error.strerror}", hint="name a file that you may read"
        ) from error
