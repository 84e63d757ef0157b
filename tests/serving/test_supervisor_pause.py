"""How long a child that keeps dying waits before it is started again."""

from __future__ import annotations

import signal

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
