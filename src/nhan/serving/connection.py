"""One client's connection: uvicorn's HTTP/1.1 on httptools, with the limits it leaves to a proxy.

A request's head and body must each arrive within a time, the head within a size, and a server
that drains answers what it has and closes each connection after its next answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from socket import socket
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from nhan.errors import BadRequest, NhanError, QueueFull


@dataclass
class ConnectionLimits:
    """What one connection may take.

    Attributes:
        head_s: from the first byte, or from connecting, to the end of the head.
        body_s: from the end of the head to the end of the body.
        head_bytes: request line and headers; and twice as much of what stands around a chunked
            body, with eight times the body itself: its pieces' lengths, and headers behind it.
        keep_alive_s: between an answer and the next request.
        connections: at once; one more is closed without a word.
        body_bytes: of one request; a body up to this long is received whole before anybody is
            bothered with it, a longer one is refused by whoever gets it.
        receiving_bytes: of all bodies that are being received.
    """

    head_s: float = 10.0
    body_s: float = 30.0
    head_bytes: int = 32_768
    keep_alive_s: int = 30
    connections: int = 4096
    body_bytes: int = 64_000_000
    receiving_bytes: int = 512_000_000


class RequestTimeout(NhanError):
    """The client did not send its request in time."""

    status = 408
    code = "request_timeout"


class _HeadTooLarge(BadRequest):
    status = 431
    code = "head_too_large"


class _Refused(Exception):
    """The request was answered; what is left of it is not parsed."""


class _Overloaded(QueueFull):
    """Too many bodies are arriving at once."""


class GuardedProtocol(HttpToolsProtocol):
    """A connection that cannot be held for ever.

    A request whose length is known begins to be answered when it has arrived: a task that is
    woken for every piece of a picture costs more than reading the picture.
    """

    def __init__(
        self, config: Config, state: ServerState, limits: ConnectionLimits, server: HttpServer
    ) -> None:
        super().__init__(config, state, {})
        self._limits = limits
        self._server = server
        self._head_bytes = 0
        self._body_bytes = 0
        self._around_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_app: ASGI3Application | None = None
        self._offered = False
        self._pieces: list[bytes] = []
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > self._limits.connections:
            transport.abort()  # type: ignore[attr-defined]
            return
        self._allow(self._limits.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._forget_body()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
        else:
            self._around_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        limit = self._limits.head_bytes
        if self._head_bytes > limit:
            self._refuse(_HeadTooLarge(f"the request's head has over {self._head_bytes:,} bytes"))
        elif self._around_bytes > 2 * limit + 9 * self._body_bytes:
            # Headers behind a body would be kept for as long as they keep coming.
            self._refuse(_HeadTooLarge("there is too much around the request's body"))

    def _feed(self, data: bytes) -> None:
        """Parse what arrived; an offer to speak another protocol is passed over (RFC 9110, 7.8).

        Every Java client offers HTTP/2 with each request unless it is told not to, and the parser
        takes what follows an offer for the other protocol: the body would be lost.
        """
        while data:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as offer:
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = HttpRequestParser(self)
                self._offered = False
            else:
                return

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                kept = (word for word in value.split(b",") if word.strip().lower() != b"upgrade")
                value = b",".join(kept)
            if name != b"upgrade":
                lines.append(b"%s: %s\r\n" % (name, value))
        return b"".join((*lines, b"\r\n"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._allow(self._limits.head_s)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offered = True  # the head is parsed again without the offer
            return
        # What came at once may be head and body: only a long piece is worth counting through.
        if self._head_bytes > self._limits.head_bytes:
            self._check_head()
        # It comes first where browsers and libraries speak, so this is one comparison.
        named = any(name == b"host" for name, _ in self.headers)
        if not named and self.parser.get_http_version() > "1.0":
            # A proxy may have meant another server; RFC 9112, 3.2, wants it refused.
            self._refuse(BadRequest("the request names no host", hint="send a Host header"))
            raise _Refused
        self._head_bytes = -1
        self._body_bytes = self._around_bytes = 0
        super().on_headers_complete()
        # For whoever works on this request: has its client hung up?
        self.scope["nhan.exchange"] = self.cycle  # type: ignore[typeddict-unknown-key]
        self.scope["nhan.connection"] = self  # type: ignore[typeddict-unknown-key]
        if self._server.draining:
            self.end_after_answer()
        self._allow(self._limits.body_s)

    def _check_head(self) -> None:
        length = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if length > self._limits.head_bytes:
            self._refuse(_HeadTooLarge(f"the request's head has over {length:,} bytes"))
            raise _Refused

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if cycle is self.cycle and cycle.more_body and self._comes_whole(cycle):
            self._waiting_app = app
        else:
            super()._start_asgi_task(cycle, app)

    def _comes_whole(self, cycle: RequestResponseCycle) -> bool:
        if cycle.waiting_for_100_continue:
            return False  # the client waits for whoever reads the body to say so
        for name, value in self.headers:
            if name == b"content-length":
                return value.isdigit() and 0 < int(value) <= self._limits.body_bytes
        return False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._waiting_app is None:
            super().on_body(body)
            return
        self._pieces.append(body)
        self._received += len(body)
        self._server.receiving_bytes += len(body)
        if self._server.receiving_bytes > self._limits.receiving_bytes:
            self._refuse(_Overloaded("too many pictures are arriving at once"))

    def on_message_complete(self) -> None:
        if self._offered:
            return
        self._head_bytes = self._around_bytes = 0
        self._stop_timer()
        app, self._waiting_app = self._waiting_app, None
        if app is not None:
            # uvicorn's cycle hands out bytes(body): bytes stay what they are, uncopied.
            self.cycle.body = b"".join(self._pieces)  # type: ignore[assignment]
            self._forget_body()
        super().on_message_complete()
        if app is not None and not self.transport.is_closing():
            super()._start_asgi_task(self.cycle, app)

    def answer(
        self,
        cycle: RequestResponseCycle,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
    ) -> bool:
        """Send a whole response at once: as two messages it wakes a client twice.

        Args:
            cycle: the exchange of a request that has been read whole.
            status: of the response.
            headers: lower-case names; Content-Length among them.
            body: all of it.

        Returns:
            False, and nothing is sent, where the client is slow to read; wait as ASGI does.
        """
        if cycle.disconnected:
            return True
        if self.flow.write_paused:
            return False
        lines = [b"%s: %s\r\n" % header for header in (*cycle.default_headers, *headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("a line break in a response header")
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"".join((STATUS_LINE[status], head, b"\r\n", body)))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def _forget_body(self) -> None:
        self._server.receiving_bytes -= self._received
        self._received = 0
        self._pieces = []

    def end_after_answer(self) -> None:
        """Let the answer to the latest request say that it is this connection's last."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP is told so in our own shape; what was refused already is left."""
        self._refuse(BadRequest(msg.rstrip("."), hint="send HTTP/1.1"))

    @property
    def idle(self) -> bool:
        """Whether no request is being received or answered."""
        return self._timer is None and (self.cycle is None or self.cycle.response_complete)

    def _allow(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._out_of_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _out_of_time(self) -> None:
        self._timer = None
        self._refuse(RequestTimeout("the request did not arrive in time", hint="send it faster"))

    def _refuse(self, error: NhanError) -> None:
        self._waiting_app = None
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            body = json.dumps(error.to_json()).encode()
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
                b"x-content-type-options: nosniff\r\nconnection: close\r\n\r\n%s"
                % (error.status, error.code.encode(), len(body), body)
            )
        self.transport.close()


class HttpServer:
    """Listens on sockets that are open already and serves one application.

    Attributes:
        draining: whether connections close after their next answer.
        receiving_bytes: of the bodies that have arrived in part.
    """

    def __init__(self, app: Callable[..., Any], limits: ConnectionLimits) -> None:
        self.draining = False
        self.receiving_bytes = 0
        self._limits = limits
        self._state = ServerState()
        self._config = Config(
            app,
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=limits.keep_alive_s,
        )
        self._config.load()
        self._listeners: list[tuple[socket, asyncio.Server]] = []
        self._clock: asyncio.TimerHandle | None = None

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._state.connections)

    async def listen(self, listening: socket) -> None:
        """Begin to accept connections."""
        self._tick()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._new_connection, sock=listening, backlog=2048)
        self._listeners.append((listening, server))

    def _new_connection(self) -> GuardedProtocol:
        return GuardedProtocol(self._config, self._state, self._limits, self)

    async def drain(self, *, grace_s: float, linger_s: float) -> None:
        """Answer what was asked, then close.

        For `linger_s` connections are still accepted, so that what is on its way is answered; each
        answer says that it is its connection's last. Idle connections are closed only then: a
        client that is just sending its next request on one would lose it.

        Args:
            grace_s: after that long everything is cut off.
            linger_s: at most half of `grace_s` is used.
        """
        self.draining = True
        for open_ in self._guarded():
            open_.end_after_answer()
        loop = asyncio.get_running_loop()
        end = loop.time() + grace_s
        await asyncio.sleep(min(linger_s, grace_s / 2))
        for listening, server in self._listeners:
            queued = _accept_all(listening)
            server.close()
            for connection in queued:
                await loop.connect_accepted_socket(self._new_connection, connection)
        while self._state.connections and loop.time() < end:
            for open_ in self._guarded():
                if open_.idle:
                    open_.transport.close()
            await asyncio.sleep(0.02)
        for left in list(self._state.connections):
            left.transport.abort()
        if self._clock is not None:
            self._clock.cancel()

    def _guarded(self) -> list[GuardedProtocol]:
        return [one for one in self._state.connections if isinstance(one, GuardedProtocol)]

    def _tick(self) -> None:
        """Keep the Date header right."""
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        self._clock = asyncio.get_running_loop().call_later(1.0, self._tick)


def _accept_all(listening: socket) -> list[socket]:
    """Take every connection that the kernel has queued: closing the listener would reset them."""
    queued = []
    with suppress(BlockingIOError):
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)
            queued.append(connection)
    return queued
