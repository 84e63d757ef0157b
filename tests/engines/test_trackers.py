"""Experiment logs on what really keeps them: an MLflow server, TensorBoard's and Comet's files."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import START_S, free_port

import tiny_models
from nhan.datasets.freeze import freeze
from nhan.datasets.read import open_dataset
from nhan.tasks import get_task
from nhan.training.config import TrainConfig, load_config
from nhan.training.tracking import LoggerTracker, open_tracker
from nhan.training.train import Run, train
from nhan.workspace import Workspace
from pace import Stopwatch

pytestmark = pytest.mark.engine

METRIC = f"validation/{get_task('classes').primary}"


def config_of(track: str, *more: str) -> TrainConfig:
    options = (*tiny_models.CLASS_OPTIONS, *tiny_models.QUICK, "length.validate_every=80")
    return load_config(None, (*options, f"track={track}", *more))


@pytest.fixture
def patches(workspace: Workspace, tmp_path: Path) -> Workspace:
    tiny_models.add_colours(workspace, tmp_path / "patches")
    freeze(workspace, "patches", task="classes")
    return workspace


def trained(workspace: Workspace, config: TrainConfig, **more: Any) -> Run:
    return train(workspace, open_dataset(workspace.store, "patches"), config, show=False, **more)


def curve_of(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


class MlflowServer:
    """`mlflow server` on SQLite, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server",
                "--host", "127.0.0.1", "--port", str(port),
                "--backend-store-uri", f"sqlite:///{folder / 'server.db'}",
                "--artifacts-destination", str(folder / "artifacts"), "--workers", "1",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_S
        while True:
            assert self.process.poll() is None, "the server stopped"
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=30) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def mlflow_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    server = MlflowServer(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    yield server
    server.kill()


def test_a_run_is_logged_on_a_server(patches: Workspace, mlflow_server: MlflowServer) -> None:
    run = trained(patches, config_of("mlflow"))
    from mlflow.tracking import MlflowClient

    client = MlflowClient(mlflow_server.url)
    experiment = client.get_experiment_by_name("nhan")
    assert experiment is not None
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.info.run_name == run.name
    assert logged.info.status == "FINISHED"
    assert logged.data.params["optimizer.lr"] == "0.001"
    history = client.get_metric_history(logged.info.run_id, METRIC)
    curve = curve_of(run)
    assert len(curve) == 3
    assert [entry.step for entry in history] == [line["seen"] for line in curve]
    scores = [line["scores"][METRIC] for line in curve]
    assert [entry.value for entry in history] == pytest.approx(scores, abs=1e-6)


def test_a_server_killed_in_the_middle_costs_the_run_nothing(
    patches: Workspace,
    mlflow_server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    logged = 0
    real = LoggerTracker.log

    def log(self: LoggerTracker, numbers: dict[str, float], seen: int) -> None:
        nonlocal logged
        logged += 1
        real(self, numbers, seen)
        if logged == 2:
            while not self._waiting.empty():  # the server has had the first two
                time.sleep(0.05)
            mlflow_server.kill()

    monkeypatch.setattr(LoggerTracker, "log", log)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with caplog.at_level(logging.WARNING, logger="nhan"):
        run = trained(patches, config_of("mlflow", "length.samples=480"))
    assert len((run.folder / "metrics.jsonl").read_text().splitlines()) >= 6
    assert run.standing.best is not None
    told = [record for record in caplog.records if "experiment log" in record.getMessage()]
    assert len(told) == 1, "said once"


def test_a_server_that_never_answers_is_not_waited_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It accepts connections and says nothing: the worst kind of away."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        tracker = open_tracker(config_of("mlflow"), "r", workspace.root)
        assert isinstance(tracker, LoggerTracker)
        tracker._patience_s = 1.0
        watch = Stopwatch()
        for seen in range(20):
            tracker.log({"loss": 1.0}, seen)
        assert watch.allows(1.0), "a number costs no waiting"
        with caplog.at_level(logging.WARNING, logger="nhan"):
            tracker.close()
        assert watch.allows(5.0)
    assert "has not answered" in caplog.text


def test_tensorboards_files_read_back(patches: Workspace) -> None:
    pytest.importorskip("tensorboard")
    run = trained(patches, config_of("tensorboard"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = patches.root / "tensorboard" / "nhan" / run.name
    events = EventAccumulator(str(folder))
    events.Reload()
    scalars = events.Scalars(METRIC)
    assert [event.step for event in scalars] == [line["seen"] for line in curve_of(run)]
    assert min(event.value for event in scalars) == pytest.approx(run.standing.best, abs=1e-6)
    assert "samples_per_s" in events.Tags()["scalars"]


def test_comet_offline_leaves_an_archive_to_upload(
    patches: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("comet_ml")
    monkeypatch.delenv("COMET_API_KEY", raising=False)
    run = trained(patches, config_of("comet"), run="toy-comet")
    (archive,) = (patches.root / "comet").glob("*.zip")
    messages = comet_messages(archive)
    metrics = [m for m in messages if m.get("metric", {}).get("metricName") == METRIC]
    assert [m["metric"]["step"] for m in metrics] == [line["seen"] for line in curve_of(run)]
    assert min(float(m["metric"]["metricValue"]) for m in metrics) == pytest.approx(
        run.standing.best, abs=1e-6
    )
    assert "optimizer.lr" in json.dumps(messages)
    assert "toy-comet" in json.dumps(messages)


def comet_messages(archive: Path) -> list[dict[str, Any]]:
    with zipfile.ZipFile(archive) as opened:
        lines = opened.read("messages.json").decode().splitlines()
    return [json.loads(line)["payload"] for line in lines]
