"""The object store and the numbered log, on a folder and in memory."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import pytest
from obstore.exceptions import GenericError

from nhan.errors import NotFound, SettingsError, StorageError
from nhan.models.package import publish
from nhan.storage import DamagedEntry, NumberedLog, StaleLog, Store, open_store

# A forked child inherits the locks of its parent's threads but not the threads.
_SPAWN = get_context("spawn")


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(tmp_path / "objects" if request.param == "folder" else "memory://")


def test_objects_are_written_read_and_deleted(store: Store) -> None:
    store.put("a/b/c.bin", b"one")
    store.put("a/b/c.bin", b"two")
    assert store.read("a/b/c.bin") == b"two"
    assert store.size("a/b/c.bin") == 3
    assert store.exists("a/b/c.bin")
    store.delete("a/b/c.bin")
    store.delete("a/b/c.bin")
    assert not store.exists("a/b/c.bin")
    assert store.size("a/b/c.bin") is None
    with pytest.raises(NotFound, match=r"a/b/c\.bin"):
        store.read("a/b/c.bin")


def test_an_empty_object_is_an_object(store: Store) -> None:
    assert store.put_once("empty", b"")
    assert store.exists("empty")
    assert store.read("empty") == b""


def test_names_outside_ascii_survive(store: Store) -> None:
    store.put("ảnh/số 1 (bản sao).png", b"x")
    assert list(store.list("ảnh")) == ["ảnh/số 1 (bản sao).png"]
    assert store.read("ảnh/số 1 (bản sao).png") == b"x"


def test_listing_is_by_folder_not_by_letters(store: Store) -> None:
    for path in ("a/1", "a/2/3", "ab/1", "b"):
        store.put(path, b"")
    assert sorted(store.list("a")) == ["a/1", "a/2/3"]
    assert sorted(store.list("a/")) == ["a/1", "a/2/3"]
    assert list(store.list("none")) == []
    assert store.folders("") == ["a", "ab"]
    assert store.folders("a") == ["2"]
    assert store.folders("none") == []


def test_put_once_keeps_the_first(store: Store) -> None:
    assert store.put_once("a/b", b"first")
    assert not store.put_once("a/b", b"second")
    assert store.read("a/b") == b"first"


def test_a_create_that_fails_is_never_taken_for_one_that_was_there(tmp_path: Path) -> None:
    """What "exists already" is dropped by its writer; digits in a name must not say it."""
    store = open_store(tmp_path)
    (tmp_path / "ab").write_bytes(b"a file where a folder must be")
    for name in ("ab/4f.jpg", "ab/409.jpg"):
        with pytest.raises(StorageError, match="cannot create"):
            store.put_once(name, b"x")


def test_a_folder_is_named_as_it_is_called(tmp_path: Path) -> None:
    store = open_store(tmp_path / "xưởng một")
    with pytest.raises(NotFound, match="xưởng một"):
        store.read("a")
    assert open_store("memory://").place == "memory://"


def test_a_full_disk_asks_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise GenericError("Unable to copy data to file: No space left on device (os error 28)")

    monkeypatch.setattr("nhan.storage.obstore.put", full)
    store = open_store(tmp_path)
    for write in (store.put, store.put_once):
        with pytest.raises(StorageError, match="No space left") as caught:
            write("a", b"x")
        assert "make room" in caught.value.hint


@pytest.mark.parametrize(("last", "created"), [(200, True), (412, False)])
def test_an_s3_conflict_under_way_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, last: int, created: bool
) -> None:
    """409: another create or delete is under way. Only 412 says that the object is there."""
    answers = [409, 409, last]
    with _s3_that_answers(answers) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
            monkeypatch.setenv(name, "x")
        assert open_store("s3://bucket").put_once("a", b"x") is created
    assert answers == []


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "of another"])
def test_an_entry_whose_answer_was_lost_is_known_as_ours(
    monkeypatch: pytest.MonkeyPatch, ours: bool
) -> None:
    """S3 wrote it and said 503; asked again, it says 412. A promotion is not refused for that."""
    answers, kept = [503, 412], [b"" if ours else b'{"n": 0}']
    with _s3_that_answers(answers, kept) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
            monkeypatch.setenv(name, "x")
        log = NumberedLog(open_store("s3://bucket"), "log")
        if ours:
            assert log.append({"n": 1}, expected=0) == 1
        else:
            with pytest.raises(StaleLog):
                log.append({"n": 1}, expected=0)
    assert answers == []


@contextmanager
def _s3_that_answers(answers: list[int], kept: Sequence[bytes] = ()) -> Iterator[str]:
    """Answers a put with these; what it got is given back, or what was there before."""
    there = [one for one in kept if one]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("etag", '"x"')
            self.send_header("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT")
            self.send_header("content-length", str(len(there[0])))
            self.end_headers()
            self.wfile.write(there[0])

        def do_PUT(self) -> None:
            there.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(answers.pop(0))
            self.send_header("etag", '"x"')
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_file_is_put_and_opened_without_memory(store: Store, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(range(256)) * 100_000)
    store.put_file("deep/big.bin", big)
    with store.open("deep/big.bin") as file:
        file.seek(-3, 2)
        assert bytes(file.read()) == b"\xfd\xfe\xff"
        file.seek(256)
        assert bytes(file.read(2)) == b"\0\x01"
    with pytest.raises(NotFound):
        store.open("deep/none.bin")


def _create(folder: str, path: str, writer: int) -> bool:
    return open_store(folder).put_once(path, str(writer).encode() * 1000)


def test_of_many_threads_one_creates(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for turn in range(20):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda n, t=turn: store.put_once(f"{t}", b"%d" % n), range(8)))
        assert won.count(True) == 1
        assert store.read(f"{turn}") == b"%d" % won.index(True)


def test_of_two_processes_one_creates(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=_SPAWN) as pool:
        for turn in range(10):
            calls = [pool.submit(_create, str(tmp_path), f"x/{turn}", n) for n in range(2)]
            won = [call.result() for call in calls]
            assert won.count(True) == 1
            assert open_store(tmp_path).read(f"x/{turn}") == b"%d" % won.index(True) * 1000


def _append(folder: str, writer: int) -> list[int]:
    log = NumberedLog(open_store(folder), "models/reader/log")
    return [log.append({"writer": writer, "turn": turn}) for turn in range(25)]


def test_processes_append_and_every_number_has_one_winner(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=_SPAWN) as pool:
        parts = list(pool.map(_append, [str(tmp_path)] * 2, range(2)))
    assert sorted(parts[0] + parts[1]) == list(range(1, 51))
    entries = NumberedLog(open_store(tmp_path), "models/reader/log").entries()
    for writer in range(2):
        mine = [(number, entry["turn"]) for number, entry in entries if entry["writer"] == writer]
        assert mine == list(zip(parts[writer], range(25), strict=True))


def test_the_log_gives_back_what_was_appended(store: Store) -> None:
    log = NumberedLog(store, "models/a/log/")
    assert log.latest() is None
    assert log.latest_number() == 0
    assert log.append({"version": "1"}) == 1
    assert log.append({"version": "hai"}) == 2
    number, entry = log.latest() or (0, {})
    assert (number, entry["version"]) == (2, "hai")
    assert entry["at"].endswith("+00:00")
    assert json.loads(store.read("models/a/log/000002.json"))["version"] == "hai"


def test_a_decision_on_an_old_state_is_refused(store: Store) -> None:
    log = NumberedLog(store, "log")
    log.append({"n": 1})
    assert log.append({"n": 2}, expected=1) == 2
    with pytest.raises(StaleLog, match="after 000001"):
        log.append({"n": 3}, expected=1)
    assert log.latest_number() == 2


@pytest.mark.parametrize("left", [b"", bytes(40)])
def test_what_a_power_cut_left_of_an_entry_is_none(store: Store, left: bytes) -> None:
    log = NumberedLog(store, "log")
    log.append({"n": 1})
    store.put("log/000002.json", left)
    assert [number for number, _ in log.entries()] == [1]
    assert log.latest() == log.entries()[0]
    assert log.append({"n": 3}, expected=1) == 3
    with pytest.raises(StaleLog):
        log.append({"n": 4}, expected=1)
    number, entry = log.latest() or (0, {})
    assert (number, entry["n"]) == (3, 3)


@pytest.mark.parametrize("damaged", [b"{", b"[]", b"\xff"])
def test_a_damaged_entry_is_told(store: Store, damaged: bytes) -> None:
    store.put("log/000001.json", damaged)
    log = NumberedLog(store, "log")
    for read in (log.latest, log.entries):
        with pytest.raises(DamagedEntry, match=r"log/000001.json .* is damaged"):
            read()


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files and folders that were written through to the disk, in order."""
    names: list[str] = []
    fsync = os.fsync

    def remembered(opened: int) -> None:
        names.append(str(Path(f"/proc/self/fd/{opened}").readlink()))
        fsync(opened)

    monkeypatch.setattr(os, "fsync", remembered)
    return names


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_an_entry_and_the_folders_above_it_are_on_the_disk_before_it_is_told(
    tmp_path: Path, synced: list[str]
) -> None:
    root = tmp_path.resolve() / "store"
    store = open_store(root)
    NumberedLog(store, "models/a/log").append({"n": 1})
    folder = root / "models" / "a" / "log"
    above = [str(one) for one in (folder, *folder.parents) if one.is_relative_to(root)]
    assert synced == [str(folder / "000001.json"), *above]
    synced.clear()
    NumberedLog(store, "corrections/x", durable=False).append({"n": 1})
    assert synced == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_versions_files_are_on_the_disk_before_it_is_seen(
    tmp_path: Path, synced: list[str]
) -> None:
    root = tmp_path.resolve() / "store"
    files = {"model.onnx": b"onnx", "metrics.json": b"{}"}
    publish(open_store(root), "reader", files, {"task": "text"}, run="r")
    order = [Path(name).name for name in synced if Path(name).is_file()]
    assert sorted(order[:-1]) == ["card.md", "metrics.json", "model.onnx"]
    assert order[-1] == "nhan.json"


def test_strangers_in_the_log_folder_are_passed_over(store: Store) -> None:
    log = NumberedLog(store, "log")
    log.append({"n": 1})
    store.put("log/readme.txt", b"")
    store.put("log/x.json", b"{}")
    assert [number for number, _ in log.entries()] == [1]
    assert log.append({"n": 2}) == 2


def test_a_wrong_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ftp"):
        open_store("ftp://host/x")
    with pytest.raises(SettingsError, match="must not carry a key"):
        open_store("s3://user:secret@bucket/x")
    assert open_store(f"file://{tmp_path}/a%20b").folder == tmp_path / "a b"
