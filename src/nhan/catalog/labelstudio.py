"""Which task of a Label Studio project shows which sample.

A row is written before its task is made, with a number below zero: a claim. Two pushes at once
then never send the same sample, and what a killed push had claimed is found again, either in the
project or as a claim that has grown old.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from nhan.catalog.events import log_events
from nhan.catalog.reviews import worth_asking
from nhan.catalog.schema import State, events, labels, predictions, samples, suggestions
from nhan.catalog.schema import labelstudio_tasks as tasks

# An event that says only that something happened over there.
NOTE = "labelstudio.webhook"

# A task that must go because its sample was erased, and that it is gone.
_ERASE, _ERASED = "labelstudio.erase", "labelstudio.erased"

# One query's share of bound values.
_AT_ONCE = 1000
# A batch is sent within the minute that a request may take; whoever claimed before that is gone.
_CLAIM_LASTS = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sample that may be shown.

    Attributes:
        correction: what a user said it should have been, and who; None where nobody did.
    """

    id: int
    sha256: str
    path: str
    name: str
    source: str
    state: State
    priority: float
    opinions: int
    correction: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A task and its sample.

    Attributes:
        task_id: Label Studio's number; below zero for a claim.
        prediction: `MODEL@VERSION` last pushed; may be empty.
        pulled: hash of the annotations last pulled; empty before the first.
    """

    sample_id: int
    sha256: str
    path: str
    state: State
    task_id: int
    prediction: str
    pulled: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a model version answered for a sample."""

    value: str
    confidence: float


def find_candidates(
    connection: sa.Connection,
    task: str,
    project: str,
    *,
    states: Sequence[State],
    limit: int | None = None,
) -> list[Candidate]:
    """Samples in these states that the project does not show yet, most useful first.

    What may not train stays here, unless a policy or a correction put it into the queue.
    """
    known = sa.select(tasks.c.sample_id).where(
        tasks.c.project == project, tasks.c.sample_id == samples.c.id
    )
    columns = ("id", "sha256", "path", "name", "source", "state", "priority", "opinions")
    query = (
        sa.select(*(samples.c[name] for name in columns))
        .where(
            samples.c.task == task,
            samples.c.state.in_([state.value for state in states]),
            worth_asking(),
            ~known.exists(),
        )
        .order_by(samples.c.priority.desc(), samples.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).mappings().all()
    corrected = _corrections(connection, [row["id"] for row in rows])
    return [
        Candidate(**{**row, "state": State(row["state"])}, correction=corrected.get(row["id"]))
        for row in rows
    ]


def claim(connection: sa.Connection, project: str, sample_ids: Iterable[int]) -> set[int]:
    """Claim samples for a push; those that another push has claimed or sent are not among them."""
    wanted = sorted(set(sample_ids))
    taken = {
        number
        for part in _parts(wanted)
        for number in connection.scalars(
            sa.select(tasks.c.sample_id).where(
                tasks.c.project == project, tasks.c.sample_id.in_(part)
            )
        )
    }
    free = [number for number in wanted if number not in taken]
    if free:
        now = datetime.now(UTC)
        connection.execute(
            tasks.insert(),
            [
                {
                    "project": project,
                    "sample_id": number,
                    "task_id": -number,
                    "prediction": "",
                    "pulled": "",
                    "pushed_at": now,
                    "pulled_at": None,
                }
                for number in free
            ],
        )
    return set(free)


def give_up(connection: sa.Connection, project: str, sample_ids: Iterable[int]) -> None:
    """Take claims back that led to no task."""
    for part in _parts(sorted(set(sample_ids))):
        connection.execute(
            tasks.delete().where(
                tasks.c.project == project, tasks.c.sample_id.in_(part), tasks.c.task_id < 0
            )
        )


def give_up_old_claims(connection: sa.Connection, project: str) -> int:
    """Take claims back whose push was killed before it sent them; how many there were."""
    old = datetime.now(UTC) - _CLAIM_LASTS
    outcome = connection.execute(
        tasks.delete().where(
            tasks.c.project == project, tasks.c.task_id < 0, tasks.c.pushed_at < old
        )
    )
    return int(outcome.rowcount)


def count_claims(connection: sa.Connection, project: str) -> int:
    """How many samples a push has claimed and not yet sent."""
    query = sa.select(sa.func.count()).where(tasks.c.project == project, tasks.c.task_id < 0)
    return int(connection.scalar(query) or 0)


def record_tasks(
    connection: sa.Connection, project: str, sent: Mapping[int, tuple[int, str]]
) -> None:
    """Write the tasks that show samples.

    Args:
        connection: of a transaction.
        project: the connection's key.
        sent: task number and `MODEL@VERSION` of its prediction, by sample.
    """
    if not sent:
        return
    now = datetime.now(UTC)
    there = set()
    for part in _parts(sorted(sent)):
        there |= set(
            connection.scalars(
                sa.select(tasks.c.sample_id).where(
                    tasks.c.project == project, tasks.c.sample_id.in_(part)
                )
            )
        )
    known = [
        {"b_sample": number, "b_task": sent[number][0], "b_prediction": sent[number][1]}
        for number in sorted(there)
    ]
    if known:
        connection.execute(
            tasks.update()
            .where(tasks.c.project == project, tasks.c.sample_id == sa.bindparam("b_sample"))
            .values(
                task_id=sa.bindparam("b_task"),
                prediction=sa.bindparam("b_prediction"),
                pushed_at=now,
            ),
            known,
        )
    new = [
        {
            "project": project,
            "sample_id": number,
            "task_id": task_id,
            "prediction": prediction,
            "pulled": "",
            "pushed_at": now,
            "pulled_at": None,
        }
        for number, (task_id, prediction) in sorted(sent.items())
        if number not in there
    ]
    if new:
        connection.execute(tasks.insert(), new)


def find_links(connection: sa.Connection, project: str, task_ids: Iterable[int]) -> dict[int, Link]:
    """The tasks of these numbers that we know."""
    found = {}
    for part in _parts(sorted(set(task_ids))):
        rows = connection.execute(_link_query(project).where(tasks.c.task_id.in_(part)))
        found.update({row.task_id: _link(row) for row in rows})
    return found


def all_links(connection: sa.Connection, project: str) -> list[Link]:
    """Every task of a project that we know, claims left out."""
    return [
        _link(row) for row in connection.execute(_link_query(project).where(tasks.c.task_id > 0))
    ]


def count_links(connection: sa.Connection, project: str) -> int:
    """How many tasks of a project we know."""
    query = sa.select(sa.func.count()).where(tasks.c.project == project, tasks.c.task_id > 0)
    return int(connection.scalar(query) or 0)


def links_with_reason(
    connection: sa.Connection, project: str, state: State, ending: str
) -> list[Link]:
    """Tasks whose samples are in a state for a reason that ends so."""
    query = _link_query(project).where(
        samples.c.state == state.value, samples.c.reason.endswith(ending, autoescape=True)
    )
    return [_link(row) for row in connection.execute(query)]


def find_samples(
    connection: sa.Connection, task: str, hashes: Iterable[str]
) -> dict[str, tuple[int, int]]:
    """Number and wanted opinions of the samples with these hashes."""
    found = {}
    for part in _parts(sorted(set(hashes))):
        rows = connection.execute(
            sa.select(samples.c.sha256, samples.c.id, samples.c.opinions).where(
                samples.c.task == task, samples.c.sha256.in_(part)
            )
        )
        found.update({sha256: (number, opinions) for sha256, number, opinions in rows})
    return found


def record_pulled(connection: sa.Connection, project: str, hashes: Mapping[int, str]) -> None:
    """Write what was pulled: the hash of the annotations, by task number."""
    if hashes:
        now = datetime.now(UTC)
        connection.execute(
            tasks.update()
            .where(tasks.c.project == project, tasks.c.task_id == sa.bindparam("b_task"))
            .values(pulled=sa.bindparam("b_pulled"), pulled_at=now),
            [{"b_task": number, "b_pulled": text} for number, text in sorted(hashes.items())],
        )


def forget_tasks(connection: sa.Connection, project: str, task_ids: Iterable[int]) -> None:
    """Remove tasks that are gone from the project; their samples' labels stay."""
    for part in _parts(sorted(set(task_ids))):
        connection.execute(
            tasks.delete().where(tasks.c.project == project, tasks.c.task_id.in_(part))
        )


def erase_tasks(connection: sa.Connection, sample_ids: Iterable[int]) -> None:
    """Note that the tasks of samples which are about to be erased must go too.

    The note names project and task, nothing of the sample.
    """
    for part in _parts(sorted(set(sample_ids))):
        rows = connection.execute(
            sa.select(tasks.c.project, tasks.c.task_id).where(
                tasks.c.sample_id.in_(part), tasks.c.task_id > 0
            )
        )
        log_events(
            connection,
            [
                {"kind": _ERASE, "data": {"project": row.project, "task": row.task_id}}
                for row in rows
            ],
        )


def tasks_to_erase(connection: sa.Connection, project: str) -> list[int]:
    """The tasks of a project that must go and are not known to be gone."""
    found: dict[str, set[int]] = {_ERASE: set(), _ERASED: set()}
    query = sa.select(events.c.kind, events.c.data).where(events.c.kind.in_(sorted(found)))
    for kind, data in connection.execute(query):
        if data["project"] == project:
            found[kind].add(int(data["task"]))
    return sorted(found[_ERASE] - found[_ERASED])


def note_erased(connection: sa.Connection, project: str, task: int) -> None:
    """Note that a task which had to go is gone."""
    log_events(connection, [{"kind": _ERASED, "data": {"project": project, "task": task}}])


def answers_of(
    connection: sa.Connection, model: str, version: str, sample_ids: Iterable[int]
) -> dict[int, Said]:
    """What a version has answered for these samples already, the latest answer of each."""
    found: dict[int, Said] = {}
    for part in _parts(sorted(set(sample_ids))):
        for table in (suggestions, predictions):  # what a user was told comes last and stays
            rows = connection.execute(
                sa.select(table.c.sample_id, table.c.value, table.c.confidence)
                .where(
                    table.c.sample_id.in_(part),
                    table.c.model == model,
                    table.c.version == version,
                )
                .order_by(table.c.at)
            )
            found.update({row.sample_id: Said(row.value, row.confidence) for row in rows})
    return found


def known_values(connection: sa.Connection, task: str) -> list[str]:
    """Every value that stands as the label of a sample of a task."""
    query = (
        sa.select(labels.c.value)
        .join(samples, samples.c.label_id == labels.c.id)
        .where(samples.c.task == task)
        .distinct()
    )
    return sorted(connection.scalars(query))


def newest_note(connection: sa.Connection) -> int:
    """The number of the last note that something happened in Label Studio; 0 before the first."""
    query = (
        sa.select(events.c.id)
        .where(events.c.kind == NOTE)
        .order_by(events.c.at.desc(), events.c.id.desc())
        .limit(1)
    )
    return int(connection.scalar(query) or 0)


def _corrections(
    connection: sa.Connection, sample_ids: Sequence[int]
) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for part in _parts(sample_ids):
        rows = connection.execute(
            sa.select(labels.c.sample_id, labels.c.value, labels.c.given_by)
            .where(labels.c.sample_id.in_(part), labels.c.origin == "correction")
            .order_by(labels.c.given_at, labels.c.id)
        )
        found.update({row.sample_id: (row.value, row.given_by) for row in rows})
    return found


def _link_query(project: str) -> sa.Select[Any]:
    return (
        sa.select(
            tasks.c.sample_id,
            samples.c.sha256,
            samples.c.path,
            samples.c.state,
            tasks.c.task_id,
            tasks.c.prediction,
            tasks.c.pulled,
        )
        .join(samples, samples.c.id == tasks.c.sample_id)
        .where(tasks.c.project == project)
    )


def _link(row: Any) -> Link:
    values = dict(row._mapping)
    return Link(**{**values, "state": State(values["state"])})


def _parts(values: Sequence[int] | Sequence[str]) -> Iterable[Any]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
