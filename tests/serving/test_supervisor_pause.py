"""What a child is started again with, and how long one that keeps dying waits for it."""

from __future__ import annotations

import signal

import pytest

from nhan.cli.serve import make_reload
from nhan.serving.supervisor import Supervisor
from nhan.settings import Settings

FAILED = 1 << 8  # as os.wait tells exit code 1


def test_a_child_that_dies_for_hours_does_not_take_the_supervisor_with_it() -> None:
    supervisor = Supervisor(None, Settings(), reload=Settings)
    pauses = [supervisor._pause_s("0", FAILED, 0.1) for _ in range(3000)]
    assert pauses[:3] == [0.0, 0.0, 0.0]
    assert pauses[-1] == max(pauses) == 5.0
    assert supervisor._pause_s("1", FAILED, 0.1) == 0.0
    assert supervisor._pause_s("0", signal.SIGKILL, 0.1) == 0.0


def test_no_front_process_is_started_after_a_shutdown(monkeypatch) -> None:
    """SIGTERM may come while the next one waits; its addresses are closed by then."""
    supervisor = Supervisor(None, Settings(), reload=Settings)
    started: list[str] = []
    monkeypatch.setattr(supervisor, "_start_all", lambda: started.append("all"))
    monkeypatch.setattr(supervisor, "_pause_s", lambda *_: 5.0)

    def sleep(_seconds: float) -> None:
        supervisor._stopping = True

    monkeypatch.setattr("nhan.serving.supervisor.time.sleep", sleep)
    assert supervisor._front_ended(FAILED)
    assert started == []


class TestSettingsReadAgain:
    """A front process that is killed must not come back with what a SIGHUP had ended."""

    @pytest.fixture
    def supervisor(self, workspace) -> Supervisor:
        reload = make_reload(workspace.root, {})
        return Supervisor(workspace.root, reload(), reload=reload)

    def test_the_next_front_process_begins_with_them(self, supervisor, workspace):
        (workspace.root / "nhan.toml").write_text("[serve]\nrequire_keys = true\n")
        assert not supervisor._settings.serve.require_keys
        supervisor._pass_on(signal.SIGHUP, None)
        assert supervisor._settings.serve.require_keys

    @pytest.mark.parametrize("broken", ["[serve", "[serve]\nqueue = 0\n", None, "keys"])
    def test_what_cannot_be_read_is_not_taken(self, supervisor, workspace, broken):
        file = workspace.root / "nhan.toml"
        file.write_text("[serve]\nrequire_keys = true\n")
        supervisor._pass_on(signal.SIGHUP, None)
        if broken is None:
            file.unlink()
        elif broken == "keys":  # the front process takes neither file then
            file.write_text("")
            (workspace.root / "keys.json").write_text("{")
        else:
            file.write_text(broken)
        supervisor._pass_on(signal.SIGHUP, None)
        assert supervisor._settings.serve.require_keys
