"""Samples on which people differ, and how far any two people agree."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from nhan.catalog import reviews
from nhan.review.decide import opinion_of
from nhan.review.item import Shown, facts_of
from nhan.review.opinions import Opinion, apart
from nhan.review.queue import choose_task
from nhan.tasks import get_task
from nhan.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Dispute(Shown):
    """A sample that somebody must settle.

    Attributes:
        opinions: all that was said, oldest first.
        apart: the largest error rate of one label against another (CER for text); 1 where some
            gave a label and others none.
    """

    opinions: tuple[Opinion, ...]
    apart: float

    def to_json(self) -> dict[str, Any]:
        """As the review API gives it."""
        return {
            **super().to_json(),
            "opinions": [
                {
                    "reviewer": opinion.reviewer,
                    "state": opinion.verdict.value,
                    "value": opinion.value,
                    "reason": opinion.reason,
                }
                for opinion in self.opinions
            ],
            "apart": round(self.apart, 4),
        }


@dataclass(frozen=True)
class Agreement:
    """How far two people agree.

    Attributes:
        samples: that both labelled, unseen by each other.
        figures: `same`, the share of equal labels, and the task's own: `cer`, or `kappa`.
    """

    first: str
    second: str
    samples: int
    figures: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """As the review API gives it."""
        figures = {name: round(value, 4) for name, value in self.figures.items()}
        return {"first": self.first, "second": self.second, "samples": self.samples, **figures}


def list_disputes(workspace: Workspace, task: str) -> list[Dispute]:
    """What waits to be settled, most useful first; `nhan.review.decide` settles it (`adjudicate`).

    Raises:
        NotFound, BadRequest: as `nhan.review.queue.next_items`.
    """
    rules = get_task(choose_task(workspace, task))
    with workspace.catalog.read() as connection:
        rows = reviews.disputed(connection, rules.name)
        said = defaultdict(list)
        for review in reviews.read_opinions(connection, [row["id"] for row in rows]):
            said[review["sample_id"]].append(opinion_of(review))
    disputes = []
    for row in rows:
        opinions = said[row["id"]]
        pairs = combinations([opinion.value for opinion in opinions], 2)
        gaps = [
            float(one != other) if one is None or other is None else apart(rules, one, other)
            for one, other in pairs
        ]
        disputes.append(
            Dispute(**facts_of(row), opinions=tuple(opinions), apart=max(gaps, default=0.0))
        )
    return disputes


def agreement(workspace: Workspace, task: str) -> list[Agreement]:
    """How far any two people agree who labelled the same samples.

    Raises:
        NotFound, BadRequest: as `nhan.review.queue.next_items`.
    """
    rules = get_task(choose_task(workspace, task))
    with workspace.catalog.read() as connection:
        rows = reviews.doubly_labelled(connection, rules.name)
    by_sample: dict[int, dict[str, str]] = defaultdict(dict)
    for sample, reviewer, value in rows:
        by_sample[sample][reviewer] = value
    pairs: dict[tuple[str, str], tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for values in by_sample.values():
        for first, second in combinations(sorted(values), 2):
            pairs[first, second][0].append(values[first])
            pairs[first, second][1].append(values[second])
    return [
        Agreement(first, second, len(ones), rules.agreement(ones, others))
        for (first, second), (ones, others) in sorted(pairs.items())
    ]
