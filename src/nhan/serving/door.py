"""What every request passes first: plain ASGI, because it runs for each of them."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from nhan.errors import NhanError
from nhan.serving import errors
from nhan.serving.access import Guard
from nhan.serving.context import Context
from nhan.serving.service import new_id

access_log = logging.getLogger("nhan.access")

Endpoint = Callable[[Request, str], Awaitable[Response]]

_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# What a client may go on sending after it was refused, before we hang up on it.
_SWALLOW_BYTES = 64_000_000
_SWALLOW_S = 2.0


class Door:
    """An application that answers some routes directly and the others through FastAPI.

    Args:
        app: the application with all routes.
        context: the server's parts.
        guard: who may come in.
        fast: endpoints by method and path that go round the application's routing.
        root_path: under which a proxy shows the application; may be empty.
    """

    def __init__(
        self,
        app: FastAPI,
        context: Context,
        guard: Guard,
        *,
        fast: Mapping[tuple[str, str], Endpoint],
        root_path: str = "",
    ) -> None:
        self.app = app
        self.context = context
        self.guard = guard
        self._fast = fast
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of scope go to the application as they are."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # Answered as GET is. Whoever writes the response leaves its body out: uvicorn goes by
            # its own scope, in which the method is what it was.
            scope = {**scope, "method": "GET"}
        begun = time.perf_counter()
        exchange = Exchange(scope, receive, send)
        scope["nhan.request_id"] = exchange.request_id
        path = self._enter(scope)
        if path.endswith("/") and path != "/":
            # Answered as without it. A redirect would be built from the Host header, which the
            # client chooses, and would turn the POST of many clients into a GET.
            path = scope["path"] = path.rstrip("/") or "/"
        endpoint = self._fast.get((scope["method"], path))
        try:
            headers, query = scope["headers"], scope["query_string"]
            scope["nhan.key"] = self.guard.check(scope["method"], path, headers, query)
            if endpoint is None:
                await self.app(scope, exchange.receive, exchange.send)
            else:
                scope["app"] = self.app
                request = Request(scope, exchange.receive)
                model = request.query_params.get("model", "") if query else ""
                await exchange.answer(scope, await endpoint(request, model))
        except Exception as error:
            if not exchange.started:
                if not isinstance(error, NhanError):
                    error = errors.unexpected(error, path)
                await exchange.answer(scope, errors.show(self.app, scope, error))
            # Else the application's own handler has logged and answered it.
        self._record(scope, exchange, begun, path if endpoint else _route(scope))

    def _enter(self, scope: Scope) -> str:
        """The path within this server: a proxy may pass its own prefix on, or strip it."""
        path: str = scope["path"]
        root = self._root_path
        if root:
            scope["root_path"] = root
            if path == root or path.startswith(root + "/"):
                path = scope["path"] = path[len(root) :] or "/"
        return path

    def _record(self, scope: Scope, exchange: Exchange, begun: float, route: str) -> None:
        model = exchange.model.decode("latin-1")
        self.context.metrics.requests[route, exchange.status, model] += 1
        if self.context.settings.access_log:
            client = scope.get("client")
            access_log.info(
                "%s %s %d",
                scope["method"],
                route,
                exchange.status,
                extra={
                    "request_id": exchange.request_id.decode("latin-1"),
                    "status": exchange.status,
                    "route": route,
                    "model": model,
                    "client": client[0] if client else "",
                    "duration_ms": round((time.perf_counter() - begun) * 1e3, 1),
                },
            )


def _route(scope: Scope) -> str:
    """The route's template: a label of metrics must not be chosen by clients."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


class Exchange:
    """One request and its response: adds headers, and ends early refusals politely.

    Closing a connection on which the client is still sending makes the kernel reset it, and the
    client never reads the answer. So an answer that comes before the body was read is sent whole,
    and what still arrives is thrown away for a moment before the connection closes.

    Attributes:
        started: whether the response's head has been sent.
        status: of the response; 0 before it.
        model: who answered, `NAME@VERSION`; may be empty.
        request_id: the client's own `X-Request-Id` if it is a proper one.
    """

    __slots__ = (
        "_body_read", "_lingers", "_receive", "_send", "model", "request_id", "started", "status",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._body_read = True
        self._lingers = False
        self.started = False
        self.status = 0
        self.model = b""
        self.request_id = b""
        for name, value in scope["headers"]:
            if (name == b"content-length" and value != b"0") or name == b"transfer-encoding":
                self._body_read = False
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                self.request_id = value
        if not self.request_id:
            self.request_id = new_id().encode()

    async def answer(self, scope: Scope, response: Response) -> None:
        """Send a whole response, at once where nothing stands between us and the connection."""
        cycle: Any = scope.get("nhan.exchange")
        direct = cycle is not None and self._send == cycle.send and self._body_read
        if direct and type(response) is Response and cycle.scope["method"] != "HEAD":
            status, body = response.status_code, bytes(response.body)
            headers = self._headers({"headers": response.raw_headers})
            if scope["nhan.connection"].answer(cycle, status, headers, body):
                self.started, self.status = True, status
                return
        await response(scope, self.receive, self.send)

    async def receive(self) -> Message:
        """The next part of the body."""
        message = await self._receive()
        if not message.get("more_body", False):
            self._body_read = True
        return message

    async def send(self, message: Message) -> None:
        """The next part of the response."""
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            message = {**message, "headers": self._headers(message)}
        elif self._lingers and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._swallow()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        headers = [*message.get("headers", ()), *_SECURITY_HEADERS]
        headers.append((b"x-request-id", self.request_id))
        may_be_kept = may_be_shown = False
        for name, value in headers:
            if name == b"x-nhan-model":
                self.model = value
            elif name == b"cache-control":
                may_be_kept = True
            elif name == b"cross-origin-resource-policy":
                may_be_shown = True
        if not may_be_kept:
            headers.append((b"cache-control", b"no-store"))
        if not may_be_shown:
            headers.append((b"cross-origin-resource-policy", b"same-origin"))
        if not self._body_read:
            self._lingers = True
            headers.append((b"connection", b"close"))
        return headers

    async def _swallow(self) -> None:
        left = _SWALLOW_BYTES
        try:
            async with asyncio.timeout(_SWALLOW_S):
                while left > 0 and not self._body_read:
                    message = await self.receive()
                    left -= len(message.get("body", b""))
        except TimeoutError:
            return
