"""What the champion reads in samples, for labellers to begin from.

An answer that the version has given before is used again; only the rest is read now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nhan.catalog.labelstudio import Said, answers_of
from nhan.errors import BadPicture, NotFound, UserError
from nhan.workspace import Workspace

if TYPE_CHECKING:
    from nhan.models.package import Package
    from nhan.models.predictor import Predictor


class Shown(Protocol):
    """What is asked of a sample."""

    @property
    def sha256(self) -> str: ...

    @property
    def path(self) -> str: ...


@dataclass
class Suggester:
    """Answers for samples with one model version.

    Attributes:
        ref: `MODEL@VERSION`.
    """

    workspace: Workspace
    predictor: Predictor

    @property
    def ref(self) -> str:
        """The version that answers."""
        return self.predictor.package.ref

    def answers(self, asked: Mapping[int, Shown]) -> tuple[dict[int, Said], dict[int, str]]:
        """Answer for samples.

        Args:
            asked: by sample number.

        Returns:
            The answers, and why there is none for the others.
        """
        spec = self.predictor.package.spec
        with self.workspace.catalog.read() as connection:
            found = answers_of(connection, spec.name, str(spec.version), asked)
        silent: dict[int, str] = {}
        for number, shown in asked.items():
            if number in found:
                continue
            try:
                answer = self.predictor.predict(self.workspace.store.read(shown.path))
            except (BadPicture, NotFound) as error:
                silent[number] = error.message
            else:
                found[number] = Said(answer.value, answer.confidence)
        return found, silent


def find_package(workspace: Workspace, task: str, model: str = "") -> Package | None:
    """The champion of a task; None where no model of the task answers.

    Args:
        workspace: whose models.
        task: whose samples.
        model: `NAME[@VERSION]`, where the task has several; else `serve.model`, else the only one,
            else the bundled reader.

    Raises:
        UserError: the task has several models and none was named, or that one is of another task.
        NotFound: no such model.
    """
    from nhan.models.bundled import bundled_package
    from nhan.models.registry import Registry

    registry = Registry(workspace.store)
    if not model:
        own = [registry.resolve(name) for name in registry.models() if registry.champion(name)]
        own = [one for one in own if one.spec.task == task]
        found = _choose(own, workspace.settings.serve.model, task) or bundled_package()
        return found if found is not None and found.spec.task == task else None
    named = registry.resolve(model)
    if named.spec.task != task:
        raise UserError(
            f"{named.ref} answers {named.spec.task}, the project labels {task}",
            hint="name a model of the same task",
        )
    return named


def open_suggester(workspace: Workspace, package: Package) -> Suggester:
    """A version, ready to answer."""
    # Imported only now: ONNX Runtime takes a while, and not every push needs it.
    from nhan.models.predictor import Predictor

    return Suggester(workspace, Predictor.load(package, limits=workspace.picture_limits))


def _choose(found: Sequence[Package], wanted: str, task: str) -> Package | None:
    if len(found) > 1:
        found = [one for one in found if one.spec.name == wanted] or found
    if len(found) > 1:
        names = ", ".join(one.spec.name for one in found)
        raise UserError(
            f"several models answer {task}: {names}",
            hint="name one with --model, or set serve.model",
        )
    return found[0] if found else None
