"""Experiment logs beside the run's own files, through Lightning's loggers where they work.

The run's folder is the truth and is always written. A log is a copy for those who like to look at
it elsewhere: one that is not installed is passed over, one that fails is dropped, and neither
stops a run.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import Any

from nhan.training.config import TrainConfig

_log = logging.getLogger(__name__)

# Entries that may wait for a slow server: a run has a few hundred in all.
_WAITING = 1_000
_PATIENCE_S = 20.0


class LoggerTracker:
    """One of Lightning's loggers, kept from ever stopping or delaying a run.

    Numbers are handed to a thread of the log's own: a server that is slow or away costs a training
    nothing. What it could not take is missing there, never in the run's folder.

    Args:
        make: makes the logger; called once, when the first number comes.
        run: the run's id.
        config: logged as hyper-parameters.
        patience_s: how long the end of a run waits for what is still on its way.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        run: str,
        config: TrainConfig,
        *,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._make = make
        self._run = run
        self._config = config
        self._patience_s = patience_s
        self._logger: Any = None
        self._broken = False
        self._waiting: Queue[tuple[dict[str, float], int] | None] = Queue(_WAITING)
        self._thread: Thread | None = None

    def log(self, numbers: dict[str, float], seen: int) -> None:
        """Note numbers; the first failure is reported once and ends the logging."""
        if self._broken:
            return
        if self._thread is None:
            # Libraries warn of their own tables and formats; told before the thread begins,
            # because filters belong to the whole process.
            for library in ("mlflow", "lightning", "comet_ml", "tensorboard"):
                warnings.filterwarnings("ignore", module=f"{library}.*")
            self._thread = Thread(target=self._work, name="experiment log", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait((dict(numbers), seen))
        except Full:
            self._give_up(f"{_WAITING} entries wait already")

    def close(self) -> None:
        """Finish the log, if it was ever opened; wait a little for what is on its way."""
        if self._thread is None:
            return
        try:
            self._waiting.put(None, timeout=self._patience_s)
        except Full:
            return
        self._thread.join(self._patience_s)
        if self._thread.is_alive():
            self._give_up(f"its server has not answered for {self._patience_s:g} s")

    def _work(self) -> None:
        while (entry := self._waiting.get()) is not None:
            numbers, seen = entry
            self._try(lambda n=numbers, s=seen: self._open().log_metrics(n, step=s))  # type: ignore[misc]
        if self._logger is not None:
            self._try(lambda: self._logger.finalize("success"))

    def _open(self) -> Any:
        if self._logger is None:
            self._logger = self._make()
            self._logger.log_hyperparams(_flat(self._config.model_dump(mode="json")))
        return self._logger

    def _try(self, act: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            act()
        except Exception as error:
            self._give_up(str(error))

    def _give_up(self, why: str) -> None:
        if not self._broken:
            self._broken = True
            _log.warning("the experiment log of run %s stops: %s", self._run, why)


class Printed:
    """Numbers as `name=value` lines on standard output, for collectors that read a pod's log."""

    def log(self, numbers: dict[str, float], seen: int) -> None:
        """Print the numbers; the primary set's stand without its name."""
        told = {name.rpartition("/")[2]: value for name, value in numbers.items()}
        for name, value in {"seen": seen, **told}.items():
            print(f"{name}={value:.6g}", flush=True)  # noqa: T201  that is what it is for

    def close(self) -> None:
        """Nothing is held."""


def open_tracker(config: TrainConfig, run: str, root: Path) -> LoggerTracker | Printed | None:
    """The chosen log; None where it is off or its package is not installed.

    Args:
        config: `track` names it. MLflow goes to the server that MLFLOW_TRACKING_URI names, else
            to a SQLite file in the workspace; TensorBoard to a folder there; Comet online with
            COMET_API_KEY, else offline.
        run: the run's id.
        root: the workspace's folder.
    """
    makers: dict[str, tuple[str, Callable[[], Any]]] = {
        "mlflow": ("mlflow", lambda: _mlflow(run, root)),
        "tensorboard": ("tensorboard", lambda: _tensorboard(run, root)),
        "comet": ("comet_ml", lambda: _Comet(run, root)),
    }
    if config.track == "print":
        return Printed()
    if config.track not in makers:
        return None
    package, make = makers[config.track]
    if not _installed(package):
        _log.info("%s is not installed: no experiment log beside the run's own files", package)
        return None
    return LoggerTracker(make, run, config)


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def _mlflow(run: str, root: Path) -> Any:
    # MLflow looks up hosts and git unless told not to.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    # Standard output belongs to whoever called us.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # By itself it tries a server that is away for several minutes before it says so.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    import mlflow  # sets up its loggers, which are quietened after that
    from lightning.pytorch.loggers import MLFlowLogger

    for name in (mlflow.__name__, "alembic", "lightning.pytorch.loggers.mlflow"):
        # What they tell of their own tables is no news to someone who trains.
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
    return MLFlowLogger(experiment_name="nhan", run_name=run, tracking_uri=uri)


def _tensorboard(run: str, root: Path) -> Any:
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(root / "tensorboard", name="nhan", version=run)


# What Comet collects by itself.
_UNASKED = (
    "log_code",
    "log_git_patch",
    "log_env_network",
    "auto_output_logging",
    "auto_param_logging",
    "auto_metric_logging",
    "auto_log_co2",
)


class _Comet:
    """Comet without Lightning's logger, whose offline form (2.6) makes a disabled experiment."""

    def __init__(self, run: str, root: Path) -> None:
        # It would patch every library it knows, and tell of itself on standard error.
        os.environ.setdefault("COMET_DISABLE_AUTO_LOGGING", "1")
        os.environ.setdefault("COMET_LOGGING_CONSOLE", "error")
        # Its own faults are not reported over the network unless somebody asks for that.
        os.environ.setdefault("COMET_ERROR_TRACKING_ENABLE", "false")
        import comet_ml

        folder = root / "comet"
        folder.mkdir(exist_ok=True)
        # Numbers and options are what the log is for; code and what is printed stay here.
        silent: dict[str, Any] = dict.fromkeys(_UNASKED, False)
        self._experiment = comet_ml.start(
            project="nhan",
            online="COMET_API_KEY" in os.environ,
            experiment_config=comet_ml.ExperimentConfig(
                name=run,
                offline_directory=str(folder),
                **silent,
            ),
        )

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        self._experiment.log_parameters(params)

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self._experiment.log_metrics(metrics, step=step)

    def finalize(self, status: str) -> None:
        del status
        self._experiment.end()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
