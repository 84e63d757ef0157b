"""Worker processes as lanes: what happens when one is gone before it takes part."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest

from nhan.errors import JobFailed
from nhan.images import PictureLimits
from nhan.serving.engine import frames
from nhan.serving.engine.dispatch import Dispatcher, QueueLimits
from nhan.serving.engine.frames import Kind
from nhan.serving.engine.processes import ProcessLane


async def lane_that_hangs_up(dispatcher: Dispatcher) -> ProcessLane:
    """A worker that says it is ready and dies."""
    ours, theirs = socket.socketpair()
    ready = json.dumps({"pid": os.getpid(), "wide": False}).encode()
    theirs.sendall(frames.frame(Kind.READY, 0, ready))
    lane = await ProcessLane.connect("0", dispatcher, ours, PictureLimits())
    theirs.close()
    while not lane.lost:
        await asyncio.sleep(0.001)
    return lane


def test_a_load_on_a_dead_worker_fails_instead_of_waiting_for_ever(tmp_path: Path) -> None:
    async def story() -> None:
        lane = await lane_that_hangs_up(Dispatcher(QueueLimits()))
        async with asyncio.timeout(60):
            with pytest.raises(JobFailed, match="worker 0 ended"):
                await lane.load("toy@1", tmp_path)

    asyncio.run(story())


def test_a_dead_worker_does_not_take_part() -> None:
    async def story() -> None:
        dispatcher = Dispatcher(QueueLimits())
        lane = await lane_that_hangs_up(dispatcher)
        with pytest.raises(JobFailed, match="worker 0 ended"):
            dispatcher.attach(lane)
        assert dispatcher.lanes == []

    asyncio.run(story())
