"""Which split a sample belongs to: stable, leak-safe, and the same in any order.

The rule, in the order in which it decides:

1. A sample that a freeze has placed keeps its split for ever.
2. Near-duplicates stay together, and so does a document group. A new sample takes the split of
   those it belongs with. If it belongs with samples of two splits (a bridge), it is held out of
   the dataset and reported: wherever it went, one split would leak into the other.
3. Among samples that belong together and ask for different splits, test wins over validation and
   validation over train; the others are held out. A locked test split so only grows.
4. Otherwise the hash of salt and group (or of the picture, without a group) decides. At the first
   freeze the lowest hashes fill test and validation in turn up to their shares; later ones fall
   where their hash says, so that additions never move anything.
5. If a later freeze finds test or validation below half its share, the lowest hashes among the new
   groups fill it up to that.

Rules 4 and 5 leave train at least half of the samples that they place, take no group more than
twice as large as what is wanted while a smaller one is to be had, and give one sample to
validation from two samples on, one to test from three on. A source that asks for splits is obeyed
even where that leaves one empty.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nhan.settings import SplitSettings

# Where a leak would hurt most comes first.
_PRIORITY = ("test", "validation", "train")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sample to be placed.

    Attributes:
        key: identity of its content, the SHA-256 of its bytes.
        group: document or writer; '' for none.
        cluster: number of its near-duplicates' cluster.
        asked: the split its source asks for; ''.
        fixed: the split an earlier freeze gave it; ''.
    """

    key: str
    group: str
    cluster: int
    asked: str = ""
    fixed: str = ""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A sample that no split can take without a leak."""

    key: str
    reason: str


@dataclass
class SplitPlan:
    """The outcome.

    Attributes:
        splits: split by key, for every candidate that is not held out.
        held_out: by key order.
    """

    splits: dict[str, str] = field(default_factory=dict)
    held_out: list[HeldOut] = field(default_factory=list)

    def counts(self, keys: Iterable[str] | None = None) -> Counter[str]:
        """Samples by split, of these keys or all."""
        return Counter(self.splits[key] for key in (self.splits if keys is None else keys))


def plan_splits(candidates: Sequence[Candidate], settings: SplitSettings) -> SplitPlan:
    """Place every candidate, or hold it out.

    Args:
        candidates: all samples that count: those to be placed and those placed before. Their order
            does not matter.
        settings: shares and salt.
    """
    plan = SplitPlan()
    ordered = sorted(candidates, key=lambda one: one.key)
    free = _hold_out_bridges(ordered, plan)
    unplaced: list[_Unit] = []
    for unit in _units(free):
        if not unit.new:
            continue
        splits = {one.fixed for one in unit.members if one.fixed}
        if len(splits) > 1:
            _hold_out(unit.new, f"it belongs with {_named(splits)}", plan)
        elif splits:
            _place(unit, splits.pop(), plan)
        elif asked := {one.asked for one in unit.new if one.asked}:
            _place(unit, next(split for split in _PRIORITY if split in asked), plan)
        else:
            unplaced.append(unit)
    plan.splits.update((one.key, one.fixed) for one in ordered if one.fixed)
    _by_hash(unplaced, settings, plan, first=not any(one.fixed for one in ordered))
    plan.held_out.sort(key=lambda one: one.key)
    return plan


@dataclass(frozen=True)
class _Unit:
    """Samples that must not be divided, linked by clusters and groups."""

    members: list[Candidate]

    @property
    def new(self) -> list[Candidate]:
        return [one for one in self.members if not one.fixed]

    @property
    def name(self) -> str:
        """What is hashed: stable while the group gains members."""
        groups = [one.group for one in self.members if one.group]
        return f"group:{min(groups)}" if groups else min(one.key for one in self.members)


def _hold_out_bridges(ordered: list[Candidate], plan: SplitPlan) -> list[Candidate]:
    """Rule 2 for single clusters, so that one bridge does not take its whole document with it."""
    by_group: dict[str, set[str]] = defaultdict(set)
    by_cluster: dict[int, set[str]] = defaultdict(set)
    for one in ordered:
        if one.fixed:
            by_cluster[one.cluster].add(one.fixed)
            if one.group:
                by_group[one.group].add(one.fixed)
    ties = {number: set(splits) for number, splits in by_cluster.items()}
    for one in ordered:
        if not one.fixed and one.group:
            ties.setdefault(one.cluster, set()).update(by_group[one.group])
    free = []
    for one in ordered:
        if not one.fixed and len(ties.get(one.cluster, ())) > 1:
            _hold_out([one], f"it belongs with {_named(ties[one.cluster])}", plan)
        else:
            free.append(one)
    return free


def _units(ordered: list[Candidate]) -> list[_Unit]:
    parents: dict[object, object] = {}

    def root(node: object) -> object:
        while parents.setdefault(node, node) != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for one in ordered:
        cluster = root(one.cluster)
        if one.group:
            parents[root(one.group)] = cluster
    members: dict[object, list[Candidate]] = defaultdict(list)
    for one in ordered:
        members[root(one.cluster)].append(one)
    return [_Unit(found) for found in members.values()]


def _place(unit: _Unit, split: str, plan: SplitPlan) -> None:
    for one in unit.new:
        if one.asked and one.asked != split:
            reason = f"it asks for {one.asked} and belongs with samples of {split}"
            _hold_out([one], reason, plan)
        else:
            plan.splits[one.key] = split


def _by_hash(units: list[_Unit], settings: SplitSettings, plan: SplitPlan, *, first: bool) -> None:
    """Rules 4 and 5."""
    scored = sorted(
        ((_fraction(settings.salt, unit.name), unit.name, unit) for unit in units),
        key=lambda entry: entry[:2],
    )
    counts = plan.counts()
    here = sum(len(unit.new) for unit in units)
    total = counts.total() + here
    choice: dict[str, str] = {}
    for fraction, name, unit in scored:
        choice[name] = "train" if first else _split_at(fraction, settings)
        counts[choice[name]] += len(unit.new)
    wanted = {
        split: _wanted(split, share if first else share / 2, total)
        for split, share in (("test", settings.test), ("validation", settings.validation))
    }
    smallest = min(filter(None, wanted.values()), default=0)
    for largest in (max(1, 2 * smallest), total):
        for _, name, unit in scored:
            size = len(unit.new)
            split = max(wanted, key=lambda one: _lack(wanted[one], counts[one]))
            room = counts["train"] - size >= max(1, here // 2)
            lacking = counts[split] < wanted[split]
            if lacking and room and size <= largest and choice[name] == "train":
                counts["train"] -= size
                counts[split] += size
                choice[name] = split
    for _, name, unit in scored:
        plan.splits.update((one.key, choice[name]) for one in unit.new)


def _wanted(split: str, share: float, total: int) -> int:
    """Samples that a split should have at least."""
    if not share or total < (3 if split == "test" else 2):
        return 0
    return max(1, round(total * share))


def _lack(wanted: int, count: int) -> float:
    """How far a split is from what it should have: 1 for an empty one, 0 or less for a full one."""
    return 1 - count / wanted if wanted else 0.0


def _split_at(fraction: float, settings: SplitSettings) -> str:
    if fraction < settings.test:
        return "test"
    return "validation" if fraction < settings.test + settings.validation else "train"


def _fraction(salt: str, name: str) -> float:
    """A number in 0..1, evenly spread and always the same for a name."""
    digest = hashlib.sha256(f"{salt}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _hold_out(members: list[Candidate], reason: str, plan: SplitPlan) -> None:
    plan.held_out.extend(HeldOut(one.key, reason) for one in members)


def _named(splits: Iterable[str]) -> str:
    return "samples of " + " and ".join(split for split in _PRIORITY if split in set(splits))
