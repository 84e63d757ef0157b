"""kill -9 of a round at random moments: it goes on where it was, and nothing is done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from small_rounds import MODEL, numbers

from nhan.datasets.read import list_datasets, open_dataset
from nhan.images import content_hash
from nhan.models.registry import Registry
from nhan.pipeline.rounds import list_rounds
from nhan.pipeline.step import Record
from nhan.pipeline.steps import STEPS
from nhan.workspace import Workspace

pytest.importorskip("torch")

# How long a step may go on before it is killed, seconds, until one was seen to end.
_MOMENTS = {"train": 3.0, "evaluate": 0.5, "freeze": 0.2, "promote": 0.2}
_SHORT = 0.05


def begin(workspace: Workspace, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nhan", "--workspace", str(workspace.root), "loop", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env=environment)


def assert_whole(workspace: Workspace) -> None:
    """Whatever is visible is complete; what answers can answer."""
    for summary in list_datasets(workspace.store):
        for version in summary.versions:
            dataset = open_dataset(workspace.store, f"{summary.name}@{version}")
            rows = [row for split in dataset.splits for row in dataset.rows(split)]
            assert len(rows) == dataset.manifest["rows"]
            assert all(content_hash(row.image) == row.sha256 for row in rows)
    registry = Registry(workspace.store)
    for version in registry.versions(MODEL):
        registry.open(MODEL, version).verify()
    promoted = [entry.version for entry in registry.log(MODEL).promotions]
    assert len(promoted) == len(set(promoted)), "a version was promoted twice"


def kill_in(
    workspace: Workspace, process: subprocess.Popen[bytes], step: str, seconds: float
) -> bool:
    """Kill a round some time after a step began; whether it was still at work."""
    newest = list_rounds(workspace, limit=1)
    number = 1 if not newest else newest[0].plan.number + bool(newest[0].outcome)
    file = workspace.root / "objects" / f"rounds/{number:06d}/{step}.json"
    before = file.stat().st_mtime_ns if file.exists() else 0
    deadline = time.monotonic() + 900
    while process.poll() is None:
        if file.exists() and file.stat().st_mtime_ns != before:
            break
        assert time.monotonic() < deadline
        time.sleep(0.001)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def duration_s(record: Record) -> float:
    """How long a step took, once it ended."""
    began, ended = (datetime.fromisoformat(at) for at in (record.began, record.ended))
    return (ended - began).total_seconds()


def kill_rounds(
    workspace: Workspace, add_lines: Callable[..., None], log: Path, kills: int, only: str = ""
) -> dict[str, int]:
    """Kill rounds at random moments, between them add labels; gives the steps that were hit.

    Args:
        workspace: where.
        add_lines: imports labelled lines.
        log: what the rounds say.
        kills: how many must hit; with `only`, how many must hit that step while it is at work.
        only: aim at this step, anywhere in the time that it took last; rounds that are past it
            run to their end.
    """
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    hit: dict[str, int] = {}
    moments = dict(_MOMENTS)
    added = 0
    add_lines(numbers(0, 40))
    while (hit.get(only, 0) if only else sum(hit.values())) < kills:
        rounds = list_rounds(workspace, limit=1)
        if rounds:
            moments |= {name: duration_s(r) for name, r in rounds[0].steps.items() if r.ended}
        if rounds and rounds[0].outcome:
            added += 1
            add_lines(numbers(1000 + 4 * added, 1003 + 4 * added))
        done = rounds[0].steps if rounds and not rounds[0].outcome else {}
        left = [step for step in STEPS if step not in done or done[step].state == "running"]
        process = begin(workspace, log)
        if not left or (only and only not in left):  # nothing is left but to say that it is over
            assert process.wait(600) in (0, 1), f"seed {seed}: {log.read_text()}"
            continue
        step = only or dice.choice(left)
        if kill_in(workspace, process, step, dice.uniform(0, moments.get(step, _SHORT))):
            found = list_rounds(workspace, limit=1)
            at = found[0].next_step if found and not found[0].outcome else "the end"
            hit[at] = hit.get(at, 0) + 1
        else:
            assert process.returncode in (0, 1), f"seed {seed}: {log.read_text()}"
        assert_whole(workspace)
    process = begin(workspace, log)
    assert process.wait(600) in (0, 1), f"seed {seed}: {log.read_text()}"
    assert_whole(workspace)
    last = list_rounds(workspace, limit=1)[0]
    assert last.outcome in ("promoted", "refused", "nothing new"), f"seed {seed}"
    assert Registry(workspace.store).champion(MODEL) is not None
    frozen = open_dataset(workspace.store, "lines")
    assert frozen.count() == 40 + 3 * added, "a label is missing from the last dataset version"
    return hit


@pytest.mark.xdist_group("rounds")
def test_killed_rounds_go_on(
    loop: Workspace, add_lines: Callable[..., None], tmp_path: Path
) -> None:
    assert sum(kill_rounds(loop, add_lines, tmp_path / "log", 3).values()) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("step", ["", "freeze", "train", "promote"])
def test_rounds_killed_thirty_times_go_on(
    loop: Workspace, add_lines: Callable[..., None], tmp_path: Path, step: str
) -> None:
    hit = kill_rounds(loop, add_lines, tmp_path / "log", 30, step)
    print(f"kills by the step that was at work, aimed at {step or 'any'}: {hit}")
    assert (hit[step] if step else sum(hit.values())) >= 30


@pytest.mark.slow
def test_a_killed_training_goes_on_with_its_checkpoint(
    loop: Workspace, add_lines: Callable[..., None], tmp_path: Path
) -> None:
    text = (loop.root / "nhan.toml").read_text()
    (loop.root / "nhan.toml").write_text(text.replace("length.samples=120", "length.samples=1500"))
    add_lines(numbers(0, 40))
    process = begin(loop, tmp_path / "log")
    deadline = time.monotonic() + 600
    while not (saved := list((loop.root / "runs").glob("*/last.safetensors"))):
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert list_rounds(loop)[0].next_step == "train"
    process = begin(loop, tmp_path / "log")
    assert process.wait(600) == 0, (tmp_path / "log").read_text()
    assert f"run {saved[0].parent.name} goes on from its last checkpoint" in " ".join(
        (tmp_path / "log").read_text().split()
    )
    assert [entry.name for entry in (loop.root / "runs").iterdir()] == [saved[0].parent.name]
    facts = json.loads(loop.store.read(f"runs/{saved[0].parent.name}/run.json"))
    assert facts["note"]["model"] == MODEL
    assert Registry(loop.store).versions(MODEL) == [1]


def test_two_rounds_at_once_are_one(
    loop: Workspace, add_lines: Callable[..., None], tmp_path: Path
) -> None:
    add_lines(numbers(0, 40))
    both = [begin(loop, tmp_path / f"log-{number}") for number in range(2)]
    codes = sorted(process.wait(600) for process in both)
    told = "".join((tmp_path / f"log-{number}").read_text() for number in range(2))
    assert codes[0] == 0, told
    # The second was told that the first is at it, or came so late that there was nothing to do.
    assert codes == [0, 0] or "another process is at it" in told
    assert Registry(loop.store).versions(MODEL) == [1]
    assert len(Registry(loop.store).log(MODEL).promotions) == 1
