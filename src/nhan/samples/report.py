"""What an import did: every item of the source is in exactly one of its counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nhan.catalog import TRAINABLE
from nhan.samples.record import Record, Skip
from nhan.samples.settle import Settled

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Conflict:
    """A picture that has a label, and a source that gives it another one."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """A sample that was taken in but will not train: rejected, skipped, a draft, unlabelled."""

    name: str
    state: str
    reason: str


@dataclass
class ImportReport:
    """The outcome of an import.

    `read == added + known + voted + relabelled + conflicts + set_aside + skipped`, where the last
    four are the lengths of the lists; `check` makes sure of it.

    Attributes:
        layout: the door that read the source.
        read: items of the source.
        added: samples that are new in the catalogue, by state.
        known: items that brought nothing new.
        voted: known pictures with a further opinion of the same label.
        relabelled: pictures whose standing label changed.
        conflicts: pictures that keep their label although this source gives another.
        set_aside: known samples that were rejected.
        skipped: items not taken in, each with its reason.
        not_training: new samples in a state that does not train.
        splits, sources: the new samples that train, by the split they ask for and by slice.
        mended: labels that normalising changed; `mended_examples` names a few different ones.
    """

    source: str
    layout: str
    task: str
    dry_run: bool
    read: int = 0
    added: Counter[str] = field(default_factory=Counter)
    known: int = 0
    voted: int = 0
    relabelled: list[Conflict] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    not_training: list[SetAside] = field(default_factory=list)
    splits: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    mended: int = 0
    mended_examples: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def reasons(self) -> Counter[str]:
        """How many items were skipped for which reason."""
        return Counter(item.code for item in self.skipped)

    def skip(self, item: Skip) -> None:
        """Count an item that is not taken in."""
        self.read += 1
        self.skipped.append(item)

    def settled(self, record: Record, what: Settled) -> None:
        """Count an item that was."""
        self.read += 1
        if what.outcome == "added":
            self._added(record)
        elif what.outcome == "known":
            self.known += 1
        elif what.outcome == "voted":
            self.voted += 1
        elif what.outcome == "set_aside":
            self.set_aside.append(SetAside(record.name, record.state.value, record.reason))
        else:
            listed = self.conflicts if what.outcome == "conflict" else self.relabelled
            listed.append(Conflict(record.name, what.before, what.after))

    def mend(self, given: str, value: str) -> None:
        """Count a label that normalising changed."""
        self.mended += 1
        example = f"{given!a} → {value}"
        if len(self.mended_examples) < _EXAMPLES and example not in self.mended_examples:
            self.mended_examples.append(example)

    def check(self) -> None:
        """Fail if an item was lost between the counts; a fault of ours, never of the source."""
        listed = len(self.relabelled) + len(self.conflicts) + len(self.set_aside)
        counted = self.added.total() + self.known + self.voted + listed + len(self.skipped)
        assert counted == self.read, f"{self.read} items read, {counted} accounted for"

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return {
            "source": self.source,
            "layout": self.layout,
            "task": self.task,
            "dry_run": self.dry_run,
            "read": self.read,
            "added": self.added.total(),
            "added_by_state": dict(self.added),
            "known": self.known,
            "voted": self.voted,
            "relabelled": [_conflict(one) for one in self.relabelled],
            "conflicts": [_conflict(one) for one in self.conflicts],
            "set_aside": [_aside(one) for one in self.set_aside],
            "not_training": [_aside(one) for one in self.not_training],
            "skipped": len(self.skipped),
            "skipped_by_reason": dict(self.reasons.most_common()),
            "skipped_items": [item.to_json() for item in self.skipped],
            "splits": dict(self.splits),
            "sources": dict(self.sources.most_common()),
            "mended": self.mended,
            "mended_examples": self.mended_examples,
            "seconds": round(self.seconds, 3),
        }

    def _added(self, record: Record) -> None:
        self.added[record.state.value] += 1
        if record.state in TRAINABLE:
            self.splits[record.split or "by content"] += 1
            self.sources[record.source] += 1
        else:
            self.not_training.append(SetAside(record.name, record.state.value, record.reason))


def _conflict(one: Conflict) -> dict[str, str]:
    return {"name": one.name, "before": one.before, "after": one.after}


def _aside(one: SetAside) -> dict[str, str]:
    return {"name": one.name, "state": one.state, "reason": one.reason}
