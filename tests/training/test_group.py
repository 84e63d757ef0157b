"""Several processes that share every batch learn what one process learns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_run

import tiny_models
from nhan.errors import JobFailed, UserError
from nhan.training.checkpoint import load_checkpoint
from nhan.training.config import TrainConfig
from nhan.training.group import Group
from nhan.training.job import BEST, CURVE, LAST
from nhan.training.launch import launch
from nhan.workspace import Workspace

# A worker of the test below: trains the toy run in the workspace it is given.
WORKER = """
import sys, json
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[1])
import toy_run
toy_run.add_stream()
toy_run.run_here(Path(sys.argv[2]), toy_run.make_config(json.loads(sys.argv[3]), "test"))
"""


def shared_config(**changes: Any) -> TrainConfig:
    """Nothing in it depends on which process draws: no dropout, no looser crops."""
    model = {
        **toy_run.MODEL,
        "options": {**toy_run.MODEL["options"], "dropout": 0.0},
        "extend_px": 0,
    }
    return toy_run.config(model=model, length={"epochs": 3}, **changes)


def start(root: Path, config: TrainConfig, rank: int, size: int, port: int) -> Any:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    values = json.dumps(config.model_dump(mode="json"))
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, json.dumps(paths), str(root), values],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def curve(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / CURVE).read_text().splitlines()]


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """48 samples in batches of 5: parts of different sizes, and a rest; the first tries one out."""
    config = shared_config(
        preflight=True,
        data={"batch_size": 5, "made": "toy", "made_share": 0.25, "pool": 24},
        optimizer={"lr": 0.005, "ema": 0.9, "clip": 1.0},
    )
    toy_run.add_stream()
    Workspace.init(tmp_path / "two").close()
    from nhan.training.launch import _free_port

    port = _free_port()
    processes = [start(tmp_path / "two", config, rank, 2, port) for rank in range(2)]
    alone = toy_run.run_here(tmp_path / "one", config)
    told = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told

    together = tmp_path / "two" / "runs" / toy_run.RUN
    ours, theirs = (load_checkpoint(folder / LAST) for folder in (together, alone.folder))
    assert ours.facts["position"] == theirs.facts["position"]
    for group in ("weights", "average"):
        for name, tensor in getattr(theirs, group).items():
            if "num_batches" not in name:
                torch.testing.assert_close(
                    getattr(ours, group)[name], tensor, atol=2e-3, rtol=2e-2, msg=name
                )
    one, two = curve(alone.folder), curve(together)
    assert [line["seen"] for line in two] == [line["seen"] for line in one]
    for mine, other in zip(two, one, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-3)
    assert (together / BEST).exists()


def test_a_batch_is_divided_so_that_the_mean_of_means_is_its_mean() -> None:
    for count in range(1, 12):
        values = torch.arange(1.0, count + 1)
        for size in (1, 2, 3, 5):
            parts = [Group(rank, size).own(values.tolist()) for rank in range(size)]
            means = [weight * sum(own) / len(own) for own, weight in parts]
            assert sum(means) / size == pytest.approx(float(values.mean()))
            taken = [value for own, weight in parts if weight for value in own]
            assert sorted(taken) == values.tolist()


SMALL = [word for option in (*tiny_models.TEXT_OPTIONS, *tiny_models.QUICK)
         for word in ("--set", option)]  # fmt: skip


@pytest.fixture
def lines(workspace: Workspace, tmp_path: Path) -> Workspace:
    from nhan.datasets.freeze import freeze

    tiny_models.add_lines(workspace, tmp_path / "lines")
    freeze(workspace, "lines", task="text")
    return workspace


def nhan(workspace: Workspace, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nhan", "--workspace", str(workspace.root), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_the_command_trains_in_processes_and_publishes_once(lines: Workspace) -> None:
    process = nhan(lines, "train", "lines", "--model", "reader", "--devices", "2", *SMALL)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert out == "reader@1\n"
    assert lines.store.folders("models/reader") == ["1"]
    (run,) = (lines.root / "runs").iterdir()
    assert json.loads((run / "config.json").read_text())["machine"]["devices"] == 2
    assert lines.store.exists(f"runs/{run.name}/best.safetensors")


@pytest.mark.slow
def test_killed_with_all_its_processes_it_goes_on(lines: Workspace) -> None:
    slow = ["--set", "length.samples=960", "--set", "length.save_every_s=0.05"]
    process = nhan(lines, "train", "lines", "--devices", "2", "--run", "long", *SMALL, *slow)
    last = lines.root / "runs" / "long" / LAST
    deadline = time.monotonic() + 600
    while not last.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 120
    while _training(lines.root):
        assert time.monotonic() < deadline, "its processes go with it"
        time.sleep(0.1)
    seen = load_checkpoint(last).facts["position"]["seen"]
    assert 0 < seen < 960
    resumed = nhan(lines, "train", "--resume", "long")
    out, err = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, err
    assert out == "lines@1\n"
    points = [line["seen"] for line in curve(last.parent)]
    assert points == sorted(points)
    assert points[-1] >= 960


@pytest.mark.slow
def test_what_is_wrong_is_said_once_and_all_stop(lines: Workspace) -> None:
    process = nhan(lines, "train", "lines", "--devices", "2", "--set", "model.network=nothing")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 2
    assert err.count("nothing") == 1
    assert "process 1 of 2" in err
    assert not _training(lines.root)


@pytest.mark.slow
def test_one_process_that_dies_takes_the_others_with_it(tmp_path: Path) -> None:
    with pytest.raises((JobFailed, UserError), match="of 3 stopped with exit code 2"):
        launch(["--workspace", str(tmp_path / "none"), "train", "lines"], 3)


def _training(root: Path) -> list[int]:
    """Processes of ours that still train in a workspace."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"train" in words and str(root).encode() in words:
                found.append(int(entry.name))
    return found
