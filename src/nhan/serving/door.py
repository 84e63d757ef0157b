"""What every request passes first: plain ASGI, because it runs for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from nhan.errors import NhanError
from nhan.serving import errors
from nhan.serving.context import Context

Endpoint = Callable[[Request, str], Awaitable[Response]]

_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
# What a client may go on sending after it was refused, before we hang up on it.
_SWALLOW_BYTES = 64_000_000
_SWALLOW_S = 2.0


class Door:
    """An application that answers some routes directly and the others through FastAPI.

    Args:
        app: the application with all routes.
        context: the server's parts.
        fast: endpoints by method and path that go round the application's routing.
    """

    def __init__(
        self, app: FastAPI, context: Context, *, fast: Mapping[tuple[str, str], Endpoint]
    ) -> None:
        self.app = app
        self.context = context
        self._fast = fast

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of scope go to the application as they are."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        path = scope["path"]
        endpoint = self._fast.get((scope["method"], path))
        try:
            if endpoint is None:
                await self.app(scope, exchange.receive, exchange.send)
            else:
                scope["app"] = self.app
                request = Request(scope, exchange.receive)
                response = await _call(endpoint, request)
                await response(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.started:
                return  # the application's own handler has logged and answered it
            await errors.unexpected(error, path)(scope, exchange.receive, exchange.send)


async def _call(endpoint: Endpoint, request: Request) -> Response:
    try:
        return await endpoint(request, request.query_params.get("model", ""))
    except NhanError as error:
        return errors.respond(error, request.url.path)


class _Exchange:
    """One request and its response: adds headers, and ends early refusals politely.

    Closing a connection on which the client is still sending makes the kernel reset it, and the
    client never reads the answer. So an answer that comes before the body was read is sent whole,
    and what still arrives is thrown away for a moment before the connection closes.
    """

    __slots__ = ("_body_read", "_lingers", "_receive", "_send", "started")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._body_read = not _announces_body(scope)
        self._lingers = False
        self.started = False

    async def receive(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):
            self._body_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*message.get("headers", ()), *_SECURITY_HEADERS]
            if not self._body_read:
                self._lingers = True
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif self._lingers and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._swallow()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _swallow(self) -> None:
        left = _SWALLOW_BYTES
        try:
            async with asyncio.timeout(_SWALLOW_S):
                while left > 0 and not self._body_read:
                    message = await self.receive()
                    left -= len(message.get("body", b""))
        except TimeoutError:
            return


def _announces_body(scope: Scope) -> bool:
    return any(
        (name == b"content-length" and value != b"0") or name == b"transfer-encoding"
        for name, value in scope["headers"]
    )
