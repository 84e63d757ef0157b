"""The front process: HTTP, the queue and the promotion logs; no picture is decoded here."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from socket import recv_fds, socket

from nhan.errors import NhanError, NotFound
from nhan.images import PictureLimits
from nhan.models.package import Package
from nhan.models.registry import Registry
from nhan.serving.app import create_admin_app, create_app
from nhan.serving.connection import ConnectionLimits, HttpServer
from nhan.serving.context import Context
from nhan.serving.engine.dispatch import Dispatcher, QueueLimits
from nhan.serving.engine.processes import HUNG_UP, ProcessLane
from nhan.serving.live import Live
from nhan.serving.roster import Roster
from nhan.serving.service import Service
from nhan.settings import ServeSettings, Settings
from nhan.storage import open_store

log = logging.getLogger("nhan.serving")

_CONTROL_BYTES = 64


@dataclass(frozen=True)
class FrontPlan:
    """What the supervisor hands to the front process.

    Attributes:
        root: the workspace, or None.
        settings: file, environment and command line together.
        main: listening socket of the main address.
        admin: listening socket of the admin address.
        control: the supervisor sends the sockets of new workers through it.
    """

    root: Path | None
    settings: Settings
    main: socket
    admin: socket
    control: socket


async def serve(plan: FrontPlan) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    settings = plan.settings
    limits = PictureLimits(settings.images.max_bytes, settings.images.max_pixels)
    dispatcher = Dispatcher(_queue_limits(settings.serve), on_lost=_worker_lost)
    roster = Roster(settings.serve.model)
    service = Service(roster, dispatcher)
    with tempfile.TemporaryDirectory(prefix="nhan-serve-") as cache:
        live = Live(
            _registry(plan),
            _bundled(),
            dispatcher,
            roster,
            cache=Path(cache),
            poll_s=settings.serve.poll_s,
        )
        context = Context(service, settings.serve, limits, live)
        connections = _connection_limits(settings.serve)
        main = HttpServer(create_app(context), connections)
        admin = HttpServer(create_admin_app(context), connections)
        stopping = _listen_for_signals()
        crew = _Crew(plan.control, dispatcher, live, limits)
        crew.start()
        await main.listen(plan.main)
        await admin.listen(plan.admin)
        following = asyncio.create_task(crew.then(live.run))
        await stopping.wait()
        service.draining = True
        log.warning("draining")
        await main.drain(grace_s=settings.serve.grace_s, linger_s=settings.serve.linger_s)
        await admin.drain(grace_s=1.0, linger_s=0.0)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        for lane in dispatcher.lanes:
            if isinstance(lane, ProcessLane):
                lane.close()


def _listen_for_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def _worker_lost(name: str, reason: str, picture_hash: str) -> None:
    if reason == HUNG_UP:
        return
    log.error("worker %s: %s; it was answering picture %s", name, reason, picture_hash or "none")


def _registry(plan: FrontPlan) -> Registry | None:
    if plan.root is None:
        return None
    url = plan.settings.storage.objects
    return Registry(open_store(url if "://" in url else plan.root / url))


def _bundled() -> Package | None:
    """The reader that comes with the package, where one does."""
    if find_spec("nhan.models.bundled") is None:
        return None
    try:
        package: Package = import_module("nhan.models.bundled").bundled_package()
    except NotFound:
        return None
    return package


class _Crew:
    """Takes on the workers whose sockets the supervisor sends."""

    def __init__(
        self, control: socket, dispatcher: Dispatcher, live: Live, limits: PictureLimits
    ) -> None:
        self._control = control
        self._dispatcher = dispatcher
        self._live = live
        self._limits = limits
        self._joining: set[asyncio.Task[None]] = set()
        self._first = asyncio.Event()

    def start(self) -> None:
        self._control.setblocking(False)
        asyncio.get_running_loop().add_reader(self._control, self._receive)

    async def then(self, follow: Callable[[], Awaitable[None]]) -> None:
        """Begin to follow promotions once somebody can try the models."""
        await self._first.wait()
        await follow()

    def _receive(self) -> None:
        try:
            message, descriptors, _, _ = recv_fds(self._control, _CONTROL_BYTES, 1)
        except BlockingIOError:
            return
        if not descriptors:  # the supervisor is gone; nobody would replace our workers
            asyncio.get_running_loop().remove_reader(self._control)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        joining = asyncio.create_task(self._join(message.decode(), socket(fileno=descriptors[0])))
        self._joining.add(joining)
        joining.add_done_callback(self._joining.discard)

    async def _join(self, name: str, connection: socket) -> None:
        lane: ProcessLane | None = None
        try:
            lane = await ProcessLane.connect(name, self._dispatcher, connection, self._limits)
            await self._live.prepare(lane)
        except NhanError as error:
            log.error("worker %s cannot take part: %s", name, error.message)
            if lane is not None:
                lane.kill()
        else:
            self._first.set()
            log.info("worker %s (pid %d) takes part", name, lane.pid)


def _queue_limits(serve: ServeSettings) -> QueueLimits:
    return QueueLimits(serve.queue, serve.queue_megabytes, serve.deadline_s, serve.work_s)


def _connection_limits(serve: ServeSettings) -> ConnectionLimits:
    return ConnectionLimits(
        head_s=serve.head_s,
        body_s=serve.body_s,
        keep_alive_s=serve.keep_alive_s,
        connections=serve.connections,
    )


def run(plan: FrontPlan) -> None:
    """Run `serve` on uvloop, where there is one."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(plan))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if find_spec("uvloop") is None:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory
