"""What a door yields: one picture with the labels its source gives it, or why it yields none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nhan.catalog import State
from nhan.names import one_spelling


def storable(text: str) -> str:
    """Text that every database and terminal takes.

    File names may hold bytes that are no UTF-8, JSON may hold halves of surrogate pairs and NUL.
    """
    if text.isprintable():  # no surrogate is
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def said(value: object) -> str:
    """What a column or key of facts says; '' for nothing. Documents may be numbered from 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if value or is_number else ""


@dataclass(frozen=True, slots=True)
class Vote:
    """One label as the source gives it, before the task normalises it.

    Attributes:
        value: as written.
        given_by: who; '' when the source does not say.
        external_id: the source's own id of this label; '' when it has none. A later import that
            brings the same id with a newer `given_at` corrects the label; it is no second opinion.
        given_at: when; None means now.
        origin: `import`, `labelstudio`, `labelstudio-draft` …
    """

    value: str
    given_by: str = ""
    external_id: str = ""
    given_at: datetime | None = None
    origin: str = "import"

    def __post_init__(self) -> None:
        _clean(self, "given_by", "external_id")
        _spell(self, "given_by")


@dataclass(frozen=True, slots=True)
class Record:
    """One picture of a source.

    Attributes:
        name: what the source calls it.
        picture: reads its bytes; raises a `NhanError` when they cannot be had.
        label: the label that stands according to the source; None when it has none.
        others: further labels for the same picture, kept as votes.
        ground_truth: the source says that `label` is beyond doubt; it replaces a standing label.
        state: where the sample starts; only `labelled` ones train.
        reason: why it does not, for `skipped` and `rejected`.
        split: `train`, `validation`, `test` or '' for no wish.
        source: the slice of reports it belongs to.
        group: document or writer, never divided between splits; '' when unknown.
    """

    name: str
    picture: Callable[[], bytes]
    label: Vote | None = None
    others: tuple[Vote, ...] = ()
    ground_truth: bool = False
    state: State = State.LABELLED
    reason: str = ""
    split: str = ""
    source: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        _clean(self, "name", "reason", "source", "group")
        _spell(self, "source", "group")


@dataclass(frozen=True, slots=True)
class Skip:
    """An item of the source that is not taken in.

    Attributes:
        name: what the source calls it.
        code: machine-readable reason, counted in the report.
        message: what was wrong, with the value at fault.
        hint: what to do.
    """

    name: str
    code: str
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        _clean(self, "name", "message")

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "name": self.name,
            "reason": self.code,
            "message": self.message,
            "hint": self.hint,
        }


class Unresolved(Exception):
    """A picture reference that leads to no file; becomes a `Skip`."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def skip(self, name: str) -> Skip:
        """The skip of the item that holds the reference."""
        return Skip(name, self.code, self.message, self.hint)


def _clean(record: object, *fields: str) -> None:
    for field in fields:
        object.__setattr__(record, field, storable(getattr(record, field)))


def _spell(record: object, *fields: str) -> None:
    """In one spelling what samples are put together by."""
    for field in fields:
        object.__setattr__(record, field, one_spelling(getattr(record, field)))
