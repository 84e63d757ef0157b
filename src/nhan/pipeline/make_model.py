"""From a dataset version to a published model version: train, export, calibrate, publish."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from rich.console import Console

from nhan.datasets.read import DatasetVersion, open_dataset
from nhan.errors import MissingExtra, NotFound, UserError
from nhan.evaluation.calibrate import calibrate
from nhan.models.package import Package, check_name, publish
from nhan.models.registry import Registry
from nhan.pipeline.start import start_package
from nhan.workspace import Workspace

try:
    from nhan.pipeline.devices import train_on_devices
    from nhan.training.config import TrainConfig, make_config
    from nhan.training.group import current, launched
    from nhan.training.produce import WEIGHTS, produce_run
    from nhan.training.train import CONFIG, check_run, new_run_id, run_facts, run_folder, train

    metadata.version("lightning")  # imported when a training begins
except ModuleNotFoundError as error:  # torch, lightning …: the base install serves without them
    if (error.name or "").startswith("nhan"):
        raise
    raise MissingExtra("training", "train") from error

Say = Callable[[str], None]


def make_model(
    workspace: Workspace,
    dataset: str,
    config: TrainConfig,
    *,
    model: str = "",
    start: str = "",
    int8: bool = False,
    run: str = "",
    show: bool = True,
    say: Say | None = None,
    console: Console | None = None,
) -> Package:
    """Train on a dataset version and publish the result.

    Args:
        workspace: where the dataset is and the model goes.
        dataset: `NAME` (its newest version) or `NAME@VERSION`.
        config: of the training.
        model: name of the model; by default the dataset's.
        start: begin from `MODEL`, `MODEL@VERSION`, the bundled reader, a run, or a weights file.
        int8: also quantise, kept only if it loses less than the margin.
        run: id of the new run; empty for one that is made up.
        show: draw progress bars.
        say: told what happens, in words.
        console: where progress is drawn.

    Raises:
        NotFound: no such dataset or model to start from.
        UserError: a name that cannot be one of a model or run.
        JobFailed, ExportRefused: the training or the export went wrong; the run can be resumed.
    """
    frozen = open_dataset(workspace.store, dataset)
    name = check_name(model or frozen.name)
    config = config.model_copy(
        update={"task": frozen.task, "start_from": start or config.start_from}
    )
    run = check_run(run or new_run_id(config))
    if config.machine.devices > 1 and not launched():
        words = [frozen.ref, "--model", name, "--run", run, *(["--int8"] if int8 else [])]
        devices = config.machine.devices
        with weights_of(workspace, config.start_from):  # a wrong name is said before they start
            return train_on_devices(workspace, words, devices, config=config, show=show)
    group = current()
    run = group.tell(run)
    with weights_of(workspace, config.start_from if group.first else "") as weights:
        if say is not None and group.first:
            say(f"run {run} on {frozen.ref}; killed, it goes on with --resume {run}")
        train(
            workspace,
            frozen,
            config,
            run=run,
            start=weights,
            note={"model": name, "int8": int8},
            show=show,
            console=console,
        )
    return _publish(workspace, frozen, run, name, int8=int8, say=say)


def resume_model(
    workspace: Workspace,
    run: str,
    *,
    model: str = "",
    show: bool = True,
    say: Say | None = None,
    console: Console | None = None,
) -> Package:
    """Go on with a run that was interrupted, at whatever point, and publish it.

    A run that was published already gives its version again.

    Raises:
        NotFound: no such run.
    """
    group = current()
    facts = group.tell(run_facts(workspace, run) if group.first else None)
    if not launched() and (devices := _devices(workspace, run)) > 1:
        words = ["--resume", run, *(["--model", model] if model else [])]
        return train_on_devices(workspace, words, devices, show=show)
    frozen = open_dataset(workspace.store, facts["dataset"])
    note = facts.get("note", {})
    name = check_name(model or note.get("model") or frozen.name)
    done = group.tell(_published(workspace, name, run) if group.first else None)
    if done is not None:  # perhaps without its checkpoints by now
        return Registry(workspace.store).open(name, done)
    train(workspace, frozen, TrainConfig(), run=run, resume=True, show=show, console=console)
    return _publish(workspace, frozen, run, name, int8=bool(note.get("int8")), say=say)


def _publish(
    workspace: Workspace,
    dataset: DatasetVersion,
    run: str,
    name: str,
    *,
    int8: bool,
    say: Say | None,
) -> Package:
    group = current()
    if not group.first:
        return Registry(workspace.store).resolve(group.tell())
    product = produce_run(workspace, run, dataset, int8=int8)
    if say is not None:
        say(f"exported and proven: {product.spec['serve']} answers")
    calibration = calibrate(product.files, product.spec, dataset, limits=workspace.picture_limits)
    spec = {**product.spec, "calibration": calibration}
    package = publish(workspace.store, name, product.files, spec, run=run)
    group.tell(package.ref)
    return package


def _published(workspace: Workspace, name: str, run: str) -> int | None:
    """The version that a run became."""
    registry = Registry(workspace.store)
    for version in reversed(registry.versions(name)):
        if registry.open(name, version).spec.run == run:
            return version
    return None


def _devices(workspace: Workspace, run: str) -> int:
    """How many processes a run began with."""
    file = run_folder(workspace, run) / CONFIG
    return make_config(json.loads(file.read_text(encoding="utf-8")), str(file)).machine.devices


@contextmanager
def weights_of(workspace: Workspace, start: str) -> Iterator[Path | None]:
    """The weights file that a name stands for, for as long as it is needed."""
    if not start:
        yield None
        return
    for path in (Path(start), run_folder(workspace, start) / "best.safetensors"):
        if path.is_file():
            yield path
            return
    package = start_package(workspace, start)
    try:
        data = package.read(WEIGHTS)
    except NotFound as error:
        raise UserError(
            f"{package.ref} carries no weights to start from", hint="start from another version"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / WEIGHTS
        path.write_bytes(data)
        yield path
