"""Giving a correction: known predictions only, the same one once, conflicts said and not settled.

It works while the object store is away: what waits in this server's spool is known here, and a
prediction that nobody can look up at the moment is believed; intake sorts out what never existed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from weakref import WeakValueDictionary

from nhan.errors import Conflict, NhanError, NotFound, StorageError
from nhan.storage import NumberedLog, Store
from nhan.tasks import get_task
from nhan.uploads import record as layout
from nhan.uploads.collect import Collector
from nhan.uploads.record import CorrectionRecord, UploadRecord

# A person waits for this; a store that is slower counts as away.
_LOOK_S = 3.0
# Another replica may have answered a moment ago and not shipped yet.
_SHIPPING_S = 2.0
_PAUSE_S = 0.25
_THREADS = 4


@dataclass(frozen=True, slots=True)
class Given:
    """A correction that stands.

    Attributes:
        created: it is new; otherwise it had been given before.
    """

    record: CorrectionRecord
    created: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a prediction.

    Attributes:
        task: of the prediction; '' when it could not be looked up.
        history: its corrections, in order.
    """

    task: str
    history: list[CorrectionRecord]

    @property
    def standing(self) -> list[CorrectionRecord]:
        """Those that no later one took back."""
        replaced = {one.replaces for one in self.history}
        return [one for one in self.history if one.id not in replaced]


class CorrectionDesk:
    """Takes corrections for one server.

    Args:
        collector: keeps them.
        store: where earlier predictions and corrections are.
    """

    def __init__(self, collector: Collector, store: Store) -> None:
        self._collector = collector
        self._store = store
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="corrections")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def give(
        self, prediction: str, label: str, *, by: str = "", replaces: str = "", trusted: bool
    ) -> Given:
        """Keep what an answer should have been; it is safe when this returns.

        Args:
            prediction: the answer's id.
            label: the truth, as typed.
            by: who says so; may be ''.
            replaces: the id of the correction that this one takes back.
            trusted: they may review, so it stands without a review.

        Raises:
            NotFound: no such prediction, or no such correction to replace.
            BadLabel: it is too long, or cannot be a label of the prediction's task.
            Conflict: somebody else says otherwise; `details` has both.
            StorageError, SpoolFull: it cannot be kept.
        """
        if not layout.is_id(prediction):
            raise _unknown(prediction)
        layout.check_label(label)
        lock = self._locks.setdefault(prediction, asyncio.Lock())
        async with lock:
            known = await self._look_up(prediction)
            if known.task:
                label = layout.check_label(get_task(known.task).normalise(label))
            for one in known.standing:
                if one.label == label and replaces in ("", one.replaces):
                    return Given(one, created=False)
            replaces = _settle(known, label, by, replaces)
            record = CorrectionRecord.make(
                prediction, label, by, replaces=replaces, trusted=trusted
            )
            await asyncio.wrap_future(self._collector.correct(record))
            return Given(record, created=True)

    def close(self) -> None:
        """Leave what is still being looked up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, prediction: str) -> _Known:
        while True:
            # In this order: what is shipped between the two looks is then seen twice, not never.
            here = self._collector.spool.ledger.corrections_of(prediction)
            task = self._collector.spool.ledger.task_of(prediction)
            if task is not None:
                return _Known(task, here)
            try:
                found = await self._ask_store(prediction)
            except (StorageError, TimeoutError):
                return _Known("", here)
            if found is not None:
                known = {one.id for one in found.history}
                return _Known(found.task, [*found.history, *(h for h in here if h.id not in known)])
            if not self._may_be_on_its_way(prediction):
                raise _unknown(prediction)
            await asyncio.sleep(_PAUSE_S)

    def _may_be_on_its_way(self, prediction: str) -> bool:
        age_s = time.time() - layout.time_of(prediction).timestamp()
        return 0 <= age_s < self._collector.settings.ship_after_s + _SHIPPING_S

    async def _ask_store(self, prediction: str) -> _Known | None:
        if self._collector.shipper.away_since:
            raise StorageError("the object store is out of reach")
        loop = asyncio.get_running_loop()
        asking = loop.run_in_executor(self._threads, _read, self._store, prediction)
        return await asyncio.wait_for(asking, _LOOK_S)


def _read(store: Store, prediction: str) -> _Known | None:
    """What the store knows; None when it knows no such prediction."""
    # In this order, because intake moves records from the first place to the second.
    for path in (layout.inbox_path(prediction), layout.taken_path(prediction)):
        try:
            record = UploadRecord.from_bytes(store.read(path))
        except NotFound:
            continue
        history = NumberedLog(store, layout.corrections_prefix(prediction)).entries()
        return _Known(record.task, [_from_entry(entry) for _, entry in history])
    return None


def _from_entry(entry: dict[str, object]) -> CorrectionRecord:
    try:
        return CorrectionRecord.from_json(entry)
    except NhanError as error:
        raise StorageError(f"a correction in the store is damaged: {error.message}") from error


def _settle(known: _Known, label: str, by: str, replaces: str) -> str:
    """The id of the correction that a new one replaces, '' for none.

    Raises:
        Conflict, NotFound: see `CorrectionDesk.give`.
    """
    if replaces:
        if known.task and all(one.id != replaces for one in known.history):
            raise NotFound(
                f"no correction {replaces!r} to replace", hint="leave out `replaces`, or ask again"
            )
        own: Sequence[CorrectionRecord] = [one for one in known.standing if one.id == replaces]
    else:
        own = [one for one in known.standing if by and one.given_by == by]
    others = [one for one in known.standing if one not in own]
    if others:
        other = others[-1]
        raise Conflict(
            f"somebody corrected this answer to {other.label!r} already, not to {label!r}",
            hint=f'to take that back, send "replaces": "{other.id}"; reviewers see both otherwise',
            details={
                "standing": {
                    "id": other.id,
                    "label": other.label,
                    "at": other.at.isoformat(timespec="milliseconds"),
                },
                "asked": {"label": label},
            },
        )
    return replaces or (own[-1].id if own else "")


def _unknown(prediction: str) -> NotFound:
    return NotFound(
        f"no prediction {prediction[:64]!r} was kept",
        hint="the id of an answer with the header X-Nhan-Collected: yes",
    )
