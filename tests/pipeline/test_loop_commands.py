"""The commands around rounds, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from small_rounds import numbers

from nhan.cli.main import run
from nhan.pipeline import steps
from nhan.pipeline.step import Outcome
from nhan.workspace import Workspace

Nhan = Callable[..., tuple[int, str, str]]


@pytest.fixture
def nhan(
    loop: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Nhan:
    """Runs a command: exit code, output, remarks."""
    monkeypatch.setenv("NHAN_WORKSPACE", str(loop.root))
    monkeypatch.setitem(steps.STEPS, "train", (lambda _: Outcome("skipped", "a test"), ""))

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run(list(words))
        found = capsys.readouterr()
        return int(ended.value.code or 0), found.out, found.err

    return call


def test_a_round_from_the_terminal(nhan: Nhan, add_lines: Callable[..., None]) -> None:
    assert nhan("loop", "run")[0] == 1  # refused: nothing to learn from
    add_lines(numbers(0, 12))
    code, out, _ = nhan("loop", "run", "--dry-run")
    assert code == 0
    assert "freeze    runs        12 labels are new to lines" in out
    code, out, err = nhan("loop", "run", "--because", "a dozen")
    assert (code, out) == (0, "round 2: nothing new: a test\n")
    assert "freeze: ran" in err
    code, out, _ = nhan("loop", "show")
    assert "round 2, lines → reader" in out
    assert "✓ freeze    ran" in out
    code, out, _ = nhan("loop", "list", "--json")
    assert [one["reason"] for one in json.loads(out)] == ["a dozen", "on demand"]
    assert nhan("loop", "show", "77")[0] == 2


def test_a_round_step_by_step(nhan: Nhan, add_lines: Callable[..., None]) -> None:
    add_lines(numbers(0, 12))
    assert nhan("loop", "begin", "--key", "k1")[1] == "1\n"
    assert nhan("loop", "begin", "--key", "k1")[1] == "1\n"
    code, _, err = nhan("loop", "step", "freeze", "--round", "1")
    assert code == 2
    assert "hint: nhan loop step intake --round 1" in err
    for name in steps.STEPS:
        code, out, _ = nhan("loop", "step", name, "--round", "1", "--json")
        assert code == 0
        assert json.loads(out)["state"] in ("ran", "skipped")
    assert json.loads(nhan("loop", "show", "1", "--json")[1])["outcome"] == "nothing new"


def test_a_trace_from_the_terminal(nhan: Nhan, add_lines: Callable[..., None]) -> None:
    add_lines(numbers(0, 12))
    nhan("loop", "run")
    code, out, _ = nhan("trace", "sample:1")
    assert code == 0
    assert "pixels     images/" in out
    assert "dataset    lines@" in out
    assert nhan("trace", "nothing")[0] == 2
