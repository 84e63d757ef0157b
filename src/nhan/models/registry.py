"""Which models and versions there are, and which version answers.

The champion changes in one way only: an entry in the model's numbered, create-only promotion log.
The highest entry names the champion; a rollback is one more entry. Nothing is overwritten, so the
log also tells which version answered on any past day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from nhan.errors import Conflict, NotFound, UserError
from nhan.models.package import Package, check_name, is_name, version_path
from nhan.storage import NumberedLog, StaleLog, Store

Action = Literal["promote", "forced", "rollback"]

_MAX_DIGITS = 9  # of a version; Python refuses to read a number of thousands
_SHOWN = 80  # characters of what somebody asked for, in a message


class Promotion(BaseModel):
    """One entry of a promotion log.

    Attributes:
        action: `promote` passed the gate, `forced` went round it, `rollback` goes back.
        version: who answers from here on.
        previous: who answered before; None for the first champion.
        because: the reason given by whoever asked.
        by: who asked.
        verdict: the gate's words and numbers; None for a rollback.
        at: UTC, ISO 8601; set by the log.
    """

    model_config = ConfigDict(frozen=True)

    action: Action
    version: int
    previous: int | None = None
    because: str = ""
    by: str = ""
    verdict: dict[str, Any] | None = None
    at: str = ""


@dataclass(frozen=True)
class LogState:
    """A promotion log as it stood when it was read.

    Attributes:
        number: its last entry's number, 0 when empty; what `Registry.record` expects.
        promotions: its entries in order.
    """

    number: int
    promotions: tuple[Promotion, ...]

    @property
    def champion(self) -> int | None:
        """The version that answers; None before the first promotion."""
        return self.promotions[-1].version if self.promotions else None

    @property
    def before(self) -> int | None:
        """The version a rollback goes to; None when there is none.

        Promotions stack up and each rollback takes one off, so rolling back twice goes back two
        champions instead of swinging between the last two.
        """
        stack: list[int] = []
        for entry in self.promotions:
            if entry.action == "rollback" and len(stack) > 1:
                stack.pop()
            else:
                stack.append(entry.version)
        return stack[-2] if len(stack) > 1 else None


class Registry:
    """The models of one object store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def models(self) -> list[str]:
        """Names of all models that have a version, sorted."""
        return [name for name in self.names() if self.versions(name)]

    def names(self) -> list[str]:
        """Folders that can be a model's, sorted; what else lies beside them is passed over."""
        return [name for name in self.store.folders("models") if is_name(name)]

    def versions(self, name: str) -> list[int]:
        """A model's visible versions, ascending; empty for an unknown model.

        A claimed number whose publish has not finished is not visible.
        """
        check_name(name)
        pattern = re.compile(rf"models/{re.escape(name)}/([1-9][0-9]*)/nhan\.json")
        found = (pattern.fullmatch(path) for path in self.store.list(f"models/{name}"))
        return sorted(int(match.group(1)) for match in found if match)

    def open(self, name: str, version: int) -> Package:
        """Open one version.

        Raises:
            NotFound: no such model or version; the hint says what there is.
            BadPackage: its `nhan.json` is damaged.
        """
        check_name(name)
        try:
            return Package.open(self.store, version_path(name, version))
        except NotFound as error:
            raise self._unknown(name, version) from error

    def resolve(self, ref: str) -> Package:
        """Open `NAME@VERSION`; `NAME` alone is the champion, else the newest version.

        Raises:
            UserError: the version is no number.
            NotFound, BadPackage: as `open`.
        """
        name, version = parse_ref(ref)
        if version is None:
            version = self.champion(name)
        if version is None:
            version = max(self.versions(name), default=None)
        if version is None:
            raise self._unknown(name, None)
        return self.open(name, version)

    def champion(self, name: str) -> int | None:
        """The version that answers, or None before the first promotion."""
        latest = self._log(name).latest()
        return Promotion.model_validate(latest[1]).version if latest else None

    def log_number(self, name: str) -> int:
        """The promotion log's last number, 0 when empty; cheap enough to poll."""
        return self._log(name).latest_number()

    def log(self, name: str) -> LogState:
        """The promotion log as it stands now."""
        entries = self._log(name).entries()
        promotions = tuple(Promotion.model_validate(entry) for _, entry in entries)
        return LogState(entries[-1][0] if entries else 0, promotions)

    def record(self, name: str, promotion: Promotion, *, expected: int) -> int:
        """Append to the promotion log and return the entry's number.

        This is the act itself; who may promote is decided in `nhan.evaluation.promotion`.

        Args:
            name: the model.
            promotion: the entry; its time is set here.
            expected: `LogState.number` of the log that was decided on.

        Raises:
            StaleLog: somebody else was quicker; read the log and decide again.
            NotFound, BadPackage: the version cannot answer.
        """
        self.open(name, promotion.version).verify()
        return self._log(name).append(promotion.model_dump(exclude={"at"}), expected=expected)

    def rollback(self, name: str, *, because: str = "", by: str = "") -> Promotion:
        """Bring the champion before this one back: one more entry.

        Two rollbacks asked for at once against the same champion go back once: the second
        asker meant the champion that is gone already.

        Raises:
            NotFound: the model is unknown or was never promoted.
            Conflict: there is no champion before this one, or the champion changed meanwhile.
            BadPackage: the earlier version is damaged.
        """
        state = self.log(name)
        if state.champion is None:
            if not self.versions(name):
                raise self._unknown(name, None)
            raise NotFound(
                f"{name} has no champion to roll back", hint=f"nhan promote {name}@VERSION"
            )
        if state.before is None:
            raise Conflict(
                f"{name}@{state.champion} is the first champion; there is none before it",
                hint=f"promote another version: nhan promote {name}@VERSION",
            )
        entry = Promotion(
            action="rollback",
            version=state.before,
            previous=state.champion,
            because=because,
            by=by,
        )
        try:
            self.record(name, entry, expected=state.number)
        except StaleLog as error:
            raise Conflict(
                f"{name}'s champion changed while rolling back",
                hint=f"look at `nhan models {name}` and roll back again if you still want to",
            ) from error
        return self.log(name).promotions[state.number]

    def _log(self, name: str) -> NumberedLog:
        return NumberedLog(self.store, f"models/{check_name(name)}/log")

    def _unknown(self, name: str, version: int | None) -> NotFound:
        versions = self.versions(name)
        if versions:
            shown = ", ".join(str(number) for number in versions)
            return NotFound(f"{name} has no version {version}", hint=f"versions: {shown}")
        models = self.models()
        return NotFound(
            f"no model {name!r}",
            hint=f"models: {', '.join(models)}" if models else "train one: nhan train DATASET",
        )


def parse_ref(ref: str) -> tuple[str, int | None]:
    """Split `NAME` or `NAME@VERSION`.

    Raises:
        UserError: the name cannot be one, or the version is no number from 1.
    """
    name, at, version = ref.partition("@")
    check_name(name)
    if not at:
        return name, None
    plain = version.isascii() and version.isdigit() and len(version) <= _MAX_DIGITS
    if not plain or int(version) < 1:
        raise UserError(f"{ref[:_SHOWN]!r}: a model version is a number", hint=f"e.g. {name}@1")
    return name, int(version)
