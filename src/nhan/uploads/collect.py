"""Collection: what serving hands every answered picture to.

A picture goes to the spool on the local disk, where it is safe and acknowledged, and from there to
the object store, retried for ever.
"""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nhan.errors import StorageError
from nhan.images import content_hash
from nhan.samples.pictures import picture_path
from nhan.settings import UploadSettings
from nhan.storage import Store
from nhan.uploads import journal
from nhan.uploads.journal import Frame
from nhan.uploads.record import CorrectionRecord, Disagreement, UploadRecord, dump, time_of
from nhan.uploads.sampling import DISAGREEMENT, Look, Sampler
from nhan.uploads.ship import Shipper
from nhan.uploads.spool import Spool, SpoolFull, SpoolLimits

log = logging.getLogger("nhan.uploads")

_STATE = "sampling.json"
# Uploads whose candidate may still answer; one that takes longer is not noted.
_RECENT = 2000
# At a shutdown; what is not shipped then is shipped by the next process.
_SHIP_AT_END_S = 3.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A picture and its answer, as serving knows them.

    Attributes:
        id: of the prediction.
        picture: original bytes.
        details: members of a JSON object without its braces, UTF-8.
        width, height: upright, px.
        brightness: 0..1.
        user: who sent it; may be ''.
        consent: whether it may train; None where nobody said.
    """

    id: str
    task: str
    model: str
    version: str
    value: str
    confidence: float
    details: bytes
    picture: bytes
    width: int
    height: int
    brightness: float
    duration_ms: float
    request_id: str = ""
    user: str = ""
    consent: bool | None = None


@dataclass(frozen=True)
class CollectionReport:
    """What the metrics tell.

    Attributes:
        queued: frames in memory.
        waiting: uploads in the spool.
        spool_bytes: of the spool.
        oldest_s: age of the upload that waits longest.
        kept: uploads written to the spool.
        shipped, shipped_bytes: uploads in the object store.
        dropped: uploads not kept, by reason.
        failures: refusals of the object store.
        away: whether the object store is out of reach.
        sampled: uploads chosen for review, by policy.
    """

    queued: int
    waiting: int
    spool_bytes: int
    oldest_s: float
    kept: int
    shipped: int
    shipped_bytes: int
    dropped: dict[str, int]
    failures: int
    away: bool
    sampled: dict[str, int]


class Collector:
    """Keeps answered pictures and corrections.

    Args:
        folder: of the spool.
        store: where the spool is emptied into.
        settings: the `[uploads]` table; may be replaced at any time by `configure`.
    """

    def __init__(self, folder: Path, store: Store, settings: UploadSettings) -> None:
        self.settings = settings
        self._state = folder / _STATE
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._kept = 0
        self.spool = Spool(folder, _limits(settings), on_closed=self._segment_closed)
        self.shipper = Shipper(
            folder,
            store,
            sync=settings.durable,
            retired_bytes=self.spool.limits.bytes // 8,
            on_shipped=self.spool.ledger.forget,
            on_looked=self.spool.shipped,
        )
        self._sampler = Sampler(settings, _read_state(self._state))
        self.shipper.start()

    @property
    def on(self) -> bool:
        """Whether anything is kept at all."""
        return self.settings.collect != "off"

    def configure(self, settings: UploadSettings) -> None:
        """Use other settings from now on; the folder stays."""
        self.settings = self._sampler.settings = settings
        self.spool.limits = _limits(settings)

    def require_room(self) -> None:
        """Refuse a picture before work is spent on it, where the settings say so.

        Raises:
            SpoolFull: it could not be kept.
        """
        if self.settings.when_full == "refuse" and not self.spool.has_room():
            raise SpoolFull("the spool of uploads is full", retry_after_s=5.0)

    def keep(self, answered: Answered, *, gather_s: float = 0.0) -> Future[bool]:
        """Keep an answered picture; done when it is safe, true if it was kept.

        It may wait `gather_s` for others, so that one fsync does for all of them. Fails with
        `SpoolFull` or `StorageError`.
        """
        size = len(answered.picture)
        build = partial(self._record, answered)
        return self.spool.put(journal.UPLOAD, build, size, gather_s=gather_s)

    def correct(self, correction: CorrectionRecord) -> Future[bool]:
        """Keep a correction; done when it is safe. Fails as `keep` does."""
        key = f"{correction.prediction} {correction.id}"
        frame = Frame(journal.CORRECTION, key, dump(correction.to_json()))
        return self.spool.put(journal.CORRECTION, lambda: frame, len(frame.head))

    def disagreed(self, prediction: str, candidate: str, answer: str) -> None:
        """A candidate answered otherwise; noted if the upload was kept and the quota allows."""
        note = Disagreement(prediction, candidate, answer)
        self.spool.put(journal.NOTE, partial(self._note, note), 0)

    def report(self) -> CollectionReport:
        """How collection stands."""
        spool, shipper = self.spool, self.shipper
        now = datetime.now(UTC).timestamp()
        return CollectionReport(
            queued=spool.queued,
            waiting=len(spool.ledger),
            spool_bytes=spool.size,
            oldest_s=spool.ledger.oldest_s(now),
            kept=self._kept,
            shipped=shipper.uploads,
            shipped_bytes=shipper.bytes,
            dropped=dict(spool.dropped),
            failures=shipper.failures,
            away=bool(shipper.away_since),
            sampled=dict(self._sampler.chosen),
        )

    def close(self) -> None:
        """Make what was handed over safe, ship what can be shipped at once."""
        self.spool.close()
        self.shipper.stop(_SHIP_AT_END_S)

    # In the writing thread

    def _record(self, answered: Answered) -> Frame | None:
        at = time_of(answered.id)
        picture = answered.picture
        look = Look(
            answered.task, answered.value, answered.confidence, answered.width, answered.height,
            answered.brightness, len(picture),
        )  # fmt: skip
        sampled, novelty = self._sampler.choose(look, at)
        if self.settings.collect == "sampled" and not sampled:
            return None
        extension = extension_of(picture)
        sha256 = content_hash(picture)
        record = UploadRecord(
            id=answered.id,
            at=at,
            task=answered.task,
            model=answered.model,
            version=answered.version,
            value=answered.value,
            confidence=round(answered.confidence, 6),
            sha256=sha256,
            path=picture_path(sha256, extension),
            size_bytes=len(picture),
            format=extension,
            user=answered.user,
            consent=answered.consent,
            sampled=sampled,
            novelty=novelty,
            request_id=answered.request_id,
            duration_ms=round(answered.duration_ms, 1),
        )
        self._recent[answered.id] = None
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        self._kept += 1
        key = f"{record.id} {record.task} {record.path}"
        return Frame(journal.UPLOAD, key, record.to_bytes(answered.details), picture)

    def _note(self, note: Disagreement) -> Frame | None:
        if note.prediction not in self._recent or not self._sampler.take(DISAGREEMENT, note.at):
            return None
        return Frame(journal.NOTE, note.prediction, note.to_bytes())

    def _segment_closed(self) -> None:
        temporary = self._state.with_name(f".{_STATE}.{os.getpid()}")
        with suppress(OSError):  # a full disk; the counts are kept in memory
            temporary.write_bytes(dump(self._sampler.to_json()))
            os.replace(temporary, self._state)
        self.shipper.wake()


def open_collector(root: Path, store: Store, settings: UploadSettings) -> Collector:
    """The collector of a workspace.

    Raises:
        StorageError: its spool's folder cannot be used.
    """
    folder = root / settings.spool
    try:
        return Collector(folder, store, settings)
    except OSError as error:
        raise StorageError(
            f"the spool {folder} cannot be used: {error.strerror or error}",
            hint="give uploads.spool a folder on a local disk that the server may write to",
        ) from error


def extension_of(picture: bytes) -> str:
    """The file ending of a picture that was decoded, told from its first bytes."""
    for beginning, extension in _BEGINNINGS:
        if picture.startswith(beginning):
            return extension
    return "bin"


_BEGINNINGS = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8", "jpg"),
    (b"RIFF", "webp"),
    (b"BM", "bmp"),
    (b"II", "tif"),
    (b"MM", "tif"),
    (b"GIF8", "gif"),
)


def _limits(settings: UploadSettings) -> SpoolLimits:
    return SpoolLimits(
        settings.spool_megabytes * 1_000_000,
        settings.free_megabytes * 1_000_000,
        settings.ship_after_s,
        settings.durable,
    )


def _read_state(file: Path) -> dict[str, Any] | None:
    try:
        state = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None
