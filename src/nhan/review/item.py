"""What a reviewer is shown of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from nhan.catalog import reviews
from nhan.catalog.schema import State
from nhan.tasks import get_task

# The policies of collection, in words.
_WHY = {
    "random": "chosen by chance",
    "low_confidence": "low confidence",
    "disagreement": "two models differ",
    "new_content": "something new in it",
    "novelty": "looks unlike the rest",
}


@dataclass(frozen=True)
class Suggestion:
    """What the field is filled with before the reviewer types.

    Attributes:
        value: the text or class.
        confidence: calibrated, 0..1; None where a person said it.
        source: `MODEL@VERSION`, or `correction by NAME`.
        details: `characters` or `labels`, as in a prediction.
    """

    value: str
    confidence: float | None
    source: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the review API gives it."""
        known = {"value": self.value, "confidence": self.confidence, "from": self.source}
        return {**self.details, **known}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A sample as every page about it shows it.

    Attributes:
        width: of the upright picture, px; so is `height`.
    """

    sample: int
    task: str
    sha256: str
    name: str
    width: int
    height: int

    def to_json(self) -> dict[str, Any]:
        """As the review API gives it."""
        return {
            "sample": self.sample,
            "task": self.task,
            "sha256": self.sha256,
            "picture": f"/pictures/{self.sha256}",
            "name": self.name,
            "width": self.width,
            "height": self.height,
        }


def facts_of(row: reviews.Row) -> dict[str, Any]:
    """What `Shown` wants to know, of a row of the catalogue."""
    names = ("task", "sha256", "name", "width", "height")
    return {"sample": row["id"], **{name: row[name] for name in names}}


@dataclass(frozen=True, kw_only=True)
class Item(Shown):
    """One sample to review.

    Attributes:
        suggestion: None where nothing is known.
        draft: what this reviewer typed before, and its revision.
        label: the label that stands and is under suspicion; None otherwise. Opinions of other
            reviewers are never shown.
        why: why to look at it, in words; may be empty.
        priority: usefulness, 0..1; above 1 the label that stands is under suspicion.
        classes: what to choose from; empty where a label is typed.
    """

    suggestion: Suggestion | None
    draft: tuple[str, int] | None
    label: str | None
    why: str
    priority: float
    classes: tuple[str, ...]
    state: State

    def to_json(self) -> dict[str, Any]:
        """As the review API gives it."""
        return {
            **super().to_json(),
            "suggestion": self.suggestion.to_json() if self.suggestion else None,
            "draft": {"value": self.draft[0], "revision": self.draft[1]} if self.draft else None,
            "label": self.label,
            "why": self.why,
            "priority": round(self.priority, 4),
            "classes": list(self.classes),
            "state": self.state.value,
        }


def make_items(
    connection: sa.Connection, rows: Sequence[reviews.Row], reviewer: str, classes: Sequence[str]
) -> list[Item]:
    """The items of these samples, in the same order."""
    numbers = [row["id"] for row in rows]
    if not numbers:
        return []
    guesses = reviews.read_suggestions(connection, numbers)
    answers = reviews.read_predictions(connection, numbers)
    corrected = reviews.read_corrections(connection, numbers)
    standing = reviews.read_labels(
        connection, [row["label_id"] for row in rows if row["label_id"] is not None]
    )
    items = []
    for row in rows:
        number = row["id"]
        blind = row["opinions"] > 1
        guess, answer = guesses.get(number), answers.get(number)
        correction = None if blind else corrected.get(number)
        suspect = row["state"] in (State.LABELLED, State.ACCEPTED) and not blind
        review = reviews.read_review(connection, number, reviewer)
        items.append(
            Item(
                **facts_of(row),
                suggestion=_suggestion(row["task"], guess, answer, correction),
                draft=_draft(review),
                label=standing[row["label_id"]]["value"] if suspect else None,
                why=_why(guess, answer, correction),
                priority=row["priority"],
                classes=tuple(classes),
                state=State(row["state"]),
            )
        )
    return items


def _draft(review: reviews.Row | None) -> tuple[str, int] | None:
    if review is None or review["draft"] is None:
        return None
    return review["draft"], review["revision"]


def _suggestion(
    task: str,
    guess: reviews.Row | None,
    answer: reviews.Row | None,
    correction: reviews.Row | None,
) -> Suggestion | None:
    """A person's correction before a model's answer, and the newer answer before the older."""
    if correction is not None:
        given_by = correction["given_by"] or "a user"
        value = get_task(task).normalise(correction["value"])
        return Suggestion(value, None, f"correction by {given_by}")
    told = [row for row in (guess, answer) if row is not None]
    if not told:
        return None
    newest = max(told, key=lambda row: row["at"])
    # `text` and `label` only repeat the value.
    details = {key: value for key, value in newest["details"].items() if value != newest["value"]}
    source = f"{newest['model']}@{newest['version']}"
    return Suggestion(newest["value"], newest["confidence"], source, details)


def _why(
    guess: reviews.Row | None, answer: reviews.Row | None, correction: reviews.Row | None
) -> str:
    reasons = ["corrected by a user"] if correction is not None else []
    if answer is not None and answer["sampled"]:
        reasons.append(_WHY.get(answer["sampled"], answer["sampled"].replace("_", " ")))
    if guess is not None and guess["why"]:
        reasons += [reason for reason in guess["why"].split("; ") if reason not in reasons]
    return "; ".join(reasons)
