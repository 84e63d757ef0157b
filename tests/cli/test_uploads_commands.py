"""`nhan uploads`: what it prints, and what it changes."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from nhan.images import content_hash
from nhan.samples.pictures import picture_path
from nhan.uploads.record import UploadRecord, inbox_path


@pytest.fixture
def upload(workspace, draw_line):
    def put(number, user=""):
        data = draw_line(f"{number}")
        sha256 = content_hash(data)
        now = datetime.now(UTC)
        record = UploadRecord(
            id=f"{int(now.timestamp() * 1e3):012x}{number:016x}", at=now, task="text",
            model="vi-line", version="3", value=f"dòng {number}", confidence=0.5, details={},
            sha256=sha256, path=picture_path(sha256, "png"), size_bytes=len(data), format="png",
            user=user,
        )  # fmt: skip
        workspace.store.put(record.path, data)
        workspace.store.put(inbox_path(record.id), record.to_bytes())
        return record

    return put


def nhan(workspace, *words, code=0):
    command = [sys.executable, "-m", "nhan", "uploads", *words, "--workspace", str(workspace.root)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == code, ran.stderr
    return ran


def test_the_way_of_an_upload(workspace, upload, tmp_path):
    first, _ = upload(1, "lan"), upload(2, "an")
    assert "2 objects wait" in nhan(workspace, "intake", "--dry-run").stdout
    assert "2 uploads taken in" in nhan(workspace, "intake").stdout
    assert json.loads(nhan(workspace, "intake", "--json").stdout)["taken"] == 0
    listed = json.loads(nhan(workspace, "list", "--user", "lan", "--json").stdout)
    assert [(one["id"], one["value"], one["state"]) for one in listed] == [
        (first.id, "dòng 1", "new")
    ]
    assert "dòng 1" in nhan(workspace, "list").stdout
    out = tmp_path / "lan"
    assert nhan(workspace, "export", "--user", "lan", "--out", str(out)).stdout.strip() == str(out)
    assert len(list((out / "pictures").iterdir())) == 1
    assert (
        "1 uploads would be erased" in nhan(workspace, "erase", "--user", "lan", "--dry-run").stdout
    )
    assert "1 uploads erased" in nhan(workspace, "erase", "--user", "lan").stdout
    gone = nhan(workspace, "erase", "--user", "lan", code=2)
    assert "error: nothing is kept of user 'lan'" in gone.stderr
    assert not workspace.store.exists(first.path)


def test_the_list_is_whole_in_a_pipe_and_what_users_sent_is_no_markup(workspace, upload):
    record = upload(1, "[/]")
    assert "no such upload" in nhan(workspace, "list").stderr
    nhan(workspace, "intake")
    shown = nhan(workspace, "list").stdout
    assert record.id in shown
    assert "[/]" in shown
    assert "dòng 1" in shown


def test_a_state_that_is_none_is_refused(workspace):
    assert "states: new, queued" in nhan(workspace, "list", "--state", "done", code=2).stderr


def test_erasing_needs_a_name(workspace):
    assert "hint: --user NAME, or --upload ID" in nhan(workspace, "erase", code=2).stderr


def test_every_command_has_an_example(workspace):
    for command in ("intake", "list", "erase", "export"):
        assert "Example: nhan uploads" in nhan(workspace, command, "--help").stdout
