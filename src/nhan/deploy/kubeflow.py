"""The steps of a round as a pipeline of Kubeflow Pipelines 2 (IR YAML).

Every step is one task in our own image that calls the same function as `nhan loop step`. Nothing
is cached by the pipeline: whether a step has anything to do is decided by the content it reads.
The image holds `kfp` without its dependencies, which is all that a task needs of it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

from nhan.deploy.forms import new_file
from nhan.deploy.kserve import chosen_settings, environment
from nhan.errors import MissingExtra, UserError
from nhan.pipeline.lease import EXPIRY_S
from nhan.pipeline.steps import STEPS
from nhan.settings import Settings
from nhan.workspace import Workspace

NAME = "nhan-round"
# A pod that died is waited for by the next one until its lease has run out.
_PAUSE_S = round(1.5 * EXPIRY_S)
# Steps that learn; they get the memory and the GPUs.
_LEARNING = ("train",)
# Steps whose outcome is more than a record, for the pages of Kubeflow that show such things.
_KINDS = {"freeze": "dataset", "train": "model", "evaluate": "metrics"}


def write(workspace: Workspace, out: Path) -> list[Path]:
    """Write the pipeline into a file.

    Raises:
        MissingExtra: kfp is not installed.
        UserError: the file exists, has no ending that Kubeflow takes, or the workspace's stores
            are on this machine, out of reach of pods.
    """
    file = new_file(out)
    file.write_text(compiled(workspace.settings), encoding="utf-8")
    return [file]


def compiled(settings: Settings, *, local: bool = False) -> str:
    """The pipeline's YAML: its specification and, for Kubernetes, the secrets by reference.

    Args:
        settings: of the workspace; what differs from the defaults is set in every task.
        local: for a run on this machine, where stores may be folders and variables are inherited.

    Raises:
        MissingExtra: kfp is not installed.
        UserError: the stores are out of reach of pods.
    """
    try:
        from kfp import compiler

        from nhan.deploy.kubeflow_components import make_components
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("nhan"):
            raise
        raise MissingExtra("Kubeflow Pipelines", "kubeflow") from error
    if not local:
        _check_reachable(settings)
    pipeline = _pipeline(settings, make_components(settings.deploy.train_image), local=local)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(file))
        return file.read_text(encoding="utf-8")


def _pipeline(settings: Settings, components: dict[str, Any], *, local: bool) -> Any:
    from kfp import dsl

    def round_(
        dataset: str = settings.loop.dataset,
        model: str = settings.loop.model,
        because: str = "a run of the pipeline",
        again: bool = False,
    ) -> None:
        begun = components["begin"](
            dataset=dataset,
            model=model,
            because=because,
            again=again,
            key=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        )
        _place(begun, "begin", settings, local=local)
        before = begun
        for name in STEPS:
            kind = _KINDS.get(name, "record")
            task = components[kind](name=name, number=begun.outputs["Output"])
            task.after(before)
            _place(task, name, settings, local=local)
            before = task

    round_.__annotations__ = {"dataset": str, "model": str, "because": str, "again": bool}
    about = "One round of the loop: from what came back from use to a champion that answers."
    return dsl.pipeline(name=NAME, description=about)(round_)


def _place(task: Any, name: str, settings: Settings, *, local: bool) -> None:
    """Where and how a task runs."""
    chosen = settings.kubeflow
    task.set_display_name(name)
    task.set_caching_options(False)
    learning = name in _LEARNING
    cpu, memory = (
        (chosen.train_cpu, chosen.train_memory) if learning else (chosen.cpu, chosen.memory)
    )
    task.set_cpu_request(cpu).set_cpu_limit(cpu)
    task.set_memory_request(memory).set_memory_limit(memory)
    if learning and chosen.gpus:
        task.set_accelerator_type(chosen.gpu).set_accelerator_limit(chosen.gpus)
    if local:
        return
    # Steps are written to be tried again: what was done is found, what was begun is gone on with.
    task.set_retry(
        num_retries=chosen.retries,
        backoff_duration=f"{_PAUSE_S}s",
        backoff_factor=2.0,
        backoff_max_duration="600s",
    )
    variables = {**chosen_settings(settings), "NHAN_WORKSPACE": "/workspace"}
    for variable, value in variables.items():
        task.set_env_variable(variable, value)
    _refer_to_secrets(task, settings)


def _refer_to_secrets(task: Any, settings: Settings) -> None:
    from kfp import kubernetes

    for variable in environment(settings):
        if "valueFrom" not in variable:
            task.set_env_variable(variable["name"], variable["value"])
            continue
        reference = cast("dict[str, Any]", variable["valueFrom"]["secretKeyRef"])
        kubernetes.use_secret_as_env(
            task,
            secret_name=reference["name"],
            secret_key_to_env={reference["key"]: variable["name"]},
            optional=bool(reference.get("optional")),
        )


def _check_reachable(settings: Settings) -> None:
    storage = settings.storage
    if "://" not in storage.objects or storage.objects.startswith("file:"):
        raise UserError(
            f"the objects of this workspace are in {storage.objects!r}, on this machine",
            hint="pods share a store: set storage.objects = 's3://BUCKET/PREFIX'",
        )
    if storage.catalog.startswith("sqlite"):
        raise UserError(
            f"the catalogue of this workspace is {storage.catalog!r}, on this machine",
            hint="pods share a database: set storage.catalog = 'postgresql://HOST/DATABASE'",
        )
