"""What a round would do, before it does anything: `nhan loop run --dry-run`."""

from __future__ import annotations

from dataclasses import dataclass

from nhan.datasets.read import open_dataset
from nhan.errors import NotFound
from nhan.models.registry import Registry
from nhan.pipeline.cache import key_of, remembered
from nhan.pipeline.data_steps import audit_key, freeze_key
from nhan.pipeline.model_steps import knows, start_of, train_key, trained
from nhan.pipeline.rounds import list_rounds
from nhan.pipeline.step import Plan
from nhan.pipeline.steps import STEPS
from nhan.review.labelstudio.connection import load_connection
from nhan.uploads.intake import take_in
from nhan.watching.fresh import FreshLabels
from nhan.workspace import Workspace


@dataclass(frozen=True)
class Expected:
    """One step as it looks now; what comes in on the way may change it.

    Attributes:
        step: its name.
        does: `runs`, `is skipped`, or `depends`.
        because: in words.
    """

    step: str
    does: str
    because: str


def foresee(workspace: Workspace, plan: Plan) -> list[Expected]:
    """Look at every step without doing any; changes nothing."""
    newest = list_rounds(workspace, limit=1)
    if newest and not newest[0].outcome:
        step = newest[0].next_step
        return [Expected(step, "runs", f"round {newest[0].plan.number} was interrupted there")]
    waiting = take_in(workspace, dry_run=True).waiting
    found = [
        Expected("intake", "runs", f"{waiting} objects wait")
        if waiting
        else Expected("intake", "is skipped", "nothing has come in since the last time"),
        _pull(workspace, plan),
    ]
    audited = remembered(workspace.store, "audit", audit_key(workspace, plan.task))
    if audited is None or plan.again:
        found.append(Expected("audit", "runs", "samples or labels have changed"))
    else:
        found.append(Expected("audit", "is skipped", "no sample or label has changed"))
    found += _frozen(workspace, plan)
    done = {one.step for one in found}
    found += [
        Expected(step, "depends", "on what comes before") for step in STEPS if step not in done
    ]
    return found


def _pull(workspace: Workspace, plan: Plan) -> Expected:
    try:
        connection = load_connection(workspace.store, plan.task)
    except NotFound:
        return Expected("pull", "is skipped", "Label Studio is not set up")
    return Expected("pull", "runs", f"asks {connection.key}")


def _frozen(workspace: Workspace, plan: Plan) -> list[Expected]:
    """What freezing would do and, where that is nothing, training."""
    known = remembered(workspace.store, "freeze", freeze_key(workspace, plan))
    count = FreshLabels(plan.dataset, plan.task).count(workspace)
    if known is None or plan.again:
        return [Expected("freeze", "runs", f"{count} labels are new to {plan.dataset}")]
    ref = known["outputs"]["dataset"]
    dataset = open_dataset(workspace.store, ref)
    found = [Expected("freeze", "is skipped", f"{ref} holds all that may train")]
    registry = Registry(workspace.store)
    state = registry.log(plan.model)
    champion = registry.open(plan.model, state.champion) if state.champion else None
    start, settings = start_of(plan, champion), key_of(list(plan.train), plan.int8)
    if champion is not None and knows(workspace, champion, dataset, settings):
        because = f"{champion.ref}, the champion, was trained on {ref}"
        return [*found, Expected("train", "is skipped", because)]
    before = trained(workspace, registry, train_key(plan, dataset, settings, start))
    if before:
        because = f"{before[0]} was trained on it in round {before[1]}"
        return [*found, Expected("train", "is skipped", because)]
    return [*found, Expected("train", "runs", f"from {start or 'scratch'} on {ref}")]
