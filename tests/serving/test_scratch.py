"""The folder of a server that was killed goes; nothing else does."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from nhan.serving.scratch import begin_removing_left_folders, remove_left_folders, scratch_folder

SERVER = """
import subprocess, sys
from pathlib import Path
from nhan.serving.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "reader@1-1").mkdir()
    (folder / "reader@1-1" / "model.onnx").write_bytes(b"x")
    outlives = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
    print(outlives.pid, flush=True)
    sys.stdin.read()
"""


@contextmanager
def server(parent: Path):
    """A process with a folder, and a command that it started and that lives on."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    command = int(process.stdout.readline())
    try:
        yield process
    finally:
        os.kill(command, signal.SIGKILL)
        process.kill()
        process.communicate()


def test_the_folder_of_a_killed_server_goes_and_that_of_a_living_one_stays(tmp_path):
    with server(tmp_path) as killed:
        (left,) = tmp_path.iterdir()
        with server(tmp_path):
            (living,) = set(tmp_path.iterdir()) - {left}
            remove_left_folders(tmp_path)
            assert set(tmp_path.iterdir()) == {left, living}
            killed.kill()
            killed.wait()
            remove_left_folders(tmp_path)
            assert list(tmp_path.iterdir()) == [living]
            assert (living / "files/reader@1-1/model.onnx").read_bytes() == b"x"


def test_a_server_that_ends_leaves_nothing(tmp_path):
    with scratch_folder(tmp_path) as folder:
        (folder / "a").write_bytes(b"x")
        assert folder.parent.stat().st_mode & 0o077 == 0, "others can look into it"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def left(tmp_path):
    """A folder as a killed server leaves it."""
    made = tmp_path / "nhan-serve-left"
    (made / "files").mkdir(parents=True)
    (made / ".made-by-nhan-serve").touch()
    (made / "files" / "model.onnx").touch()
    return made


def test_what_is_not_ours_stays(tmp_path, left):
    """In a folder that everybody may write to, anything may have that name."""
    precious = tmp_path / "precious"
    left.rename(precious)
    (tmp_path / "nhan-serve-link").symlink_to(precious)
    (tmp_path / "nhan-serve-file").touch()
    os.mkfifo(tmp_path / "nhan-serve-pipe")
    (tmp_path / "nhan-serve-logs").mkdir()
    (tmp_path / "nhan-serve-logs" / "monday").touch()
    before = sorted(tmp_path.rglob("*"))
    remove_left_folders(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert (precious / "files" / "model.onnx").exists()


def test_what_links_lead_to_stays(tmp_path, left):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (left / "files" / "link").symlink_to(outside)
    remove_left_folders(tmp_path)
    assert not left.exists()
    assert (outside / "kept").exists()


def test_another_users_folder_stays(tmp_path, left, monkeypatch):
    us = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: us + 1)
    remove_left_folders(tmp_path)
    assert left.exists()
    monkeypatch.setattr(os, "geteuid", lambda: us)
    remove_left_folders(tmp_path)
    assert not left.exists()


def test_where_nothing_can_be_locked_a_folder_is_had_and_never_taken(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError("no locks available")

    with monkeypatch.context() as without:
        without.setattr(fcntl, "flock", flock)
        making = scratch_folder(tmp_path)
        folder = making.__enter__()
    remove_left_folders(tmp_path)
    assert folder.is_dir()
    making.__exit__(None, None, None)
    assert not folder.exists()


def test_no_place_for_temporary_files_is_no_reason_to_fail(tmp_path):
    remove_left_folders(tmp_path / "missing")


def test_it_goes_on_in_the_background(tmp_path, left):
    begin_removing_left_folders(tmp_path).join(timeout=60)
    assert not left.exists()
