"""What a round is about, where nobody says: found in the settings and the workspace."""

from __future__ import annotations

import sqlalchemy as sa

from nhan.catalog.schema import samples
from nhan.datasets.layout import check_name as check_dataset
from nhan.datasets.read import list_datasets, open_dataset
from nhan.errors import UserError
from nhan.models.bundled import bundled_package
from nhan.models.package import check_name as check_model
from nhan.models.registry import Registry
from nhan.pipeline.step import Plan
from nhan.tasks import TASKS
from nhan.workspace import Workspace


def make_plan(
    workspace: Workspace,
    *,
    dataset: str = "",
    model: str = "",
    reason: str = "",
    by: str = "",
    again: bool = False,
    key: str = "",
) -> Plan:
    """The plan of a round, its open questions answered.

    Args:
        workspace: where.
        dataset: name to freeze into; empty: `loop.dataset`, else the only dataset there is. Where
            there is none yet, it is named like the model.
        model: name to train; empty: `loop.model`, else the one that was trained on that dataset.
            Where there is none, it is the bundled reader's successor, if that is of the task of
            the samples, else it is named like the dataset.
        reason: why the round is begun.
        by: who or what begins it.
        again: do everything again, even where nothing has changed.
        key: see `Plan`.

    Raises:
        UserError: several would do, or there is nothing to make a round of.
    """
    loop = workspace.settings.loop
    dataset, model = dataset or loop.dataset, model or loop.model
    known = [summary.name for summary in list_datasets(workspace.store)]
    if not dataset and len(known) > 1:
        raise UserError(
            f"there are several datasets: {', '.join(known)}",
            hint="name one with --dataset, or in loop.dataset",
        )
    dataset = dataset or next(iter(known), "")
    task = (
        open_dataset(workspace.store, dataset).task if dataset in known else _only_task(workspace)
    )
    model = model or _model_of(workspace, dataset, task)
    return Plan(
        number=0,
        dataset=check_dataset(dataset or model),
        task=task,
        model=check_model(model),
        start=loop.start,
        train=tuple(loop.train),
        int8=loop.int8,
        again=again,
        reason=reason,
        by=by,
        key=key,
    )


def _only_task(workspace: Workspace) -> str:
    with workspace.catalog.read() as connection:
        found = sorted(connection.scalars(sa.select(samples.c.task).distinct()))
    if len(found) == 1:
        return str(found[0])
    if found:
        raise UserError(
            f"there are samples of several tasks: {', '.join(found)}",
            hint="freeze each once by hand: nhan freeze NAME --task TASK",
        )
    # Nothing yet: whatever comes in first comes from the reader that answers.
    bundled = bundled_package()
    return bundled.spec.task if bundled is not None else next(iter(TASKS))


def _model_of(workspace: Workspace, dataset: str, task: str) -> str:
    registry = Registry(workspace.store)
    packages = [registry.resolve(name) for name in registry.models()]
    trained = [p.spec.name for p in packages if p.spec.dataset.partition("@")[0] == dataset != ""]
    alike = trained or [p.spec.name for p in packages if p.spec.task == task]
    if len(alike) > 1:
        raise UserError(
            f"there are several models: {', '.join(alike)}",
            hint="name one with --model, or in loop.model",
        )
    if alike:
        return alike[0]
    bundled = bundled_package() if workspace.settings.serve.bundled else None
    if bundled is not None and bundled.spec.task == task:
        return bundled.spec.name
    if not dataset:
        raise UserError(
            "there is nothing to make a round of: no dataset and no model",
            hint="nhan import PICTURES, then nhan freeze NAME; or name both in [loop]",
        )
    return dataset
