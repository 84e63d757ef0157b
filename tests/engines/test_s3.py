"""The object store on a real S3-protocol server."""

from __future__ import annotations

import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from nhan.doctor import try_storage
from nhan.errors import NotFound, StorageError
from nhan.storage import NumberedLog, open_store

pytestmark = pytest.mark.engine

# A forked child inherits the threads' locks of its parent but not the threads.
_SPAWN = get_context("spawn")


def _append(url: str, writer: int) -> list[int]:
    log = NumberedLog(open_store(url), "models/reader/log")
    return [log.append({"writer": writer, "turn": turn}) for turn in range(10)]


def test_objects_are_written_read_listed_and_deleted(s3_url: str) -> None:
    store = open_store(s3_url)
    store.put("images/ab/one.png", b"1")
    store.put("datasets/lines/v1/manifest.json", b"{}")
    assert store.read("images/ab/one.png") == b"1"
    assert sorted(store.list("images")) == ["images/ab/one.png"]
    assert store.folders("") == ["datasets", "images"]
    assert store.size("images/ab/one.png") == 1
    store.delete("images/ab/one.png")
    assert not store.exists("images/ab/one.png")
    with pytest.raises(NotFound):
        store.read("images/ab/one.png")


def test_put_once_keeps_the_first_bytes(s3_url: str) -> None:
    store = open_store(s3_url)
    assert store.put_once("a/b", b"first")
    assert not store.put_once("a/b", b"second")
    assert store.read("a/b") == b"first"


def test_of_many_who_put_once_at_the_same_moment_one_does(s3_url: str) -> None:
    store = open_store(s3_url)
    together = threading.Barrier(8)

    def put(number: int) -> list[bool]:
        created = []
        for turn in range(25):
            together.wait(120)
            created.append(store.put_once(f"log/{turn:06d}.json", b"%d" % number))
        return created

    with ThreadPoolExecutor(8) as pool:
        turns = zip(*pool.map(put, range(8)), strict=True)
    assert [sum(created) for created in turns] == [1] * 25


def test_the_doctor_tries_every_operation(s3_url: str) -> None:
    (check,) = try_storage(open_store(s3_url))
    assert check.state == "ok", check
    assert "create-only" in check.message


def test_a_missing_bucket_is_a_clear_error(s3_url: str) -> None:
    store = open_store("s3://no-such-bucket-here/x")
    with pytest.raises(StorageError, match="no-such-bucket-here"):
        store.put("a", b"1")


def test_four_processes_append_and_every_number_has_one_winner(s3_url: str) -> None:
    with ProcessPoolExecutor(4, mp_context=_SPAWN) as pool:
        numbers = sorted(n for part in pool.map(_append, [s3_url] * 4, range(4)) for n in part)
    assert numbers == list(range(1, 41))
    entries = NumberedLog(open_store(s3_url), "models/reader/log").entries()
    assert len({(entry["writer"], entry["turn"]) for _, entry in entries}) == 40
