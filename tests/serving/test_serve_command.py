"""`nhan serve` at its beginning, and when its settings are read again: what it refuses, and how."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from nhan.cli import serve as command
from nhan.errors import SettingsError, StorageError
from nhan.settings import load_settings
from nhan.storage import open_store


@pytest.fixture
def run(workspace):
    """Runs `nhan serve` to its end; it is refused, or the test is over time."""

    def serve(*options, **variables):
        ran = subprocess.run(
            [sys.executable, "-m", "nhan", "--workspace", str(workspace.root), "serve", *options],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in ran.stderr
        assert "hint: " in ran.stderr
        return ran.returncode, ran.stderr

    return serve


def test_objects_that_cannot_be_are_told_and_end_it(run, tmp_path):
    """A file stands where the folder would be; the front process died of it again and again."""
    (tmp_path / "file").write_text("")
    code, said = run(
        "--port", "0", "--admin-port", "0", NHAN_STORAGE__OBJECTS=str(tmp_path / "file" / "objects")
    )
    assert code == 1
    assert f"error: cannot make {tmp_path}/file/objects" in said


def test_one_port_for_both_addresses(run):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    code, said = run("--port", port, "--admin-port", port)
    assert code == 2
    assert "the main and the admin address are the same" in said


def test_a_port_that_is_taken(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = run("--port", str(port), "--admin-port", "0")
    assert code == 2
    assert f"error: cannot listen on 127.0.0.1:{port}: Address already in use" in said
    assert "while attempting" not in said


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make"):
        open_store(tmp_path / "file" / "objects")


class TestReload:
    def test_settings_that_are_gone_are_not_defaults(self, workspace):
        """Defaults would lift keys and limits."""
        reload = command.make_reload(workspace.root, {})
        assert reload().serve.port == 8000
        (workspace.root / "nhan.toml").unlink()
        with pytest.raises(SettingsError, match=r"nhan\.toml is gone"):
            reload()

    def test_addresses_stay_those_of_the_start(self, workspace):
        """Who needs a key depends on the address that is listened on."""
        file = workspace.root / "nhan.toml"
        file.write_text('[serve]\nhost = "0.0.0.0"\nadmin_host = "0.0.0.0"\n')
        reload = command.make_reload(workspace.root, {})
        assert reload().serve.host == "0.0.0.0"
        file.write_text("[serve]\nqueue = 7\n")
        again = reload().serve
        assert (again.host, again.admin_host, again.queue) == ("0.0.0.0", "0.0.0.0", 7)
        assert load_settings(workspace.root).serve.host == "127.0.0.1"

    def test_the_command_line_wins(self, workspace):
        reload = command.make_reload(workspace.root, {"queue": 3, "port": None})
        assert reload().serve.queue == 3
