"""Score a version on a frozen test set, once: the record is kept beside the model.

The same package, split and code give the same record, so a second call reads it back and says so.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from nhan import __version__
from nhan.datasets.read import DatasetVersion, Row, open_dataset
from nhan.errors import BadPicture, NotFound, UserError
from nhan.evaluation.intervals import Interval, bootstrap, jackknife
from nhan.evaluation.kept import find, keep
from nhan.evaluation.record import (
    FORMAT,
    ConfusionCount,
    Evaluation,
    Result,
    Score,
    Speed,
    content_of,
    natural,
)
from nhan.evaluation.reliability import reliability
from nhan.images import PictureLimits
from nhan.models.package import Package
from nhan.models.predict import choose
from nhan.models.predictor import Predictor
from nhan.storage import Store
from nhan.tasks import get_task
from nhan.tasks.base import Answer, Task
from nhan.workspace import Workspace

# Pictures in memory at once.
_BATCH = 256
# Pictures read one after the other to tell the speed, after three that warm up.
_TIMED = 100
_WARM_UP = 3
# More confusions than anybody reads.
_MAX_CONFUSIONS = 60

Advance = Callable[[int], None]


def evaluate(
    workspace: Workspace,
    model: str,
    dataset: str | None = None,
    *,
    split: str = "test",
    advance: Advance | None = None,
) -> Evaluation:
    """Score a model version, or read back what was scored before.

    Args:
        workspace: where model and dataset are.
        model: `NAME@VERSION`, or `NAME` for the champion (the newest before there is one); the
            bundled reader's name, where the workspace has no model of that name.
        dataset: `NAME@VERSION`, or `NAME` for the newest; None for what it was trained on.
        split: which part of the dataset.
        advance: called with the number of pictures just read.

    Returns:
        The record; its `reused` says whether it was read back.

    Raises:
        NotFound: no such model or dataset, or the model does not say what it was trained on.
        UserError: model and dataset are of different tasks.
        BadPackage: the model is damaged.
    """
    package = choose(workspace, model)
    return evaluate_package(workspace, package, dataset, split=split, advance=advance)


def evaluate_package(
    workspace: Workspace,
    package: Package,
    dataset: str | None = None,
    *,
    split: str = "test",
    advance: Advance | None = None,
) -> Evaluation:
    """Score a package, or read back what was scored before; the rest is as in `evaluate`.

    Args:
        workspace: where the dataset is and the record is kept.
        package: the version, of the workspace's registry or from elsewhere.
        dataset: `NAME@VERSION`, or `NAME` for the newest; None for what it was trained on.
        split: which part of the dataset.
        advance: called with the number of pictures just read.
    """
    ref = dataset or package.spec.dataset
    if not ref:
        raise NotFound(
            f"{package.ref} does not say what it was trained on", hint="name a dataset to score on"
        )
    frozen = open_dataset(workspace.store, ref)
    key = _key(package, frozen, split)
    place = _place(workspace, package)
    if kept := find(workspace.store, place, frozen.ref, split, key=key):
        return kept
    evaluation = measure(
        package,
        frozen,
        split,
        seen=_training_pictures(workspace.store, package, frozen, split),
        limits=workspace.picture_limits,
        advance=advance,
    )
    keep(workspace.store, place, evaluation)
    return evaluation


def _place(workspace: Workspace, package: Package) -> Package:
    """Where a version's records are kept: beside it, or in the workspace if it is not of it."""
    if package.store is workspace.store:
        return package
    # The bundled reader's folder belongs to the installation.
    return replace(package, store=workspace.store, path=f"bundled/{package.ref}")


def measure(
    package: Package,
    dataset: DatasetVersion,
    split: str = "test",
    *,
    seen: frozenset[str] = frozenset(),
    limits: PictureLimits | None = None,
    advance: Advance | None = None,
) -> Evaluation:
    """Read every picture of a split and score the answers; writes nothing.

    A picture that cannot be read counts as answered with nothing, and its result says why.

    Args:
        package: the version.
        dataset: a frozen dataset version.
        split: which part of it.
        seen: hashes of the pictures the version was trained on.
        limits: what a picture may cost.
        advance: called with the number of pictures just read.

    Raises:
        UserError: model and dataset are of different tasks.
        BadPackage: the version cannot be loaded.
    """
    check_task(package, dataset)
    task = get_task(package.spec.task)
    predictor = Predictor.load(package, limits=limits)
    results = [
        _result(task, row, answer, problem)
        for row, answer, problem in read_rows(predictor, dataset.rows(split), advance)
    ]
    results.sort(key=lambda result: result.sha256)
    truths = [result.truth for result in results]
    answers = [result.answer for result in results]
    confusions = task.confusions(truths, answers)
    return Evaluation(
        key=_key(package, dataset, split),
        model=package.spec.name,
        version=package.spec.version,
        task=task.name,
        file=package.spec.serve,
        run=package.spec.run,
        nhan=__version__,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=dataset.ref,
        split=split,
        content=content_of((result.sha256, result.truth) for result in results),
        samples=len(results),
        seen=sum(result.sha256 in seen for result in results),
        metric=task.primary,
        metrics=_metrics(task, results),
        slices=_slices(results),
        confusions={
            kind: [
                ConfusionCount(truth=c.truth, answer=c.answer, count=c.count)
                for c in found[:_MAX_CONFUSIONS]
            ]
            for kind, found in confusions.items()
        },
        calibration=reliability(
            [result.confidence for result in results], [result.right for result in results]
        ),
        speed=_speed(predictor, dataset.rows(split)),
        results=results,
    )


def check_task(package: Package, dataset: DatasetVersion) -> None:
    """Refuse a model and a dataset that are of different tasks.

    Raises:
        UserError: they are.
    """
    if dataset.task != package.spec.task:
        raise UserError(
            f"{package.ref} is of task {package.spec.task}, {dataset.ref} of {dataset.task}",
            hint="choose a dataset of the model's task",
        )


def read_rows(
    predictor: Predictor, rows: Iterator[Row], advance: Advance | None = None
) -> Iterator[tuple[Row, Answer, str]]:
    """Every row with its answer and, where its picture could not be read, why; in order.

    Each picture still runs alone, so its neighbours change nothing.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        while batch := list(islice(rows, _BATCH)):
            said = pool.map(lambda row: _answer(predictor, row), batch)
            for row, (answer, problem) in zip(batch, said, strict=True):
                yield row, answer, problem
            if advance:
                advance(len(batch))


def _result(task: Task, row: Row, answer: Answer, problem: str) -> Result:
    rate = task.rate(row.label, answer.value)
    rates = task.rates(row.label, answer) if not problem else {}
    return Result(
        sha256=row.sha256,
        truth=row.label,
        answer=answer.value,
        confidence=answer.confidence,
        errors=rate.errors,
        weight=rate.weight,
        rates={name: (more.errors, more.weight) for name, more in rates.items()},
        slices={"source": row.source or "unknown", **task.slices(row.label)},
        problem=problem,
    )


def _answer(predictor: Predictor, row: Row) -> tuple[Answer, str]:
    try:
        return predictor.predict(row.image), ""
    except BadPicture as error:
        return Answer("", 0.0), error.message


def _metrics(task: Task, results: Sequence[Result]) -> dict[str, Score]:
    """All metrics; rates by bootstrap, the primary one first, the others by jackknife."""

    def score(chosen: NDArray[np.intp]) -> dict[str, float]:
        picked = [results[index] for index in chosen]
        return task.score([r.truth for r in picked], [r.answer for r in picked])

    truths, answers = [r.truth for r in results], [r.answer for r in results]
    support = functools.cache(lambda name: task.support(name, truths, answers))
    intervals = jackknife(score, len(results), support)
    intervals.pop(task.primary, None)
    primary = _primary(results)
    others = {}
    for name, interval in intervals.items():
        within = Interval(interval.value, interval.low, min(interval.high, task.highest(name)))
        others[name] = _score(within, support(name))
    return {task.primary: primary, **_rates(results), **others}


def _rates(results: Sequence[Result]) -> dict[str, Score]:
    names = dict.fromkeys(name for result in results for name in result.rates)
    scores = {}
    for name in names:
        # What could not be read is wrong by every rate.
        pairs = [result.rates.get(name, (1.0, 1.0)) for result in results]
        errors, weights = zip(*pairs, strict=True)
        scores[name] = _score(bootstrap(errors, weights), len(results))
    return scores


def _slices(results: Sequence[Result]) -> dict[str, dict[str, Score]]:
    grouped: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        for dimension, name in result.slices.items():
            grouped.setdefault(dimension, {}).setdefault(name, []).append(result)
    return {
        dimension: {name: _primary(groups[name]) for name in sorted(groups, key=natural)}
        for dimension, groups in grouped.items()
    }


def _primary(results: Sequence[Result]) -> Score:
    interval = bootstrap([r.errors for r in results], [r.weight for r in results])
    return _score(interval, len(results))


def _score(interval: Interval, samples: int) -> Score:
    return Score(value=interval.value, low=interval.low, high=interval.high, samples=samples)


def _speed(predictor: Predictor, rows: Iterator[Row]) -> Speed:
    """Time per picture with nothing else running, file to answer."""
    times = []
    for number, row in enumerate(islice(rows, _WARM_UP + _TIMED)):
        start = time.perf_counter()
        _answer(predictor, row)
        if number >= _WARM_UP:
            times.append((time.perf_counter() - start) * 1e3)
    times = sorted(times) or [0.0]
    return Speed(
        median_ms=statistics.median(times),
        p95_ms=times[min(len(times) - 1, int(len(times) * 0.95))],
        mean_ms=statistics.fmean(times),
        threads=1,
    )


def _training_pictures(
    store: Store, package: Package, dataset: DatasetVersion, split: str
) -> frozenset[str]:
    """What the version was trained on, where some of that may be what it is scored on.

    A dataset version never holds one picture in two splits; two datasets may.
    """
    if not package.spec.dataset or (package.spec.dataset == dataset.ref and split != "train"):
        return frozenset()
    try:
        trained = open_dataset(store, package.spec.dataset)
    except NotFound:
        return frozenset()
    return frozenset(row.sha256 for row in trained.rows("train", pictures=False))


def _key(package: Package, dataset: DatasetVersion, split: str) -> str:
    decides = [FORMAT, __version__, package.spec.to_dict(), dataset.ref, split]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
