"""Lanes that are threads of this process: for tests, notebooks and embedding."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nhan.errors import NhanError
from nhan.images import PictureLimits
from nhan.serving.engine.lane import LaneOwner
from nhan.serving.engine.outcome import Outcome, pack_error, unpack_error
from nhan.serving.engine.runner import Runner


class ThreadLane:
    """One thread and its own sessions."""

    def __init__(
        self, name: str, owner: LaneOwner, limits: PictureLimits, *, wide_threads: int = 0
    ) -> None:
        self.name = name
        self.can_go_wide = wide_threads > 1
        self.lost = False
        self._owner = owner
        self._runner = Runner(limits, wide_threads=wide_threads)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"lane-{name}")
        self._loader = ThreadPoolExecutor(1, thread_name_prefix=f"load-{name}")

    def submit(self, ticket: int, key: str, picture: bytes, *, wide: bool) -> None:
        loop = asyncio.get_running_loop()

        def work() -> None:
            result: Outcome | NhanError
            try:
                result = self._runner.run(key, picture, wide=wide)
            except BaseException as error:
                result = unpack_error(pack_error(error))
            loop.call_soon_threadsafe(self._owner.lane_done, self, ticket, result)

        self._thread.submit(work)

    async def load(self, key: str, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._loader, self._runner.load, key, folder)

    def unload(self, key: str) -> None:
        self._runner.unload(key)

    def kill(self) -> None:
        """Let the thread end after its present picture: a thread cannot be killed."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._loader.shutdown(wait=False, cancel_futures=True)
