"""The few messages between the front process and a worker, over a socket pair."""

from __future__ import annotations

import struct
from enum import IntEnum
from socket import socket

_HEADER = struct.Struct("<IBQ")  # bytes after the header, kind, ticket
_ASK = struct.Struct("<BH")  # wide, bytes of the key


class Kind(IntEnum):
    """What a frame says; the first four go to a worker, the others come back."""

    ASK = 1
    LOAD = 2
    UNLOAD = 3
    LIMITS = 4
    READY = 10
    OUTCOME = 11
    ERROR = 12
    LOADED = 13


def frame(kind: Kind, ticket: int, payload: bytes = b"") -> bytes:
    """A frame as bytes."""
    return _HEADER.pack(len(payload), kind, ticket) + payload


def ask(ticket: int, key: str, *, wide: bool, picture_bytes: int) -> bytes:
    """The head of an ASK frame; the picture's bytes follow it uncopied."""
    name = key.encode()
    length = _ASK.size + len(name) + picture_bytes
    return _HEADER.pack(length, Kind.ASK, ticket) + _ASK.pack(wide, len(name)) + name


def parse_ask(payload: memoryview) -> tuple[str, bool, bytes]:
    """Key, wide and picture of an ASK frame's payload."""
    wide, length = _ASK.unpack_from(payload)
    start = _ASK.size + length
    return str(payload[_ASK.size : start], "utf-8"), bool(wide), bytes(payload[start:])


class FrameReader:
    """Cuts a stream of bytes into frames; for the front's event loop."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[Kind, int, bytes]]:
        """Add received bytes; returns the frames they complete."""
        buffer = self._buffer
        buffer += data
        frames = []
        start = 0
        while len(buffer) - start >= _HEADER.size:
            length, kind, ticket = _HEADER.unpack_from(buffer, start)
            end = start + _HEADER.size + length
            if len(buffer) < end:
                break
            frames.append((Kind(kind), ticket, bytes(buffer[start + _HEADER.size : end])))
            start = end
        del buffer[:start]
        return frames


def receive(connection: socket) -> tuple[Kind, int, memoryview] | None:
    """Wait for one frame; None when the other side is gone. For the worker's blocking loop."""
    header = _receive_exactly(connection, _HEADER.size)
    if header is None:
        return None
    length, kind, ticket = _HEADER.unpack(header)
    payload = _receive_exactly(connection, length)
    return None if payload is None else (Kind(kind), ticket, payload)


def _receive_exactly(connection: socket, size: int) -> memoryview | None:
    view = memoryview(bytearray(size))
    filled = 0
    while filled < size:
        got = connection.recv_into(view[filled:])
        if not got:
            return None
        filled += got
    return view
