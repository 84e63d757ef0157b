"""Webhooks from a real PostgreSQL, where events are not committed in the order of their numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from nhan.catalog.events import log_event
from nhan.catalog.schema import deliveries
from nhan.datasets import freeze
from nhan.pipeline import announce
from nhan.pipeline.notify import notify
from nhan.settings import WebhookSettings
from nhan.workspace import Workspace

pytestmark = pytest.mark.engine

# Whoever wrongly does not wait for the other is through by then.
_PATIENCE_S = 1.0


def _quiet(words: str) -> None:
    del words


@pytest.mark.parametrize(
    ("module", "write"),
    [
        (announce, lambda shop: announce.announce(shop, "promoted", 1, champion="reader@2")),
        (announce, lambda shop: announce.announce_by_hand(shop, "promoted", _quiet, model="m")),
        (freeze, lambda shop: freeze._note(shop, "lines", "v1", "text")),
    ],
    ids=["a round", "a person", "a freeze"],
)
def test_an_event_that_is_committed_late_is_told_all_the_same(
    tmp_path: Path,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    write: Callable[[Workspace], None],
) -> None:
    monkeypatch.setenv("NHAN_WEBHOOK_SECRET", "a secret for tests")
    with Workspace.init(tmp_path / "shop", catalog=postgres_url) as shop:
        shop.settings.webhooks = WebhookSettings(urls=["http://127.0.0.1:9/"], timeout_s=5)
        notify(shop)
        told = threading.Event()

        def tell_of_a_later_one() -> None:
            with shop.catalog.write() as connection:
                log_event(connection, "refused", round=2)
            notify(shop)
            told.set()

        with ThreadPoolExecutor(1) as pool:
            beside = []

            def slowly(connection: sa.Connection, kind: str, **data: Any) -> None:
                log_event(connection, kind, **data)
                beside.append(pool.submit(tell_of_a_later_one))
                told.wait(_PATIENCE_S)

            monkeypatch.setattr(module, "log_event", slowly)
            write(shop)
            beside[0].result(120)
        notify(shop)
        with shop.catalog.read() as connection:
            events = set(connection.scalars(sa.select(deliveries.c.event)))
    assert events in ({"ping", "promoted", "refused"}, {"ping", "dataset.frozen", "refused"})
