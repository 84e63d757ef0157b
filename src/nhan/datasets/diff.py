"""What changed between two dataset versions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nhan.datasets import layout
from nhan.datasets.read import DatasetVersion, Row


@dataclass(frozen=True, slots=True)
class Change:
    """One picture that stands in both versions with another label or split."""

    sha256: str
    source: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Member:
    """One picture that stands in one of the versions only."""

    sha256: str
    label: str
    split: str
    source: str


@dataclass
class DatasetDiff:
    """From an old version to a new one.

    Attributes:
        added, removed: pictures of one version only.
        relabelled: pictures whose label changed.
        moved: pictures whose split changed; between versions of one workspace always empty.
    """

    before: str
    after: str
    counts: dict[str, dict[str, int]]
    added: list[Member] = field(default_factory=list)
    removed: list[Member] = field(default_factory=list)
    relabelled: list[Change] = field(default_factory=list)
    moved: list[Change] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Nothing differs."""
        return not (self.added or self.removed or self.relabelled or self.moved)

    def to_json(self) -> dict[str, Any]:
        """For `--json`: counts and every change."""
        return {
            "before": self.before,
            "after": self.after,
            "counts": self.counts,
            "added": len(self.added),
            "removed": len(self.removed),
            "relabelled": len(self.relabelled),
            "moved": len(self.moved),
            "added_by_split": dict(Counter(one.split for one in self.added)),
            "removed_by_split": dict(Counter(one.split for one in self.removed)),
            "changes": {
                "added": [_member(one) for one in self.added],
                "removed": [_member(one) for one in self.removed],
                "relabelled": [_change(one) for one in self.relabelled],
                "moved": [_change(one) for one in self.moved],
            },
        }


def diff(before: DatasetVersion, after: DatasetVersion) -> DatasetDiff:
    """Compare two versions by their pictures' content; no picture is read."""
    old, new = _rows(before), _rows(after)
    counts = {one.ref: dict(one.splits) for one in (before, after)}
    found = DatasetDiff(before.ref, after.ref, counts)
    found.added = [_as_member(*new[key]) for key in sorted(new.keys() - old.keys())]
    found.removed = [_as_member(*old[key]) for key in sorted(old.keys() - new.keys())]
    for key in sorted(old.keys() & new.keys()):
        (was_in, was), (is_in, now) = old[key], new[key]
        if was.label != now.label:
            found.relabelled.append(Change(key, now.source, was.label, now.label))
        if was_in != is_in:
            found.moved.append(Change(key, now.source, was_in, is_in))
    return found


def _rows(version: DatasetVersion) -> dict[str, tuple[str, Row]]:
    return {
        row.sha256: (split, row)
        for split in layout.SPLITS
        for row in version.rows(split, pictures=False)
    }


def _as_member(split: str, row: Row) -> Member:
    return Member(row.sha256, row.label, split, row.source)


def _member(one: Member) -> dict[str, str]:
    return {"sha256": one.sha256, "label": one.label, "split": one.split, "source": one.source}


def _change(one: Change) -> dict[str, str]:
    return {"sha256": one.sha256, "source": one.source, "before": one.before, "after": one.after}
