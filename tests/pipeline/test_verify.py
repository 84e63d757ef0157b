"""Asking a server whether the new champion answers; what it does counts, not what it says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from small_rounds import numbers

from nhan.datasets.freeze import freeze
from nhan.errors import JobFailed
from nhan.pipeline.step import Outcome, Plan, Work
from nhan.pipeline.verify import server_of, verify_live
from nhan.settings import ServeSettings
from nhan.workspace import Workspace


class Standing:
    """What a stand-in server says; `models` may change while it is asked."""

    def __init__(self) -> None:
        self.models: list[str] = []
        self.answers = "reader@2"
        self.problem = ""
        self.status = 200
        self.asked: list[dict[str, str]] = []
        self.until_live = 0


@pytest.fixture
def standing(loop: Workspace) -> Iterator[Standing]:
    said = Standing()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if said.problem:
                self._say(503, {"error": {"message": said.problem}})
                return
            said.until_live -= 1
            self._say(200, {"models": ["reader@1"] if said.until_live > 0 else said.models})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            said.asked.append(dict(self.headers))
            self._say(said.status, {})

        def _say(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("X-Nhan-Model", said.answers)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    loop.settings.loop.server = f"http://127.0.0.1:{server.server_port}"
    loop.settings.loop.verify_s = 1.0
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield said
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def verify(loop: Workspace, add_lines: Callable[..., None]) -> Callable[[], Outcome]:
    add_lines(numbers(0, 8))
    dataset = freeze(loop, "lines").dataset.ref
    before = {"freeze": {"dataset": dataset}, "promote": {"champion": "reader@2"}}
    plan = Plan(2, "lines", "text", "reader")
    return lambda: verify_live(Work(loop, plan, before, lambda _: None))


def test_it_waits_until_the_champion_answers_a_picture(
    loop: Workspace, standing: Standing, verify: Callable[[], Outcome]
) -> None:
    loop.settings.loop.verify_s = 60.0
    standing.models, standing.until_live = ["other@4", "reader@2"], 3
    began = time.monotonic()
    found = verify()
    assert found.state == "ran"
    assert 0.1 < found.outputs["live_after_s"] < time.monotonic() - began + 0.01  # it is rounded
    assert standing.asked[0]["X-Nhan-Collect"] == "off"


def test_an_old_version_that_keeps_answering_is_a_failure(
    standing: Standing, verify: Callable[[], Outcome]
) -> None:
    standing.models = ["reader@1"]
    with pytest.raises(JobFailed, match=r"does not answer .* reader@1 does"):
        verify()


def test_a_server_that_says_one_thing_and_does_another_is_a_failure(
    standing: Standing, verify: Callable[[], Outcome]
) -> None:
    standing.models, standing.answers = ["reader@2"], "reader@1"
    with pytest.raises(JobFailed, match="reader@1 answered a picture"):
        verify()


def test_a_version_that_cannot_answer_is_a_failure_with_its_reason(
    standing: Standing, verify: Callable[[], Outcome]
) -> None:
    standing.problem = "reader@2 was promoted but cannot answer: model.onnx is damaged"
    with pytest.raises(JobFailed, match=r"model\.onnx is damaged"):
        verify()


def test_a_server_of_something_else_is_left_alone(
    standing: Standing, verify: Callable[[], Outcome]
) -> None:
    standing.models = ["flowers@9"]
    found = verify()
    assert found.state == "skipped"
    assert "serves flowers@9, not reader" in found.because


def test_a_server_that_asks_for_a_key_is_taken_by_its_word(
    loop: Workspace, standing: Standing, verify: Callable[[], Outcome]
) -> None:
    loop.settings.loop.verify_s = 60.0
    standing.models, standing.status = ["reader@2"], 401
    assert verify().outputs["asked"] is False


def test_without_a_server_it_says_so(loop: Workspace, verify: Callable[[], Outcome]) -> None:
    loop.settings.loop.server = "http://127.0.0.1:9"
    assert verify().because == "no server answers at http://127.0.0.1:9"
    loop.settings.loop.server = ""
    assert "serve.port = 0" in verify().because


def test_the_address_of_the_settings() -> None:
    assert server_of(ServeSettings()) == "http://127.0.0.1:8000"
    assert server_of(ServeSettings(host="0.0.0.0", port=80)) == "http://127.0.0.1:80"
    assert server_of(ServeSettings(host="::", root_path="/nhan")) == "http://[::1]:8000/nhan"
