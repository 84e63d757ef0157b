"""Lanes that are worker processes, as the front process sees them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from socket import socket
from typing import cast

from nhan.errors import JobFailed
from nhan.images import PictureLimits
from nhan.serving.engine import frames
from nhan.serving.engine.frames import FrameReader, Kind
from nhan.serving.engine.lane import LaneOwner
from nhan.serving.engine.outcome import Outcome, unpack_error

# Loads have tickets of their own, far above those of pictures.
_FIRST_LOAD_TICKET = 1 << 62
# The reason a lane was lost that we closed ourselves.
HUNG_UP = "hung up"


class ProcessLane(asyncio.Protocol):
    """The front's end of the socket pair to one worker."""

    def __init__(self, name: str, owner: LaneOwner) -> None:
        self.name = name
        self.can_go_wide = False
        self.lost = False
        self.pid = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._frames = FrameReader()
        self._transport: asyncio.WriteTransport | None = None
        self._closed = False
        self._loads: dict[int, asyncio.Future[None]] = {}
        self._load_tickets = count(_FIRST_LOAD_TICKET)

    @classmethod
    async def connect(
        cls, name: str, owner: LaneOwner, connection: socket, limits: PictureLimits
    ) -> ProcessLane:
        """Take over the socket to a worker and wait until it says that it is ready.

        Raises:
            JobFailed: the worker died before it was.
        """
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        _, lane = await loop.create_unix_connection(lambda: cls(name, owner), sock=connection)
        await lane.ready
        lane.set_limits(limits)
        return lane

    def submit(self, ticket: int, key: str, picture: bytes, *, wide: bool) -> None:
        head = frames.ask(ticket, key, wide=wide, picture_bytes=len(picture))
        self._write(head, picture)

    async def load(self, key: str, folder: Path) -> None:
        if self.lost:
            raise self._gone()  # nobody is left who could answer; the wait would have no end
        ticket = next(self._load_tickets)
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loads[ticket] = loaded
        request = json.dumps({"key": key, "folder": str(folder)}).encode()
        self._write(frames.frame(Kind.LOAD, ticket, request))
        try:
            await loaded
        finally:
            self._loads.pop(ticket, None)

    def unload(self, key: str) -> None:
        self._write(frames.frame(Kind.UNLOAD, 0, key.encode()))

    def set_limits(self, limits: PictureLimits) -> None:
        """What a picture may cost from now on."""
        self._write(frames.frame(Kind.LIMITS, 0, json.dumps(asdict(limits)).encode()))

    def kill(self) -> None:
        if self.pid:
            with suppress(ProcessLookupError):  # it was quicker
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Hang up; the worker ends after its present picture."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def _write(self, *parts: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(parts)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        for kind, ticket, payload in self._frames.feed(data):
            if kind is Kind.OUTCOME:
                self._owner.lane_done(self, ticket, Outcome.unpack(payload))
            elif kind is Kind.ERROR and ticket < _FIRST_LOAD_TICKET:
                self._owner.lane_done(self, ticket, unpack_error(payload))
            elif kind is Kind.READY:
                facts = json.loads(payload)
                self.pid, self.can_go_wide = facts["pid"], facts["wide"]
                self.ready.set_result(None)
            elif (loaded := self._loads.get(ticket)) is not None and not loaded.done():
                if kind is Kind.LOADED:
                    loaded.set_result(None)
                else:
                    loaded.set_exception(unpack_error(payload))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.lost = True
        for waiting in (self.ready, *self._loads.values()):
            if not waiting.done():
                waiting.set_exception(self._gone())
        self._owner.lane_lost(self, HUNG_UP if self._closed else str(exc or "ended"))

    def _gone(self) -> JobFailed:
        return JobFailed(f"worker {self.name} ended")
