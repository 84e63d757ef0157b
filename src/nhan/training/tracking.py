"""Experiment logs beside the run's own files, through Lightning's loggers.

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
from typing import Any

from nhan.training.config import TrainConfig

_log = logging.getLogger(__name__)


class LoggerTracker:
    """One of Lightning's loggers, kept from ever stopping a run.

    Args:
        make: makes the logger; called once, when the first number comes.
        run: the run's id.
        config: logged as hyper-parameters.
    """

    def __init__(self, make: Callable[[], Any], run: str, config: TrainConfig) -> None:
        self._make = make
        self._run = run
        self._config = config
        self._logger: Any = None
        self._broken = False

    def log(self, numbers: dict[str, float], seen: int) -> None:
        """Note numbers; the first failure is reported once and ends the logging."""
        self._try(lambda: self._open().log_metrics(numbers, step=seen))

    def close(self) -> None:
        """Finish the log, if it was ever opened."""
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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                act()
        except Exception as error:
            self._broken = True
            _log.warning("the experiment log of run %s stops: %s", self._run, error)


def open_tracker(config: TrainConfig, run: str, root: Path) -> LoggerTracker | None:
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
        "comet": ("comet_ml", lambda: _comet(run, root)),
    }
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


def _comet(run: str, root: Path) -> Any:
    from lightning.pytorch.loggers import CometLogger

    return CometLogger(
        name=run,
        project="nhan",
        online="COMET_API_KEY" in os.environ,
        offline_directory=str(root / "comet"),
    )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
