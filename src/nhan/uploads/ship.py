"""Shipping: closed segments of the spool become objects, for ever retried while the store is away.

Every object is created once or written again with the same bytes, so a segment that was shipped in
part before a kill is simply shipped again. It is removed only when all of it is in the store.

A folder store has not written everything to its disk when a put returns. Asking for that at once
would make every fsync of the spool on the same disk wait for the pictures' second copies, and
halve the answers a second; so shipped segments retire for a while, still locked, until the system
has written most of it by itself, and are removed together after one sync.
"""

from __future__ import annotations

import ctypes
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nhan.errors import BadRequest, NhanError, NotFound
from nhan.samples.pictures import heal, keep
from nhan.storage import NumberedLog, Store
from nhan.uploads import journal
from nhan.uploads import record as layout
from nhan.uploads.journal import Claim, Frame
from nhan.uploads.record import CorrectionRecord

log = logging.getLogger("nhan.uploads")

# A round trip to a store is mostly waiting; a folder is not worth more than two.
_THREADS_REMOTE = 8
_THREADS_FOLDER = 2
_FIRST_PAUSE_S = 0.5
# A store that is back is noticed this soon.
_LONGEST_PAUSE_S = 15.0
# The system writes by itself what is older than about 35 s.
_RETIRED_S = 60.0
_RETIRED_BYTES = 128_000_000
# Segments of another process that died are found at least this often.
_LOOK_S = 5.0


class Shipper:
    """A thread that empties a spool's folder into a store.

    Args:
        folder: of the spool; several servers may share it.
        store: where to.
        sync: make what a folder store was given survive a power cut before a segment goes.
        retired_bytes: of shipped segments that wait for that, at most.
        on_shipped: called with the name of each segment that is in the store.
        on_looked: called after each look at the folder; others may have shipped something.

    Attributes:
        uploads: how many were shipped since the start.
        bytes: of their pictures.
        failures: how many times the store refused.
        away_since: when the store began to be out of reach, seconds since the epoch; 0 while it
            is not.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        sync: bool = True,
        retired_bytes: int = _RETIRED_BYTES,
        on_shipped: Callable[[str], None] = lambda _: None,
        on_looked: Callable[[], None] = lambda: None,
    ) -> None:
        self.uploads = 0
        self.bytes = 0
        self.failures = 0
        self.away_since = 0.0
        self._folder = folder
        self._store = store
        self._sync = sync
        self._on_shipped = on_shipped
        self._on_looked = on_looked
        self._most_retired_bytes = retired_bytes
        self._retired: list[Claim] = []
        self._retired_bytes = 0
        self._retired_since = 0.0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        threads = _THREADS_REMOTE if store.folder is None else _THREADS_FOLDER
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ship")
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Ship from now on, in the background."""
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """A segment was closed."""
        self._wake.set()

    def stop(self, patience_s: float) -> None:
        """Ship what can be shipped at once, then end; the rest stays in the spool.

        Args:
            patience_s: how long to wait for it. A put that hangs is left to end by itself.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(patience_s)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ship_all(self) -> int:
        """Ship every segment that nobody holds; how many.

        Raises:
            StorageError: the store is out of reach; nothing is lost.
        """
        done = 0
        for path in journal.segments(self._folder):
            claimed = journal.claim(path)
            if claimed is not None:
                try:
                    self._ship(claimed)
                except BaseException:
                    claimed.close()
                    raise
                done += 1
        return done

    def remove_retired(self) -> None:
        """Make everything that was shipped survive a power cut, and remove its segments."""
        if self._retired and self._store.folder is not None:
            _sync_filesystem(self._store.folder)
        for claimed in self._retired:
            claimed.remove()
            claimed.close()
        self._retired.clear()
        self._retired_bytes = 0

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            self._wake.wait(_LOOK_S)
            self._wake.clear()
            stopping = self._stopping.is_set()
            try:
                self.ship_all()
                if stopping or self._is_retirement_over():
                    self.remove_retired()
            except Exception as error:  # whatever it is, the spool keeps everything
                self._failed(error)
                if stopping or self._stopping.wait(pause_s * random.uniform(0.5, 1.5)):
                    return
                self._wake.set()
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._back()
                self._on_looked()
                pause_s = _FIRST_PAUSE_S
                if stopping:
                    return

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if not self.away_since:
            self.away_since = time.time()
            reason = error.message if isinstance(error, NhanError) else repr(error)
            log.error("uploads wait in %s: %s", self._folder, reason)

    def _back(self) -> None:
        if self.away_since:
            log.info("the store is back after %.0f s", time.time() - self.away_since)
            self.away_since = 0.0

    def _ship(self, claimed: Claim) -> None:
        data = claimed.read()
        frames = list(journal.read_frames(data))
        torn = len(data) - sum(frame.size for frame in frames)
        if torn:
            log.warning("%s: %d bytes at its end were never acknowledged", claimed.path.name, torn)
        list(self._pool.map(self._send, [one for one in frames if one.kind == journal.UPLOAD]))
        for frame in frames:  # the log of a prediction's corrections has an order
            if frame.kind != journal.UPLOAD:
                self._send(frame)
        self._on_shipped(claimed.path.name)
        if self._sync and self._store.folder is not None:
            self._retired_since = self._retired_since if self._retired else time.monotonic()
            self._retired.append(claimed)
            self._retired_bytes += len(data)
        else:
            claimed.remove()
            claimed.close()

    def _is_retirement_over(self) -> bool:
        waited_s = time.monotonic() - self._retired_since
        full = self._retired_bytes > self._most_retired_bytes
        return bool(self._retired) and (waited_s > _RETIRED_S or full)

    def _send(self, frame: Frame) -> None:
        words = frame.key.split()
        if frame.kind == journal.UPLOAD:
            keep(self._store, words[2], frame.body)
            inbox = layout.inbox_path(words[0])
            if not self._store.put_once(inbox, frame.head):
                heal(self._store, inbox, frame.head)  # a power cut may have left it empty
            self.uploads += 1
            self.bytes += len(frame.body)
        elif frame.kind == journal.CORRECTION:
            try:
                record = CorrectionRecord.from_json(layout.parse(frame.head))
            except BadRequest as error:  # of another version of ours; must not block the rest
                aside = f"{layout.REFUSED}/{layout.day_of(words[0])}/{'-'.join(words)}.json"
                log.error("a correction is set aside as %s: %s", aside, error.message)
                self._store.put(aside, frame.head)
            else:
                write_correction(self._store, record)
        else:
            self._store.put(layout.inbox_path(words[0], "disagreement"), frame.head)


def write_correction(store: Store, record: CorrectionRecord) -> None:
    """Add a correction to its prediction's log, once, and leave it for intake."""
    prefix = layout.corrections_prefix(record.prediction)
    damaged = ""
    for path in sorted(path for path in store.list(prefix) if path.endswith(".json")):
        try:
            entry = layout.parse(store.read(path))
        except NotFound:
            continue
        except BadRequest:  # a power cut left it empty; whoever wrote it ships it again
            damaged = damaged or path
            continue
        if entry.get("id") == record.id:
            break
    else:
        if damaged:
            store.put(damaged, layout.dump(record.to_json()))
        else:
            # The spool keeps it until it is here, and ships it again after a power cut.
            NumberedLog(store, prefix, durable=False).append(record.to_json())
    store.put(layout.inbox_path(record.prediction, record.id), layout.dump(record.to_json()))


def ship_leftovers(folder: Path, store: Store) -> int:
    """Ship what servers that no longer run left in a spool; how many segments.

    Raises:
        StorageError: the store is out of reach; nothing is lost.
    """
    if not journal.segments(folder):
        return 0
    shipper = Shipper(folder, store)
    try:
        done = shipper.ship_all()
        shipper.remove_retired()
        return done
    finally:
        shipper.stop(0.0)


def _sync_filesystem(folder: Path) -> None:
    """Have the system write everything of a folder's file system to its disk.

    One call for a whole segment: a call for each of its objects would keep the disk busy instead.
    """
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not hasattr(_LIBC, "syncfs") or _LIBC.syncfs(file) != 0:
            os.sync()
    finally:
        os.close(file)


_LIBC = ctypes.CDLL(None, use_errno=True)
