"""Segment files of the spool: append-only, each written by one process, read by whoever ships it.

    frame = magic 8 | kind 1 | lengths of key 2, head 4, body 4 | CRC-32 4 | key | head | body

A segment belongs to the process that holds its lock; the system lets go of the lock when that
process dies, however it dies, and then any server or intake may ship what is in it. A frame that
was cut off by a kill is the last one of its segment and was never acknowledged.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".journal"

UPLOAD = b"u"
CORRECTION = b"c"
NOTE = b"n"

# Not text in any encoding, and no picture format begins so.
_MAGIC = b"\x89NHAN\r\n\x1a"
_FIXED = struct.Struct("<8scHIII")


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing that waits to be shipped.

    Attributes:
        kind: `UPLOAD`, `CORRECTION` or `NOTE`.
        key: what must be known without reading JSON: words separated by spaces.
        head: a JSON record.
        body: a picture, or nothing.
    """

    kind: bytes
    key: str
    head: bytes
    body: bytes = b""

    @property
    def size(self) -> int:
        """Bytes in a segment."""
        return _FIXED.size + len(self.key) + len(self.head) + len(self.body)

    def pack(self) -> list[bytes]:
        """The frame as pieces to be written one after the other."""
        key = self.key.encode("ascii")
        crc = zlib.crc32(self.body, zlib.crc32(self.head, zlib.crc32(key, zlib.crc32(self.kind))))
        fixed = _FIXED.pack(_MAGIC, self.kind, len(key), len(self.head), len(self.body), crc)
        return [fixed, key, self.head, self.body]


class Segment:
    """A segment that this process appends to.

    Attributes:
        size: bytes of whole frames.
        born: when it was made, on the monotonic clock.
    """

    def __init__(self, folder: Path) -> None:
        name = f"{time.time_ns() // 1_000_000:012x}-{os.getpid()}-{secrets.token_hex(3)}{SUFFIX}"
        self.path = folder / name
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        # Under a name that nobody claims until it is locked.
        hidden = folder / f".{name}"
        self._file = os.open(hidden, flags, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            hidden.rename(self.path)
            sync_folder(folder)
        except OSError:
            os.close(self._file)
            hidden.unlink(missing_ok=True)
            raise
        self.size = 0
        self.born = time.monotonic()

    def append(self, data: bytes, *, sync: bool) -> None:
        """Add whole frames; all of them, or none.

        Args:
            data: packed frames.
            sync: return only when they would survive a power cut.

        Raises:
            OSError: the disk is full or fails; what was written of them is taken back.
        """
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            if sync:
                os.fdatasync(self._file)
        except OSError:
            # If even this fails, a torn frame stays at the end, which readers know how to skip.
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise
        self.size += len(data)

    def close(self) -> None:
        """Let others ship it; an empty one is removed."""
        if self.size == 0:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


class Claim:
    """A segment that nobody else writes or ships while we hold it."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file

    def read(self) -> bytes:
        """The whole segment."""
        return self.path.read_bytes()

    def remove(self) -> None:
        """Everything in it has been shipped."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others have it, if it is still there."""
        os.close(self._file)


def claim(path: Path) -> Claim | None:
    """Take a segment over; None while somebody else has it, or when it is gone."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    if os.fstat(file).st_nlink == 0:  # shipped and removed between our two looks
        os.close(file)
        return None
    return Claim(path, file)


def segments(folder: Path) -> list[Path]:
    """All segments of a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _is_segment(path.name))


def sweep(folder: Path) -> None:
    """Remove what a process left that was killed while it made a segment; nothing is in those."""
    for path in folder.glob(f".*{SUFFIX}"):
        claimed = claim(path)
        if claimed is not None:
            claimed.remove()
            claimed.close()


def size_of(folder: Path) -> int:
    """Bytes of all segments of a folder."""
    total = 0
    for path in segments(folder):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def read_frames(data: bytes) -> Iterator[Frame]:
    """The whole frames of a segment, in order.

    Damage, whether a torn end or a bad sector, costs only the frames it touches: reading goes on
    at the next frame whose sum is right.
    """
    position = 0
    while (position := data.find(_MAGIC, position)) >= 0:
        frame, end = _frame_at(data, position)
        if frame is not None:
            yield frame
        position = end


def read_keys(path: Path) -> Iterator[tuple[bytes, str, bytes]]:
    """Kind, key and head of each frame of a segment, bodies left unread, sums unchecked."""
    with path.open("rb") as file:
        while len(fixed := file.read(_FIXED.size)) == _FIXED.size:
            magic, kind, key_length, head_length, body_length, _ = _FIXED.unpack(fixed)
            text = file.read(key_length + head_length)
            if magic != _MAGIC or len(text) < key_length + head_length:
                return
            file.seek(body_length, os.SEEK_CUR)
            yield kind, text[:key_length].decode("ascii", "replace"), text[key_length:]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _frame_at(data: bytes, position: int) -> tuple[Frame | None, int]:
    """The frame that begins here, or None; and where to go on looking."""
    beyond = position + len(_MAGIC)
    if position + _FIXED.size > len(data):
        return None, beyond
    _, kind, key_length, head_length, body_length, crc = _FIXED.unpack_from(data, position)
    key_start = position + _FIXED.size
    head_start = key_start + key_length
    body_start = head_start + head_length
    end = body_start + body_length
    if end > len(data) or crc != zlib.crc32(memoryview(data)[key_start:end], zlib.crc32(kind)):
        return None, beyond
    key = data[key_start:head_start].decode("ascii", "replace")
    return Frame(kind, key, data[head_start:body_start], data[body_start:end]), end


def _is_segment(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(".")
