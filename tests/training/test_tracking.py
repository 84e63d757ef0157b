from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import toy_run

from nhan.training import tracking
from nhan.training.tracking import LoggerTracker, open_tracker
from nhan.training.train import train
from nhan.workspace import Workspace


class Recorder:
    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.metrics: list[tuple[int, dict[str, float]]] = []
        self.status = ""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        self.params = params

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.metrics.append((step, metrics))

    def finalize(self, status: str) -> None:
        self.status = status


def test_numbers_and_the_filled_config_are_logged(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(tracking, "_mlflow", lambda run, root: recorder)
    config = toy_run.config(track="mlflow", length={"epochs": 2})
    train(workspace, toy_run.dataset(), config, show=False)
    assert [seen for seen, _ in recorder.metrics] == [48, 96]
    assert recorder.metrics[0][1].keys() >= {"loss", "lr", "samples_per_s", "validation/cer"}
    assert recorder.params["optimizer.ema"] == 0.9
    assert recorder.status == "success"


def test_a_log_that_fails_never_stops_a_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(run: str, root: Path) -> Recorder:
        raise ConnectionError("no server")

    monkeypatch.setattr(tracking, "_mlflow", refuse)
    with caplog.at_level(logging.WARNING):
        run = train(
            workspace,
            toy_run.dataset(),
            toy_run.config(track="mlflow", length={"epochs": 3}),
            show=False,
        )
    assert run.standing.best is not None
    told = [record for record in caplog.records if "no server" in record.getMessage()]
    assert len(told) == 1, "said once, not at every number"


def test_a_log_that_is_not_installed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_installed", lambda package: False)
    for track in ("mlflow", "tensorboard", "comet"):
        assert open_tracker(toy_run.config(track=track), "r", tmp_path) is None


def test_off_is_off(tmp_path: Path) -> None:
    assert open_tracker(toy_run.config(track="off"), "r", tmp_path) is None


@pytest.mark.slow
def test_mlflow_keeps_a_run_in_sqlite(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    tracker = open_tracker(toy_run.config(track="mlflow"), "run-1", tmp_path)
    assert isinstance(tracker, LoggerTracker)
    tracker.log({"validation/cer": 0.25}, 10)
    tracker.close()
    assert not tracker._broken
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("nhan").experiment_id])
    assert run.data.metrics == {"validation/cer": 0.25}
    assert run.data.params["seed"] == "3"
