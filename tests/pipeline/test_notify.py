"""Webhooks: told once, signed, tried again, never in the way."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import sqlalchemy as sa

from nhan.catalog.events import log_event
from nhan.catalog.schema import deliveries
from nhan.errors import SettingsError
from nhan.pipeline.notify import notify, signature
from nhan.settings import WebhookSettings
from nhan.workspace import Workspace

SECRET = "rất bí mật"


@dataclass
class Receiver:
    url: str
    answer: int = 200
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def names(self) -> list[str]:
        return [headers["X-Nhan-Event"] for headers, _ in self.seen]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.seen.append((dict(self.headers), body))
            self.send_response(found.answer)
            if found.answer == 302:
                self.send_header("Location", found.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def told(workspace: Workspace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with one address, which was greeted."""
    monkeypatch.setenv("NHAN_WEBHOOK_SECRET", SECRET)
    happen(workspace, "promoted", champion="reader@1")  # before anybody wanted to know
    workspace.settings.webhooks = WebhookSettings(urls=[receiver.url], timeout_s=30)
    assert notify(workspace).delivered == 1
    return workspace


def happen(workspace: Workspace, kind: str, **data: object) -> None:
    with workspace.catalog.write() as connection:
        log_event(connection, kind, **data)


def now_due(workspace: Workspace) -> None:
    """As if the time until the next attempt were over."""
    with workspace.catalog.write() as connection:
        connection.execute(
            deliveries.update()
            .where(deliveries.c.next_at.is_not(None))
            .values(next_at=datetime.now(UTC) - timedelta(seconds=1))
        )


def test_a_new_address_is_greeted_and_told_of_what_follows_only(
    told: Workspace, receiver: Receiver
) -> None:
    assert receiver.names() == ["ping"]
    happen(told, "freeze", dataset="lines", version="0123")
    happen(told, "run", candidate="reader@2")
    happen(told, "refused", words="a tie keeps the champion")
    happen(told, "promoted", champion="reader@3")
    happen(told, "splits.fixed")
    happen(told, "correction", outcome="queued", value="x")
    happen(told, "correction", outcome="stands", value="đã nộp")
    happen(told, "review.accept", state="queued", value="one of two")
    happen(told, "review.accept", state="accepted", value="đồng ý")
    happen(told, "labelstudio.labelled", before="", after="Hà Nội")
    assert notify(told).delivered == 7
    assert receiver.names()[1:] == [
        "dataset.frozen", "run.finished", "refused", "promoted", "label.done", "label.done",
        "label.done",
    ]  # fmt: skip
    labels = [json.loads(body)["data"]["label"] for _, body in receiver.seen[-3:]]
    assert labels == ["đã nộp", "đồng ý", "Hà Nội"]
    assert notify(told).delivered == 0


def test_what_is_sent_can_be_checked(told: Workspace, receiver: Receiver) -> None:
    headers, body = receiver.seen[0]
    secret = SECRET.encode()
    assert headers["X-Nhan-Signature"] == signature(secret, headers["X-Nhan-Timestamp"], body)
    assert signature(b"other", headers["X-Nhan-Timestamp"], body) != headers["X-Nhan-Signature"]
    assert abs(int(headers["X-Nhan-Timestamp"]) - time.time()) < 30
    # By hand: printf '1700000000.{}' | openssl dgst -sha256 -hmac key
    assert signature(b"key", "1700000000", b"{}") == (
        "v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
    )


@pytest.mark.parametrize("answer", [500, 404, 302])
def test_a_refused_delivery_is_tried_again_as_the_same(
    told: Workspace, receiver: Receiver, answer: int
) -> None:
    happen(told, "promoted", champion="reader@2")
    receiver.answer = answer
    first = notify(told)
    assert (first.delivered, first.failed, first.waiting) == (0, 1, 1)
    assert notify(told).failed == 0  # not before its time
    receiver.answer = 200
    now_due(told)
    assert notify(told).delivered == 1
    ids = [headers["X-Nhan-Delivery"] for headers, _ in receiver.seen[1:]]
    assert len(ids) == 2
    assert ids[0] == ids[1]


def test_attempts_are_further_and_further_apart_and_end(
    told: Workspace, receiver: Receiver
) -> None:
    told.settings.webhooks.give_up_h = 0.02  # 72 s: 10, 20, 40, …
    receiver.answer = 500
    happen(told, "promoted", champion="reader@2")
    pauses = []
    while True:
        now_due(told)
        began = datetime.now(UTC)
        sent = notify(told)
        if sent.given_up:
            break
        with told.catalog.read() as connection:
            due = connection.scalar(
                sa.select(deliveries.c.next_at).where(deliveries.c.next_at.is_not(None))
            )
        ended = datetime.now(UTC)
        pauses.append(((due - ended).total_seconds(), (due - began).total_seconds()))
    # Spread by a fifth; the pause began between the two moments that were taken here.
    assert len(pauses) == 3
    for wanted, (least, most) in zip((10, 20, 40), pauses, strict=True):
        assert least <= 1.2 * wanted
        assert most >= 0.8 * wanted
    assert sent.waiting == 0
    with told.catalog.read() as connection:
        assert (
            connection.scalar(
                sa.select(deliveries.c.error).where(deliveries.c.delivered_at.is_(None))
            )
            == "HTTP 500"
        )


def test_an_address_that_is_away_is_asked_once_a_turn(told: Workspace, receiver: Receiver) -> None:
    for number in range(5):
        happen(told, "promoted", champion=f"reader@{number}")
    receiver.answer = 500
    assert notify(told).failed == 1
    receiver.answer = 200
    now_due(told)
    assert notify(told).delivered == 5


def test_a_dead_address_with_a_long_queue_keeps_no_other_from_its_own(
    told: Workspace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nhan.pipeline.notify._AT_ONCE", 5)
    dead = "http://127.0.0.1:9/"
    told.settings.webhooks = WebhookSettings(urls=[dead], timeout_s=30)
    notify(told)  # greeted, in vain
    for number in range(12):
        happen(told, "promoted", champion=f"reader@{number}")
    notify(told)
    now_due(told)
    receiver.seen.clear()
    told.settings.webhooks = WebhookSettings(urls=[dead, receiver.url], timeout_s=30)
    assert notify(told).delivered == 5
    assert receiver.names() == ["promoted"] * 5


def test_several_senders_deliver_each_once(told: Workspace, receiver: Receiver) -> None:
    for number in range(12):
        happen(told, "promoted", champion=f"reader@{number}")
    senders = [threading.Thread(target=notify, args=[told]) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    ids = [headers["X-Nhan-Delivery"] for headers, _ in receiver.seen[1:]]
    assert sorted(ids, key=int) == sorted(set(ids), key=int)
    assert len(ids) == 12


def test_only_what_is_wanted_is_told(told: Workspace, receiver: Receiver) -> None:
    told.settings.webhooks.events = ["promoted"]
    happen(told, "run", candidate="reader@2")
    happen(told, "promoted", champion="reader@2")
    notify(told)
    assert receiver.names() == ["ping", "promoted"]


def test_nothing_is_sent_unsigned(
    workspace: Workspace, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.settings.webhooks = WebhookSettings(urls=[receiver.url])
    monkeypatch.delenv("NHAN_WEBHOOK_SECRET", raising=False)
    with pytest.raises(SettingsError, match="no secret"):
        notify(workspace)
    assert not receiver.seen


def test_a_file_is_no_address() -> None:
    with pytest.raises(ValueError, match="pattern"):
        WebhookSettings(urls=["file:///etc/passwd"])
