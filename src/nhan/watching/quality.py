"""Did it help? How well the live model answers, estimated from uploads that chance alone chose.

What people correct, or what a policy finds doubtful, is no fair sample: its error rate is far too
high. A small random share of all uploads goes to review as well (`uploads.random_share`); the
answers to those, against the labels that now stand, estimate the error rate of the whole stream.

Of that share, too, what users correct gets its label first, and it is mostly wrong. So answers that
were corrected and answers that were not are two strata: each known answer stands for its stratum.

Source: Cochran 1977, Sampling Techniques, on stratification after the sample was drawn; effective
sample size: Kish 1965, Survey Sampling.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from nhan.catalog import TRAINABLE
from nhan.catalog.schema import corrections, labels, predictions, samples
from nhan.datasets.read import open_dataset
from nhan.errors import NotFound
from nhan.evaluation.intervals import bootstrap
from nhan.models.bundled import bundled_package
from nhan.models.registry import Registry
from nhan.tasks import get_task
from nhan.watching.place import answering, version_name, write_watch
from nhan.workspace import Workspace

QUALITY = "quality.json"
RANDOM = "random"

# Both sides of a 95 % interval of the normal distribution.
_Z = 1.959964


@dataclass(frozen=True)
class _Answer:
    version: str
    sha256: str
    answer: str
    truth: str | None
    corrected: bool


def estimate_quality(workspace: Workspace, model: str) -> dict[str, Any] | None:
    """Estimate the live error rate of every version of a model and write it down.

    Pictures that a version was trained on say nothing of it and are left out.

    Args:
        workspace: where.
        model: whose answers.

    Returns:
        What `quality.json` holds; None for a model that does not answer. Per version: `samples`,
        the task's primary rate with `low` and `high` (95 %, bootstrap over pictures), and
        `right`, the share of wholly right answers (95 %, Wilson). `chosen` counts what chance
        chose, so that one sees how much of it has been looked at. While only answers that users
        corrected have a label, `samples` is 0: they tell nothing of the others.
    """
    package = answering(workspace, model)
    if package is None:
        return None
    task = get_task(package.spec.task)
    by_version: dict[str, list[_Answer]] = defaultdict(list)
    for one in _random_answers(workspace, model, task.name):
        by_version[one.version].append(one)
    versions = []
    for version in sorted(by_version, key=_natural):
        trained = _learned(workspace, model, version)
        chosen = [one for one in by_version[version] if one.sha256 not in trained]
        known = _known(chosen)
        rates = [task.rate(one.truth or "", one.answer) for one, _ in known]
        share = [times for _, times in known]
        interval = bootstrap(
            [rate.errors * times for rate, times in zip(rates, share, strict=True)],
            [rate.weight * times for rate, times in zip(rates, share, strict=True)],
        )
        right = sum(
            times for rate, times in zip(rates, share, strict=True) if rate.errors == 0
        ) / max(sum(share), 1.0)
        effective = sum(share) ** 2 / max(sum(times * times for times in share), 1.0)
        low, high = wilson(right * effective, effective)
        versions.append(
            {
                "version": version,
                "chosen": len(chosen),
                "samples": len(known),
                "value": interval.value if known else None,
                "low": interval.low if known else None,
                "high": interval.high if known else None,
                "right": {"value": right if rates else None, "low": low, "high": high},
            }
        )
    document = {
        "model": model,
        "version": version_name(workspace, package),
        "task": task.name,
        "metric": task.primary,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions,
    }
    write_watch(workspace.store, model, QUALITY, document)
    return document


def of_version(document: dict[str, Any], version: str) -> dict[str, Any] | None:
    """One version's estimate out of `quality.json`; None where nothing was reviewed."""
    for one in document["versions"]:
        if one["version"] == version and one["samples"]:
            found: dict[str, Any] = one
            return found
    return None


def _known(chosen: Sequence[_Answer]) -> list[tuple[_Answer, float]]:
    """The answers whose truth is known, and for how many of the chosen each of them stands."""
    found: list[tuple[_Answer, float]] = []
    for corrected in (False, True):
        stratum = [one for one in chosen if one.corrected == corrected]
        known = [one for one in stratum if one.truth is not None]
        if stratum and not known and not corrected:
            return []
        found += [(one, len(stratum) / len(known)) for one in known]
    return found


def wilson(right: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share; 0 to 1 for none. Both may be effective numbers.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if not count:
        return 0.0, 1.0
    share, z2 = right / count, _Z * _Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = (
        _Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    )
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _random_answers(workspace: Workspace, model: str, task: str) -> Iterable[_Answer]:
    """Answers to pictures that chance chose; the first of each picture and version."""
    bundled = _bundled_until(workspace, model)
    query = (
        sa.select(
            predictions.c.version, predictions.c.at, samples.c.sha256, predictions.c.value,
            labels.c.value, samples.c.state,
            sa.exists().where(corrections.c.prediction_id == predictions.c.id),
        )
        .join(samples, samples.c.id == predictions.c.sample_id)
        .outerjoin(labels, labels.c.id == samples.c.label_id)
        .where(
            predictions.c.model == model, predictions.c.sampled == RANDOM, samples.c.task == task
        )
        .order_by(predictions.c.at)
    )  # fmt: skip
    with workspace.catalog.read() as connection:
        rows = connection.execute(query).all()
    first: dict[tuple[str, str], _Answer] = {}
    for number, at, sha256, answer, truth, state, corrected in rows:
        version = f"{number} (bundled)" if number in bundled and at < bundled[number] else number
        stands = truth if state in TRAINABLE else None
        first.setdefault(
            (version, sha256), _Answer(version, sha256, answer, stands, bool(corrected))
        )
    return first.values()


def _bundled_until(workspace: Workspace, model: str) -> dict[str, datetime]:
    """The bundled reader's version, and until when that number meant the bundled reader."""
    bundled = bundled_package()
    if bundled is None or bundled.spec.name != model:
        return {}
    try:
        own = Registry(workspace.store).open(model, bundled.spec.version)
    except NotFound:
        return {str(bundled.spec.version): datetime.max.replace(tzinfo=UTC)}
    return {str(bundled.spec.version): datetime.fromisoformat(own.spec.created)}


def _learned(workspace: Workspace, model: str, version: str) -> frozenset[str]:
    """The pictures that a version was trained on, as far as anybody knows."""
    try:
        package = Registry(workspace.store).open(model, int(version))
        dataset = open_dataset(workspace.store, package.spec.dataset)
    except (NotFound, ValueError):
        return frozenset()
    return frozenset(row.sha256 for row in dataset.rows("train", pictures=False))


def _natural(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdigit() else (0, version)
