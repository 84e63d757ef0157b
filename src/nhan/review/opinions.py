"""Which of several opinions stands: a pure rule, without the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nhan.catalog.schema import State
from nhan.tasks.base import Task


@dataclass(frozen=True)
class Opinion:
    """What one person says of one sample.

    Attributes:
        verdict: what becomes of the sample if this stands: accepted, skipped or rejected.
        value: the label, normalised; None unless accepted.
        label_id: its row.
        final: it was given to settle a dispute, and outweighs the others.
    """

    reviewer: str
    verdict: State
    value: str | None = None
    label_id: int | None = None
    reason: str = ""
    final: bool = False


def standing(task: Task, opinions: Sequence[Opinion], *, tolerance: float = 0.0) -> Opinion | None:
    """The opinion that stands for all; None when they differ.

    Opinions agree when their verdicts are the same and no two labels are further apart than the
    tolerance. Of labels that agree without being equal, the one closest to all others stands.

    Args:
        task: of the sample.
        opinions: one or more, oldest first.
        tolerance: error rate of one label against another, 0 for equal ones only.
    """
    final = [opinion for opinion in opinions if opinion.final]
    if final:
        return final[-1]
    first = opinions[0]
    if any(opinion.verdict != first.verdict for opinion in opinions):
        return None
    if first.verdict != State.ACCEPTED:
        return first
    distances = [
        [apart(task, one.value or "", other.value or "") for other in opinions] for one in opinions
    ]
    if max(map(max, distances)) > tolerance:
        return None
    return opinions[min(range(len(opinions)), key=lambda index: sum(distances[index]))]


def apart(task: Task, one: str, other: str) -> float:
    """How far two labels are apart: the error rate of the one against the other, the larger way.

    For text that is the CER; 0 for equal labels.
    """
    if one == other:
        return 0.0
    rates = (task.rate(one, other), task.rate(other, one))
    return max(rate.errors / max(rate.weight, 1.0) for rate in rates)
