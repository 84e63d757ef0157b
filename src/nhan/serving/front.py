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

from nhan.errors import NhanError, StorageError
from nhan.images import PictureLimits
from nhan.models.package import Package
from nhan.models.registry import Registry
from nhan.serving.app import Furnish, create_admin_app, create_app
from nhan.serving.connection import ConnectionLimits, HttpServer
from nhan.serving.context import Context
from nhan.serving.engine.dispatch import Dispatcher, QueueLimits
from nhan.serving.engine.processes import HUNG_UP, ProcessLane
from nhan.serving.fetch import Fetcher, FetchLimits
from nhan.serving.keys import Keyring, keys_file, load_keyring
from nhan.serving.live import Live
from nhan.serving.logs import set_up_logging
from nhan.serving.metrics import Metrics
from nhan.serving.roster import Roster
from nhan.serving.scratch import begin_removing_left_folders, scratch_folder
from nhan.serving.service import Service
from nhan.serving.watched import Watched
from nhan.settings import ServeSettings, Settings
from nhan.storage import Store, open_store
from nhan.uploads.collect import Collector, open_collector
from nhan.uploads.corrections import CorrectionDesk

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
        reload: reads the settings again, the command line's over them.
        furnish: adds the console; called in the front process, so it imports there only.
    """

    root: Path | None
    settings: Settings
    main: socket
    admin: socket
    control: socket
    reload: Callable[[], Settings]
    furnish: Furnish | None = None


async def serve(plan: FrontPlan) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    settings = plan.settings
    set_up_logging(settings.serve.log)
    metrics = Metrics()
    dispatcher = Dispatcher(
        _queue_limits(settings.serve), on_refused=metrics.refused, on_lost=_worker_lost(metrics)
    )
    roster = Roster(settings.serve.model)
    store = _open_store(plan)
    collector = _open_collector(plan, store)
    service = Service(
        roster,
        dispatcher,
        watch=metrics.answered,
        differs=collector.disagreed if collector is not None else lambda *_: None,
    )
    temporary = Path(tempfile.gettempdir())
    begin_removing_left_folders(temporary)
    with scratch_folder(temporary) as cache:
        live = Live(
            Registry(store) if store is not None else None,
            _bundled() if settings.serve.bundled else None,
            dispatcher,
            roster,
            cache=cache,
            poll_s=settings.serve.poll_s,
            trials=service.trials,
            on_swap=lambda name: metrics.swaps.update([name]),
            on_refusal=lambda one: metrics.models_refused.update([one.key.partition("@")[0]]),
        )
        context = Context(service, live=live, root=plan.root, metrics=metrics, collector=collector)
        if collector is not None and store is not None:
            context.corrections = CorrectionDesk(collector, store)
            context.closing += [context.corrections.close, collector.close]
        context.watched = Watched(store, roster) if store is not None else None
        configure(context, settings, load_keyring(keys_file(plan.root, settings.serve)))
        apps = create_app(context, plan.furnish), create_admin_app(context)
        main, admin = (HttpServer(app, _connection_limits(settings)) for app in apps)
        stopping = _listen_for_signals(lambda: _reload(plan, context))
        crew = _Crew(plan.control, dispatcher, live, context)
        crew.start()
        await main.listen(plan.main)
        await admin.listen(plan.admin)
        following = [asyncio.create_task(crew.then(live.run))]
        if context.watched is not None:
            following.append(asyncio.create_task(crew.then(context.watched.run)))
        await stopping.wait()
        service.draining = True
        log.info("draining for up to %g s", settings.serve.grace_s)
        await main.drain(grace_s=settings.serve.grace_s, linger_s=settings.serve.linger_s)
        await admin.drain(grace_s=1.0, linger_s=0.0)
        for task in following:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for lane in dispatcher.lanes:
            if isinstance(lane, ProcessLane):
                lane.close()
        for close in context.closing:
            await asyncio.to_thread(close)


def configure(context: Context, settings: Settings, keyring: Keyring) -> None:
    """Put settings into effect, at the start and again at every SIGHUP.

    Addresses, workers, connection limits and CORS are those of the start.

    Raises:
        UserError: a trial in the settings is malformed; nothing has changed then.
    """
    serve, service = settings.serve, context.service
    service.trials.want(serve.canary, serve.shadow)
    context.settings = serve
    context.limits = PictureLimits(settings.images.max_bytes, settings.images.max_pixels)
    context.fetcher = Fetcher(FetchLimits(tuple(serve.url_hosts), settings.images.max_bytes))
    context.keyring.replace(keyring)
    service.roster.default_model = serve.model
    service.dispatcher.limits = _queue_limits(serve)
    for lane in service.dispatcher.lanes:
        if isinstance(lane, ProcessLane):
            lane.set_limits(context.limits)
    if context.live is not None:
        context.live.poll_s = serve.poll_s
    if context.collector is not None:
        context.collector.configure(settings.uploads)


def _reload(plan: FrontPlan, context: Context) -> None:
    try:
        settings = plan.reload()
        configure(context, settings, load_keyring(keys_file(plan.root, settings.serve)))
    except NhanError as error:
        log.error("the new settings are not used: %s", error.message)
    else:
        log.info("settings were read again")


def _listen_for_signals(reload: Callable[[], None]) -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return stopping


def _worker_lost(metrics: Metrics) -> Callable[[str, str, str], None]:
    def lost(name: str, reason: str, picture_hash: str) -> None:
        if reason != HUNG_UP:
            metrics.workers_lost += 1
            log.error(
                "worker %s ended (%s) while answering picture %s", name, reason, picture_hash or "-"
            )

    return lost


def _open_store(plan: FrontPlan) -> Store | None:
    if plan.root is None:
        return None
    url = plan.settings.storage.objects
    return open_store(url if "://" in url else plan.root / url)


def _open_collector(plan: FrontPlan, store: Store | None) -> Collector | None:
    """What keeps uploads; None without a workspace, or with a spool that cannot be used.

    Raises:
        StorageError: it cannot be used, and the settings say not to answer then.
    """
    if plan.root is None or store is None:
        return None
    try:
        return open_collector(plan.root, store, plan.settings.uploads)
    except StorageError as error:
        if plan.settings.uploads.when_full == "refuse":
            raise
        log.error("nothing is kept of uploads: %s", error.message)
        return None


def _bundled() -> Package | None:
    """The reader that comes with the package, where one does."""
    if find_spec("nhan.models.bundled") is None:
        return None
    try:
        package: Package | None = import_module("nhan.models.bundled").bundled_package()
    except NhanError as error:  # the workspace's own models can answer all the same
        log.error("the bundled reader cannot be used: %s", error.message)
        return None
    return package


class _Crew:
    """Takes on the workers whose sockets the supervisor sends."""

    def __init__(
        self, control: socket, dispatcher: Dispatcher, live: Live, context: Context
    ) -> None:
        self._control = control
        self._dispatcher = dispatcher
        self._live = live
        self._context = context
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
            limits = self._context.limits
            lane = await ProcessLane.connect(name, self._dispatcher, connection, limits)
            await self._live.prepare(lane)
            lane.set_limits(self._context.limits)  # SIGHUP may have changed them meanwhile
        except NhanError as error:
            log.error("worker %s cannot take part: %s", name, error.message)
            if lane is not None:
                lane.kill()
        else:
            self._first.set()
            log.info("worker %s (pid %d) takes part", name, lane.pid)


def _queue_limits(serve: ServeSettings) -> QueueLimits:
    return QueueLimits(serve.queue, serve.queue_megabytes, serve.deadline_s, serve.work_s)


def _connection_limits(settings: Settings) -> ConnectionLimits:
    serve = settings.serve
    return ConnectionLimits(
        head_s=serve.head_s,
        body_s=serve.body_s,
        keep_alive_s=serve.keep_alive_s,
        connections=serve.connections,
        body_bytes=serve.max_body_bytes,
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
