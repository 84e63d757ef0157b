"""One batch of the inbox into the catalogue, in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import sqlalchemy as sa

from nhan.catalog.events import log_events
from nhan.catalog.samples import (
    GivenLabel,
    Picture,
    Sample,
    load_samples,
    lock_writers,
    write_samples,
)
from nhan.catalog.uploads import (
    PredictionRow,
    known_corrections,
    known_predictions,
    note_sampled,
    refused_samples,
    subjects_of,
    write_corrections,
    write_predictions,
)
from nhan.errors import BadLabel, BadPicture, NhanError, NotFound
from nhan.images import PictureLimits, content_hash
from nhan.names import one_spelling
from nhan.samples.pictures import examine
from nhan.samples.record import storable
from nhan.storage import Store
from nhan.tasks import get_task
from nhan.tasks.base import Task
from nhan.uploads import sampling
from nhan.uploads.record import CorrectionRecord, UploadRecord, check_label
from nhan.uploads.settle import ORIGIN, choose, correct, meet, new_sample
from nhan.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Found:
    """An upload's object in the inbox, read."""

    path: str
    data: bytes
    record: UploadRecord


@dataclass
class Entered:
    """What a batch brought; the counts are those of `IntakeReport`.

    Attributes:
        refused: reasons by path; these are not in the catalogue.
        waiting: paths that must stay in the inbox.
    """

    taken: int = 0
    known: int = 0
    samples: int = 0
    queued: int = 0
    corrections: Counter[str] = field(default_factory=Counter)
    notes: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)


def enter_uploads(
    workspace: Workspace, found: Sequence[Found], pool: ThreadPoolExecutor
) -> Entered:
    """Make samples and predictions of uploads."""
    entered = Entered()
    by_task: dict[str, list[Found]] = {}
    for one in found:
        by_task.setdefault(one.record.task, []).append(one)
    for task, some in by_task.items():
        try:
            get_task(task)
        except NhanError as error:
            entered.refused |= {one.path: error.message for one in some}
            continue
        pictures = _Pictures(workspace.store, workspace.picture_limits)
        pictures.look_at(_unseen(workspace, task, some), pool)
        with workspace.catalog.write() as connection:
            lock_writers(connection)
            _enter_task(workspace, connection, task, some, pictures, entered)
    return entered


class _Pictures:
    """Facts of pictures by their hash, or why there are none."""

    def __init__(self, store: Store, limits: PictureLimits) -> None:
        self._store = store
        self._limits = limits
        self._facts: dict[str, Picture | str] = {}

    def look_at(self, records: Iterable[UploadRecord], pool: ThreadPoolExecutor) -> None:
        """Read and decode pictures, each once, several at a time."""
        wanted = {record.sha256: record for record in records}
        self._facts |= zip(wanted, pool.map(self._examine, wanted.values()), strict=True)

    def of(self, record: UploadRecord) -> Picture:
        """A picture's facts.

        Raises:
            BadPicture: it is gone, damaged or over the limits.
        """
        facts = self._facts.get(record.sha256)
        if facts is None:  # its sample went away since we looked
            facts = self._facts[record.sha256] = self._examine(record)
        if isinstance(facts, str):
            raise BadPicture(facts)
        return facts

    def _examine(self, record: UploadRecord) -> Picture | str:
        try:
            data = self._store.read(record.path)
            if content_hash(data) != record.sha256:
                return f"the picture {record.path} is damaged"
            return examine(data, record.sha256, self._limits)
        except (BadPicture, NotFound) as error:
            return error.message


def _unseen(workspace: Workspace, task: str, found: Sequence[Found]) -> list[UploadRecord]:
    """Records whose picture the catalogue does not know; a guess, made without a lock."""
    with workspace.catalog.read() as connection:
        samples = load_samples(connection, task, (one.record.sha256 for one in found))
    return [one.record for one in found if one.record.sha256 not in samples]


def _enter_task(
    workspace: Workspace,
    connection: sa.Connection,
    task: str,
    found: Sequence[Found],
    pictures: _Pictures,
    entered: Entered,
) -> None:
    needed = workspace.settings.uploads.consent_needed
    known = known_predictions(connection, (one.record.id for one in found))
    samples = load_samples(connection, task, (one.record.sha256 for one in found))
    by_number = {sample.id: sha256 for sha256, sample in samples.items() if sample.id is not None}
    refused = {by_number[number] for number in refused_samples(connection, by_number)}
    refused |= {one.record.sha256 for one in found if one.record.consent is False}
    new: list[UploadRecord] = []
    for one in found:
        record = one.record
        if record.id in known:
            entered.known += 1
            continue
        sample = samples.get(record.sha256)
        if sample is not None:
            meet(sample, record, refused=record.sha256 in refused)
        else:
            try:
                facts = pictures.of(record)
            except BadPicture as error:
                entered.refused[one.path] = error.message
                continue
            samples[record.sha256] = new_sample(record, facts, consent_needed=needed)
            entered.samples += 1
        known.add(record.id)
        new.append(record)
        entered.queued += bool(record.sampled)
    write_samples(connection, task, list(samples.values()))
    write_predictions(connection, [_row(one, samples[one.sha256]) for one in new])
    entered.taken += len(new)


def _row(record: UploadRecord, sample: Sample) -> PredictionRow:
    assert sample.id is not None, "samples are written first"
    return PredictionRow(
        record.id,
        sample.id,
        record.model,
        record.version,
        storable(record.value),
        record.confidence,
        record.details,
        one_spelling(storable(record.user)),
        record.consent,
        record.sampled,
        record.at,
    )


def enter_corrections(workspace: Workspace, given: Mapping[str, CorrectionRecord]) -> Entered:
    """Give samples the labels of corrections.

    Args:
        workspace: where.
        given: corrections by the path of their object.
    """
    entered = Entered()
    ordered = _in_order(given)
    with workspace.catalog.write() as connection:
        lock_writers(connection)
        subjects = subjects_of(connection, (one.prediction for one in given.values()))
        known = known_corrections(connection, (one.id for one in given.values()))
        by_task: dict[str, list[tuple[str, CorrectionRecord]]] = {}
        for path, one in ordered:
            if one.id in known:
                entered.corrections["known"] += 1
            elif one.prediction not in subjects:
                entered.waiting.add(path)
            else:
                known.add(one.id)
                by_task.setdefault(subjects[one.prediction].task, []).append((path, one))
        for task, some in by_task.items():
            hashes = {one.id: subjects[one.prediction].sha256 for _, one in some}
            _correct_task(workspace, connection, task, some, hashes, entered)
    return entered


def _in_order(given: Mapping[str, CorrectionRecord]) -> list[tuple[str, CorrectionRecord]]:
    """By time, but one that takes another back after it: servers' clocks may differ."""
    by_id = {one.id: one for one in given.values()}

    def depth(one: CorrectionRecord) -> int:
        steps, seen = 0, {one.id}
        while (before := by_id.get(one.replaces)) is not None and before.id not in seen:
            seen.add(before.id)
            one, steps = before, steps + 1
        return steps

    return sorted(given.items(), key=lambda item: (depth(item[1]), item[1].at))


def _correct_task(
    workspace: Workspace,
    connection: sa.Connection,
    task: str,
    given: Sequence[tuple[str, CorrectionRecord]],
    hashes: Mapping[str, str],
    entered: Entered,
) -> None:
    rules = get_task(task)
    trusting = workspace.settings.uploads.trust_corrections
    samples = load_samples(connection, task, hashes.values())
    done: list[tuple[CorrectionRecord, Sample, GivenLabel, str]] = []
    for path, one in given:
        try:
            label = _label(one, rules)
        except BadLabel as error:
            entered.refused[path] = error.message
            continue
        sample = samples[hashes[one.id]]
        outcome = correct(sample, one, label, trusted=one.trusted or trusting)
        entered.corrections[outcome] += 1
        done.append((one, sample, sample.labels[label.key], outcome))
    write_samples(connection, task, list(samples.values()))
    write_corrections(
        connection,
        [
            {
                "id": one.id,
                "prediction_id": one.prediction,
                "label_id": label.id,
                "value": storable(one.label),
                "given_by": one_spelling(storable(one.given_by)),
                "at": one.at,
            }
            for one, _, label, _ in done
        ],
    )
    log_events(
        connection,
        [
            {
                "kind": "correction",
                "sample_id": sample.id,
                "given_by": label.given_by,
                "data": {
                    "correction": one.id,
                    "prediction": one.prediction,
                    "value": label.value,
                    "outcome": outcome,
                },
            }
            for one, sample, label, outcome in done
        ],
    )


def _label(correction: CorrectionRecord, rules: Task) -> GivenLabel:
    value = check_label(rules.normalise(check_label(correction.label)))
    return GivenLabel(
        value=value,
        given=storable(correction.label) if correction.label != value else None,
        origin=ORIGIN,
        given_by=one_spelling(storable(correction.given_by)),
        external_id=correction.id,
        given_at=correction.at,
    )


def enter_notes(workspace: Workspace, predictions: Mapping[str, str]) -> Entered:
    """Let people look at what a candidate answered otherwise.

    Args:
        workspace: where.
        predictions: ids by the path of the note.
    """
    entered = Entered()
    with workspace.catalog.write() as connection:
        lock_writers(connection)
        subjects = subjects_of(connection, predictions.values())
        entered.waiting = {path for path, one in predictions.items() if one not in subjects}
        entered.notes = len(predictions) - len(entered.waiting)
        note_sampled(connection, subjects, sampling.DISAGREEMENT)
        for task in {subject.task for subject in subjects.values()}:
            hashes = [one.sha256 for one in subjects.values() if one.task == task]
            samples = load_samples(connection, task, hashes)
            for sample in samples.values():
                choose(sample, sampling.usefulness(0.0, 0.0, sampling.DISAGREEMENT))
            write_samples(connection, task, list(samples.values()))
    return entered
