"""Train on a dataset version: the plain function behind `nhan train`.

A run lives in the workspace's own `runs/RUN/` while it trains, because a checkpoint every few
minutes has no business in an object store, and is copied to the store when it ends.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from nhan.errors import Conflict, JobFailed, NotFound, UserError
from nhan.tasks import get_task
from nhan.tasks.learner import Adopted, Learner
from nhan.training.checkpoint import Checkpoint, save_checkpoint
from nhan.training.config import TrainConfig, make_config
from nhan.training.environment import environment
from nhan.training.group import current
from nhan.training.job import BEST, CURVE, Job, Judge, Standing, Tracker, choose_device
from nhan.training.preflight import Preflight, look_over, memorise
from nhan.training.prepared import Chosen, LabelledPicture, Prepared, prepared
from nhan.training.stream import open_stream, rehearsal_options
from nhan.training.tracking import open_tracker
from nhan.workspace import Workspace

CONFIG, FACTS, PREFLIGHT, RESULT = "config.json", "run.json", "preflight.json", "result.json"
# What a run began with, where that is another model: its first checkpoint may never come.
START = "start.safetensors"
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# What goes to the object store when a run ends; the last checkpoint is only for going on.
STORED = (CONFIG, FACTS, PREFLIGHT, RESULT, CURVE, BEST)
# Share of made samples when a model that learned them is trained further.
_REHEARSED = 0.5
# Validations in a run, at most, where the config does not say how often.
_VALIDATIONS = 40


class Dataset(Protocol):
    """What training reads of a dataset version; `nhan.datasets` gives such objects."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def task(self) -> str: ...

    @property
    def vocabulary(self) -> dict[str, Any]: ...

    def rows(self, split: str) -> Iterable[LabelledPicture]: ...

    def sizes(self, split: str) -> Sequence[tuple[int, int]]: ...


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        name: its id.
        folder: the local one, checkpoints included.
        dataset: `NAME@VERSION`.
        standing: how it went; the best validation's scores are in it.
        preflight: what was found before it began.
    """

    name: str
    folder: Path
    dataset: str
    standing: Standing
    preflight: Preflight


def train(
    workspace: Workspace,
    dataset: Dataset,
    config: TrainConfig,
    *,
    run: str = "",
    resume: bool = False,
    start: Path | None = None,
    note: Mapping[str, Any] | None = None,
    trackers: Sequence[Tracker] = (),
    show: bool = True,
    console: Console | None = None,
) -> Run:
    """Train a model on a dataset version.

    Where several processes were started together, all call this alike and the first writes.

    Args:
        workspace: where the run goes.
        dataset: its `train` split is learned, its `validation` split chooses the best weights.
        config: what to do; a resumed run takes the one it began with.
        run: the run's id; empty for a new one.
        resume: go on with the run of that id from its last checkpoint.
        start: weights of another model, a safetensors file, to begin with.
        note: JSON-able, kept in `run.json` from the beginning for whoever goes on with the run.
        trackers: are told the numbers too, beside the config's experiment log.
        show: whether to draw progress bars.
        console: where to.

    Raises:
        NotFound: there is no such run to resume.
        Conflict: a run of that id exists and is not to be resumed, or it was on another dataset.
        JobFailed: samples cannot be learned (they are named), nothing is learned at all, or the
            training itself broke.
    """
    group = current()
    if resume and group.first:
        config, start = _resumed(workspace, run, dataset)
    config = config.model_copy(update={"task": dataset.task})
    run, values = group.tell([check_run(run or new_run_id(config)), config.model_dump(mode="json")])
    begin = group.tell_checkpoint(start)
    config = _with_rehearsal(make_config(values, f"the config of run {run}"), begin).filled()
    folder = run_folder(workspace, run)
    learner, adopted = _learner(config, dataset, begin)
    with group.in_turn():
        learned = prepared_split(workspace, dataset, "train", learner)
        judged = prepared_split(workspace, dataset, "validation", learner)
    preflight = _look_over(learner, learned, config)
    if not resume and group.first:
        _begin(folder, config, dataset, learner, begin, adopted, note or {})
    learner.network.to(choose_device(config.machine.device))
    with group.in_turn():
        chosen = Chosen(learned, preflight.fit)
        begun = learner.begin(chosen, judged, cache=workspace.root / "cache")
    if group.first and not (folder / PREFLIGHT).exists():
        if config.preflight:
            preflight.loss_before, preflight.loss_after = memorise(learner, begun.learned)
        _write(folder / PREFLIGHT, preflight.to_dict())
    total, every = _length(config, len(begun.learned))
    tracker = open_tracker(config, folder.name, workspace.root) if group.first else None
    job = Job(
        learner=learner,
        config=config,
        total=total,
        validate_every=every,
        folder=folder,
        facts={
            "task": dataset.task,
            "run": folder.name,
            "dataset": reference(dataset),
            "options": learner.options,
            "vocabulary": learner.vocabulary,
            "config": config.model_dump(mode="json"),
            # How answers are found (search, second look) is kept from the model begun with: who
            # trains further should not read worse for it.
            "reading": begin.facts.get("reading", {}) if begin is not None else {},
        },
        pictures=begun.learned,
        stream=open_stream(config.data.made, config.seed, config.data.made_options)
        if config.data.made and config.data.made_share
        else None,
        judges=[Judge("validation", begun.judged)] if len(begun.judged) else [],
        trackers=[*([tracker] if tracker else []), *trackers],
        judge_start=begun.answers or adopted is not None,
    )
    from nhan.training.fit import fit  # Lightning takes seconds, and mistakes are told by now

    standing = fit(job, resume=resume, show=show, console=console)
    if tracker:
        tracker.close()
    if group.first:
        _write(folder / RESULT, {"finished": _now(), **vars(standing)})
        for name in STORED:
            workspace.store.put(f"runs/{folder.name}/{name}", (folder / name).read_bytes())
    return Run(folder.name, folder, reference(dataset), standing, preflight)


def reference(dataset: Dataset) -> str:
    """`NAME@VERSION`."""
    return f"{dataset.name}@{dataset.version}"


def new_run_id(config: TrainConfig) -> str:
    """A name that sorts by time: `20261120-134500-text-3f9a`."""
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{moment}-{config.task}-{secrets.token_hex(2)}"


def check_run(run: str) -> str:
    """Pass a run's id, which becomes the name of a folder.

    Raises:
        UserError: it cannot be one.
    """
    if not _RUN.fullmatch(run):
        raise UserError(
            f"a run cannot be called {run!r}",
            hint="up to 100 letters, digits, '.', '-' and '_', beginning with a letter or digit",
        )
    return run


def run_folder(workspace: Workspace, run: str) -> Path:
    """The local folder of a run."""
    return workspace.root / "runs" / run


def run_facts(workspace: Workspace, run: str) -> dict[str, Any]:
    """What a run's `run.json` says: dataset, task, start, environment.

    Raises:
        NotFound: no such run here; the hint names the latest.
        UserError: no run can have that id.
    """
    path = run_folder(workspace, check_run(run)) / FACTS
    if not path.exists():
        runs = sorted(entry.name for entry in (workspace.root / "runs").glob("*"))
        raise NotFound(
            f"there is no run {run!r} in {workspace.root / 'runs'}",
            hint=f"the latest is {runs[-1]}" if runs else "`nhan train DATASET` begins one",
        )
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def prepared_split(
    workspace: Workspace, dataset: Dataset, split: str, learner: Learner
) -> Prepared:
    """A split's prepared pictures, from the workspace's cache where they are there."""
    return prepared(
        dataset.rows(split),
        key=[dataset.name, dataset.version, split],
        prepare=learner.preparer,
        preparation=learner.preparation(),
        cache=workspace.root / "cache" / "prepared",
        limits=workspace.picture_limits,
    )


def _resumed(workspace: Workspace, run: str, dataset: Dataset) -> tuple[TrainConfig, Path | None]:
    """The config a run began with, and the weights if it began with any."""
    facts = run_facts(workspace, run)
    if facts["dataset"] != reference(dataset):
        raise Conflict(
            f"run {run} is on {facts['dataset']}, not on {reference(dataset)}",
            hint="begin a new run for another dataset version",
        )
    folder = run_folder(workspace, run)
    config = make_config(
        json.loads((folder / CONFIG).read_text(encoding="utf-8")), str(folder / CONFIG)
    )
    start = folder / START
    return config, start if start.exists() else None


def _with_rehearsal(config: TrainConfig, begin: Checkpoint | None) -> TrainConfig:
    """Mix in what the model to start from was made with, so that it is not forgotten."""
    if begin is None or not config.data.rehearse or config.data.made:
        return config
    # Read by key: a config of another version may hold some that this one does not know.
    before = begin.facts.get("config", {}).get("data", {})
    if not (made := before.get("made")):
        return config
    options = rehearsal_options(made, before.get("made_options", {}))
    changes = {"made": made, "made_options": options, "made_share": _REHEARSED}
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def _learner(
    config: TrainConfig, dataset: Dataset, begin: Checkpoint | None
) -> tuple[Learner, Adopted | None]:
    import torch

    torch.manual_seed(config.seed)
    task = get_task(config.task)
    vocabulary = config.vocabulary or dataset.vocabulary
    if begin is None:
        sizes = dataset.sizes("train")
        options = task.suited(config.model, sizes) if sizes else config.model
        return task.learner(vocabulary, options), None
    options = _over(begin.facts["options"], config.model)
    old = task.learner(begin.facts["vocabulary"], options)
    learner = task.learner(old.widened(vocabulary), options)
    return learner, learner.adopt(begin.best_weights, begin.facts["vocabulary"])


def _over(options: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the model begun with, and over them those that are given, table by table."""
    merged = dict(options)
    for key, value in changes.items():
        own = merged.get(key)
        both = isinstance(own, Mapping) and isinstance(value, Mapping)
        merged[key] = _over(own, value) if both else value  # type: ignore[arg-type]
    return merged


def _begin(
    folder: Path,
    config: TrainConfig,
    dataset: Dataset,
    learner: Learner,
    begin: Checkpoint | None,
    adopted: Adopted | None,
    note: Mapping[str, Any],
) -> None:
    """Make the run's folder; `run.json` comes last, and only with it can the run be resumed."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise Conflict(
            f"there is a run {folder.name} already", hint="resume it, or give another id"
        ) from error
    if begin is not None:
        save_checkpoint(folder / START, Checkpoint(begin.best_weights, begin.facts))
    _write(folder / CONFIG, config.model_dump(mode="json"))
    facts = {
        "run": folder.name,
        "task": dataset.task,
        "dataset": reference(dataset),
        "started": _now(),
        "model": learner.options,
        "vocabulary": learner.vocabulary,
        "parameters": sum(p.numel() for p in learner.network.parameters()),
        "start_from": config.start_from,
        "adopted": None if adopted is None else vars(adopted),
        "environment": environment(),
        "note": dict(note),
    }
    _write(folder / FACTS, facts)


def _look_over(learner: Learner, pictures: Prepared, config: TrainConfig) -> Preflight:
    found = look_over(learner, pictures)
    if found.unfit and config.data.unfit == "refuse":
        raise JobFailed(
            found.describe(),
            hint="correct them and freeze again, or train without them: data.unfit = 'leave_out'",
        )
    if not found.fit:
        raise JobFailed(
            "the training split holds no sample that can be learned",
            hint="`nhan audit` shows what is wrong",
        )
    return found


def _length(config: TrainConfig, own: int) -> tuple[int, int]:
    """Samples in all, and between validations."""
    share = config.data.made_share if config.data.made else 0.0
    epoch = own / (1 - share) if share < 1 else float(own)
    total = config.length.samples or round(config.length.epochs * epoch)
    every = config.length.validate_every or max(round(epoch), total // _VALIDATIONS)
    return max(1, total), max(1, min(every, total))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(path: Path, values: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(values, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(temporary, path)
