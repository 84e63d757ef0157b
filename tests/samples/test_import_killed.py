"""Kill -9 in the middle of an import: nothing half-done, and a second call finishes."""

from __future__ import annotations

import json
import math
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
from nhan.images import content_hash
from nhan.samples.importer import import_samples
from nhan.workspace import Workspace

_COUNT = 1500
# The command with transactions of a few samples, so that it has many moments to be killed in.
_IMPORT = (
    "import sys; from nhan.samples import importer; importer._BATCH = 25; "
    "from nhan.cli.main import run; run(['import', sys.argv[1], '--workspace', sys.argv[2]])"
)


@pytest.fixture
def many(tmp_path: Path, picture: Callable[[int], bytes]) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(_COUNT):
        (source / f"{number}.png").write_bytes(picture(number))
    labels = {f"{number}.png": f"dòng {number}" for number in range(_COUNT)}
    (source / "labels.json").write_text(json.dumps(labels), "utf-8")
    return source


def start(workspace: Workspace, source: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _IMPORT, str(source), str(workspace.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Shells start what runs in the background with interrupts ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def assert_whole(workspace: Workspace) -> int:
    """Every row has its picture, whole, and its label."""
    rows = list(read_rows(workspace.catalog, "text"))
    for row in rows:
        assert content_hash(workspace.store.read(row.path)) == row.sha256
        assert row.label == f"dòng {row.name.removesuffix('.png')}"
    return len(rows)


def kill_once(workspace: Workspace, source: Path, wait: Callable[[], None]) -> int:
    process = start(workspace, source)
    try:
        wait()
    finally:
        process.kill()
    assert process.wait() in (-signal.SIGKILL, 0)
    process.communicate()
    return assert_whole(workspace)


def test_a_killed_import_is_finished_by_the_next(workspace: Workspace, many: Path) -> None:
    objects = workspace.root / "objects"

    def until_it_works() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if len(list(objects.rglob("*.png"))) > 700:
                return
            time.sleep(0.02)
        pytest.fail("the import never began")

    done = kill_once(workspace, many, until_it_works)
    assert 0 < done < _COUNT
    report = import_samples(workspace, many)
    assert (report.added.total(), report.known) == (_COUNT - done, done)
    assert assert_whole(workspace) == _COUNT
    pictures = [path for path in objects.rglob("*") if path.is_file()]
    named = {path.name for path in pictures if path.suffix == ".png"}
    assert len(named) == _COUNT


def test_two_imports_of_one_source_at_once_add_each_sample_once(
    workspace: Workspace, many: Path
) -> None:
    processes = [start(workspace, many) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    assert assert_whole(workspace) == _COUNT


def test_an_interrupt_stops_it_cleanly(workspace: Workspace, many: Path) -> None:
    process = start(workspace, many)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not list((workspace.root / "objects").rglob("*.png")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert b"run the same command again" in errors
    assert assert_whole(workspace) < _COUNT


@pytest.mark.slow
def test_kills_at_random_moments(
    workspace: Workspace, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    """Anywhere in the time that one takes; once all is imported, the folder grows."""
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    source = tmp_path / "growing"
    source.mkdir()
    done = count = killed = partly = 0
    takes_s = math.inf  # the first one tells
    while killed < 30:
        before, fresh = done, done == count
        if fresh:
            for number in range(count, count + 300):
                (source / f"{number}.png").write_bytes(picture(number))
            count += 300
            labels = {f"{number}.png": f"dòng {number}" for number in range(count)}
            (source / "labels.json").write_text(json.dumps(labels), "utf-8")
        process = start(workspace, source)
        wait_until_at_work(workspace, process)
        began = time.monotonic()
        limit = None if takes_s == math.inf else chance.uniform(0, takes_s)
        if killed_within(process, limit):
            killed += 1
        else:
            takes_s = time.monotonic() - began if fresh else takes_s
        done = assert_whole(workspace)
        assert done >= before, f"seed {seed}"
        partly += before < done < count
    print(f"{killed} imports killed, seed {seed}; {partly} left a part of what was new imported")
    import_samples(workspace, source)
    assert assert_whole(workspace) == count
