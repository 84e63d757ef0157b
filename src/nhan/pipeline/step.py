"""What a step of a round is: a plain function of the workspace, the plan and what came before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nhan.sentences import Sentence
from nhan.workspace import Workspace

State = Literal["running", "ran", "skipped", "refused", "failed"]

# States that a step stays in: it is not done again in the same round.
DONE: tuple[State, ...] = ("ran", "skipped", "refused")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What a round is about, fixed when it begins.

    Attributes:
        number: of the round, from 1.
        dataset: name that is frozen into.
        task: whose labels.
        model: name that is trained and promoted.
        start: as the setting `loop.start`.
        train: as the setting `loop.train`.
        int8: as the setting `loop.int8`.
        again: do everything again, even where nothing has changed.
        reason: why the round was begun; a `Sentence` can be said in other languages.
        by: who or what began it.
        key: chosen by whoever begins it; asking again with the same one gives the same round.
        at: UTC, ISO 8601.
    """

    number: int
    dataset: str
    task: str
    model: str
    start: str = "champion"
    train: tuple[str, ...] = ()
    int8: bool = False
    again: bool = False
    reason: str = ""
    by: str = ""
    key: str = ""
    at: str = ""

    @property
    def name(self) -> str:
        """As it stands in promotion logs."""
        return f"round {self.number}"

    def to_json(self) -> dict[str, Any]:
        """What `round.json` holds."""
        said = self.reason.to_json() if isinstance(self.reason, Sentence) else None
        return {**asdict(self), "train": list(self.train), "said": said}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """Read back what `to_json` gave."""
        known = {key: value for key, value in values.items() if key in cls.__dataclass_fields__}
        if said := values.get("said"):
            known["reason"] = Sentence(said["words"], said["code"], said["facts"])
        return cls(**{**known, "train": tuple(known.get("train", ()))})


@dataclass(frozen=True)
class Outcome:
    """How a step ended.

    Attributes:
        state: `ran`; `skipped`, because what it reads has not changed or there is nothing to do;
            `refused`, because going on would be wrong, which ends the round.
        because: in words, never empty; a `Sentence` can be said in other languages.
        outputs: what later steps read; JSON-able.
        key: hash of the content that it read; empty where it has none.
    """

    state: State
    because: str
    outputs: dict[str, Any] = field(default_factory=dict)
    key: str = ""


@dataclass(frozen=True)
class Record(Outcome):
    """A step as it is kept in its round's folder.

    Attributes:
        step: its name.
        began, ended: UTC, ISO 8601; empty while it has not ended.
        hint: what to do about a failure.
    """

    step: str = ""
    began: str = ""
    ended: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """One JSON object."""
        said = self.because.to_json() if isinstance(self.because, Sentence) else None
        return {**asdict(self), "said": said}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Record:
        """Read back what `to_json` gave."""
        known = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
        if said := values.get("said"):
            known["because"] = Sentence(said["words"], said["code"], said["facts"])
        return cls(**known)


@dataclass(frozen=True)
class Work:
    """What a step is given.

    Attributes:
        workspace: where.
        plan: of the round.
        before: the outputs of earlier steps, by step.
        say: is told what happens, in words.
        show: draw progress bars.
    """

    workspace: Workspace
    plan: Plan
    before: Mapping[str, Mapping[str, Any]]
    say: Say
    show: bool = False

    def output(self, step: str, name: str) -> str:
        """One text among an earlier step's outputs; empty where it gave none."""
        return str(self.before.get(step, {}).get(name) or "")


Step = Callable[[Work], Outcome]
