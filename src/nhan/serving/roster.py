"""Which loaded model versions answer under which names."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from nhan.errors import BadRequest, NotFound, NotReady

# Characters of a name that a client chose, in a message.
_SHOWN = 80


@dataclass(eq=False, slots=True)
class Deployment:
    """One model version that every lane has loaded.

    Attributes:
        name: the model.
        version: as in answers and addresses.
        task: what kind of answer it gives.
        file: which file of the package answers.
        bundled: whether it is the reader that comes with the package, not one of the workspace.
        since: when it was loaded, seconds since the epoch.
        in_flight: requests that are being answered with it.
        answered: how many were.
        last_answer: when the last one was, seconds since the epoch; 0 before the first.
    """

    name: str
    version: str
    task: str
    file: str = "model.onnx"
    bundled: bool = False
    since: float = field(default_factory=time.time)
    in_flight: int = 0
    answered: int = 0
    last_answer: float = 0.0

    @property
    def ref(self) -> str:
        """`NAME@VERSION`, as answers name it."""
        return f"{self.name}@{self.version}"

    @property
    def key(self) -> str:
        """What lanes know it by: the bundled reader is no version of a workspace's model."""
        return f"{self.ref} (bundled)" if self.bundled else self.ref


class Roster:
    """The deployments, by name; the champion of a name is swapped in one assignment."""

    def __init__(self, default_model: str = "") -> None:
        self.default_model = default_model
        self._champions: dict[str, Deployment] = {}
        self._others: dict[str, Deployment] = {}

    @property
    def champions(self) -> list[Deployment]:
        """Who answers, one for each model, by name."""
        return [self._champions[name] for name in sorted(self._champions)]

    @property
    def others(self) -> list[Deployment]:
        """Loaded versions beside the champions: candidates on trial."""
        return list(self._others.values())

    @property
    def has_default(self) -> bool:
        """Whether the model that the settings name answers; true where they name none."""
        return not self.default_model or self.default_model in self._champions

    @property
    def listing(self) -> str:
        """The models that answer, in words."""
        return f"models: {', '.join(sorted(self._champions)) or 'none yet'}"

    def crown(self, deployment: Deployment) -> Deployment | None:
        """Make a deployment its model's champion; returns the one before."""
        before = self._champions.get(deployment.name)
        self._champions[deployment.name] = deployment
        self._others.pop(deployment.key, None)
        return before

    def add(self, deployment: Deployment) -> None:
        """Let a version answer to those who ask for it by number."""
        self._others[deployment.key] = deployment

    def remove_trial(self, deployment: Deployment) -> None:
        """Stop answering with a version that is no champion."""
        self._others.pop(deployment.key, None)

    def find(self, name: str = "", version: str = "") -> Deployment:
        """The deployment that a request means.

        Args:
            name: a model; empty for the default one.
            version: empty for the champion.

        Raises:
            NotReady: no model answers yet.
            BadRequest: there are several models and none was named.
            NotFound: no such model, or that version does not answer.
        """
        if not self._champions:
            # Whatever its name is: while the server starts, 404 would tell a client to give up.
            raise NotReady(
                "no model answers yet",
                hint="GET /readyz says why: still starting, or without a champion "
                "(nhan promote MODEL@VERSION)",
            )
        name = name or self.default_model or self._only()
        champion = self._champions.get(name)
        if champion is None:
            raise NotFound(f"no model {name[:_SHOWN]!r} answers here", hint=self.listing)
        if not version or version == champion.version:
            return champion
        other = self._others.get(f"{name}@{version}")
        if other is None:
            raise NotFound(
                f"version {version[:_SHOWN]!r} of {name} does not answer",
                hint=f"its champion is version {champion.version}",
            )
        return other

    def only_of_task(self, task: str) -> str:
        """The name of the one model of a task; empty when there is none or several."""
        names = [one.name for one in self.champions if one.task == task]
        return names[0] if len(names) == 1 else ""

    def _only(self) -> str:
        # A workspace's own model is meant before the bundled one, which is there anyway.
        own = [name for name, one in self._champions.items() if not one.bundled]
        names = own or list(self._champions)
        if len(names) > 1:
            raise BadRequest(
                "several models answer here and the request names none",
                hint=f"add ?model=NAME; {self.listing}",
            )
        return names[0]
