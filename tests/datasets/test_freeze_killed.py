"""Kill -9 in the middle of a freeze: nothing half-written is visible, a second call finishes."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from at_work import killed_within, wait_until_at_work
from nhan.catalog.samples import read_rows
from nhan.datasets.freeze import freeze
from nhan.datasets.read import list_datasets, open_dataset
from nhan.images import content_hash
from nhan.samples.importer import import_samples
from nhan.workspace import Workspace

_COUNT = 600
# The command with files of a few rows, so that a freeze has many moments to be killed in.
_FREEZE = (
    "import sys; from nhan.datasets import shards; shards.SHARD_BYTES = 20_000; "
    "shards.GROUP_BYTES = 5_000; from nhan.cli.main import run; "
    "run(['freeze', sys.argv[2], '--workspace', sys.argv[1]])"
)


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path, draw_line: Callable[..., bytes]) -> Workspace:
    source = tmp_path / "source"
    source.mkdir()
    labels = {f"{number}.png": f"line {number}" for number in range(_COUNT)}
    for name, label in labels.items():
        (source / name).write_bytes(draw_line(label, height=16))
    (source / "labels.json").write_text(json.dumps(labels))
    import_samples(workspace, source)
    return workspace


def begin(workspace: Workspace, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _FREEZE, str(workspace.root), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def kill_once(workspace: Workspace, wait: Callable[[], None]) -> None:
    process = begin(workspace, "lines")
    try:
        wait()
    finally:
        process.kill()
    assert process.wait() in (-signal.SIGKILL, 0)
    process.communicate()


def assert_whole(workspace: Workspace) -> None:
    for summary in list_datasets(workspace.store):
        for version in summary.versions:
            dataset = open_dataset(workspace.store, f"{summary.name}@{version}")
            rows = [row for split in dataset.splits for row in dataset.rows(split)]
            assert len(rows) == dataset.manifest["rows"] == _COUNT
            assert all(content_hash(row.image) == row.sha256 for row in rows)


def test_a_killed_freeze_is_finished_by_the_next(filled: Workspace) -> None:
    def until_files_appear() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if len(list((filled.root / "objects").glob("datasets/**/*.parquet"))) > 2:
                return
            time.sleep(0.01)
        pytest.fail("the freeze never wrote a file")

    kill_once(filled, until_files_appear)
    assert list_datasets(filled.store) == []
    placed = {row.id: row.split for row in read_rows(filled.catalog, "text")}
    assert all(placed.values())
    dataset = freeze(filled, "lines").dataset
    assert_whole(filled)
    assert {row.id: row.split for row in read_rows(filled.catalog, "text")} == placed
    assert freeze(filled, "lines").existed
    assert [summary.versions for summary in list_datasets(filled.store)] == [(dataset.version,)]


@pytest.mark.slow
def test_kills_at_random_moments(filled: Workspace) -> None:
    """Each time another dataset is frozen; the first to get so far gives the samples splits."""
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    placed: dict[int, str] = {}
    killed = hidden = turn = 0
    takes_s = 3.0
    while killed < 30:
        turn += 1
        process = begin(filled, f"lines-{turn}")
        wait_until_at_work(filled, process)
        began = time.monotonic()
        if killed_within(process, chance.uniform(0, takes_s)):
            killed += 1
        else:
            takes_s = time.monotonic() - began
        assert_whole(filled)
        hidden += f"lines-{turn}" not in {one.name for one in list_datasets(filled.store)}
        now = {row.id: row.split for row in read_rows(filled.catalog, "text") if row.split}
        assert all(now[number] == split for number, split in placed.items()), f"seed {seed}"
        placed = now
    print(f"{killed} freezes killed, seed {seed}; {hidden} of them left nothing to be seen")
    for number in range(1, turn + 1):
        freeze(filled, f"lines-{number}")
    assert len(list_datasets(filled.store)) == turn
    assert_whole(filled)
