"""How the threads of a training wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nhan.training.threads import wait_briefly


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # put back afterwards
        monkeypatch.delenv(name)


def test_threads_spin_shortly_and_then_sleep() -> None:
    wait_briefly()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert 0 < int(os.environ["GOMP_SPINCOUNT"]) <= 10_000
    wait_briefly()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [("OMP_WAIT_POLICY", "ACTIVE", "GOMP_SPINCOUNT"), ("GOMP_SPINCOUNT", "7", "OMP_WAIT_POLICY")],
)
def test_what_the_environment_says_stays(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, other: str
) -> None:
    monkeypatch.setenv(name, value)
    wait_briefly()
    assert os.environ[name] == value
    assert os.environ.get(other) in (None, "PASSIVE")


def test_it_is_settled_before_torch_is_there() -> None:
    """What reads the environment does so when it is loaded."""
    code = (
        "import sys; from nhan.cli.train import command; from nhan.pipeline import model_steps; "
        "print([name for name in ('torch', 'onnxruntime', 'sklearn') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() in ("[]", "['onnxruntime']")
