"""From a dataset version to a published version by the real command, killed and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nhan.datasets.freeze import freeze
from nhan.samples.importer import import_samples
from nhan.workspace import Workspace

pytest.importorskip("torch")

SMALL = (
    "model.options.stem=4",
    "model.options.channels=[8]",
    "model.options.blocks=[1]",
    "model.options.features=16",
    "model.options.hidden=16",
    "length.samples=1200",
    "length.validate_every=100",
    "length.save_every_s=0.05",
    "preflight=false",
    "track=off",
)


@pytest.fixture
def frozen(workspace: Workspace, tmp_path: Path, draw_line: Callable[..., bytes]) -> Workspace:
    """A workspace with a dataset version `lines`."""
    folder = tmp_path / "lines"
    folder.mkdir()
    labels = {f"{n:03}.png": f"so {n * 7919 % 9973}" for n in range(60)}
    for name, text in labels.items():
        (folder / name).write_bytes(draw_line(text))
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    import_samples(workspace, folder, task="text")
    freeze(workspace, "lines", task="text")
    return workspace


def _nhan(workspace: Workspace, *words: str, interruptible: bool = False) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nhan", "--workspace", str(workspace.root), *words]
    if interruptible:  # whoever runs the tests in the background may have it ignored
        begin = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        command[1:3] = ["-c", f"{begin}; runpy.run_module('nhan', run_name='__main__')"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _train_words() -> list[str]:
    return [word for option in SMALL for word in ("--set", option)]


def test_a_killed_training_goes_on_to_the_model_it_was_meant_for(frozen: Workspace) -> None:
    process = _nhan(frozen, "train", "lines", "--model", "reader", *_train_words())
    deadline = time.monotonic() + 600
    while not (saved := list((frozen.root / "runs").glob("*/last.safetensors"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list(frozen.store.list("models"))
    for _ in range(2):  # a finished run gives the same version again
        resumed = _nhan(frozen, "train", "--resume", saved[0].parent.name, "--set", "seed=9")
        out, err = resumed.communicate(timeout=600)
        assert resumed.returncode == 0, err
        assert out == "reader@1\n"
        assert "goes on with the settings it began with" in " ".join(err.split())


def test_an_interrupted_training_says_how_it_goes_on(frozen: Workspace) -> None:
    """The same command once more would begin another run."""
    words = ("train", "lines", "--run", "mine", *_train_words(), "--set", "length.samples=100000")
    process = _nhan(frozen, *words, interruptible=True)
    deadline = time.monotonic() + 600
    while not (frozen.root / "runs" / "mine" / "last.safetensors").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert err.endswith("error: interrupted\nhint: nhan train --resume mine\n")


def test_an_unknown_dataset_is_the_users_mistake(frozen: Workspace) -> None:
    process = _nhan(frozen, "train", "liens")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 2
    assert err.startswith("error: ")
    assert "lines" in err


@pytest.mark.parametrize(
    "words", [("lines", "--run", "../x"), ("lines", "--run", "a/b"), ("--resume", "../x")]
)
def test_a_run_cannot_lie_elsewhere(frozen: Workspace, words: tuple[str, ...]) -> None:
    process = _nhan(frozen, "train", *words, *_train_words())
    _, err = process.communicate(timeout=600)
    assert process.returncode == 2
    assert "a run cannot be called" in err
    assert not (frozen.root / "x").exists()
    assert not (frozen.root / "runs").exists()


def test_an_unknown_option_names_the_nearest(frozen: Workspace) -> None:
    process = _nhan(frozen, "train", "lines", "--set", "optimizer.lrr=1")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 2
    assert "optimizer.lr" in err
