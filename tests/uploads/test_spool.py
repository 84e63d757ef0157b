"""The spool and its shipping: nothing acknowledged is lost, whatever disk and store do."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from nhan.errors import StorageError
from nhan.storage import NumberedLog, Store, open_store
from nhan.uploads import journal, ship
from nhan.uploads.journal import CORRECTION, UPLOAD, Frame, Segment
from nhan.uploads.record import CorrectionRecord, corrections_prefix, dump, inbox_path
from nhan.uploads.ship import Shipper, ship_leftovers
from nhan.uploads.spool import Spool, SpoolFull, SpoolLimits


def frame(number: int, size: int = 100) -> Frame:
    identifier = f"0199f6e00000{number:016x}"
    body = random.Random(number).randbytes(size)
    path = f"images/00/{number}.png"
    return Frame(UPLOAD, f"{identifier} text {path}", b'{"n": %d}' % number, body)


def put(spool: Spool, one: Frame, *, gather_s: float = 0.0) -> Future[bool]:
    return spool.put(one.kind, lambda: one, len(one.body), gather_s=gather_s)


def shipped_whole(store: Store, *frames: Frame) -> bool:
    return all(
        store.read(one.key.split()[2]) == one.body
        and store.read(inbox_path(one.key.split()[0])) == one.head
        for one in frames
    )


def until(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "objects")


# Segments


@pytest.mark.parametrize("cut", [1, 10, 30, 60, 150])
def test_a_torn_end_costs_only_the_torn_frame(cut):
    whole = [frame(1), frame(2)]
    data = b"".join(piece for one in [*whole, frame(3)] for piece in one.pack())
    last = frame(3).size
    assert list(journal.read_frames(data[: len(data) - min(cut, last - 1)])) == whole


def test_damage_in_the_middle_costs_only_what_it_touches():
    frames = [frame(number) for number in range(5)]
    data = bytearray(b"".join(piece for one in frames for piece in one.pack()))
    data[frames[0].size + 50] ^= 1
    assert list(journal.read_frames(bytes(data))) == [frames[0], *frames[2:]]


def test_a_picture_that_looks_like_a_frame_is_only_a_picture():
    inner = b"".join(frame(7).pack())
    outer = Frame(UPLOAD, "x text y", b"{}", inner + inner)
    assert list(journal.read_frames(b"".join(outer.pack()))) == [outer]


def test_a_segment_belongs_to_one_until_it_is_closed(tmp_path):
    segment = Segment(tmp_path)
    segment.append(b"".join(frame(1).pack()), sync=True)
    assert journal.claim(segment.path) is None
    segment.close()
    claimed = journal.claim(segment.path)
    assert journal.claim(segment.path) is None
    assert list(journal.read_frames(claimed.read())) == [frame(1)]
    claimed.remove()
    claimed.close()
    assert journal.claim(segment.path) is None
    assert journal.segments(tmp_path) == []


def test_a_segment_that_was_never_finished_is_swept_away(tmp_path):
    left = tmp_path / ".0199f6e00000-1-abc.journal"
    left.touch()
    segment = Segment(tmp_path)
    Spool(tmp_path, SpoolLimits()).close()
    assert not left.exists()
    assert segment.path.exists()
    segment.close()


# The spool


def test_what_is_acknowledged_is_on_the_disk(tmp_path):
    spool = Spool(tmp_path / "spool", SpoolLimits(segment_s=3600))
    for number in range(20):
        assert put(spool, frame(number)).result(60)
        data = b"".join(path.read_bytes() for path in journal.segments(tmp_path / "spool"))
        assert frame(number) in list(journal.read_frames(data))
    assert len(spool.ledger) == 20
    spool.close()


def test_many_share_one_fsync(tmp_path, monkeypatch):
    calls, all_wait = [], threading.Event()
    original = os.fdatasync

    def slow(file):
        calls.append(file)
        all_wait.wait(60)
        original(file)

    monkeypatch.setattr(os, "fdatasync", slow)
    spool = Spool(tmp_path / "spool", SpoolLimits(segment_s=3600))
    futures = [put(spool, frame(number)) for number in range(200)]
    all_wait.set()
    assert all(future.result(60) for future in futures)
    spool.close()
    assert len(calls) < 20


def test_who_has_time_shares_an_fsync_and_who_has_none_ends_the_wait(tmp_path, monkeypatch):
    calls = []
    original = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (calls.append(file), original(file)))
    spool = Spool(tmp_path / "spool", SpoolLimits(segment_s=3600))
    first = [put(spool, frame(number), gather_s=3600) for number in range(9)]
    assert not any(future.done() for future in first)
    last = put(spool, frame(9))
    assert all(future.result(60) for future in [*first, last])
    assert len(calls) == 1
    alone = put(spool, frame(10), gather_s=0.05)
    assert alone.result(60)
    assert len(calls) == 2
    left = put(spool, frame(11), gather_s=3600)
    spool.close()
    assert left.result(0)


def test_nobody_waits_for_others_where_nothing_is_synced(tmp_path):
    spool = Spool(tmp_path / "spool", SpoolLimits(durable=False))
    assert put(spool, frame(1), gather_s=3600).result(60)
    spool.close()


def test_without_durability_nothing_is_synced(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fdatasync", lambda _: pytest.fail("synced"))
    spool = Spool(tmp_path / "spool", SpoolLimits(durable=False))
    assert put(spool, frame(1)).result(60)
    spool.close()


def test_a_full_spool_refuses_pictures_and_still_takes_corrections(tmp_path):
    spool = Spool(tmp_path / "spool", SpoolLimits(bytes=1000, segment_s=3600))
    assert put(spool, frame(1, 500)).result(60)
    with pytest.raises(SpoolFull):
        put(spool, frame(2, 500)).result(60)
    assert spool.full
    assert not spool.has_room()
    record = CorrectionRecord.make("0199f6e0" + "0" * 20, "x" * 900, "", trusted=False)
    text = Frame(CORRECTION, f"{record.prediction} {record.id}", dump(record.to_json()))
    assert put(spool, text).result(60)
    assert put(spool, frame(3, 20)).exception(10) is not None, "over the limit by the correction"
    assert spool.dropped == {"full": 2}
    spool.limits = SpoolLimits(bytes=10_000)
    assert spool.has_room()
    assert put(spool, frame(4, 500)).result(60)
    spool.close()


def test_a_record_that_cannot_be_made_costs_only_itself(tmp_path):
    spool = Spool(tmp_path / "spool", SpoolLimits())

    def fail():
        raise ValueError("no")

    future = spool.put(UPLOAD, fail, 0)
    assert put(spool, frame(1)).result(60)
    assert isinstance(future.exception(10), StorageError)
    spool.close()


def test_who_stops_waiting_costs_nothing(tmp_path, store):
    """A request that is cancelled takes its wait along, not the thread that writes for all."""

    async def leave(future):
        waiting = asyncio.wrap_future(future)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    spool = Spool(tmp_path / "spool", SpoolLimits(segment_s=3600))
    left = put(spool, frame(1), gather_s=3600)
    asyncio.run(leave(left))
    assert put(spool, frame(2)).result(60)
    assert left.result(60)
    spool.close()
    ship_leftovers(tmp_path / "spool", store)
    assert shipped_whole(store, frame(1), frame(2))


def test_a_disk_that_fails_to_sync_acknowledges_nothing(tmp_path, monkeypatch, store):
    def fail(_):
        raise OSError(5, "Input/output error")

    spool = Spool(tmp_path / "spool", SpoolLimits(segment_s=3600))
    assert put(spool, frame(1)).result(60)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        assert isinstance(put(spool, frame(2)).exception(10), StorageError)
    assert put(spool, frame(3)).result(60)
    spool.close()
    ship_leftovers(tmp_path / "spool", store)
    assert shipped_whole(store, frame(1), frame(3))


# Shipping


def test_segments_are_shipped_and_forgotten(tmp_path, store):
    folder = tmp_path / "spool"
    spool = Spool(folder, SpoolLimits(segment_s=0.05), on_closed=lambda: shipper.wake())
    shipper = Shipper(folder, store, on_shipped=spool.ledger.forget, on_looked=spool.shipped)
    shipper.start()
    frames = [frame(number) for number in range(50)]
    for one in frames:
        put(spool, one).result(60)
    until(lambda: len(spool.ledger) == 0)
    assert shipped_whole(store, *frames)
    spool.close()
    shipper.stop(10)
    assert journal.segments(folder) == []
    spool.shipped()
    assert (shipper.uploads, spool.size) == (50, 0)


def test_a_shipped_segment_stays_until_the_store_has_written_it(tmp_path, store, monkeypatch):
    """A power cut just after shipping must find it either in the spool or in the store."""
    synced = []
    original = ship._sync_filesystem

    def sync(folder):
        synced.append(len(journal.segments(tmp_path / "spool")))
        original(folder)

    monkeypatch.setattr(ship, "_sync_filesystem", sync)
    monkeypatch.setattr(ship, "_RETIRED_S", 0.5)
    monkeypatch.setattr(ship, "_LOOK_S", 0.05)
    spool = Spool(tmp_path / "spool", SpoolLimits(segment_s=0.01))
    shipper = Shipper(tmp_path / "spool", store, on_shipped=spool.ledger.forget)
    shipper.start()
    for number in range(3):
        put(spool, frame(number)).result(60)
        until(lambda: len(spool.ledger) == 0)
    assert len(journal.segments(tmp_path / "spool")) == 3
    assert ship_leftovers(tmp_path / "spool", store) == 0, "they are ours still"
    until(lambda: not journal.segments(tmp_path / "spool"))
    assert synced == [3]
    spool.close()
    shipper.stop(10)


def test_a_store_that_is_away_is_tried_until_it_is_back(tmp_path, store, monkeypatch):
    folder = tmp_path / "spool"
    spool = Spool(folder, SpoolLimits(segment_s=0.02), on_closed=lambda: shipper.wake())
    shipper = Shipper(folder, store, on_shipped=spool.ledger.forget, on_looked=spool.shipped)
    chance = random.Random(1)
    original = store.put_once

    def flaky(path, data):
        if chance.random() < 0.3:
            raise StorageError("away")
        return original(path, data)

    monkeypatch.setattr(store, "put_once", flaky)
    monkeypatch.setattr("nhan.uploads.ship._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("nhan.uploads.ship._LONGEST_PAUSE_S", 0.02)
    shipper.start()
    frames = [frame(number) for number in range(30)]
    for one in frames:
        put(spool, one).result(60)
        time.sleep(0.005)
    until(lambda: len(spool.ledger) == 0)
    assert shipped_whole(store, *frames)
    assert shipper.failures > 0
    spool.close()
    shipper.stop(10)


def test_shipping_twice_changes_nothing(tmp_path, store):
    """As after a kill between the last put and the segment's removal."""
    folder = tmp_path / "spool"
    record = CorrectionRecord.make(f"0199f6e00000{1:016x}", "đúng", "an", trusted=False)
    text = Frame(CORRECTION, f"{record.prediction} {record.id}", dump(record.to_json()))
    for _ in range(2):
        spool = Spool(folder, SpoolLimits())
        put(spool, frame(1)).result(60)
        put(spool, text).result(60)
        spool.close()
        assert ship_leftovers(folder, store) == 1
    assert shipped_whole(store, frame(1))
    ((number, entry),) = NumberedLog(store, corrections_prefix(record.prediction)).entries()
    assert (number, entry["label"]) == (1, "đúng")
    assert len(list(store.list("uploads/inbox"))) == 2


@pytest.mark.parametrize("left", [b"", b'{"id": "0199'])
def test_what_a_power_cut_left_empty_or_short_is_shipped_again(tmp_path, store, left):
    """A folder's files may come back so; the segment is still there, for it goes after a sync."""
    folder = tmp_path / "spool"
    record = CorrectionRecord.make(f"0199f6e00000{1:016x}", "đúng", "an", trusted=False)
    text = Frame(CORRECTION, f"{record.prediction} {record.id}", dump(record.to_json()))
    log = corrections_prefix(record.prediction)
    for path in ("images/00/1.png", inbox_path(record.prediction), f"{log}/000001.json"):
        store.put(path, left)
    spool = Spool(folder, SpoolLimits())
    put(spool, frame(1)).result(60)
    put(spool, text).result(60)
    spool.close()
    assert ship_leftovers(folder, store) == 1
    assert shipped_whole(store, frame(1))
    ((number, entry),) = NumberedLog(store, log).entries()
    assert (number, entry["label"]) == (1, "đúng")


def test_no_picture_overwrites_another(tmp_path, store):
    store.put("images/00/1.png", frame(1).body)
    spool = Spool(tmp_path / "spool", SpoolLimits())
    other = Frame(UPLOAD, frame(1).key, frame(1).head, frame(1).body[::-1])
    put(spool, other).result(60)
    spool.close()
    ship_leftovers(tmp_path / "spool", store)
    assert store.read("images/00/1.png") == frame(1).body


def test_what_others_ship_is_forgotten_too(tmp_path, store):
    """An intake beside a running server may take its closed segments."""
    folder = tmp_path / "spool"
    spool = Spool(folder, SpoolLimits(segment_s=0.01))
    put(spool, frame(1)).result(60)
    until(lambda: ship_leftovers(folder, store) == 1)
    put(spool, frame(2)).result(60)
    assert len(spool.ledger) == 2
    spool.shipped()
    assert len(spool.ledger) == 1
    assert spool.ledger.task_of(frame(2).key.split()[0]) == "text"
    spool.close()


def test_a_new_process_knows_what_the_last_one_left(tmp_path, store):
    folder = tmp_path / "spool"
    record = CorrectionRecord.make(f"0199f6e00000{1:016x}", "đúng", "an", trusted=True)
    text = Frame(CORRECTION, f"{record.prediction} {record.id}", dump(record.to_json()))
    first = Spool(folder, SpoolLimits(segment_s=3600))
    put(first, frame(1)).result(60)
    put(first, text).result(60)
    second = Spool(folder, SpoolLimits())
    assert second.ledger.task_of(record.prediction) == "text"
    assert second.ledger.corrections_of(record.prediction) == [record]
    first.close()
    ship_leftovers(folder, store)
    second.shipped()
    assert len(second.ledger) == 0
    assert second.ledger.corrections_of(record.prediction) == []
    second.close()


def test_a_frame_of_another_version_does_not_block_the_rest(tmp_path, store):
    folder = tmp_path / "spool"
    spool = Spool(folder, SpoolLimits())
    identifier = f"0199f6e00000{9:016x}"
    put(spool, Frame(CORRECTION, f"{identifier} abc", b'{"from": "the future"}')).result(60)
    put(spool, frame(1)).result(60)
    spool.close()
    ship_leftovers(folder, store)
    assert shipped_whole(store, frame(1))
    (aside,) = store.list("uploads/refused")
    assert json.loads(store.read(aside)) == {"from": "the future"}


# A real disk that is full


@pytest.mark.parametrize("seed", range(5))
def test_a_full_disk_loses_nothing_that_was_acknowledged(small_disk, store, seed):
    folder = small_disk / "spool"
    chance = random.Random(seed)
    spool = Spool(folder, SpoolLimits(bytes=10**9, segment_s=0.02))
    # Free space as the file system tells it counts whole pages; let the writes themselves fail.
    spool._room = lambda: 10**9
    kept, refused = [], 0
    for number in range(300):
        one = frame(number, chance.randrange(100, 40_000))
        error = put(spool, one).exception(10)
        if error is None:
            kept.append(one)
        else:
            assert isinstance(error, SpoolFull)
            refused += 1
    assert refused
    assert kept
    assert spool.full
    spool.close()
    ship_leftovers(folder, store)
    assert shipped_whole(store, *kept)
    later = Spool(folder, SpoolLimits())
    assert put(later, frame(1000)).result(60), "there is room again"
    later.close()
