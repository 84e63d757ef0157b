"""The report: one HTML file that shows a version as it is, for its makers and their customers.

The file holds everything it needs: pictures as data, charts as SVG, no script, and a policy that
forbids the browser to fetch anything. It reads in English and Vietnamese, light and dark.
"""

from __future__ import annotations

import base64
import io
import json
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from PIL import Image
from rapidfuzz.distance import Levenshtein

from nhan.datasets.read import open_dataset
from nhan.errors import NhanError, NotFound
from nhan.evaluation import charts
from nhan.evaluation.grid import answer_grid
from nhan.evaluation.record import (
    ConfusionCount,
    Evaluation,
    Result,
    Score,
    by_name,
    natural,
)
from nhan.evaluation.words import both
from nhan.images import decode
from nhan.storage import Store
from nhan.tasks import TASKS, get_task
from nhan.workspace import Workspace

_WORST = 24
_SURE_BUT_WRONG = 8
_AT_RANDOM = 8
# A matrix of more names than this cannot be read on a phone; a list can.
_MATRIX_NAMES = 8
_LISTED_CONFUSIONS = 24
# Where labels are few and listed, every answer is shown; of more than this, the most confused.
_GRID_NAMES = 40
_PICTURE_WIDTH, _PICTURE_HEIGHT, _LINE_HEIGHT = 1600, 220, 96
# Smaller pictures (icons, digits of 8 px) are enlarged to about this, or nobody sees them.
_SEEN_PX = 96
# Width over height from which a picture is a line, and a line too long for half the page.
_LINE, _LONG = 2.5, 11
# Two texts that differ in more than this share are shown as wholly different.
_UNLIKE = 0.7
_THRESHOLDS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)
_MIN_WEAK_SAMPLES = 10


@dataclass(frozen=True)
class Piece:
    """A stretch of a text, and whether it differs from the other text."""

    text: str
    differs: bool


@dataclass(frozen=True)
class Example:
    """One sample as the report shows it.

    Attributes:
        picture: a data URI; empty when it cannot be had.
        shape: `photo`, `line`, or `long` for a line that needs the page's whole width.
    """

    result: Result
    picture: str
    shape: str
    truth: list[Piece]
    answer: list[Piece]


@dataclass(frozen=True)
class Threshold:
    """What happens if answers below a confidence go to a person.

    Attributes:
        confidence: the least that is taken without a look.
        taken: share of answers at or above it.
        right: share of those that are wholly right; None when there are none.
    """

    confidence: float
    taken: float
    right: float | None


def write_report(
    workspace: Workspace,
    evaluation: Evaluation,
    file: str | Path,
    *,
    champion: Evaluation | None = None,
) -> Path:
    """Write the report of an evaluation.

    Args:
        workspace: where the pictures and the run's curve are.
        evaluation: what to show.
        file: the HTML file; appears whole or not at all.
        champion: the champion's record on the same test set, to compare with.

    Returns:
        The file's path.
    """
    wanted = {result.sha256 for shown in _chosen(evaluation).values() for result in shown}
    html = render_report(
        evaluation,
        pictures=_pictures(workspace, evaluation, wanted),
        curve=read_curve(workspace.store, evaluation.run),
        champion=champion,
    )
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(html, encoding="utf-8")
    os.replace(temporary, target)
    return target


def render_report(
    evaluation: Evaluation,
    *,
    pictures: Mapping[str, bytes],
    curve: Sequence[Mapping[str, Any]] = (),
    champion: Evaluation | None = None,
) -> str:
    """The report as HTML.

    Args:
        evaluation: what to show.
        pictures: original bytes by SHA-256 of the samples to show; others are left out.
        curve: the run's validations in order: `seen`, `loss`, `scores` (`set/metric` to value).
        champion: see `write_report`.
    """
    results = evaluation.results
    environment = Environment(
        loader=PackageLoader("nhan.evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(en=_english, vi=_vietnamese)
    environment.globals.update(both=both)
    chosen = _chosen(evaluation)
    grid, left_out = _grid(evaluation)
    small = {} if grid else _small(evaluation)
    return environment.get_template("report.html.j2").render(
        e=evaluation,
        champion=champion,
        right=sum(result.right for result in results),
        unreadable=sum(bool(result.problem) for result in results),
        weakest=_weakest(evaluation),
        scale=_slice_scale(evaluation),
        thresholds=_thresholds(results),
        curves=_curves(curve, evaluation.metric),
        grid=grid,
        left_out=left_out,
        named=by_name(evaluation.metrics),
        all_or_nothing=_all_or_nothing(evaluation),
        matrices={kind: charts.confusion_matrix(c) for kind, c in small.items()},
        lists={
            kind: counts[:_LISTED_CONFUSIONS]
            for kind, counts in evaluation.confusions.items()
            if counts and kind not in small
        },
        reliability=charts.reliability_diagram(evaluation.calibration.bins),
        histogram=charts.confidence_histogram(
            [result.confidence for result in results], [result.right for result in results]
        ),
        by_length=_by_length(results),
        examples={kind: _examples(shown, pictures) for kind, shown in chosen.items()},
    )


def read_curve(store: Store, run: str) -> list[dict[str, Any]]:
    """A run's validations in order; empty where the run is unknown or its file is damaged."""
    if not run:
        return []
    try:
        lines = store.read(f"runs/{run}/metrics.jsonl").decode().splitlines()
    except NotFound:
        return []
    points = []
    for line in lines:
        try:
            point = json.loads(line)
        except ValueError:  # the last line of a run that was killed
            continue
        if isinstance(point, dict) and "seen" in point:
            points.append(point)
    return points


def differences(truth: str, answer: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, those that differ marked; shortest edit script.

    Texts with little in common are marked whole: single letters that happen to agree mean nothing.
    """
    if Levenshtein.normalized_distance(truth, answer) > _UNLIKE:
        return _whole(truth), _whole(answer)
    left, right = [], []
    for step in Levenshtein.opcodes(truth, answer):
        differs = step.tag != "equal"
        if step.src_end > step.src_start:
            left.append(Piece(truth[step.src_start : step.src_end], differs))
        if step.dest_end > step.dest_start:
            right.append(Piece(answer[step.dest_start : step.dest_end], differs))
    return left, right


def _whole(text: str) -> list[Piece]:
    return [Piece(text, True)] if text else []


def _chosen(evaluation: Evaluation) -> dict[str, list[Result]]:
    """The samples to show: most errors, sure but wrong, and some drawn at random."""
    wrong = [result for result in evaluation.results if not result.right]
    worst = sorted(
        wrong, key=lambda r: (-r.errors / max(r.weight, 1), -r.errors, -r.confidence, r.sha256)
    )
    # Where no answer is half right, the worst are the surest already.
    mixed = [] if _all_or_nothing(evaluation) else wrong
    sure = sorted(mixed, key=lambda r: (-r.confidence, r.sha256))
    drawn = random.Random(evaluation.content)
    fair = drawn.sample(evaluation.results, min(_AT_RANDOM, len(evaluation.results)))
    return {"worst": worst[:_WORST], "sure": sure[:_SURE_BUT_WRONG], "random": fair}


def _pictures(workspace: Workspace, evaluation: Evaluation, wanted: set[str]) -> dict[str, bytes]:
    try:
        dataset = open_dataset(workspace.store, evaluation.dataset)
        rows = dataset.rows(evaluation.split)
        return {row.sha256: row.image for row in rows if row.sha256 in wanted}
    except NotFound:  # the dataset was removed since; the figures still stand
        return {}


def _examples(results: Sequence[Result], pictures: Mapping[str, bytes]) -> list[Example]:
    examples = []
    for result in results:
        if result.errors >= result.weight:  # wrong as a whole: no letter of it is right
            truth, answer = _whole(result.truth), _whole(result.answer)
        else:
            truth, answer = differences(result.truth, result.answer)
        picture, shape = _embedded(pictures.get(result.sha256, b""))
        examples.append(Example(result, picture, shape, truth, answer))
    return examples


def _embedded(data: bytes) -> tuple[str, str]:
    """A picture as a data URI, scaled down, and its shape (see `Example`).

    It is decoded and encoded anew: what a browser gets is our own JPEG, never a stranger's bytes.
    """
    try:
        picture = Image.fromarray(decode(data))
    except NhanError:
        return "", "photo"
    aspect = picture.width / picture.height
    shape = "photo" if aspect < _LINE else "line" if aspect < _LONG else "long"
    if (factor := _SEEN_PX // max(picture.size)) > 1 and shape == "photo":
        picture = picture.resize(
            (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
        )
    picture.thumbnail((_PICTURE_WIDTH, _PICTURE_HEIGHT if shape == "photo" else _LINE_HEIGHT))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), shape


def _weakest(evaluation: Evaluation) -> tuple[str, str, Score] | None:
    """The slice with the highest error rate among those that hold enough samples to say so."""
    candidates = [
        (dimension, name, score)
        for dimension, slices in evaluation.slices.items()
        for name, score in slices.items()
        if score.samples >= _MIN_WEAK_SAMPLES and len(slices) > 1
    ]
    worst = max(candidates, key=lambda candidate: candidate[2].value, default=None)
    return worst if worst and worst[2].value > evaluation.primary.value else None


def _slice_scale(evaluation: Evaluation) -> float:
    """The rate at the right end of the slices' bars."""
    values = [s.value for slices in evaluation.slices.values() for s in slices.values()]
    highs = [s.high for slices in evaluation.slices.values() for s in slices.values()]
    # Tiny slices have huge intervals, which would squeeze all others into the left corner.
    return max(0.01, min(max(highs, default=1.0), 1.6 * max(values, default=1.0)))


def _thresholds(results: Sequence[Result]) -> list[Threshold]:
    rows = []
    for confidence in _THRESHOLDS:
        taken = [result for result in results if result.confidence >= confidence]
        rows.append(
            Threshold(
                confidence,
                len(taken) / max(len(results), 1),
                sum(result.right for result in taken) / len(taken) if taken else None,
            )
        )
    return rows


def _curves(curve: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Markup]:
    """Charts of the loss and of the primary metric on every set it was followed on."""
    drawn: dict[str, Markup] = {}
    # A start that was judged has no loss yet, whatever was noted there.
    loss = [(float(p["seen"]), float(p["loss"])) for p in curve if "loss" in p and p["seen"]]
    names = list(dict.fromkeys(name for p in curve for name in p.get("scores", {})))
    followed = [
        charts.Line(
            name.rpartition("/")[0] or name,
            [(float(p["seen"]), float(p["scores"][name])) for p in curve if name in p["scores"]],
        )
        for name in names
        if name.rpartition("/")[2] == metric
    ]
    if len(curve) > 1 and followed:
        drawn[metric] = charts.learning_curve(followed, percent=True)
    if len(loss) > 1:
        drawn["loss"] = charts.learning_curve([charts.Line("loss", loss)], percent=False)
    return drawn


def _all_or_nothing(evaluation: Evaluation) -> bool:
    """Whether every sample is one error or none, as a class is."""
    return all(result.weight == 1 and result.errors <= 1 for result in evaluation.results)


def _grid(evaluation: Evaluation) -> tuple[Markup | None, int]:
    """Every truth against every answer where labels are few and listed, and how many are left out.

    Counted from the results, because the record's confusions leave out what is right.
    """
    if evaluation.task not in TASKS or not get_task(evaluation.task).choices:
        return None, 0
    counts = Counter((result.truth, result.answer) for result in evaluation.results)
    if not counts:
        return None, 0
    names = sorted({name for pair in counts for name in pair}, key=natural)
    confused: Counter[str] = Counter()
    for (truth, answer), count in counts.items():
        if truth != answer:
            confused.update({truth: count, answer: count})
    shown = set(sorted(names, key=lambda name: -confused[name])[:_GRID_NAMES])
    grid = answer_grid([name for name in names if name in shown], counts)
    return grid, len(names) - len(shown)


def _small(evaluation: Evaluation) -> dict[str, list[ConfusionCount]]:
    """The kinds of confusion between so few names that a matrix shows them all."""
    return {
        kind: counts
        for kind, counts in evaluation.confusions.items()
        if counts and len({c.truth for c in counts} | {c.answer for c in counts}) <= _MATRIX_NAMES
    }


def _by_length(results: Sequence[Result]) -> Markup | None:
    """Error against length, where the task's samples have one (equal weights have not)."""
    sized = [result for result in results if result.weight > 0]
    if len({result.weight for result in sized}) < 3:
        return None
    return charts.error_by_length(
        [result.weight for result in sized], [result.errors / result.weight for result in sized]
    )


def _english(value: float, digits: int = 1) -> str:
    return f"{value:,.{digits}f}"


def _vietnamese(value: float, digits: int = 1) -> str:
    """1.234,5: points between thousands, a comma before decimals."""
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))
