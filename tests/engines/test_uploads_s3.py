"""Collection with a real S3 server that goes away under load, and a catalogue on PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from servers import end, free_port, wait_for_port

from nhan.catalog.schema import corrections, labels, predictions
from nhan.images import content_hash
from nhan.samples.pictures import picture_path
from nhan.storage import NumberedLog
from nhan.uploads.intake import take_in
from nhan.uploads.record import (
    CorrectionRecord,
    UploadRecord,
    corrections_prefix,
    dump,
    inbox_path,
    taken_path,
)
from nhan.workspace import Workspace

pytestmark = pytest.mark.engine

_CLIENTS = 8
_AWAY_S = 60
# Of each client between two pictures: what piles up in a minute must be shipped to a server that
# is itself a small Python program.
_PAUSE_S = 0.15
_PATIENCE_S = 900


class Switched:
    """An S3 server behind a door that can be shut: its objects stay, nobody reaches it.

    A proxy of TCP connections: shutting it cuts those that are open and refuses new ones, which is
    what clients see of a server that was stopped.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._process: subprocess.Popen[bytes] | None = None
        self.open()

    def open(self) -> None:
        command = [sys.executable, "-c", _PROXY, str(self.port), str(self._target)]
        self._process = subprocess.Popen(command)
        wait_for_port(self.port, self._process)

    def shut(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


_PROXY = """
import asyncio, sys
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def connected(reader, writer):
    there, back = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(copy(reader, back), copy(there, writer))
async def main():
    server = await asyncio.start_server(connected, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""


@pytest.fixture
def door(s3_endpoint: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switched]:
    switched = Switched(int(s3_endpoint.rpartition(":")[2]))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{switched.port}")
    yield switched
    switched.shut()


class Client:
    def __init__(self, port: int, draw: Callable[..., bytes]) -> None:
        self.port = port
        self.kept: dict[str, str] = {}
        self.corrected: dict[str, str] = {}
        self.statuses: list[int] = []
        self.slowest_s = 0.0
        self._draw = draw
        self._number = 0
        self._lock = threading.Lock()
        self.stopping = threading.Event()

    def run(self) -> None:
        import httpx

        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=300) as http:
            while not self.stopping.is_set():
                with self._lock:
                    self._number += 1
                    number = self._number
                picture = self._draw(f"{number}", height=16)
                began = time.monotonic()
                answer = http.post("/predict", content=picture)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.statuses.append(answer.status_code)
                time.sleep(_PAUSE_S)
                if answer.headers.get("x-nhan-collected") == "yes":
                    prediction = answer.json()["id"]
                    self.kept[prediction] = content_hash(picture)
                    if number % 7 == 0:
                        said = {"prediction": prediction, "label": f"nhãn {number}"}
                        given = http.post("/corrections", json=said)
                        self.statuses.append(given.status_code)
                        self.corrected[prediction] = given.json()["id"]


def test_a_store_that_is_stopped_for_a_minute_under_load_loses_nothing(
    tmp_path: Path, s3_url: str, door: Switched, draw_line: Callable[..., bytes]
) -> None:
    root = tmp_path / "workspace"
    with Workspace.init(root, objects=s3_url):
        pass
    environment = {
        **os.environ,
        "NHAN_WORKSPACE": str(root),
        "NHAN_SERVE__ADMIN_PORT": "0",
        "NHAN_SERVE__WORKERS": "1",
        "NHAN_UPLOADS__SHIP_AFTER_S": "1",
        "NHAN_UPLOADS__FREE_MEGABYTES": "0",
        "OMP_NUM_THREADS": "1",
    }
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "nhan", "serve", "--port", str(port)], env=environment
    )
    try:
        wait_for_port(port, server)
        _until_ready(port)
        client = Client(port, draw_line)
        with ThreadPoolExecutor(_CLIENTS) as pool:
            running = [pool.submit(client.run) for _ in range(_CLIENTS)]
            time.sleep(5)
            before = len(client.kept)
            door.shut()
            time.sleep(_AWAY_S)
            during = len(client.kept) - before
            door.open()
            time.sleep(5)
            client.stopping.set()
            for one in running:
                one.result()
        with Workspace.open(root) as workspace:
            _wait_for_shipping(workspace)
    finally:
        end(server)
    assert set(client.statuses) <= {200, 201}, "nobody noticed"
    assert during > before, "answers went on while the store was away"
    with Workspace.open(root) as workspace:
        store = workspace.store
        for prediction, sha256 in client.kept.items():
            record = UploadRecord.from_bytes(store.read(inbox_path(prediction)))
            assert record.sha256 == sha256
            assert content_hash(store.read(record.path)) == sha256
        for prediction, correction in client.corrected.items():
            entries = NumberedLog(store, corrections_prefix(prediction)).entries()
            assert [entry["id"] for _, entry in entries] == [correction]
    print(
        f"{len(client.kept)} uploads, {during} while the store was away, "
        f"{len(client.corrected)} corrections; slowest answer {client.slowest_s:.2f} s"
    )


def _until_ready(port: int) -> None:
    import httpx

    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=30).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    pytest.fail("the server never became ready")


def _wait_for_shipping(workspace: Workspace) -> None:
    folder = workspace.root / "spool"
    deadline = time.monotonic() + _PATIENCE_S
    while list(folder.glob("*.journal")):
        if time.monotonic() > deadline:
            pytest.fail(f"{len(list(folder.glob('*.journal')))} segments were not shipped")
        time.sleep(0.5)


def test_intake_into_postgresql_from_s3_killed_and_repeated(
    tmp_path: Path, s3_url: str, postgres_url: str, draw_line: Callable[..., bytes]
) -> None:
    root = tmp_path / "workspace"
    with Workspace.init(root, objects=s3_url, catalog=postgres_url) as workspace:
        records = []
        for number in range(300):
            data = draw_line(f"{number}", height=16)
            sha256 = content_hash(data)
            now = time.time()
            record = UploadRecord(
                id=f"{int(now * 1e3):012x}{number:016x}",
                at=datetime.fromtimestamp(now, UTC),
                task="text", model="vi-line", version="1", value=f"{number}", confidence=0.5,
                details={}, sha256=sha256, path=picture_path(sha256, "png"),
                size_bytes=len(data), format="png", user="lan", consent=number % 2 == 0,
            )  # fmt: skip
            workspace.store.put(record.path, data)
            workspace.store.put(inbox_path(record.id), record.to_bytes())
            records.append(record)
        given = [
            CorrectionRecord.make(record.id, "nhãn", "an", trusted=True) for record in records[::10]
        ]
        for one in given:
            workspace.store.put(inbox_path(one.prediction, one.id), dump(one.to_json()))
        for delay_s in (1.0, 1.5, 2.0):
            pair = [_start_intake(root) for _ in range(2)]
            time.sleep(delay_s)
            for process in pair:
                process.kill()
                process.wait()
        take_in(workspace)
        with workspace.catalog.read() as connection:
            known = set(connection.scalars(sa.select(predictions.c.id)))
            corrected = set(connection.scalars(sa.select(corrections.c.id)))
            count = connection.scalar(sa.select(sa.func.count()).select_from(labels))
        assert known == {record.id for record in records}
        assert corrected == {one.id for one in given}
        assert count == len(given)
        assert all(workspace.store.exists(taken_path(record.id)) for record in records)
        assert not list(workspace.store.list("uploads/inbox"))
        listed = subprocess.run(
            [sys.executable, "-m", "nhan", "uploads", "erase", "--user", "lan", "--json"],
            env={**os.environ, "NHAN_WORKSPACE": str(root)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(listed.stdout)["uploads"] == 300
        assert not list(workspace.store.list("images"))


def _start_intake(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "nhan", "uploads", "intake"],
        env={**os.environ, "NHAN_WORKSPACE": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
