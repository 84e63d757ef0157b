"""The steps that look back after a promotion: did it help, has anything drifted, what is next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from nhan.datasets.read import open_dataset
from nhan.errors import NotFound, UserError
from nhan.evaluation.evaluate import evaluate_package
from nhan.models.package import Package
from nhan.models.registry import Registry
from nhan.pipeline.cache import key_of
from nhan.pipeline.start import start_package
from nhan.pipeline.step import Outcome, Work
from nhan.pipeline.step_words import say
from nhan.sentences import Sentence
from nhan.training.threads import wait_briefly
from nhan.watching.budget import BUDGET, HUNDRED, expected_gain, next_hundred
from nhan.watching.drift import measure_drift
from nhan.watching.place import read_watch, write_watch
from nhan.watching.quality import estimate_quality, of_version
from nhan.workspace import Workspace

# New labels below which a quarter of them teaches nothing that could be measured.
_MIN_NEW = 40


def watch_live(work: Work) -> Outcome:
    """Estimate live quality and drift, and renew the list of what to label next."""
    words, outputs = look_back(work.workspace, work.plan.model, work.plan.task)
    if not words:
        return Outcome("skipped", say("watch.too_little"))
    return Outcome("ran", say("several", parts=words), outputs)


def look_back(workspace: Workspace, model: str, task: str) -> tuple[list[Sentence], dict[str, Any]]:
    """Write what is known of a model's live answers; gives it in words and as numbers."""
    words: list[Sentence] = []
    outputs: dict[str, Any] = {}
    if quality := estimate_quality(workspace, model):
        words = [_estimate(quality["metric"], one) for one in quality["versions"] if one["samples"]]
        outputs["quality"] = of_version(quality, quality["version"])
    drift = measure_drift(workspace, model)
    if drift:
        drifted = [say(f"feature.{name}") for name in drift["drifted"]]
        words.append(say("watch.drifted", features=drifted) if drifted else say("watch.steady"))
        outputs["drifted"] = drift["drifted"]
    budget = read_watch(workspace.store, model, BUDGET) or {"model": model}
    write_watch(workspace.store, model, BUDGET, {**budget, "next": next_hundred(workspace, task)})
    return words, outputs


def _estimate(metric: str, one: dict[str, Any]) -> Sentence:
    figures = {name: one[name] for name in ("version", "value", "low", "high", "samples", "chosen")}
    return say("watch.quality", metric=metric, **figures)


def draw_budget(work: Work) -> Outcome:
    """Train briefly on parts of the new labels, to tell what a hundred more would bring."""
    workspace, plan = work.workspace, work.plan
    samples = workspace.settings.loop.budget_samples
    candidate = work.output("train", "candidate")
    if not samples:
        return Outcome("skipped", say("budget.off"))
    if not work.output("promote", "champion"):
        return Outcome("skipped", say("nothing_promoted"))
    wait_briefly()  # before torch starts its threads
    from nhan.pipeline.subsets import measured, parts_of, point_of
    from nhan.training.config import load_config

    start = work.output("train", "start")
    begun = _package(workspace, start) if start else None
    dataset = open_dataset(
        workspace.store, Registry(workspace.store).resolve(candidate).spec.dataset
    )
    known = begun.spec.dataset if begun is not None else ""
    parts = parts_of(dataset, known if _exists(workspace, known) else "", workspace)
    if not parts or parts[-1].count < _MIN_NEW or not dataset.splits["test"]:
        count = parts[-1].count if parts else 0
        because = say("budget.too_few", new=count, test=dataset.splits["test"])
        return Outcome("skipped", because)
    key = key_of(dataset.ref, start, list(plan.train), samples)
    written = read_watch(workspace.store, plan.model, BUDGET) or {}
    if written.get("key") == key and not plan.again:
        return Outcome("skipped", say("budget.before", dataset=dataset.ref), key=key)
    config = load_config(
        None, [*plan.train, f"length.samples={samples}", "preflight=false", "track=off"]
    ).model_copy(update={"start_from": start})
    points = [
        measured(workspace, part, config, start, f"budget-{key}-{part.count}", work.say)
        for part in parts
    ]
    if begun is not None:
        record = evaluate_package(workspace, begun, dataset.ref)
        points.insert(0, point_of(0, record))
    curve, gain = expected_gain(points)
    document = {
        "model": plan.model,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "key": key,
        "dataset": dataset.ref,
        "trained_on": samples,
        "points": [{"labels": point.labels, "value": point.rate} for point in points],
        "curve": vars(curve),
        "gain": {"labels": HUNDRED, **vars(gain)},
        "next": next_hundred(workspace, plan.task),
    }
    write_watch(workspace.store, plan.model, BUDGET, document)
    because = say(
        "budget.drawn",
        gain=-gain.value,
        low=-gain.high,
        high=-gain.low,
        counts=[part.count for part in parts],
    )
    return Outcome("ran", because, {"gain": vars(gain)}, key)


def _package(workspace: Workspace, ref: str) -> Package | None:
    try:
        return start_package(workspace, ref)
    except UserError:  # a run or a file of weights
        return None


def _exists(workspace: Workspace, dataset: str) -> bool:
    try:
        return bool(dataset) and bool(open_dataset(workspace.store, dataset))
    except NotFound:
        return False
