"""Kill -9 at random moments: whatever was acknowledged is in the store, once and whole."""

from __future__ import annotations

import http.client
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from at_work import wait_until_at_work
from nhan.catalog.samples import read_rows
from nhan.catalog.schema import corrections, labels, predictions, samples
from nhan.images import content_hash
from nhan.storage import NumberedLog
from nhan.uploads.intake import take_in
from nhan.uploads.record import UploadRecord, corrections_prefix, inbox_path, taken_path
from nhan.workspace import Workspace

_CLIENTS = 4


class Server:
    """`nhan serve` with the bundled reader on free ports."""

    def __init__(self, root: Path, **variables: str) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NHAN_")},
            "NHAN_WORKSPACE": str(root),
            "NHAN_SERVE__PORT": "0",
            "NHAN_SERVE__ADMIN_PORT": "0",
            "NHAN_SERVE__WORKERS": "1",
            "NHAN_SERVE__LINGER_S": "0",
            "NHAN_UPLOADS__SHIP_AFTER_S": "0.1",
            "NHAN_UPLOADS__FREE_MEGABYTES": "0",
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nhan", "serve"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.log: list[str] = []
        self.ports: list[int] = []
        for line in self.process.stderr:
            self.log.append(line)
            self.ports += [int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", line)][:1]
            if len(self.ports) == 2:
                break
        self._reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr))
        self._reader.start()
        self.until_ready()

    def request(self, method, path, body=None, headers=None, *, admin=False, timeout=60):
        """Status, body and headers; status 0 when no answer came."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[admin], timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read(), dict(response.getheaders())
        except (OSError, http.client.HTTPException):
            return 0, b"", {}
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        text = self.request("GET", "/metrics", admin=True)[1].decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def until_ready(self) -> None:
        self.until(lambda: self.request("GET", "/readyz", timeout=10)[0] == 200)

    def until(self, condition, seconds=300):
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, "".join(self.log)
            assert time.monotonic() < end, "".join(self.log)
            time.sleep(0.05)

    def front(self) -> int:
        """The process that answers: the one child with both listening sockets."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0])

    def kill(self) -> None:
        """All of its processes at once, as when the machine's plug is pulled."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self._end()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self._end()

    def _end(self) -> int:
        try:
            self.process.wait(180)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        self._reader.join(60)
        self.process.stderr.close()
        return self.process.wait()


class Sender:
    """Clients that send different pictures without pause and remember what was acknowledged."""

    def __init__(self, draw_line, first: int = 0) -> None:
        self.kept: dict[str, str] = {}
        self.corrected: dict[str, str] = {}
        self.statuses: list[int] = []
        self._draw = draw_line
        self._number = first
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pool: ThreadPoolExecutor | None = None

    def start(self, server: Server) -> None:
        self._stop.clear()
        self._pool = ThreadPoolExecutor(_CLIENTS)
        for _ in range(_CLIENTS):
            self._pool.submit(self._run, server)

    def stop(self) -> None:
        self._stop.set()
        self._pool.shutdown(wait=True)

    def _run(self, server: Server) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._number += 1
                number = self._number
            picture = self._draw(f"{number}", height=16)
            status, body, headers = server.request("POST", "/predict", picture)
            self.statuses.append(status)
            if status != 200:
                time.sleep(0.01)
                continue
            if headers.get("x-nhan-collected") != "yes":
                continue
            prediction = json.loads(body)["id"]
            self.kept[prediction] = content_hash(picture)
            if number % 5 == 0:
                said = json.dumps({"prediction": prediction, "label": f"nhãn {number}"})
                status, body, _ = server.request("POST", "/corrections", said)
                if status in (200, 201):
                    self.corrected[prediction] = json.loads(body)["id"]


def check(workspace: Workspace, sender: Sender) -> None:
    """Acknowledged = stored: every picture whole, every record, every correction once."""
    store = workspace.store
    for prediction, sha256 in sender.kept.items():
        path = inbox_path(prediction)
        path = path if store.exists(path) else taken_path(prediction)
        record = UploadRecord.from_bytes(store.read(path))
        assert record.sha256 == sha256
        assert content_hash(store.read(record.path)) == sha256
    for prediction, correction in sender.corrected.items():
        history = NumberedLog(store, corrections_prefix(prediction)).entries()
        assert [entry["id"] for _, entry in history] == [correction]


def kill_again_and_again(workspace, draw_line, *, kills, longest_s, whole=True) -> Sender:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    sender = Sender(draw_line)
    server = Server(workspace.root)
    try:
        for number in range(kills):
            sender.start(server)
            time.sleep(chance.uniform(0.05, longest_s))
            if whole:
                server.kill()
                sender.stop()
                server = Server(workspace.root)
            else:
                os.kill(server.front(), signal.SIGKILL)
                server.until_ready()
                sender.stop()
            print(f"seed {seed}, kill {number + 1}: {len(sender.kept)} acknowledged")
        server.until(lambda: server.metric("nhan_uploads_waiting") == 0)
    finally:
        code = server.stop()
    assert code == 0
    check(workspace, sender)
    assert len(sender.kept) > kills
    return sender


def test_acknowledged_uploads_survive_a_killed_server(workspace, draw_line):
    sender = kill_again_and_again(workspace, draw_line, kills=2, longest_s=0.8)
    report = take_in(workspace)
    assert report.taken >= len(sender.kept)
    assert not report.refused
    with workspace.catalog.read() as connection:
        known = set(connection.scalars(sa.select(predictions.c.id)))
    assert known >= set(sender.kept)


@pytest.mark.slow
def test_thirty_kills_of_the_whole_server(workspace, draw_line):
    kill_again_and_again(workspace, draw_line, kills=30, longest_s=2.0)


@pytest.mark.slow
def test_thirty_kills_of_the_process_that_answers(workspace, draw_line):
    kill_again_and_again(workspace, draw_line, kills=30, longest_s=2.0, whole=False)


def test_a_server_that_is_stopped_ships_what_it_kept(workspace, draw_line):
    sender = Sender(draw_line)
    server = Server(workspace.root, NHAN_UPLOADS__SHIP_AFTER_S="60")
    sender.start(server)
    server.until(lambda: len(sender.kept) >= 10)
    sender.stop()
    assert server.metric("nhan_uploads_waiting") >= 10
    assert server.stop() == 0
    check(workspace, sender)
    assert not list((workspace.root / "spool").glob("*.journal"))


def test_intake_ships_what_a_dead_server_left(workspace, draw_line):
    sender = Sender(draw_line)
    server = Server(workspace.root, NHAN_UPLOADS__SHIP_AFTER_S="60")
    sender.start(server)
    server.until(lambda: len(sender.kept) >= 10)
    server.kill()
    sender.stop()
    assert not list(workspace.store.list("uploads"))
    report = take_in(workspace)
    assert report.taken >= len(sender.kept)
    check(workspace, sender)


@pytest.mark.parametrize("policy", ["answer", "refuse"])
def test_a_server_whose_disk_is_full_goes_on_or_refuses(workspace, draw_line, small_disk, policy):
    spool = {"NHAN_UPLOADS__SPOOL": str(small_disk / "spool"), "NHAN_UPLOADS__WHEN_FULL": policy}
    sender = Sender(draw_line)
    server = Server(workspace.root, NHAN_UPLOADS__SHIP_AFTER_S="3600", **spool)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_900_000))
    try:
        sender.start(server)
        full = 'nhan_uploads_dropped_total{reason="full"}'
        server.until(lambda: server.metric(full) > 20 or sender.statuses.count(503) > 20)
        sender.stop()
        assert set(sender.statuses) == ({200} if policy == "answer" else {200, 503})
        assert sender.kept
        filler.unlink()
        status, _, headers = server.request("POST", "/predict", draw_line("room again"))
        assert (status, headers["x-nhan-collected"]) == (200, "yes")
    finally:
        assert server.stop() == 0
    check(workspace, sender)


# Intake


# The command with transactions of a few uploads, so that it has many moments to be killed in.
_INTAKE = (
    "import sys; from nhan.uploads import intake; intake._BATCH = 20; "
    "from nhan.cli.main import run; run(['uploads', 'intake', '--workspace', sys.argv[1]])"
)


def start_intake(workspace: Workspace) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _INTAKE, str(workspace.root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def check_catalog(workspace: Workspace, records: list[UploadRecord], *, all_in: bool) -> int:
    """Each upload is in the inbox or in the catalogue, never in neither; samples are whole."""
    with workspace.catalog.read() as connection:
        rows = connection.execute(
            sa.select(predictions.c.id, samples.c.sha256).join_from(predictions, samples)
        ).all()
    known = {row[0]: row[1] for row in rows}
    assert len(rows) == len(known)
    for record in records:
        in_inbox = workspace.store.exists(inbox_path(record.id))
        assert in_inbox or known[record.id] == record.sha256
        assert in_inbox or workspace.store.exists(taken_path(record.id))
        assert not (all_in and in_inbox)
    hashes = [row.sha256 for row in read_rows(workspace.catalog, "text")]
    assert len(hashes) == len(set(hashes))
    return len(known)


def kill_intakes(workspace, upload, correct, *, batch, kills):
    """Kill intakes anywhere in the time that one takes; once all is taken in, uploads go on."""
    chance = random.Random(seed := random.randrange(10**6))
    records: list[UploadRecord] = []
    given = []
    done = killed = partly = 0
    takes_s = math.inf  # the first one tells
    while killed < kills:
        before, fresh = done, done == len(records)
        if fresh:
            records += [upload(done + number) for number in range(batch)]
            given += [correct(one.id, f"nhãn {one.id}", "an") for one in records[done::10]]
        pair = [start_intake(workspace) for _ in range(1 + killed % 2)]
        wait_until_at_work(workspace, pair[0])
        began = time.monotonic()
        try:
            pair[0].wait(None if takes_s == math.inf else chance.uniform(0, takes_s))
        except subprocess.TimeoutExpired:
            killed += 1
        else:
            takes_s = time.monotonic() - began if fresh else takes_s
        for process in pair:
            process.kill()
            process.communicate()
        done = check_catalog(workspace, records, all_in=False)
        partly += before < done < len(records)
    print(f"{killed} kills, seed {seed}, {len(records)} uploads; {partly} left some of what waited")
    take_in(workspace)
    assert check_catalog(workspace, records, all_in=True) == len(records)
    assert len(list(read_rows(workspace.catalog, "text"))) == len(records)
    check_corrections(workspace, given)


def check_corrections(workspace, given):
    with workspace.catalog.read() as connection:
        known = set(connection.scalars(sa.select(corrections.c.id)))
        count = connection.scalar(sa.select(sa.func.count()).select_from(labels))
    assert known == {one.id for one in given}
    assert count == len(given)


def test_a_killed_intake_is_finished_by_the_next(workspace, upload, correct):
    kill_intakes(workspace, upload, correct, batch=300, kills=3)


@pytest.mark.slow
def test_thirty_kills_of_intakes(workspace, upload, correct):
    kill_intakes(workspace, upload, correct, batch=400, kills=30)


def test_two_intakes_at_once_take_each_upload_once(workspace, upload, correct):
    records = [upload(number) for number in range(800)]
    given = [correct(record.id, "nhãn", "an") for record in records[::10]]
    pair = [start_intake(workspace) for _ in range(2)]
    for process in pair:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    assert check_catalog(workspace, records, all_in=True) == 800
    check_corrections(workspace, given)
    assert not list(workspace.store.list("uploads/inbox"))
