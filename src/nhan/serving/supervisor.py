"""`nhan serve`: opens the addresses, forks a front process and the workers, replaces who dies.

    supervisor ──fork──► front    HTTP, queue, promotion logs
               ──fork──► worker 0 decodes and infers, one picture at a time
               ──fork──► worker 1 …

The supervisor does nothing else, so nothing a client sends can bring it down. It imports what the
workers need before it forks, and starts no thread and no event loop: the workers share those pages
and are back within milliseconds after one was killed. A front process that dies takes the workers'
sockets with it; front and workers are then forked anew on the same listening sockets.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import logging
import math
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from nhan.errors import NhanError, SettingsError
from nhan.serving.keys import keys_file, load_keyring, require_keys
from nhan.serving.logs import set_up_logging
from nhan.settings import Settings

if TYPE_CHECKING:
    from nhan.serving.app import Furnish

log = logging.getLogger("nhan.serving.supervisor")

# Modules that every worker runs, imported once before the fork. ONNX Runtime is not among them:
# it starts a thread on import, and threads do not survive a fork.
_SHARED_BY_WORKERS = ("nhan.serving.engine.worker", "nhan.tasks.text")
_PR_SET_PDEATHSIG = 1
# A worker that dies this young died of itself; then wait a little before the next.
_INFANCY_S = 2.0
_LONGEST_PAUSE_S, _MAX_DOUBLINGS = 5.0, 16
_PATIENCE = 3
# Beyond the grace, for the front process to end by itself.
_SPARE_S = 3


@dataclass
class _Children:
    front: int = 0
    workers: dict[int, str] = field(default_factory=dict)
    born: dict[int, float] = field(default_factory=dict)


def bind(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        SettingsError: the address is taken, unknown or not ours.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {_said(error)}",
            hint="another port: --port 8080 --admin-port 8081",
        ) from error
    listening.set_inheritable(True)
    return listening


def _said(error: OSError) -> str:
    """What the system said; Python adds the address to it, which is told already."""
    if error.errno is not None and error.errno > 0:  # else of the name's lookup
        return os.strerror(error.errno)
    return error.strerror or str(error)


def cores() -> int:
    """Processors this process may use: its affinity, and the quota of its container."""
    usable = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return usable if quota == "max" else max(1, min(usable, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return usable


def address_of(listening: socket.socket) -> str:
    """`http://HOST:PORT` of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Supervisor:
    """The process that `nhan serve` stays.

    Args:
        root: the workspace, or None to serve the bundled reader alone.
        settings: file, environment and command line together.
        reload: reads them again.
        announce: told the main and the admin address once they are open.
        furnish: adds the console to the main address; called in the front process.
    """

    def __init__(
        self,
        root: Path | None,
        settings: Settings,
        *,
        reload: Callable[[], Settings],
        announce: Callable[[str, str], None] = lambda _, __: None,
        furnish: Furnish | None = None,
    ) -> None:
        self._root = root
        self._settings = settings
        self._grace_s = settings.serve.grace_s
        self._reload = reload
        self._announce = announce
        self._furnish = furnish
        self._children = _Children()
        self._control: socket.socket | None = None
        self._stopping = False
        self._failures: Counter[str] = Counter()
        self._front_born = 0.0
        self._ours = os.getpid()

    def run(self) -> int:
        """Serve until a signal ends it; returns the exit code.

        Raises:
            SettingsError: an address is taken, both are one, or one is open to others and there
                are no keys.
        """
        serve = self._settings.serve
        require_keys(load_keyring(keys_file(self._root, serve)), serve)
        set_up_logging(serve.log)
        if serve.port and (serve.host, serve.port) == (serve.admin_host, serve.admin_port):
            raise SettingsError(
                f"the main and the admin address are the same, {serve.host}:{serve.port}",
                hint="two ports: --port 8000 --admin-port 8001",
            )
        self._main = bind(serve.host, serve.port)
        self._admin = bind(serve.admin_host, serve.admin_port)
        for module in _SHARED_BY_WORKERS:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # a collection in a child would touch, and so copy, every shared page
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, self._pass_on)
        self._start_all()
        self._announce(address_of(self._main), address_of(self._admin))
        return self._watch()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGALRM or (number == signal.SIGINT and self._stopping):
            number = signal.SIGKILL  # the grace is over, or somebody pressed Ctrl-C twice
        elif number != signal.SIGHUP and not self._stopping:
            self._stopping = True
            # While we hold them open, clients would still be queued, for nobody to answer.
            self._main.close()
            self._admin.close()
            signal.alarm(math.ceil(self._grace_s) + _SPARE_S)
        elif number == signal.SIGHUP:
            self._read_again()
        if self._children.front:
            os.kill(self._children.front, signal.SIGTERM if number == signal.SIGINT else number)

    def _read_again(self) -> None:
        """What the front process is told to read now, the one after it must begin with.

        Else keys that were asked for from then on would not be, once it was killed.
        """
        try:
            settings = self._reload()
            load_keyring(keys_file(self._root, settings.serve))
        except Exception:
            return  # the front process does not use them either, and says why
        self._settings = settings

    def _start_all(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        workers = self._settings.serve.workers or cores()
        self._children.front = self._fork(lambda: self._be_front(ours, theirs))
        self._front_born = time.monotonic()
        theirs.close()
        for number in range(workers):
            self._start_worker(str(number))

    def _start_worker(self, name: str, *, after_s: float = 0.0) -> None:
        assert self._control is not None
        ours, theirs = socket.socketpair()
        # One worker keeps a second session that uses every core, for a request that is alone.
        wide_threads = cores() if name == "0" else 0

        def be() -> None:
            time.sleep(after_s)  # here, where nobody else's replacement has to wait for it
            self._be_worker(theirs, ours, wide_threads)

        pid = self._fork(be)
        self._children.workers[pid] = name
        self._children.born[pid] = time.monotonic()
        theirs.close()
        try:
            socket.send_fds(self._control, [name.encode()], [ours.fileno()])
        except OSError:
            log.info("no front process to give worker %s to", name)
        ours.close()

    def _fork(self, be: Callable[[], None]) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            # A shutdown comes to the front process, and to the workers as its hanging up.
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
                signal.signal(number, signal.SIG_IGN)
            be()
            code = 0
        except NhanError as error:
            log.error("process %d failed: %s; %s", os.getpid(), error.message, error.hint)
        except BaseException:
            log.exception("process %d failed", os.getpid())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _be_front(self, ours: socket.socket, control: socket.socket) -> None:
        ours.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until it can drain
        from nhan.serving.front import FrontPlan, run

        addresses = self._main, self._admin
        run(FrontPlan(self._root, self._settings, *addresses, control, self._reload, self._furnish))

    def _be_worker(
        self, connection: socket.socket, front: socket.socket, wide_threads: int
    ) -> None:
        from nhan.serving.engine.worker import work

        for other in (front, self._main, self._admin, self._control):
            if other is not None:
                other.close()
        work(connection, wide_threads=wide_threads)

    def _watch(self) -> int:
        """Wait for children to end and replace them."""
        while True:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                return 0 if self._stopping else 1
            if pid == self._children.front:
                self._children.front = 0
                if self._front_ended(status):
                    return 0 if self._stopping else 1
            elif pid in self._children.workers:
                self._worker_ended(pid, status)

    def _worker_ended(self, pid: int, status: int) -> None:
        name = self._children.workers.pop(pid)
        age_s = time.monotonic() - self._children.born.pop(pid)
        if self._stopping or not self._children.front:
            return
        log.error("worker %s (pid %d) ended: %s", name, pid, _reason(status))
        self._start_worker(name, after_s=self._pause_s(name, status, age_s))

    def _front_ended(self, status: int) -> bool:
        """Deal with the end of the front process; True when that ends everything."""
        if self._control is not None:
            self._control.close()
            self._control = None
        for pid in self._children.workers:
            os.kill(pid, signal.SIGKILL)
        while self._children.workers:
            pid, _ = os.wait()
            self._children.workers.pop(pid, None)
        if self._stopping or os.waitstatus_to_exitcode(status) == 0:
            return True
        log.error("the front process ended: %s", _reason(status))
        age_s = time.monotonic() - self._front_born
        time.sleep(self._pause_s("front", status, age_s))
        if self._stopping:
            return True
        self._start_all()
        return False

    def _pause_s(self, name: str, status: int, age_s: float) -> float:
        """How long to wait before a child is started again.

        One that keeps dying young of itself must not take the machine; one that was killed from
        outside is needed at once.
        """
        killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        if killed or age_s >= _INFANCY_S:
            self._failures[name] = 0
            return 0.0
        self._failures[name] += 1
        if self._failures[name] <= _PATIENCE:
            return 0.0
        return min(0.05 * 2.0 ** min(self._failures[name], _MAX_DOUBLINGS), _LONGEST_PAUSE_S)


def _reason(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
