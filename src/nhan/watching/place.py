"""Where what is watched is written, and whose answers it is about."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import Any

from nhan.errors import NotFound
from nhan.models.bundled import bundled_package
from nhan.models.package import Package
from nhan.models.registry import Registry
from nhan.storage import Store
from nhan.workspace import Workspace


def answering(workspace: Workspace, model: str) -> Package | None:
    """The version that answers under a name: the champion, else the bundled reader of that name."""
    registry = Registry(workspace.store)
    champion = registry.champion(model)
    if champion is not None:
        return registry.open(model, champion)
    bundled = bundled_package() if workspace.settings.serve.bundled else None
    return bundled if bundled is not None and bundled.spec.name == model else None


def version_name(workspace: Workspace, package: Package) -> str:
    """A version as documents name it; the bundled reader is no version of the workspace's."""
    number = str(package.spec.version)
    return number if package.store is workspace.store else f"{number} (bundled)"


def version_at(workspace: Workspace, model: str, version: str, at: datetime) -> Package | None:
    """The package that a model's version was at some moment; None where nobody knows it.

    The bundled reader counts its versions by itself: what the workspace published under the same
    number later is another one.
    """
    bundled = bundled_package()
    own: Package | None = None
    with suppress(NotFound, ValueError):
        own = Registry(workspace.store).open(model, int(version))
    if bundled is None or (bundled.spec.name, str(bundled.spec.version)) != (model, version):
        return own
    if own is not None and datetime.fromisoformat(own.spec.created) <= at:
        return own
    return bundled


def read_watch(store: Store, model: str, name: str) -> dict[str, Any] | None:
    """What was written last; None where nothing was."""
    try:
        document: dict[str, Any] = json.loads(store.read(_path(model, name)))
    except NotFound:
        return None
    return document


def write_watch(store: Store, model: str, name: str, document: dict[str, Any]) -> None:
    """Replace what was written."""
    text = json.dumps(document, ensure_ascii=False, indent=1)
    store.put(_path(model, name), text.encode())


def _path(model: str, name: str) -> str:
    return f"watching/{model}/{name}"
