"""Freezing: the trainable samples of a task become a dataset version that never changes.

What happens first may be repeated, what happens last makes it visible: splits are fixed in the
catalogue, shards are written, then the manifest (created once), then the log. A freeze that is
killed leaves a folder without a manifest, which nobody sees, and the next one finishes it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from nhan import __version__
from nhan.catalog import TRAINABLE
from nhan.catalog.events import log_event
from nhan.catalog.samples import SampleRow, count_placed, fix_splits, lock_writers, read_rows
from nhan.datasets import layout
from nhan.datasets.audit import cluster, look_over
from nhan.datasets.read import DatasetVersion, open_dataset
from nhan.datasets.shards import write_shards
from nhan.datasets.split import Candidate, HeldOut, plan_splits
from nhan.datasets.words import say
from nhan.errors import Conflict, NotFound, UserError
from nhan.names import one_spelling
from nhan.storage import NumberedLog
from nhan.tasks import get_task
from nhan.tasks.base import Task
from nhan.workspace import Workspace

# Another freeze at the same moment may fix splits between our plan and our writing; then we plan
# again, knowing its splits. Each round somebody succeeds.
_ROUNDS = 10

Progress = Callable[[int, int | None], None]


@dataclass
class FreezeReport:
    """The outcome of a freeze.

    Attributes:
        dataset: the version, new or found.
        existed: the same content was frozen before; nothing was written.
        held_out: samples that no split can take without a leak, by name, with the reason.
        withheld: labelled samples left out because whoever sent them did not consent to training.
        left: samples that the previous version had and this one lacks, by split.
        absent: where labels are few and listed, those without a sample, by split.
        warnings: what the user should know, in words.
    """

    dataset: DatasetVersion
    existed: bool
    held_out: list[tuple[str, str]] = field(default_factory=list)
    withheld: int = 0
    left: Counter[str] = field(default_factory=Counter)
    absent: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "ref": self.dataset.ref,
            "existed": self.existed,
            "manifest": self.dataset.manifest,
            "held_out": [{"name": name, "reason": reason} for name, reason in self.held_out],
            "withheld": self.withheld,
            "left": dict(self.left),
            "absent": self.absent,
            "warnings": self.warnings,
        }


def freeze(
    workspace: Workspace,
    name: str,
    task: str = "text",
    *,
    sources: Sequence[str] = (),
    progress: Progress | None = None,
) -> FreezeReport:
    """Freeze the labelled and accepted samples of a task.

    Args:
        workspace: where.
        name: of the dataset; versions of one name follow one another.
        task: whose labels.
        sources: only samples of these slices; all when empty. Splits are planned over all samples
            in any case, so that every dataset of a workspace agrees on them.
        progress: called with the rows written and their number.

    Returns:
        The version and what was left out. The same content gives the same version id.

    Raises:
        UserError: no sample can be frozen, or the name cannot be used.
        Conflict: the name belongs to another task.
        JobFailed: a picture is missing from the store or damaged.
    """
    layout.check_name(name)
    rules = get_task(task)
    previous = _previous(workspace, name, task)
    placed = _place(workspace, task)
    sources = [one_spelling(source) for source in sources]
    known = placed.sources()
    if known and (missing := [one for one in sources if one not in known]):
        raise UserError(
            f"no labelled sample is of the source {', '.join(missing)}",
            hint=f"sources: {', '.join(known)}",
        )
    chosen = placed.choose(sources)
    withheld = placed.withheld(sources)
    if not chosen:
        besides = f"; {withheld} may not train, for want of consent" if withheld else ""
        raise UserError(
            f"no labelled sample of the task {task!r} can be frozen{besides}",
            hint="nhan import PICTURES, or accept samples in the review",
        )
    vocabulary = rules.vocabulary(row.label or "" for row in chosen)
    version = content_version(task, vocabulary, chosen)
    existed = workspace.store.exists(layout.manifest_path(name, version))
    if not existed:
        manifest = {
            "format": layout.FORMAT,
            "name": name,
            "version": version,
            "task": task,
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "nhan": __version__,
            "rows": len(chosen),
            "splits": _by_split(chosen),
            "sources": _by_source(chosen),
            "vocabulary": vocabulary,
            "held_out": len(placed.held_out),
            "withheld": withheld,
            "audit": placed.look_over(workspace, rules, chosen),
            "parents": [previous.version] if previous is not None else [],
            "only_sources": sorted(sources),
            "settings": workspace.settings.split.model_dump(),
            "files": write_shards(workspace.store, name, version, chosen, progress=progress),
        }
        document = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
        workspace.store.put_once(layout.manifest_path(name, version), document)
    _note(workspace, name, version, task)
    dataset = open_dataset(workspace.store, f"{name}@{version}")
    report = FreezeReport(dataset, existed, placed.named_held_out(), withheld)
    if previous is not None and previous.version != version:
        report.left = _left(previous, chosen)
    if rules.choices:
        report.absent = _absent(chosen)
    report.warnings = _warnings(report)
    return report


def content_version(task: str, vocabulary: dict[str, Any], rows: Sequence[SampleRow]) -> str:
    """Twelve hexadecimal digits over everything a reader of the version could see.

    Catalogue ids are not part of it: the same pictures and labels in another workspace are the
    same version.
    """
    digest = hashlib.sha256(
        json.dumps([layout.FORMAT, task, vocabulary], sort_keys=True, ensure_ascii=False).encode()
    )
    for row in rows:
        seen = [row.sha256, row.label, row.split, row.source, row.group, row.width, row.height]
        digest.update(json.dumps(seen, ensure_ascii=False).encode())
    return digest.hexdigest()[: layout.VERSION_LENGTH]


@dataclass(frozen=True)
class _Placed:
    """All samples that count, with the splits that stand now.

    Attributes:
        rows: trainable samples, and others that were frozen once.
        clusters: the near-duplicate cluster of each.
    """

    rows: list[SampleRow]
    clusters: list[int]
    held_out: list[HeldOut]

    def choose(self, sources: Sequence[str]) -> list[SampleRow]:
        """The rows of the version, in its order: by split, then by content."""
        chosen = [row for row in self._labelled(sources) if row.may_train]
        return sorted(chosen, key=lambda row: (layout.SPLITS.index(row.split), row.sha256))

    def sources(self) -> list[str]:
        """The slices that have labelled samples."""
        return sorted({one_spelling(row.source) for row in self._labelled(())})

    def withheld(self, sources: Sequence[str]) -> int:
        """How many rows would be of the version, had their senders consented."""
        return sum(not row.may_train for row in self._labelled(sources))

    def _labelled(self, sources: Sequence[str]) -> Iterator[SampleRow]:
        for row in self.rows:
            wanted = not sources or one_spelling(row.source) in sources
            if wanted and row.state in TRAINABLE and row.label is not None and row.split:
                yield row

    def look_over(
        self, workspace: Workspace, task: Task, chosen: Sequence[SampleRow]
    ) -> dict[str, dict[str, int]]:
        """What the label doctor says of the chosen rows, as counts."""
        numbers = {row.id: number for row, number in zip(self.rows, self.clusters, strict=True)}
        clusters = [numbers[row.id] for row in chosen]
        return look_over(workspace.catalog, task, chosen, clusters).summary()

    def named_held_out(self) -> list[tuple[str, str]]:
        """Held out samples as their sources call them."""
        names = {row.sha256: row.name for row in self.rows}
        return [(names[one.key], one.reason) for one in self.held_out]


def _place(workspace: Workspace, task: str) -> _Placed:
    """Plan the splits of new samples and fix them in the catalogue."""
    settings = workspace.settings.split
    for _ in range(_ROUNDS):
        rows = list(read_rows(workspace.catalog, task, states=TRAINABLE, split=True))
        clusters = cluster(rows, settings.near_duplicate_bits)
        candidates = [
            Candidate(row.sha256, row.group, number, row.split_asked, row.split)
            for row, number in zip(rows, clusters, strict=True)
        ]
        plan = plan_splits(candidates, settings)
        new = {
            row.id: plan.splits[row.sha256]
            for row in rows
            if not row.split and row.sha256 in plan.splits
        }
        with workspace.catalog.write() as connection:
            lock_writers(connection)
            if count_placed(connection, task) != sum(1 for row in rows if row.split):
                continue  # another freeze was quicker: plan again, knowing its splits
            fix_splits(connection, new)
            if new:
                log_event(connection, "splits.fixed", task=task, counts=dict(Counter(new.values())))
        rows = [replace(row, split=new.get(row.id, row.split)) for row in rows]
        return _Placed(rows, clusters, plan.held_out)
    raise Conflict(f"other freezes of {task!r} kept changing the splits", hint="try again")


def _previous(workspace: Workspace, name: str, task: str) -> DatasetVersion | None:
    try:
        previous = open_dataset(workspace.store, name)
    except NotFound:
        return None
    if previous.task != task:
        raise Conflict(
            f"dataset {name} holds labels of the task {previous.task!r}, not {task!r}",
            hint="choose another name",
        )
    return previous


def _note(workspace: Workspace, name: str, version: str, task: str) -> None:
    """Let the bare name mean this version, unless it does already."""
    log = NumberedLog(workspace.store, layout.log_prefix(name))
    latest = log.latest()
    if latest is None or latest[1]["version"] != version:
        log.append({"version": version})
        with workspace.catalog.write() as connection:
            lock_writers(connection)  # or webhooks pass over an event whose number comes too late
            log_event(connection, "freeze", dataset=name, version=version, task=task)


def _by_split(rows: Sequence[SampleRow]) -> dict[str, int]:
    counts = Counter(row.split for row in rows)
    return {split: counts[split] for split in layout.SPLITS}


def _by_source(rows: Sequence[SampleRow]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row.source, Counter())[row.split] += 1
    return {
        source: {split: counts[source][split] for split in layout.SPLITS}
        for source in sorted(counts)
    }


def _left(previous: DatasetVersion, rows: Sequence[SampleRow]) -> Counter[str]:
    here = {row.sha256 for row in rows}
    return Counter(
        split
        for split in layout.SPLITS
        for row in previous.rows(split, pictures=False)
        if row.sha256 not in here
    )


def _absent(rows: Sequence[SampleRow]) -> dict[str, list[str]]:
    """Labels that a split lacks, for every split that is not empty."""
    labels: dict[str, set[str]] = {split: set() for split in layout.SPLITS}
    for row in rows:
        labels[row.split].add(row.label or "")
    every = set().union(*labels.values())
    lacking = {split: sorted(every - found) for split, found in labels.items() if found}
    return {split: names for split, names in lacking.items() if names}


def _warnings(report: FreezeReport) -> list[str]:
    found: list[str] = []
    splits = report.dataset.splits
    if report.held_out:
        found.append(say("frozen.held_out", count=len(report.held_out)))
    if report.withheld:
        found.append(say("frozen.withheld", count=report.withheld))
    found.extend(say("frozen.empty", split=split) for split in layout.SPLITS if not splits[split])
    for split, names in report.absent.items():
        if split == "train":
            found.append(say("frozen.unlearned", count=len(names), first=names[0]))
        elif split == "test":
            found.append(say("frozen.absent", count=len(names), first=names[0], split=split))
    if report.left["test"]:
        found.append(say("frozen.gone", count=report.left["test"]))
    return found
