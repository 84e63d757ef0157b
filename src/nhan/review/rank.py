"""Ranking the queue: ask a model about every sample that waits, and say what each is worth.

The model is asked once for each sample and version; what it said is kept as a suggestion, so a
ranking that was stopped goes on where it was, and the next one with the same model is quick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from nhan.catalog import TRAINABLE, Catalog, State, reviews
from nhan.catalog.events import log_event
from nhan.catalog.ranking import Place, Ranked, read_unasked, read_waiting, write_priorities
from nhan.catalog.samples import read_rows
from nhan.datasets.near import Look, near_clusters
from nhan.errors import BadPicture, NotFound
from nhan.models.predictor import Predictor
from nhan.review.usefulness import Known, Worth, suspicion, thin_out, worth
from nhan.tasks import get_task
from nhan.tasks.base import Answer, Task
from nhan.workspace import Workspace

Progress = Callable[[int, int], None]

# What is lost at most when a ranking is killed, and what one transaction writes.
_KEEP_EVERY_S = 2.0
_AT_ONCE = 1000


@dataclass
class RankReport:
    """What a ranking did.

    Attributes:
        model: `NAME@VERSION` that was asked.
        asked: pictures it was asked about now; the others it had seen before.
        waiting: samples that wait for a label.
        suspects: labels under suspicion.
        unreadable: pictures that are missing or damaged, with the reason.
    """

    task: str
    model: str
    asked: int = 0
    waiting: int = 0
    suspects: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def rank(
    workspace: Workspace,
    predictor: Predictor,
    *,
    labels: bool = True,
    limit: int | None = None,
    progress: Progress | None = None,
) -> RankReport:
    """Give every sample of the model's task that waits its priority.

    Args:
        workspace: where.
        predictor: the model to ask; its task is ranked.
        labels: also look for labels that are probably wrong, among those that nobody reviewed.
        limit: ask the model about so many pictures at most; the rest keeps what it has.
        progress: called with the pictures asked about and their number.

    Raises:
        StorageError: object store or catalogue are out of reach; what was done stays done.
    """
    spec = predictor.package.spec
    task = get_task(spec.task)
    report = RankReport(task.name, predictor.package.ref)
    _ask(workspace, predictor, report, labels=labels, limit=limit, progress=progress)
    known = Known.of(task, _labelled(workspace.catalog, task))
    report.waiting = _order(workspace, task, known)
    if labels:
        report.suspects = _doubt(workspace, task)
    with workspace.catalog.write() as connection:
        log_event(
            connection,
            "review.rank",
            task=task.name,
            model=report.model,
            asked=report.asked,
            waiting=report.waiting,
            suspects=report.suspects,
        )
    return report


def _ask(
    workspace: Workspace,
    predictor: Predictor,
    report: RankReport,
    *,
    labels: bool,
    limit: int | None,
    progress: Progress | None,
) -> None:
    """Keep what the model says of the samples that this version has not seen."""
    spec = predictor.package.spec
    states = [*reviews.WAITING, *([State.LABELLED] if labels else [])]
    unasked = read_unasked(
        workspace.catalog, report.task, states, model=spec.name, version=str(spec.version)
    )
    unasked = unasked[:limit]
    kept: list[dict[str, Any]] = []
    saved = time.monotonic()
    for done, sample in enumerate(unasked, start=1):
        try:
            answer = predictor.predict(workspace.store.read(sample.path))
        except (BadPicture, NotFound) as error:
            report.unreadable.append((sample.name, error.message))
        else:
            report.asked += 1
            # Of an answer that says what the label says, nothing more will be asked.
            details = {} if answer.value == sample.label else dict(answer.details)
            kept.append(
                {
                    "sample_id": sample.id,
                    "model": spec.name,
                    "version": str(spec.version),
                    "value": answer.value,
                    "confidence": answer.confidence,
                    "details": details,
                    "why": "",
                    "at": datetime.now(UTC),
                }
            )
        if time.monotonic() - saved > _KEEP_EVERY_S or done == len(unasked):
            with workspace.catalog.write() as connection:
                reviews.write_suggestions(connection, kept)
            kept.clear()
            saved = time.monotonic()
        if progress is not None:
            progress(done, len(unasked))


def _labelled(catalog: Catalog, task: Task) -> Iterator[tuple[Look, str]]:
    for row in read_rows(catalog, task.name, states=TRAINABLE):
        if row.label is not None:
            yield Look(row.phash, row.thumbnail, row.width, row.height), row.label


def _order(workspace: Workspace, task: Task, known: Known) -> int:
    """Write what every sample without a label is worth; how many there are."""
    places: list[Place] = []
    looks: list[Look] = []
    worths: list[Worth] = []
    # A page at a time: what a model said of a line is many times larger than what is made of it.
    for page in _pages(read_waiting(workspace.catalog, task.name, reviews.WAITING)):
        seen = [
            Look(one.phash, one.thumbnail, one.width, one.height, one.value or "") for one in page
        ]
        found = worth(task, known, seen, [(_answer(one), one.sampled) for one in page])
        looks += seen
        for one, value in zip(page, found, strict=True):
            places.append(one.place)
            # Somebody took the trouble to say that the answer was wrong.
            worths.append(Worth(reviews.SUSPECT, value.why) if one.corrected else value)
    clusters = near_clusters(looks, bits=workspace.settings.split.near_duplicate_bits)
    corrected = [found.priority >= reviews.SUSPECT for found in worths]
    thinned = thin_out(worths, clusters)
    _write(
        workspace,
        places,
        [
            before if kept else after
            for before, after, kept in zip(worths, thinned, corrected, strict=True)
        ],
    )
    return len(places)


def _pages(ranked: Iterator[Ranked]) -> Iterator[list[Ranked]]:
    while page := list(islice(ranked, _AT_ONCE)):
        yield page


def _answer(one: Ranked) -> Answer | None:
    if one.value is None:
        return None
    return Answer(one.value, one.confidence, one.details)


def _doubt(workspace: Workspace, task: Task) -> int:
    """Put labels that are probably wrong to the head of the queue; how many there are."""
    sure = workspace.settings.review.suspect
    places, worths = [], []
    for one in read_waiting(workspace.catalog, task.name, [State.LABELLED]):
        answer = _answer(one)
        found = Worth(0.0)
        if one.label is not None and answer is not None:
            found = suspicion(task, one.label, answer, sure=sure)
        if one.place.priority == reviews.SUSPECT and not found.priority:
            found = Worth(reviews.SUSPECT, one.place.why)  # a correction contradicts it
        places.append(one.place)
        worths.append(found)
    _write(workspace, places, worths)
    return sum(found.priority > reviews.SUSPECT for found in worths)


def _write(workspace: Workspace, places: Sequence[Place], worths: Sequence[Worth]) -> None:
    changed = [
        (place, found.priority, found.why)
        for place, found in zip(places, worths, strict=True)
        if (place.priority, place.why) != (found.priority, found.why)
    ]
    for start in range(0, len(changed), _AT_ONCE):
        with workspace.catalog.write() as connection:
            write_priorities(connection, changed[start : start + _AT_ONCE])
