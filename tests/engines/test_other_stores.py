"""S3 servers that leave out what the workspace relies on are told from those that do not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import end, free_port, wait_for_port

pytestmark = pytest.mark.engine

_KEY = "testing", "testing-secret"


@pytest.fixture
def rclone_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """rclone's S3 server: it takes a create-only put and overwrites all the same."""
    program = Path(sys.executable).with_name("rclone")
    if not program.exists():
        pytest.fail("rclone is not installed; make test-engines installs it")
    (tmp_path / "pictures").mkdir()
    port = free_port()
    process = subprocess.Popen(
        [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", ",".join(_KEY),
         "--config", os.devnull, tmp_path],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for name, value in {
        "AWS_ACCESS_KEY_ID": _KEY[0],
        "AWS_SECRET_ACCESS_KEY": _KEY[1],
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        wait_for_port(port, process)
        yield "s3://pictures/shop"
    finally:
        end(process)


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nhan", "doctor", *arguments],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_the_doctor_finds_the_store_that_overwrites(rclone_url: str) -> None:
    done = doctor("storage", rclone_url)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "create-only did not do what it promises" in done.stdout


def test_the_doctor_is_content_with_a_store_that_creates_only(s3_url: str) -> None:
    done = doctor("storage", s3_url)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("list", "write", "read", "create-only", "delete"):
        assert step in done.stdout
