"""Rounds whose objects are in S3 and whose catalogue is PostgreSQL: lease, cache keys, webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nhan.catalog.events import log_event
from nhan.errors import Conflict
from nhan.pipeline import lease as leases
from nhan.pipeline import notify as notifier
from nhan.pipeline.lease import Lease, take_lease
from nhan.pipeline.notify import notify
from nhan.pipeline.plan import make_plan
from nhan.pipeline.rounds import list_rounds, run_round
from nhan.pipeline.step import Outcome
from nhan.pipeline.steps import STEPS
from nhan.pipeline.trace import trace
from nhan.samples.importer import import_samples
from nhan.settings import WebhookSettings
from nhan.watching.fresh import FreshLabels
from nhan.workspace import Workspace

pytestmark = pytest.mark.engine


@pytest.fixture
def shared(tmp_path: Path, s3_url: str, postgres_url: str) -> Iterator[Workspace]:
    """A workspace that several machines could share."""
    with Workspace.init(tmp_path / "shop", objects=s3_url, catalog=postgres_url) as workspace:
        workspace.settings.loop.dataset = "lines"
        workspace.settings.loop.model = "reader"
        yield workspace


def test_of_many_at_once_one_gets_the_lease(shared: Workspace) -> None:
    for number in range(1, 4):
        taken, refused = race(shared, 6)
        assert (len(taken), refused) == (1, 5)
        assert taken[0].number == number
        taken[0].give_back()


def race(workspace: Workspace, takers: int) -> tuple[list[Lease], int]:
    """Several take the lease at once: who got it, and how many were refused."""
    taken: list[Lease] = []
    refused: list[Conflict] = []
    together = threading.Barrier(takers)

    def take() -> None:
        together.wait()
        try:
            taken.append(take_lease(workspace.store, "a round"))
        except Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=take) for _ in range(takers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken, len(refused)


def test_a_lease_of_another_machine_expires_by_the_servers_clock(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 3600.0)  # its heart stands still
    held = take_lease(shared.store, "a round on another machine")
    monkeypatch.setattr(leases, "_machine", lambda: "elsewhere")
    with pytest.raises(Conflict, match="a round on another machine"):
        take_lease(shared.store, "mine")
    monkeypatch.setattr(leases, "EXPIRY_S", -1.0)
    take_lease(shared.store, "mine").give_back()
    with pytest.raises(Conflict):
        held.check()


def test_a_round_up_to_training_is_skipped_the_second_time(
    shared: Workspace, tmp_path: Path, draw_line: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = tmp_path / "lines"
    folder.mkdir()
    labels = {f"{number}.png": f"so {number * 7919 % 9973} x" for number in range(40)}
    for name, text in labels.items():
        (folder / name).write_bytes(draw_line(text))
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    import_samples(shared, folder)
    monkeypatch.setitem(STEPS, "train", (lambda _: Outcome("skipped", "a test"), ""))
    assert FreshLabels("lines", "text").count(shared) == 40
    for reason in ("the first", "the second", "the third"):
        run_round(shared, make_plan(shared, reason=reason), say=lambda _: None)
    third, second, first = list_rounds(shared)
    assert first.steps["freeze"].state == "ran"
    assert second.steps["freeze"].state == third.steps["freeze"].state == "skipped"
    assert third.steps["audit"].because == "no sample or label has changed since round 2"
    assert FreshLabels("lines", "text").count(shared) == 0
    assert trace(shared, "sample:1")["datasets"][0]["dataset"].startswith("lines@")


def test_webhooks_are_queued_once_by_several_senders(
    shared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NHAN_WEBHOOK_SECRET", "secret")
    sent: list[int] = []

    def post(row, secret: bytes, timeout_s: float) -> str:
        sent.append(row["id"])
        return ""

    monkeypatch.setattr(notifier, "_post", post)
    shared.settings.webhooks = WebhookSettings(urls=["http://127.0.0.1:9/hook"])
    assert notify(shared).delivered == 1
    for number in range(10):
        with shared.catalog.write() as connection:
            log_event(connection, "promoted", champion=f"reader@{number}")
    senders = [threading.Thread(target=notify, args=[shared]) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len(sent) == len(set(sent)) == 11
