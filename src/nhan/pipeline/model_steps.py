"""The steps of a round that end in a champion: train, evaluate, gate, promote."""

from __future__ import annotations

import shutil
from typing import Any

from nhan.datasets.read import DatasetVersion, open_dataset
from nhan.errors import Conflict, GateRefused, MissingExtra, NotFound
from nhan.evaluation.gate import reasons_of
from nhan.evaluation.promotion import compare, judge, promote
from nhan.evaluation.record import Evaluation
from nhan.models.package import Package
from nhan.models.registry import LogState, Registry
from nhan.pipeline.announce import announce
from nhan.pipeline.cache import key_of, remember, remembered
from nhan.pipeline.start import bundled_start
from nhan.pipeline.step import Outcome, Plan, Work
from nhan.pipeline.step_words import say
from nhan.training.threads import wait_briefly
from nhan.workspace import Workspace

# Runs of rounds are called by the content they learn from, so that a second attempt goes on with
# the first one's checkpoints and ends in the same version.
_RUN = "loop-"
_NO_CANDIDATE = Outcome("skipped", say("no_candidate"))


def train_candidate(work: Work) -> Outcome:
    """Train from the champion on the new dataset version, or go on with a training that died."""
    workspace, plan = work.workspace, work.plan
    dataset = open_dataset(workspace.store, work.output("freeze", "dataset"))
    registry = Registry(workspace.store)
    state = registry.log(plan.model)
    champion = registry.open(plan.model, state.champion) if state.champion else None
    start = start_of(plan, champion)
    settings = key_of(list(plan.train), plan.int8)
    key = train_key(plan, dataset, settings, start)
    if not plan.again:
        if champion is not None and knows(workspace, champion, dataset, settings):
            because = say("train.champion_knows", champion=champion.ref, dataset=dataset.ref)
            return Outcome("skipped", because, {}, key)
        if found := trained(workspace, registry, key):
            candidate, number = found
            facts = {"candidate": candidate, "dataset": dataset.ref, "start": start}
            because = say("train.known", round=number, **facts)
            return Outcome("skipped", because, {"candidate": candidate}, key)
    package = _train(work, dataset, start, f"{_RUN}{key}")
    outputs = {
        "candidate": package.ref,
        "run": package.spec.run,
        "dataset": dataset.ref,
        "start": start,
        "settings": settings,
    }
    announce(workspace, "run", plan.number, **outputs)
    remember(workspace.store, "train", key, plan.number, outputs)
    facts = {name: outputs[name] for name in ("candidate", "start", "dataset", "run")}
    return Outcome("ran", say("train.trained", **facts), outputs, key)


def train_key(plan: Plan, dataset: DatasetVersion, settings: str, start: str) -> str:
    """Of everything that decides what comes out of a training."""
    salt = plan.number if plan.again else 0
    return key_of(dataset.ref, settings, start, plan.model, salt)


def start_of(plan: Plan, champion: Package | None) -> str:
    """What training begins from; empty for scratch."""
    if plan.start == "scratch":
        return ""
    if plan.start != "champion":
        return plan.start
    if champion is not None:
        return champion.ref
    return bundled_start(plan.task)


def knows(workspace: Workspace, champion: Package, dataset: DatasetVersion, settings: str) -> bool:
    """Whether the champion was trained on this dataset version, with these settings if we know."""
    if champion.spec.dataset != dataset.ref:
        return False
    if not champion.spec.run.startswith(_RUN):
        return True
    own = remembered(workspace.store, "train", champion.spec.run.removeprefix(_RUN))
    return own is None or own["outputs"].get("settings") == settings


def trained(workspace: Workspace, registry: Registry, key: str) -> tuple[str, int] | None:
    """The version that was trained from the same content, if it still stands, and its round."""
    known = remembered(workspace.store, "train", key)
    if known is None:
        return None
    try:
        return registry.resolve(known["outputs"]["candidate"]).ref, int(known["round"])
    except NotFound:
        return None


def _train(work: Work, dataset: DatasetVersion, start: str, run: str) -> Package:
    wait_briefly()  # before torch starts its threads
    try:
        from nhan.pipeline.make_model import make_model, resume_model
        from nhan.training.config import load_config
        from nhan.training.train import FACTS, run_folder
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("nhan"):
            raise
        raise MissingExtra("training", "train") from error
    plan = work.plan
    folder = run_folder(work.workspace, run)
    if (folder / FACTS).exists():
        work.say(f"run {run} goes on from its last checkpoint")
        return resume_model(work.workspace, run, model=plan.model, show=work.show, say=work.say)
    shutil.rmtree(folder, ignore_errors=True)  # it died before it could be gone on with
    return make_model(
        work.workspace,
        dataset.ref,
        load_config(None, list(plan.train)),
        model=plan.model,
        start=start,
        int8=plan.int8,
        run=run,
        show=work.show,
        say=work.say,
    )


def evaluate_candidate(work: Work) -> Outcome:
    """Score the candidate and the champion on the same frozen test set."""
    candidate = work.output("train", "candidate")
    if not candidate:
        return _NO_CANDIDATE
    records = compare(work.workspace, candidate, say=work.say)
    outputs = {name: _figures(one) for name, one in records.items()}
    scores = [
        say("evaluate.score", model=one.ref, metric=one.metric, value=one.primary.value)
        for one in records.values()
    ]
    dataset, samples = records["candidate"].dataset, records["candidate"].samples
    known = all(one.reused for one in records.values())
    code = "evaluate.again" if known else "evaluate.measured"
    because = say(code, scores=scores, dataset=dataset, samples=samples)
    return Outcome("skipped" if known else "ran", because, outputs)


def _figures(record: Evaluation) -> dict[str, Any]:
    score = record.primary
    return {
        "ref": record.ref,
        "metric": record.metric,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "samples": record.samples,
        "dataset": record.dataset,
    }


def ask_gate(work: Work) -> Outcome:
    """Let the gate decide; nobody is promoted here."""
    candidate = work.output("train", "candidate")
    if not candidate:
        return _NO_CANDIDATE
    registry = Registry(work.workspace.store)
    package = registry.resolve(candidate)
    state = registry.log(package.spec.name)
    if state.champion == package.spec.version:
        return Outcome("skipped", say("already", candidate=candidate))
    if taken_back := _taken_back(state, package):
        return Outcome("refused", taken_back, {"candidate": candidate})
    rules = work.workspace.settings.gate.model_dump()
    key = key_of(candidate, state.champion, dict(work.before["evaluate"]), rules)
    verdict = judge(work.workspace, candidate)
    outputs = {"candidate": candidate, "words": verdict.words, "hint": verdict.hint}
    if verdict.passed:
        return Outcome("ran", verdict.words, outputs, key)
    if remembered(work.workspace.store, "gate", key) is None:
        announce(work.workspace, "refused", work.plan.number, **outputs)
        remember(work.workspace.store, "gate", key, work.plan.number, outputs)
    return Outcome("refused", reasons_of(verdict.words), outputs, key)


def _taken_back(state: LogState, package: Package) -> str:
    """Why a version that people have rolled back is not brought back by a machine."""
    for entry in reversed(state.promotions):
        if entry.action == "rollback" and entry.previous == package.spec.version:
            why = f": {entry.because}" if entry.because else ""
            return say("gate.taken_back", candidate=package.ref, at=entry.at, why=why)
    return ""


def promote_candidate(work: Work) -> Outcome:
    """Write the promotion, once, whatever interrupts it."""
    candidate = work.output("gate", "candidate")
    if not candidate:
        return _NO_CANDIDATE
    registry = Registry(work.workspace.store)
    package = registry.resolve(candidate)
    name, version = package.spec.name, package.spec.version
    state = registry.log(name)
    for number, entry in enumerate(state.promotions, start=1):
        if entry.version == version and entry.by == work.plan.name and entry.action == "promote":
            announce(work.workspace, "promoted", work.plan.number, champion=candidate)
            outputs = {"champion": candidate, "number": number, "previous": entry.previous}
            return Outcome("ran", say("promote.done_before", number=number), outputs)
    if state.champion == version:
        return Outcome("skipped", say("already", candidate=candidate))
    reason = work.plan.reason or "a round"
    try:
        done = promote(work.workspace, candidate, because=reason, by=work.plan.name, say=work.say)
    except GateRefused as error:  # somebody else was promoted since the gate was asked
        return Outcome("refused", reasons_of(error.message), {"hint": error.hint})
    except Conflict:
        if registry.champion(name) != version:
            raise
        return Outcome("skipped", say("already", candidate=candidate))
    announce(work.workspace, "promoted", work.plan.number, champion=candidate)
    previous = done.promotion.previous
    outputs = {"champion": candidate, "number": done.number, "previous": previous}
    code = "promote.promoted_after" if previous else "promote.promoted"
    because = say(code, **outputs, candidate=candidate)
    return Outcome("ran", because, outputs)
