"""One process at a time works on rounds: on one machine or many, with nothing but an object store.

The lease is a numbered create-only log, so of several that want it exactly one gets the next
number. Whoever has it writes a heartbeat beside its entry and, when done, an end. It may be taken
over, by the next number, when

- its end was written;
- its holder ran on this very machine and that process is gone: at once;
- it has not shown a heartbeat for `EXPIRY_S`, by the store's clock, so that clocks of machines
  need not agree.

A holder that was cut off finds a higher number than its own when it looks (`Lease.check`). What
rounds do is safe even if two once worked side by side: every step can be repeated.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from nhan.errors import Conflict, NhanError
from nhan.storage import NumberedLog, StaleLog, Store

log = logging.getLogger("nhan.pipeline")

EXPIRY_S = 60.0
BEAT_S = 10.0
# Entries of the past that are kept to look at; each is a few hundred bytes.
_KEPT = 20


class Lease:
    """The right to work on rounds, kept alive by a thread until it is given back.

    Args:
        store: the workspace's objects.
        number: of the entry in the log.
        prefix: of the log.
    """

    def __init__(self, store: Store, number: int, prefix: str) -> None:
        self.number = number
        self._store = store
        self._prefix = prefix
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that nobody has taken over.

        Raises:
            Conflict: somebody has, because our heartbeats did not arrive.
        """
        if _log(self._store, self._prefix).latest_number() != self.number:
            raise Conflict(
                "another process has taken the rounds over, because this one gave no sign",
                hint="look at `nhan loop list`; what was done so far is kept",
            )

    def give_back(self) -> None:
        """Let the next one have it at once."""
        if self._done.is_set():
            return
        self._done.set()
        self._thread.join(BEAT_S)
        with suppress(NhanError):  # then it expires by itself
            self._store.put_once(_end(self._prefix, self.number), b"{}")
            _prune(self._store, self._prefix, self.number)

    def _keep_alive(self) -> None:
        while not self._done.wait(BEAT_S):
            try:
                self._store.put(_beat(self._prefix, self.number), b"{}")
            except NhanError as error:
                log.warning("the lease on rounds could not be renewed: %s", error.message)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()


def take_lease(store: Store, what: str, *, prefix: str = "rounds/lease") -> Lease:
    """Take the lease, or say who has it.

    Args:
        store: the workspace's objects.
        what: is going to be done, for whoever finds it taken.
        prefix: where the log is.

    Raises:
        Conflict: somebody holds it.
    """
    entries = _log(store, prefix)
    latest = entries.latest()
    number, entry = latest or (0, {})
    if latest is not None and not _is_free(store, prefix, number, entry):
        raise _taken(entry)
    try:
        mine = entries.append({**_who(), "what": what}, expected=number)
    except StaleLog as error:
        _, entry = entries.latest() or (0, {})
        raise _taken(entry) from error
    return Lease(store, mine, prefix)


def holder(store: Store, *, prefix: str = "rounds/lease") -> dict[str, Any] | None:
    """Who holds the lease now, as `what`, `host`, `pid`, `at`; None when nobody does."""
    latest = _log(store, prefix).latest()
    if latest is None or _is_free(store, prefix, *latest):
        return None
    return latest[1]


def _is_free(store: Store, prefix: str, number: int, entry: dict[str, Any]) -> bool:
    if store.exists(_end(prefix, number)):
        return True
    if entry.get("machine") == _machine():
        return not _is_alive(int(entry["pid"]), str(entry["process"]))
    seen = store.modified(_beat(prefix, number)) or store.modified(_entry(prefix, number))
    clock = f"{prefix}/clock"
    store.put(clock, secrets.token_bytes(8))
    now = store.modified(clock)
    return seen is not None and now is not None and (now - seen).total_seconds() > EXPIRY_S


def _taken(entry: dict[str, Any]) -> Conflict:
    return Conflict(
        f"another process is at it: {entry.get('what')}, process {entry.get('pid')} on "
        f"{entry.get('host')} since {entry.get('at')}",
        hint=f"wait for it; one that died is passed over {EXPIRY_S:g} s after its last sign, on "
        "the same machine at once",
    )


def _who() -> dict[str, Any]:
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": pid,
        "process": _started(pid),
    }


def _machine() -> str:
    """Differs between machines, boots and containers: a process id means nothing across them."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return " ".join(parts)


def _is_alive(pid: int, process: str) -> bool:
    """Whether it is still the process that took the lease, not another one of its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and is another user's
        return True
    return _started(pid) == process


def _started(pid: int) -> str:
    """When a process began, in ticks since the boot; empty where the system does not tell.

    A process that was killed and not yet collected by its parent counts as gone.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "gone" if fields[0] in ("Z", "X") else fields[19]


def _prune(store: Store, prefix: str, number: int) -> None:
    for path in list(store.list(prefix)):
        head = path.rsplit("/", 1)[-1].partition(".")[0]
        if head.isdigit() and int(head) <= number - _KEPT:
            store.delete(path)


def _log(store: Store, prefix: str) -> NumberedLog:
    return NumberedLog(store, prefix)


def _entry(prefix: str, number: int) -> str:
    return f"{prefix}/{number:06d}.json"


def _beat(prefix: str, number: int) -> str:
    return f"{prefix}/{number:06d}.beat"


def _end(prefix: str, number: int) -> str:
    return f"{prefix}/{number:06d}.end"
