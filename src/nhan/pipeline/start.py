"""What a training begins from, by name."""

from __future__ import annotations

from nhan.errors import NotFound
from nhan.models.bundled import bundled_package
from nhan.models.package import Package
from nhan.models.registry import Registry
from nhan.workspace import Workspace

_BUNDLED = "bundled:"


def bundled_start(task: str) -> str:
    """The bundled reader as a start, if it is of this task; else empty.

    Its plain name would soon mean something else: the first version that a round makes is called
    after it.
    """
    bundled = bundled_package()
    return f"{_BUNDLED}{bundled.ref}" if bundled is not None and bundled.spec.task == task else ""


def start_package(workspace: Workspace, ref: str) -> Package:
    """The package to begin from.

    Args:
        workspace: where.
        ref: `NAME` or `NAME@VERSION` of the workspace; the bundled reader's name where the
            workspace has no model of that name; or what `bundled_start` gave.

    Raises:
        NotFound: there is none, or another bundled reader came with an upgrade.
        UserError: no name of a version.
    """
    registry = Registry(workspace.store)
    bundled = bundled_package()
    if ref.startswith(_BUNDLED):
        if bundled is None or f"{_BUNDLED}{bundled.ref}" != ref:
            raise NotFound(
                f"{ref.removeprefix(_BUNDLED)} is not the bundled reader any more",
                hint="begin another round: nhan loop run --new",
            )
        return bundled
    name = ref.partition("@")[0]
    if bundled is not None and bundled.spec.name == name and name not in registry.models():
        return bundled
    return registry.resolve(ref)
