"""A search for better training options on one machine, with Optuna.

A study is one SQLite file in the workspace. Killed at any moment, the same command goes on: trials
that ended count, and one that was interrupted is gone on with from its last checkpoint.
"""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nhan.datasets.layout import check_name
from nhan.datasets.read import DatasetVersion, open_dataset
from nhan.errors import Conflict, JobFailed, MissingExtra, NhanError, UserError
from nhan.pipeline.make_model import weights_of
from nhan.tasks import get_task
from nhan.training.config import TrainConfig, make_config
from nhan.training.job import LAST
from nhan.training.space import Axis, Space
from nhan.training.toml import to_toml
from nhan.training.train import FACTS, run_folder, train
from nhan.workspace import Workspace

_FOLDER = "tune"
# Trials that are never cut short, so that there is something to compare the others with.
_STARTUP = 4


@dataclass(frozen=True)
class Tuned:
    """How a search stands.

    Attributes:
        study: its name.
        metric: what was minimised, on the validation split.
        best: its lowest value; None where no trial has ended yet.
        options: the searched options of that trial.
        config: the file for `nhan train --config`; None where there is no best trial.
        finished, pruned, failed: trials so far, earlier sessions counted in.
    """

    study: str
    metric: str
    best: float | None
    options: Mapping[str, Any]
    config: Path | None
    finished: int
    pruned: int
    failed: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "config": None if self.config is None else str(self.config)}


def tune(
    workspace: Workspace,
    dataset: str,
    config: TrainConfig,
    space: Space,
    *,
    study: str = "",
    trials: int = 20,
    minutes: float = 0,
    show: bool = True,
    console: Console | None = None,
) -> Tuned:
    """Search, or go on with a search, until a budget is spent.

    Args:
        workspace: where the dataset is; the study is kept there.
        dataset: `NAME` or `NAME@VERSION`.
        config: of every trial, beside what is searched.
        space: what may vary.
        study: name of the search; by default the dataset's.
        trials: trials in all, those of earlier sessions counted in.
        minutes: of this session; a trial that runs when they end is cut short. 0: no limit.
        show: draw progress.
        console: where to.

    Returns:
        How it stands; the best options are written as a config file.

    Raises:
        MissingExtra: Optuna is not installed.
        Conflict: another process works on the study, or it is about something else.
        UserError: several devices are asked for, or there is no validation split.
        JobFailed: every trial failed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingExtra("the search", "tune") from error
    if config.machine.devices > 1:
        raise UserError(
            f"a trial runs in one process, and machine.devices is {config.machine.devices}",
            hint="leave it out here, and use it for the training with what is found",
        )
    frozen = open_dataset(workspace.store, dataset)
    if not frozen.count("validation"):
        raise UserError(
            f"{frozen.ref} has no validation split to compare trials on",
            hint="set split.validation above 0 and freeze more samples",
        )
    name = check_name(study or frozen.name)
    folder = workspace.root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    config = config.model_copy(update={"task": frozen.task})
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _alone(folder / f"{name}.lock", name):
        opened = _open(folder / f"{name}.db", name, frozen, config, space)
        search = _Search(workspace, frozen, config, space, opened, minutes)
        with _bar(console if show else Console(quiet=True)) as progress:
            search.run(trials, progress)
    return _result(opened, folder, name, config, get_task(frozen.task).primary)


def _open(file: Path, name: str, dataset: DatasetVersion, config: TrainConfig, space: Space) -> Any:
    import optuna

    study = optuna.create_study(
        study_name=name,
        storage=f"sqlite:///{file}",
        load_if_exists=True,
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=config.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP),
    )
    about = {
        "dataset": dataset.ref,
        "config": config.model_dump(mode="json"),
        "space": {key: axis.model_dump(mode="json") for key, axis in space.items()},
    }
    before = study.user_attrs.get("about")
    if before is None:
        study.set_user_attr("about", about)
    elif before != json.loads(json.dumps(about)):
        changed = [key for key in about if before.get(key) != json.loads(json.dumps(about[key]))]
        raise Conflict(
            f"the study {name} has another {' and '.join(changed)}",
            hint="its numbers would not compare: begin another one with --study NAME",
        )
    for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        # We hold the study's lock, so whoever began this one is dead.
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={"run": trial.user_attrs.get("run", "")})
    return study


class _Search:
    """Runs trials one after another."""

    def __init__(
        self,
        workspace: Workspace,
        dataset: DatasetVersion,
        config: TrainConfig,
        space: Space,
        study: Any,
        minutes: float,
    ) -> None:
        self._workspace = workspace
        self._dataset = dataset
        self._config = config
        self._space = space
        self._study = study
        self._deadline = time.monotonic() + minutes * 60 if minutes else float("inf")
        self._metric = f"validation/{get_task(dataset.task).primary}"

    def run(self, trials: int, progress: Progress) -> None:
        import optuna

        bar = progress.add_task("trials", total=trials, completed=self._ended(), state="")
        ended = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED
        while self._ended() < trials and time.monotonic() < self._deadline:
            trial = self._study.ask()

            def tell(value: float, number: int = trial.number) -> None:
                progress.update(bar, state=f"trial {number}: {value:.4f}{self._best()}")

            try:
                value = self._train(trial, tell)
            except optuna.TrialPruned:
                self._study.tell(trial, state=ended[1])
            except (NhanError, FloatingPointError) as error:
                # Options that cannot be trained with are an answer too.
                logging.getLogger(__name__).warning("trial %d: %s", trial.number, error)
                self._study.tell(trial, state=ended[0])
            else:
                self._study.tell(trial, value)
            progress.update(bar, completed=self._ended(), state=self._best())

    def _train(self, trial: Any, tell: Callable[[float], None]) -> float:
        options = {key: _draw(trial, key, axis) for key, axis in self._space.items()}
        run = trial.user_attrs.get("run") or f"tune-{self._study.study_name}-{trial.number:04d}"
        trial.set_user_attr("run", run)
        folder = run_folder(self._workspace, run)
        resume = (folder / FACTS).exists()
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            with weights_of(self._workspace, self._config.start_from) as weights:
                done = train(
                    self._workspace,
                    self._dataset,
                    with_options(self._config, options),
                    run=run,
                    resume=resume,
                    start=weights,
                    trackers=[_Reporter(trial, self._metric, self._deadline, tell)],
                    show=False,
                )
        except KeyboardInterrupt:
            raise
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        (folder / LAST).unlink(missing_ok=True)
        assert done.standing.best is not None, "a run ends with a validation"
        return done.standing.best

    def _ended(self) -> int:
        from optuna.trial import TrialState

        states = [TrialState.COMPLETE, TrialState.PRUNED]
        return len(self._study.get_trials(deepcopy=False, states=states)) + self._failed()

    def _failed(self) -> int:
        return _failures(self._study)

    def _best(self) -> str:
        best = _best(self._study)
        return "" if best is None else f"  best {best.value:.4f} (trial {best.number})"


class _Reporter:
    """Tells Optuna how a trial goes, and stops it where it is hopeless or the time is up."""

    def __init__(
        self, trial: Any, metric: str, deadline: float, tell: Callable[[float], None]
    ) -> None:
        self._trial = trial
        self._metric = metric
        self._deadline = deadline
        self._tell = tell

    def log(self, numbers: dict[str, float], seen: int) -> None:
        import optuna

        value = numbers.get(self._metric)
        if value is None:
            return
        self._trial.report(value, seen)
        self._tell(value)
        if self._trial.should_prune() or time.monotonic() > self._deadline:
            raise optuna.TrialPruned


def with_options(config: TrainConfig, options: Mapping[str, Any]) -> TrainConfig:
    """A config with some options in dotted keys over it."""
    values = config.model_dump(mode="json")
    for key, value in options.items():
        *tables, last = key.split(".")
        inner = values
        for table in tables:
            inner = inner.setdefault(table, {})
        inner[last] = value
    return make_config(values, "the search")


def _draw(trial: Any, key: str, axis: Axis) -> Any:
    if axis.choices:
        return trial.suggest_categorical(key, list(axis.choices))
    if axis.whole:
        return trial.suggest_int(key, axis.low, axis.high, log=axis.log)
    return trial.suggest_float(key, axis.low, axis.high, log=axis.log)


def _best(study: Any) -> Any:
    """The best trial that ended; None before there is one."""
    from optuna.trial import TrialState

    ended = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return min(ended, key=lambda trial: trial.value) if ended else None


def _failures(study: Any) -> int:
    """Trials that failed of themselves; those whose process died are done again."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    again = {t.user_attrs.get("run") for t in trials if "fixed_params" in t.system_attrs}
    failed = [t for t in trials if t.state == TrialState.FAIL]
    return len([t for t in failed if t.user_attrs.get("run") not in again])


def _result(study: Any, folder: Path, name: str, config: TrainConfig, metric: str) -> Tuned:
    from optuna.trial import TrialState

    best = _best(study)
    pruned = len(study.get_trials(deepcopy=False, states=[TrialState.PRUNED]))
    finished = len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]))
    failed = _failures(study)
    if best is None:
        if failed and not pruned:
            raise JobFailed(f"all {failed} trials failed", hint="the log says of what")
        return Tuned(name, metric, None, {}, None, finished, pruned, failed)
    file = folder / f"{name}.toml"
    about = f"{metric} {best.value:.6g} in trial {best.number} of the study {name}"
    file.write_text(
        f"# {about}\n{to_toml(changes(with_options(config, best.params)))}", encoding="utf-8"
    )
    return Tuned(name, metric, best.value, best.params, file, finished, pruned, failed)


def changes(config: TrainConfig) -> dict[str, Any]:
    """What differs from the defaults, as nested tables."""
    return _differing(config.model_dump(mode="json"), TrainConfig().model_dump(mode="json"))


def _differing(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, Mapping) and isinstance(default, Mapping) and default:
            if inner := _differing(value, default):
                found[key] = inner
        elif value != default:
            found[key] = value
    return found


@contextmanager
def _alone(path: Path, study: str) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"another process works on the study {study}",
                hint="wait for it, or begin another one with --study NAME",
            ) from error
        yield


def _bar(console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
        console=console,
        refresh_per_second=2,
    )
