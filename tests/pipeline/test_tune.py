"""A search on a drawn dataset: budgets, pruning, going on after a kill, and what it leaves."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny_models
from nhan.datasets.freeze import freeze
from nhan.errors import Conflict, JobFailed, SettingsError, UserError
from nhan.workspace import Workspace

optuna = pytest.importorskip("optuna")
pytest.importorskip("torch")

from nhan.pipeline import tune as tuning  # noqa: E402
from nhan.pipeline.tune import tune  # noqa: E402
from nhan.training.config import load_config  # noqa: E402
from nhan.training.space import FROM_SCRATCH, Axis, load_space  # noqa: E402
from nhan.training.toml import to_toml  # noqa: E402

OPTIONS = (*tiny_models.CLASS_OPTIONS, *tiny_models.QUICK)
SPACE = {
    "optimizer.lr": Axis(low=1e-4, high=1e-1, log=True),
    "data.batch_size": Axis(choices=(4, 8)),
    "model.network.width": Axis(low=4, high=6),
}


@pytest.fixture
def patches(workspace: Workspace, tmp_path: Path) -> Workspace:
    tiny_models.add_colours(workspace, tmp_path / "patches")
    freeze(workspace, "patches", task="classes")
    return workspace


def search(workspace: Workspace, **more: Any) -> tuning.Tuned:
    config = load_config(None, more.pop("options", OPTIONS))
    space = more.pop("space", SPACE)
    return tune(workspace, "patches", config, space, show=False, **more)


def test_the_best_trials_options_are_a_config_for_training(patches: Workspace) -> None:
    found = search(patches, trials=3)
    assert (found.finished + found.pruned, found.failed) == (3, 0)
    assert found.config is not None
    assert found.best is not None
    again = load_config(found.config)
    assert again.optimizer.lr == pytest.approx(found.options["optimizer.lr"])
    assert again.data.batch_size == found.options["data.batch_size"] in (4, 8)
    assert again.model["network"]["width"] == found.options["model.network.width"]
    assert again.model["backbone"] == "small", "what was fixed is kept"
    assert again.length.samples == 240
    assert not list((patches.root / "runs").glob("*/last.safetensors")), "nothing to go on with"
    more = search(patches, trials=4)
    assert more.finished + more.pruned == 4, "earlier trials are counted in"
    assert more.best is not None
    assert more.best <= found.best
    assert search(patches, trials=4) == more, "a spent budget trains nothing"


def test_another_question_is_another_study(patches: Workspace) -> None:
    search(patches, trials=1)
    with pytest.raises(Conflict, match="another config"):
        search(patches, trials=2, options=(*OPTIONS, "seed=9"))
    with pytest.raises(Conflict, match="another space"):
        search(patches, trials=2, space={"optimizer.lr": SPACE["optimizer.lr"]})


def test_time_cuts_a_trial_short(patches: Workspace) -> None:
    began = time.monotonic()
    found = search(patches, trials=50, minutes=1e-4, options=(*OPTIONS, "length.samples=100000"))
    assert time.monotonic() - began < 600, "a trial of 100,000 samples takes longer"
    assert found.pruned <= 1
    assert found.finished == 0
    assert found.config is None


def test_a_hopeless_trial_is_cut_short(patches: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fifth trial is told a bad number at its first validation."""
    real = tuning._Reporter.log

    def log(self: Any, numbers: dict[str, float], seen: int) -> None:
        if self._trial.number == 4:
            numbers = dict.fromkeys(numbers, 1e6)
        real(self, numbers, seen)

    monkeypatch.setattr(tuning._Reporter, "log", log)
    found = search(patches, trials=5)
    assert (found.finished, found.pruned) == (4, 1)
    assert not (patches.root / "runs" / "tune-patches-0004").exists()


def test_options_that_cannot_be_trained_with_are_an_answer(patches: Workspace) -> None:
    space = {"model.network.width": Axis(choices=(2, 4))}  # at least 4 is allowed
    found = search(patches, trials=4, space=space)
    assert found.failed >= 1
    assert found.failed + found.finished + found.pruned == 4
    with pytest.raises(JobFailed, match="all 2 trials failed"):
        search(patches, trials=2, space={"model.network.width": Axis(choices=(2,))}, study="bad")


def test_without_a_validation_split_nothing_can_be_compared(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.settings.split.validation = 0
    tiny_models.add_colours(workspace, tmp_path / "patches")
    freeze(workspace, "patches", task="classes")
    with pytest.raises(UserError, match="no validation split"):
        search(workspace)


def test_several_devices_are_for_the_training_itself(patches: Workspace) -> None:
    with pytest.raises(UserError, match=r"machine\.devices is 2"):
        search(patches, options=(*OPTIONS, "machine.devices=2"))


def test_two_at_once_would_spoil_each_other(patches: Workspace) -> None:
    search(patches, trials=1)
    with (patches.root / "tune" / "patches.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="another process works on the study patches"):
            search(patches, trials=2)


def nhan(workspace: Workspace, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nhan", "--workspace", str(workspace.root), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_killed_it_goes_on_with_the_very_trial(patches: Workspace) -> None:
    options = [word for option in (*OPTIONS, "length.samples=1200", "length.save_every_s=0.05")
               for word in ("--set", option)]  # fmt: skip
    words = ("tune", "patches", "--trials", "2", "--json", *options)
    process = nhan(patches, *words)
    last = patches.root / "runs" / "tune-patches-0000" / "last.safetensors"
    deadline = time.monotonic() + 600
    while not last.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    began = json.loads((last.parent / "run.json").read_text())["started"]
    out, err = nhan(patches, *words).communicate(timeout=600)
    found = json.loads(out)
    assert found["finished"] + found["pruned"] == 2, err
    assert found["failed"] == 0, "a trial whose process died did not fail"
    assert json.loads((last.parent / "run.json").read_text())["started"] == began
    assert tomllib.loads(Path(found["config"]).read_text())["length"]["samples"] == 1200


def test_a_space_is_checked_before_anything_is_trained(tmp_path: Path) -> None:
    def written(text: str) -> Path:
        file = tmp_path / "space.toml"
        file.write_text(text)
        return file

    good = '["optimizer.lr"]\nlow = 0.001\nhigh = 0.1\nlog = true\n["seed"]\nlow = 1\nhigh = 9\n'
    space = load_space(written(good))
    assert space["seed"].whole
    assert not space["optimizer.lr"].whole
    faults: list[tuple[str, str]] = [
        ('["optimizer.lrr"]\nlow = 1\nhigh = 2', "no option 'optimizer.lrr'"),
        ('["optimizer.lr"]\nlow = 1', "give low and high, or choices"),
        ('["optimizer.lr"]\nlow = 2\nhigh = 1', "low must be below high"),
        ('["optimizer.lr"]\nlow = 0\nhigh = 1\nlog = true', "above 0"),
        ('["optimizer.lr"]\nlow = 0.1\nhigh = 1\nchoices = [1]', "give low and high, or choices"),
        ("x =", "not valid TOML"),
        ("", "names no option"),
    ]
    for text, message in faults:
        with pytest.raises(SettingsError, match=message):
            load_space(written(text))
    for key, axis in FROM_SCRATCH.items():
        value = axis.choices[0] if axis.choices else axis.high
        tuning.with_options(load_config(), {key: value})


@pytest.mark.parametrize("make", [to_toml])
def test_written_toml_reads_back(make: Callable[..., str]) -> None:
    values = {
        "text": 'a "quoted" \\ đường\n',
        "number": 1e-05,
        "whole": 3,
        "truth": True,
        "list": [1, 2, {"a": "b"}],
        "table": {"inner.dotted": {"x": 1}, "empty": {}},
        "plain": {"only": {"deep": 2.5}},
    }
    expected = {**values, "table": {"inner.dotted": {"x": 1}}}
    assert tomllib.loads(make(values)) == expected
    assert make({"nothing": None}) == ""
