"""Webhooks: what happened, told to other systems; signed, retried, never lost.

The event log is the source: what is in it after the last event that an address was told of is
queued in the table of deliveries, in order, and sent from there. An address that is new in the
settings is greeted with a `ping` and told of what happens from then on.

A receiver checks `X-Nhan-Signature`: `v1=` and HMAC-SHA256 over `TIMESTAMP.BODY`, in hexadecimal
(`signature` here), and drops what it has seen by `X-Nhan-Delivery`: a delivery whose answer was
lost comes again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

import sqlalchemy as sa

from nhan import __version__
from nhan.catalog.samples import lock_writers
from nhan.catalog.schema import TRAINABLE, deliveries, events, samples
from nhan.errors import SettingsError
from nhan.workspace import Workspace

SECRET = "NHAN_WEBHOOK_SECRET"  # noqa: S105  the variable's name
PING = "ping"
LABEL_DONE, DATASET_FROZEN, RUN_FINISHED = "label.done", "dataset.frozen", "run.finished"
PROMOTED, REFUSED = "promoted", "refused"
NAMES = (LABEL_DONE, DATASET_FROZEN, RUN_FINISHED, PROMOTED, REFUSED)

_KINDS = {
    "freeze": DATASET_FROZEN,
    "run": RUN_FINISHED,
    "promoted": PROMOTED,
    "refused": REFUSED,
}
# Kinds after which a label may stand; their data say whether it does.
_LABEL_KINDS = ("correction", "review.accept", "review.adjudicate", "labelstudio.labelled",
                "labelstudio.relabelled")  # fmt: skip
_STANDING = {state.value for state in TRAINABLE}

_FIRST_RETRY_S, _LAST_RETRY_S = 10.0, 3600.0
_AT_ONCE = 500
# Deliveries that arrived are kept to look at for so long.
_KEPT_DAYS = 30
# Of an address's answer, what is read: it only matters whether it was one.
_REPLY_BYTES = 200


@dataclass
class Sent:
    """What one attempt to empty the queue came to.

    Attributes:
        delivered: answered with 2xx.
        failed: to be tried again.
        given_up: tried for longer than `webhooks.give_up_h`.
        waiting: still in the queue, due later.
    """

    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    waiting: int = 0


def notify(workspace: Workspace) -> Sent:
    """Queue what happened, and send what is due.

    Raises:
        SettingsError: addresses are set and no secret is.
        StorageError: the catalogue is out of reach.
    """
    settings = workspace.settings.webhooks
    if not settings.urls:
        return Sent()
    secret = os.environ.get(SECRET, "")
    if not secret:
        raise SettingsError(
            "webhooks.urls is set but there is no secret to sign with",
            hint=f"export {SECRET}=… here and give the receiver the same",
        )
    for url in settings.urls:
        _queue(workspace, url)
    return _send_due(workspace, secret.encode())


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What `X-Nhan-Signature` must be.

    Args:
        secret: shared by both sides.
        timestamp: `X-Nhan-Timestamp`, Unix seconds; a receiver refuses one that is minutes old.
        body: the request's, byte for byte.
    """
    digest = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"v1={digest}"


def _queue(workspace: Workspace, url: str) -> None:
    """Queue the events that an address was not told of yet.

    How far the log was read stands in the address's greeting, so that a tail of events that are
    nobody's business is not read again and again.
    """
    wanted = workspace.settings.webhooks.events or NAMES
    greeting = sa.select(deliveries).where(deliveries.c.url == url, deliveries.c.event == PING)
    with workspace.catalog.write() as connection:
        lock_writers(connection)
        greeted = connection.execute(greeting).mappings().first()
        if greeted is None:
            newest = connection.scalar(sa.select(sa.func.max(events.c.id))) or 0
            body = {"event": newest, "name": PING, "data": {"nhan": __version__}}
            connection.execute(deliveries.insert(), [_row(url, PING, body)])
            return
        told = int(greeted["body"]["event"])
        while page := _page(connection, told):
            told = page[-1]["id"]
            bodies = [body for body in _bodies(page) if body["name"] in wanted]
            if bodies:
                connection.execute(
                    deliveries.insert(), [_row(url, body["name"], body) for body in bodies]
                )
        if told != greeted["body"]["event"]:
            connection.execute(
                deliveries.update()
                .where(deliveries.c.id == greeted["id"])
                .values(body={**greeted["body"], "event": told})
            )


def _page(connection: sa.Connection, told: int) -> list[sa.RowMapping]:
    rows = connection.execute(
        sa.select(events, samples.c.sha256, samples.c.task, samples.c.name)
        .outerjoin(samples, samples.c.id == events.c.sample_id)
        .where(events.c.id > told, events.c.kind.in_((*_KINDS, *_LABEL_KINDS)))
        .order_by(events.c.id)
        .limit(_AT_ONCE)
    )
    return list(rows.mappings())


def _bodies(rows: list[sa.RowMapping]) -> Iterator[dict[str, Any]]:
    for row in rows:
        name = _KINDS.get(row["kind"], LABEL_DONE)
        data = dict(row["data"])
        if name == LABEL_DONE:
            if not _label_stands(row["kind"], data):
                continue
            value = data.get("value", data.get("after", ""))
            data = {"sample": row["sha256"], "task": row["task"], "name": row["name"],
                    "label": value, "by": row["given_by"]}  # fmt: skip
        yield {"event": row["id"], "name": name, "at": row["at"].isoformat(), "data": data}


def _label_stands(kind: str, data: dict[str, Any]) -> bool:
    if kind == "correction":
        return data.get("outcome") == "stands"
    return kind.startswith("labelstudio.") or data.get("state") in _STANDING


def _row(url: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "url": url,
        "event": name,
        "body": body,
        "attempts": 0,
        "next_at": datetime.now(UTC),
        "delivered_at": None,
        "error": "",
    }


def _send_due(workspace: Workspace, secret: bytes) -> Sent:
    settings = workspace.settings.webhooks
    sent = Sent()
    began = datetime.now(UTC)
    for url in dict.fromkeys(settings.urls):
        # Each address for itself: what one of them does not take must not stand before the others.
        due = sa.select(deliveries).where(deliveries.c.url == url, deliveries.c.next_at <= began)
        with workspace.catalog.read() as connection:
            rows = connection.execute(due.order_by(deliveries.c.id).limit(_AT_ONCE)).mappings()
            waiting = list(rows)
        for row in waiting:
            if not _claim(workspace, row):
                continue
            problem = _post(row, secret, settings.timeout_s)
            _note(workspace, row, problem, sent)
            if problem:  # it is not asked again for each of its deliveries
                break
    old = sa.and_(
        deliveries.c.delivered_at < began - timedelta(days=_KEPT_DAYS), deliveries.c.event != PING
    )
    with workspace.catalog.write() as connection:
        connection.execute(deliveries.delete().where(old))
        left = sa.select(sa.func.count()).where(deliveries.c.next_at.is_not(None))
        sent.waiting = int(connection.scalar(left.select_from(deliveries)) or 0)
    return sent


def _claim(workspace: Workspace, row: sa.RowMapping) -> bool:
    """Take a delivery, so that nobody else sends it while we do; it comes back if we die."""
    until = datetime.now(UTC) + timedelta(seconds=3 * workspace.settings.webhooks.timeout_s)
    with workspace.catalog.write() as connection:
        taken = connection.execute(
            deliveries.update()
            .where(deliveries.c.id == row["id"], deliveries.c.next_at == row["next_at"])
            .values(next_at=until)
        )
        return taken.rowcount == 1


def _note(workspace: Workspace, row: sa.RowMapping, problem: str, sent: Sent) -> None:
    now = datetime.now(UTC)
    attempts = row["attempts"] + 1
    values: dict[str, Any] = {"attempts": attempts, "error": problem, "next_at": None}
    if not problem:
        values["delivered_at"] = now
        sent.delivered += 1
    elif _waited_s(attempts) > workspace.settings.webhooks.give_up_h * 3600:
        sent.given_up += 1
    else:
        values["next_at"] = now + timedelta(seconds=_pause_s(attempts) * random.uniform(0.8, 1.2))
        sent.failed += 1
    with workspace.catalog.write() as connection:
        connection.execute(deliveries.update().where(deliveries.c.id == row["id"]).values(values))


def _pause_s(attempts: int) -> float:
    """Time until the next attempt: 10 s, doubled each time, an hour at most."""
    return min(_LAST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(attempts - 1, 20))


def _waited_s(attempts: int) -> float:
    return sum(_pause_s(number) for number in range(1, attempts + 1))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body: it counts as a failure."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        del req, fp, code, msg, headers, newurl


_OPENER = urllib.request.build_opener(_NoRedirect())


def _post(row: sa.RowMapping, secret: bytes, timeout_s: float) -> str:
    """Send one delivery; empty when it was taken, else why not."""
    body = json.dumps({"delivery": row["id"], **row["body"]}, ensure_ascii=False).encode()
    timestamp = str(int(time.time()))
    request = urllib.request.Request(  # noqa: S310  the settings take http(s) only
        row["url"],
        data=body,
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": f"nhan/{__version__}",
            "X-Nhan-Event": row["event"],
            "X-Nhan-Delivery": str(row["id"]),
            "X-Nhan-Timestamp": timestamp,
            "X-Nhan-Signature": signature(secret, timestamp, body),
        },
    )
    try:
        with _OPENER.open(request, timeout=timeout_s) as reply:
            reply.read(_REPLY_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return str(error) or type(error).__name__
    return ""
