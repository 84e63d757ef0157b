"""The server as it is run: processes, signals, slow and hostile clients, real sockets."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

from nhan.models.package import publish
from nhan.models.registry import Promotion, Registry
from nhan.workspace import Workspace
from pace import Stopwatch, keeps_within

OTHER = "ĐĂÂÊÔƠƯÉ"


class Server:
    """`nhan serve` on free ports."""

    def __init__(self, root: Path, **variables: str):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NHAN_")},
            "NHAN_WORKSPACE": str(root),
            "NHAN_SERVE__PORT": "0",
            "NHAN_SERVE__ADMIN_PORT": "0",
            "NHAN_SERVE__POLL_S": "0.1",
            "NHAN_SERVE__LINGER_S": "0.1",
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        self.root = root
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nhan", "serve"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self.ports: list[int] = []
        for line in self.process.stderr:
            self.log.append(line)
            self.ports += [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+) |:(\d+)$", line)
                           for port in port if port][:1]  # fmt: skip
            if len(self.ports) == 2:
                break
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr))
        self.reader.start()
        self.until(lambda: self.get("/readyz")[0] == 200)

    def request(self, method, path, body=None, headers=None, *, admin=False, timeout=60):
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.ports[1 if admin else 0], timeout=timeout
        )
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read(), dict(response.getheaders())
        finally:
            connection.close()

    def get(self, path, **options):
        try:
            return self.request("GET", path, **options)
        except (OSError, http.client.HTTPException):
            return 0, b"", {}

    def predict(self, picture):
        return self.request("POST", "/predict", picture)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.ports[0]), timeout=60)

    def until(self, condition, seconds=120):
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, "".join(self.log)
            assert time.monotonic() < end, "".join(self.log)
            time.sleep(0.02)

    def children(self):
        pid = self.process.pid
        return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill_worker(self, pid):
        """kill -9, and wait until another one has its place."""
        os.kill(pid, signal.SIGKILL)

        def replaced():
            # Until its parent has seen it die, a dead child is still listed.
            children = self.children()
            return pid not in children and len(children) == 3

        self.until(replaced)

    def memory_mib(self):
        return sum(
            int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
            for pid in (self.process.pid, *self.children())
        ) / 1024  # fmt: skip

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.reader.join(60)
        self.process.stderr.close()
        return self.process.wait()


def make_workspace(root, toy_files, toy_spec):
    with Workspace.init(root) as workspace:
        publish(workspace.store, "toy", toy_files, toy_spec(), run="1")
        publish(workspace.store, "toy", toy_files, toy_spec(OTHER), run="2")
        promotion = Promotion(action="forced", version=1)
        Registry(workspace.store).record("toy", promotion, expected=0)
    return root


@pytest.fixture(scope="module")
def server(tmp_path_factory, toy_files, toy_spec):
    root = make_workspace(tmp_path_factory.mktemp("server") / "w", toy_files, toy_spec)
    (temporary := root.parent / "temporary").mkdir()
    running = Server(
        root,
        TMPDIR=str(temporary),
        # Long enough for our own clients on a busy machine, short enough to wait for.
        NHAN_SERVE__HEAD_S="1.5",
        NHAN_SERVE__BODY_S="2.0",
        NHAN_SERVE__DEADLINE_S="100",  # nothing is refused because the machine is busy
        NHAN_SERVE__WORKERS="2",
        NHAN_SERVE__MAX_BODY_BYTES="20000000",
    )
    # It is ready with the first worker; the other one's memory must not grow during a test.
    running.until(lambda: sum("takes part" in line for line in running.log) == 2)
    yield running
    running.stop()


@pytest.fixture
def fresh(tmp_path, toy_files, toy_spec):
    started = []

    def start(**variables):
        root = make_workspace(tmp_path / "w", toy_files, toy_spec)
        started.append(Server(root, **variables))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def png_header(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bomb(form, size, mode="L", **options):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, form, **options)
    return buffer.getvalue()


def gif_header(width, height):
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    image = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00;"
    return b"GIF89a" + screen + image


def text_bomb(size=64_000_000, count=1):
    """A tiny picture with compressed comments."""
    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "PNG")
    data = b"Comment\0\0" + zlib.compress(bytes(size), 9)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + data))
    return picture.getvalue()[:33] + chunk * count + picture.getvalue()[33:]


def padded_jpeg():
    """Fill bytes before the first segment; a decoder skips them one by one."""
    data = bomb("JPEG", (8, 8))
    return data[:2] + b"\xff" * 300_000 + data[2:]


def test_head_is_answered_as_get_without_a_body(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.ports[0], timeout=60)
    for path in ("/healthz", "/readyz", "/ping", "/openapi.json", "/v2"):
        asked = {}
        for method in ("GET", "HEAD"):
            connection.request(method, path)  # one connection: a stray body would break the next
            response = connection.getresponse()
            asked[method] = response.status, response.getheader("content-length")
            body = response.read()
        assert asked["HEAD"] == asked["GET"]
        assert asked["HEAD"][0] == 200
        assert body == b""
    connection.close()


def test_it_answers(server, toy_picture):
    status, body, headers = server.predict(toy_picture("đăâ"))
    assert (status, json.loads(body)["text"]) == (200, "đăâ")
    assert {name.lower(): value for name, value in headers.items()}["x-nhan-model"] == "toy@1"


@pytest.mark.parametrize(
    ("make", "statuses"),
    [
        (lambda: png_header(20000, 20000), {413}),
        (lambda: png_header(2**31 - 1, 2**31 - 1), {413, 400}),
        (lambda: bomb("TIFF", (10000, 4100), "1", compression="group4"), {413}),
        (lambda: gif_header(20000, 20000), {413}),
        (lambda: bomb("WEBP", (16000, 2600), quality=0, method=0), {413}),
        (text_bomb, {400}),
        (lambda: text_bomb(900_000, 60), {400}),
        (padded_jpeg, {400}),
        (lambda: png_header(8000, 4000), {400}),  # within the limit, but the rows are missing
        (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100_000), {400}),
        (lambda: b"GIF89a" + bytes([255]) * 50_000, {400, 413}),
        (lambda: b"II*\0" + bytes([255]) * 50_000, {400}),
        (lambda: b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes([255]) * 1000, {400, 413}),
    ],
)
def test_bombs_and_lies_are_refused_quickly_and_cost_no_memory(server, make, statuses):
    data = make()
    server.predict(data)
    before = server.memory_mib()

    def ask():
        status, body, _ = server.predict(data)
        assert status in statuses, body

    assert keeps_within(0.4, ask), "on a quiet machine it is below 0.05 s"
    for _ in range(5):
        ask()
    assert server.memory_mib() - before < 20


@pytest.mark.parametrize(
    ("make", "refused"),
    [(lambda: png_header(20000, 20000), 413), (text_bomb, 400), (padded_jpeg, 400)],
    ids=["pixels", "compressed metadata", "fill bytes"],
)
def test_a_bomb_is_refused_at_once_while_others_wait(server, make, refused):
    """Told from its header or structure in the front process; it never stands in the queue."""
    hostile = make()
    slow = bomb("PNG", (4000, 4000), "RGB")
    stop, waited = threading.Event(), []

    def client():
        while not stop.is_set():
            begun = time.perf_counter()
            if server.predict(slow)[0] == 200:  # else it was refused at once, too
                waited.append(time.perf_counter() - begun)

    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    server.until(lambda: len(waited) > 8)
    times = []

    def ask():
        begun = time.perf_counter()
        status, _, _ = server.predict(hostile)
        times.append(time.perf_counter() - begun)
        assert status == refused

    try:
        at_once = keeps_within(0.05, ask)
        for _ in range(10):
            ask()
    finally:
        stop.set()
        for one in clients:
            one.join()
    assert at_once, times
    assert sorted(times)[len(times) // 2] < sorted(waited)[len(waited) // 2] / 2


def test_an_announced_giant_is_refused_before_it_is_sent(server):
    with server.connect() as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 999999999999\r\n\r\n")
        watch = Stopwatch()
        answer = client.recv(4096)
        assert watch.allows(1)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


def test_a_chunked_giant_is_cut_off(server):
    sent = 0
    with server.connect() as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n" % 1_000_000 + bytes(1_000_000) + b"\r\n"
        try:
            while sent < 400:
                client.sendall(chunk)
                sent += 1
        except OSError:
            pass
    assert sent < 400


@pytest.mark.parametrize(
    "endless", [b"0\r\n" + b"x: y\r\n" * 5000, b"0\r\nx: " + b"y" * 60_000, b"3;x=" + b"y" * 60_000]
)
def test_what_stands_around_a_chunked_body_is_bounded(server, endless):
    """Headers behind it were kept for as long as they came: 2.7 GB in six seconds."""
    before, sent = server.memory_mib(), 0
    with server.connect() as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
        )
        with contextlib.suppress(OSError):
            client.sendall(endless)
            while sent < 400:
                client.sendall(endless[6:])
                sent += 1
    assert sent < 400
    assert server.memory_mib() - before < 20


def test_a_body_in_the_tiniest_pieces_arrives(server, toy_picture):
    picture = toy_picture("đăâ")
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in picture) + b"0\r\nx: y\r\n\r\n"
    with server.connect() as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + pieces
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_the_refusal_of_a_large_upload_can_be_read(server):
    """The client is still sending when it is refused; a reset would eat the answer."""
    status, body, _ = server.predict(bytes(15_000_000))
    assert (status, json.loads(body)["error"]["code"]) == (413, "image_too_large")


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST /pred",
        b"POST /predict HTTP/1.1\r\nhost: a\r\n",
        b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nabc",
    ],
)
def test_slow_clients_are_hung_up_on(server, beginning):
    with server.connect() as client:
        client.sendall(beginning)
        watch = Stopwatch()
        answer = client.recv(4096)
        assert watch.allows(5)
        assert not answer or b" 408 " in answer.split(b"\r\n")[0]
        assert client.recv(4096) == b"" if answer else True


def test_dripping_a_head_does_not_reset_the_clock(server):
    with server.connect() as client:
        watch = Stopwatch()
        try:
            client.sendall(b"GET / HTTP/1.1\r\n")
            while watch.seconds < 60:
                client.sendall(b"x: y\r\n")
                time.sleep(0.1)
        except OSError:
            pass
        assert watch.allows(5)


def test_a_giant_head_is_refused(server):
    with server.connect() as client:
        try:
            client.sendall(b"GET / HTTP/1.1\r\n" + b"x: %s\r\n" % (b"y" * 100_000))
            answer = client.recv(4096)
        except ConnectionResetError:
            answer = b""
    assert not answer or answer.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("nonsense", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"\0" * 64])
def test_what_is_no_http_gets_our_error_shape(server, nonsense):
    with server.connect() as client:
        client.sendall(nonsense + b"\r\n\r\n")
        answer = client.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_request"


@pytest.mark.parametrize("body", [b"\r\n", b"content-length: 9\r\n\r\n", b"upgrade: h2c\r\n\r\n"])
def test_a_request_that_names_no_host_is_refused(server, body):
    """Whoever stands in front may have meant another server (RFC 9112, 3.2)."""
    with server.connect() as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nconnection: upgrade\r\n" + body)
        answer = client.makefile("rb").read()  # to the end: the connection is closed
    assert answer.count(b"HTTP/1.1 400") == 1
    assert "no host" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize(
    "head", [b"GET /ping HTTP/1.0\r\n", b"GET /ping HTTP/1.1\r\nconnection: close\r\nHOST:\r\n"]
)
def test_what_need_name_no_host_is_answered(server, head):
    """Load balancers ask whether we live in HTTP/1.0; and a host may be named, and be empty."""
    with server.connect() as client:
        client.sendall(head + b"\r\n")
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order(server, toy_picture):
    words = ["đ", "ă", "đâ"]
    with server.connect() as client:
        for word in words:
            body = toy_picture(word)
            client.sendall(
                b"POST /predict HTTP/1.1\r\nhost: a\r\naccept: text/plain\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
        received = b""
        while received.count(b"HTTP/1.1 200") < 3 or not received.endswith("đâ".encode()):
            received += client.recv(4096)
    bodies = [part.rpartition(b"\r\n\r\n")[2].decode() for part in received.split(b"HTTP/1.1 ")[1:]]
    assert bodies == words


def test_a_hundred_continues(server, toy_picture):
    body = toy_picture("êô")
    with server.connect() as client:
        client.sendall(
            b"POST /predict HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"
            b"content-length: %d\r\n\r\n" % len(body)
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(body)
        answer = b""
        while "êô".encode() not in answer:  # head and body may come apart
            part = client.recv(4096)
            assert part, answer
            answer += part


@pytest.mark.parametrize("behind", [0, 30_000])
@pytest.mark.parametrize("long", [31_000, 34_000, 62_000])
def test_a_long_head_is_refused_also_when_it_arrives_at_once(server, long, behind):
    head = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nX-Long: %s\r\nConnection: close\r\n" % (
        b"a" * long
    )
    with server.connect() as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % behind + bytes(behind))
        try:
            answer = connection.makefile("rb").read().decode()
        except ConnectionResetError:  # refused before all of it had arrived
            answer = ""
    if long < 32_000:
        assert answer.startswith("HTTP/1.1 404")
    else:
        assert not answer or answer.startswith("HTTP/1.1 431")
    assert answer.count("HTTP/1.1") <= 1


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("cut", [0, 40, 150, 230])
def test_an_offer_of_http_2_is_passed_over(server, toy_picture, chunked, cut):
    """Java's HttpClient offers it with every request; the picture behind it was lost."""
    picture = toy_picture("đă")
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(picture)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(picture), picture) if chunked else picture
    offering = (
        b"POST /predict HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
        b"Accept: text/plain\r\n" + length + b"\r\n\r\n" + body
    )
    asking = b"GET /ping HTTP/1.1\r\nHost: a\r\n%s\r\n"
    offer = b"Connection: upgrade, close\r\nUpgrade: websocket\r\n"
    sent = offering + asking % b"" + offering + asking % offer
    with server.connect() as connection:
        connection.sendall(sent[:cut])
        if cut:
            time.sleep(0.1)  # so that they arrive apart, which nothing tells
        connection.sendall(sent[cut:])
        answers = connection.makefile("rb").read().decode()
    assert answers.count("HTTP/1.1 200 OK") == 4
    assert answers.count("\r\n\r\nđă") == 2
    assert answers.count("Healthy") == 2


@pytest.mark.parametrize(
    "beginning",
    [
        b"CONNECT 10.0.0.1:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nno length\r\n",
    ],
)
def test_no_tunnel_and_no_nonsense_behind_an_offer(server, beginning):
    with server.connect() as connection:
        connection.sendall(beginning)
        assert b"HTTP/1.1 400" in connection.makefile("rb").read()


def test_head_and_body_of_an_answer_come_together(server, toy_picture):
    """Two writes would wake the client twice for every answer."""
    body = toy_picture("đă")
    with server.connect() as client:
        for _ in range(3):
            client.sendall(
                b"POST /predict HTTP/1.1\r\nhost: a\r\naccept: text/plain\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
            assert client.recv(4096).endswith("\r\n\r\nđă".encode())


def test_a_page_of_an_allowed_origin_can_read_the_answer(fresh, toy_picture):
    server = fresh(NHAN_SERVE__CORS_ORIGINS='["https://shop.example"]')
    origin = {"origin": "https://shop.example"}
    status, _, headers = server.request("POST", "/predict", toy_picture("đ"), origin)
    assert (status, headers["access-control-allow-origin"]) == (200, "https://shop.example")


def test_a_killed_worker_costs_no_request(server, toy_picture):
    answers, stop = [], threading.Event()

    def client():
        while not stop.is_set():
            answers.append(server.predict(toy_picture("đăâ"))[0])

    clients = [threading.Thread(target=client) for _ in range(4)]
    for one in clients:
        one.start()
    for _ in range(3):
        front, *workers = server.children()
        server.kill_worker(workers[-1])
        time.sleep(0.2)
    stop.set()
    for one in clients:
        one.join()
    assert set(answers) == {200}
    assert front == server.children()[0]


def test_workers_killed_again_and_again_are_back_at_once(server, toy_picture):
    for number in range(12):
        _, *workers = server.children()
        watch = Stopwatch()
        server.kill_worker(workers[number % 2])
        # Where the machine is busy the other worker may be a replacement too that still loads.
        server.until(lambda: server.predict(toy_picture("đ"))[0] == 200)
        assert watch.allows(4), "a pause for children that keep dying would take seconds"
        time.sleep(0.1)


def test_a_killed_front_process_is_back_within_two_seconds(server, toy_picture):
    temporary = server.root.parent / "temporary"
    left = set(temporary.glob("nhan-serve-*"))
    watch = Stopwatch()
    os.kill(server.children()[0], signal.SIGKILL)

    def answers():
        try:
            return server.predict(toy_picture("đ"))[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    server.until(answers)
    assert watch.allows(4), "2 s on a quiet machine"
    server.until(lambda: not any(folder.exists() for folder in left))
    (own,) = temporary.glob("nhan-serve-*")
    assert left
    assert list((own / "files").iterdir())


def test_metrics_are_on_the_admin_address(server):
    status, body, _ = server.get("/metrics", admin=True)
    assert status == 200
    assert b'nhan_champion_info{file="model.onnx",model="toy",task="text",version="1"} 1.0' in body


def test_sigterm_loses_no_accepted_request(fresh, toy_picture):
    server = fresh()
    picture = toy_picture("đăâê")
    outcomes = []

    def client():
        """Opens a connection for each request: refused once the door is shut, never cut off."""
        while True:
            try:
                outcomes.append(server.predict(picture)[0])
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException) as error:
                outcomes.append(error)
                return

    clients = [threading.Thread(target=client) for _ in range(6)]
    for one in clients:
        one.start()
    server.until(lambda: len(outcomes) > 12)
    server.process.terminate()
    for one in clients:
        one.join()
    assert server.process.wait(60) == 0
    # A connection that the kernel had queued but nobody had accepted may be reset; one that was
    # accepted and not answered would end instead (RemoteDisconnected).
    reset = [one for one in outcomes if type(one) in (ConnectionResetError, BrokenPipeError)]
    assert len(reset) <= len(clients), outcomes[-6:]
    assert {one for one in outcomes if one not in reset} == {200}


def test_a_shutdown_tells_before_it_closes_a_kept_connection(fresh):
    """Else a client sends its next request into a connection that is being closed."""
    # A client may take its time between an answer and its next request.
    server = fresh(NHAN_SERVE__LINGER_S="3")
    # Slow to decode, so that all of them are being answered when the signal comes.
    picture, lost, told = bomb("PNG", (2000, 2000), "RGB"), [], []
    at_work = set()

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", server.ports[0], timeout=60)
        while True:
            try:
                connection.request("POST", "/predict", picture)
                response = connection.getresponse()
                response.read()
                at_work.add(threading.get_ident())
            except (OSError, http.client.HTTPException) as error:
                lost.append(error)
                return
            if response.getheader("connection") == "close":
                told.append(response.status)
                return

    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    server.until(lambda: lost or len(at_work) == len(clients))
    server.process.terminate()
    for one in clients:
        one.join()
    assert (lost, told) == ([], [200] * 8)


def test_readiness_goes_first_at_a_shutdown(fresh):
    server = fresh(NHAN_SERVE__LINGER_S="5")  # time to be asked twice
    server.process.terminate()
    server.until(lambda: server.get("/readyz")[0] == 503)
    assert server.get("/healthz")[0] == 200


def test_sighup_reads_the_settings_again(fresh, toy_picture):
    server = fresh()
    file = server.root / "nhan.toml"
    good = file.read_text()
    file.write_text(good.replace("# max_pixels = 40000000", "max_pixels = 100"))
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: server.predict(toy_picture("đă"))[0] == 413)
    file.write_text(good + "\nnonsense = 1\n")
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: any("not used" in line for line in server.log))
    assert server.predict(toy_picture("đă"))[0] == 413, "bad settings change nothing"


def test_an_address_for_all_needs_a_key(tmp_path, toy_files, toy_spec):
    root = make_workspace(tmp_path / "w", toy_files, toy_spec)
    ran = subprocess.run(
        [sys.executable, "-m", "nhan", "serve", "--host", "0.0.0.0", "--port", "0"],
        env={**os.environ, "NHAN_WORKSPACE": str(root)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert "error: the main address 0.0.0.0 needs keys" in ran.stderr
    assert "hint: " in ran.stderr
