"""The workspace as the console uses it: opened when first asked for, used off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from starlette.requests import Request

from nhan.errors import NotFound
from nhan.workspace import Workspace

P = ParamSpec("P")
T = TypeVar("T")

# The console serves people, one click at a time; the event loop answers pictures meanwhile.
_THREADS = 4


class Desk:
    """Runs what needs the catalogue or many objects in a few threads of its own.

    Args:
        root: the workspace; None where the server has none.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._workspace: Workspace | None = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="desk")

    async def run(
        self, work: Callable[Concatenate[Workspace, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `work(workspace, …)` in a thread and give its result.

        Raises:
            NotFound: the server runs without a workspace.
        """
        loop = asyncio.get_running_loop()
        call = partial(self._call, partial(work, **kwargs), *args)
        return await loop.run_in_executor(self._threads, call)

    def _call(self, work: Callable[..., T], *args: object) -> T:
        return work(self.workspace(), *args)

    def workspace(self) -> Workspace:
        """The workspace; may take a moment the first time, so not for the event loop.

        Raises:
            NotFound: the server runs without one.
        """
        with self._lock:
            if self._workspace is None:
                if self._root is None:
                    raise NotFound(
                        "this server has no workspace, only the bundled reader",
                        hint="nhan init DIR, then nhan serve --workspace DIR",
                    )
                self._workspace = Workspace.open(self._root)
            return self._workspace

    def close(self) -> None:
        """Finish what is under way and close the workspace."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._workspace is not None:
            self._workspace.close()


def desk_of(request: Request) -> Desk:
    """The desk of the server that a request came to."""
    desk: Desk = request.app.state.desk
    return desk
