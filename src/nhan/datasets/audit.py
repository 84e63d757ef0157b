"""The label doctor: what must be fixed, or looked at, before training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import sqlalchemy as sa

from nhan.catalog import TRAINABLE, Catalog
from nhan.catalog.samples import SampleRow, read_rows
from nhan.catalog.schema import labels, samples
from nhan.datasets.findings import AuditReport, Findings
from nhan.datasets.near import Look, near_clusters
from nhan.datasets.words import say
from nhan.errors import NotFound
from nhan.images import content_hash
from nhan.sentences import Sentence
from nhan.storage import Store
from nhan.tasks import get_task
from nhan.tasks.base import Task
from nhan.workspace import Workspace

_THREADS = 4
_CHUNK = 256

Progress = Callable[[int, int | None], None]


def audit(
    workspace: Workspace, task: str = "text", *, progress: Progress | None = None
) -> AuditReport:
    """Look every trainable sample of a task over: its label, its picture, its neighbours.

    Args:
        workspace: where.
        task: whose labels.
        progress: called with the pictures checked and their number.

    Raises:
        NotFound: no such task.
    """
    rules = get_task(task)
    rows = list(read_rows(workspace.catalog, task, states=TRAINABLE))
    clusters = cluster(rows, workspace.settings.split.near_duplicate_bits)
    findings = look_over(workspace.catalog, rules, rows, clusters)
    _check_pictures(workspace.store, rows, findings, progress)
    return findings.report(task, len(rows), _states(workspace.catalog, task))


def look_over(
    catalog: Catalog, task: Task, rows: Sequence[SampleRow], clusters: Sequence[int]
) -> Findings:
    """Everything that can be told without opening a picture.

    Args:
        catalog: where the votes are.
        task: whose labels.
        rows: trainable samples.
        clusters: their near-duplicates, from `cluster`.
    """
    findings = Findings()
    _check_labels(task, rows, findings)
    _check_votes(catalog, task, rows, findings)
    _check_clusters(rows, clusters, findings)
    _check_groups(rows, findings)
    return findings


def cluster(rows: Sequence[SampleRow], bits: int) -> list[int]:
    """The near-duplicate cluster of each sample."""
    looks = [Look(row.phash, row.thumbnail, row.width, row.height, row.label or "") for row in rows]
    return near_clusters(looks, bits=bits)


def _check_labels(task: Task, rows: Sequence[SampleRow], findings: Findings) -> None:
    for row in rows:
        label = row.given if row.given is not None else row.label or ""
        for found in task.check(label, width=row.width, height=row.height):
            findings.add(
                found.code,
                found.severity,
                row,
                found.message,
                hint=found.hint,
                subjects=found.subjects,
            )
    counts = Counter(row.label for row in rows if row.label is not None)
    for found in task.check_all(counts):
        findings.add(
            found.code,
            found.severity,
            None,
            found.message,
            hint=found.hint,
            subjects=found.subjects,
        )


def _check_votes(
    catalog: Catalog, task: Task, rows: Sequence[SampleRow], findings: Findings
) -> None:
    """One picture, several labels: somebody is wrong."""
    by_id = {row.id: row for row in rows}
    several = (
        sa.select(labels.c.sample_id)
        .join(samples, samples.c.id == labels.c.sample_id)
        .where(samples.c.task == task.name, samples.c.state.in_(TRAINABLE), _is_vote())
        .group_by(labels.c.sample_id)
        .having(sa.func.count(sa.distinct(labels.c.value)) > 1)
    )
    with catalog.read() as connection:
        ids = sorted(number for number in connection.scalars(several) if number in by_id)
        for start in range(0, len(ids), 1000):
            votes = connection.execute(
                sa.select(labels)
                .where(labels.c.sample_id.in_(ids[start : start + 1000]), _is_vote())
                .order_by(labels.c.sample_id, labels.c.id)
            )
            heard: dict[int, dict[tuple[str, str, str], str]] = defaultdict(dict)
            for vote in votes.mappings():
                # Another value under the same id of the same source is a correction, no dissent.
                source = vote["origin"], vote["given_by"], vote["external_id"]
                key = source if vote["external_id"] else (*source[:2], vote["value"])
                heard[vote["sample_id"]][key] = vote["value"]
            for number, values in heard.items():
                _dissent(by_id[number], Counter(values.values()), findings)


def _is_vote() -> sa.ColumnElement[bool]:
    return labels.c.origin.not_like("%-draft")


def _dissent(row: SampleRow, values: Counter[str], findings: Findings) -> None:
    if len(values) > 1:
        votes = [say("doctor.vote", value=one, count=count) for one, count in values.most_common()]
        findings.add(
            "different_labels",
            "warning",
            row,
            say("doctor.votes", votes=votes, stands=row.label),
            hint=say("doctor.votes.hint"),
        )


def _check_clusters(rows: Sequence[SampleRow], clusters: Sequence[int], findings: Findings) -> None:
    members: dict[int, list[SampleRow]] = defaultdict(list)
    for row, number in zip(rows, clusters, strict=True):
        members[number].append(row)
    for similar in members.values():
        if len(similar) == 1:
            continue
        names = ", ".join(row.name for row in similar[:3]) + (" …" if len(similar) > 3 else "")
        fixed = {row.split for row in similar if row.split}
        asked = {row.split or row.split_asked for row in similar} - {""}
        values = list(dict.fromkeys(row.label or "" for row in similar))
        if len(values) > 1:
            findings.add(
                "near_duplicates_differ",
                "warning",
                similar[-1],
                say(
                    "doctor.near_differ",
                    values=[say("doctor.value", value=value) for value in values],
                    names=names,
                ),
                hint=say("doctor.near_differ.hint"),
            )
        for row in similar[1:]:
            if len(fixed) > 1:
                findings.add(
                    "near_duplicates_across_splits",
                    "error",
                    row,
                    say("doctor.near_fixed", splits=_splits(fixed), names=names),
                    hint=say("doctor.near_fixed.hint"),
                )
            elif len(asked) > 1:
                findings.add(
                    "near_duplicates_across_splits",
                    "warning",
                    row,
                    say("doctor.near_asked", splits=_splits(asked), names=names),
                    hint=say("doctor.near_asked.hint"),
                )
            else:
                findings.add(
                    "near_duplicates",
                    "info",
                    row,
                    say("doctor.near", names=names),
                    hint=say("doctor.near.hint"),
                )


def _splits(names: Iterable[str]) -> list[Sentence]:
    return [say("doctor.split", split=name) for name in sorted(names)]


def _check_groups(rows: Iterable[SampleRow], findings: Findings) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    first: dict[str, SampleRow] = {}
    for row in rows:
        if row.group and (row.split or row.split_asked):
            splits[row.group].add(row.split or row.split_asked)
            first.setdefault(row.group, row)
    for group, found in splits.items():
        if len(found) > 1:
            findings.add(
                "group_across_splits",
                "warning",
                first[group],
                say("doctor.group", group=group, splits=_splits(found)),
                hint=say("doctor.group.hint"),
            )


def _check_pictures(
    store: Store, rows: Sequence[SampleRow], findings: Findings, progress: Progress | None
) -> None:
    """Every object is there and holds the bytes that were decoded at the import."""

    def fault(row: SampleRow) -> tuple[str, str] | None:
        try:
            data = store.read(row.path)
        except NotFound:
            return "missing_picture", say("doctor.missing", path=row.path)
        if content_hash(data) != row.sha256:
            return "corrupt_picture", say("doctor.corrupt", path=row.path)
        return None

    done = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for chunk in _chunks(rows):
            for row, found in zip(chunk, pool.map(fault, chunk), strict=True):
                if found is not None:
                    hint = say("doctor.picture.hint")
                    findings.add(found[0], "error", row, found[1], hint=hint)
            done += len(chunk)
            if progress is not None:
                progress(done, len(rows))


def _chunks(rows: Sequence[SampleRow]) -> Iterator[list[SampleRow]]:
    """So that an interrupt waits for a few reads, not for all."""
    waiting = iter(rows)
    while chunk := list(islice(waiting, _CHUNK)):
        yield chunk


def _states(catalog: Catalog, task: str) -> dict[str, int]:
    query = (
        sa.select(samples.c.state, sa.func.count())
        .where(samples.c.task == task)
        .group_by(samples.c.state)
        .order_by(samples.c.state)
    )
    with catalog.read() as connection:
        return {str(state): int(count) for state, count in connection.execute(query)}
