"""The size that a picture's header announces: nothing but arithmetic on bytes.

A microsecond, where opening a decoder takes forty and can be made to take seconds.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress

_OLDEST_BMP_HEAD = 12  # bytes; newer heads have 32-bit sides
_TIFF_SHORT = 3
JPEG_SCAN = 0xDA
# Start of a frame, whatever its coding; the three left out are tables.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Nobody needs so many before the size is told, but a hostile file would make us walk for ever.
_MAX_SEGMENTS, _MAX_ENTRIES, _MAX_BLOCKS = 100, 100, 100
GIF_IMAGE = 0x2C
_GIF_EXTENSION, _GIF_TRAILER, _GIF_COMMENT = 0x21, 0x3B, 0xFE
# Looked at in pieces, so that whoever looks at a few of them is done soon.
_PADDING = re.compile(rb"\xff{1,4096}")

# A JPEG segment: its marker (-1 for bytes that belong to none), and where its content lies.
Segment = tuple[int, int, int]


def announced_size(data: bytes) -> tuple[int, int]:
    """Width and height of the stored raster as the header has them; (0, 0) where it is not plain.

    What passes may still be larger: only a decoder that opens the file knows for certain.
    """
    try:
        for magic, size in _SIZES.items():
            if data.startswith(magic):
                return size(data)
    except (struct.error, IndexError):
        pass
    return 0, 0


def jpeg_segments(data: bytes) -> Iterator[Segment]:
    """The segments up to the first scan, that one included; ends early in a damaged file."""
    at, end = 2, len(data) - 3
    while at < end:
        # Decoders skip what is no marker, byte by byte: fill bytes, and junk between segments.
        padding = _PADDING.match(data, at)
        start = data.find(b"\xff", at) if padding is None else padding.end() - 1
        if start != at:
            start = len(data) if start < 0 else start
            yield -1, at, start
            at = start
            continue
        marker = data[at + 1]
        if marker < 0x02 or 0xD0 <= marker <= 0xD8:  # these stand alone
            yield marker, at + 2, at + 2
            at += 2
            continue
        after = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at + 4, after
        if marker == JPEG_SCAN or after < at + 4:
            return
        at = after


def gif_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Every block before the first image, and that image's descriptor.

    Yields:
        Pairs of a block's kind (0x2C for the image) and where its content begins; one for each
        piece of an extension. Ends early in a damaged file.
    """
    with suppress(IndexError):
        at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
        while data[at] != _GIF_TRAILER:
            kind, at = data[at], at + 1
            yield kind, at
            if kind == GIF_IMAGE:
                return
            if kind != _GIF_EXTENSION:
                continue  # decoders skip what is no block
            label, size = data[at], data[at + 1]
            at += 2 + size
            if not size and label == _GIF_COMMENT:
                continue
            while data[at]:
                yield kind, at + 1
                at += 1 + data[at]
            at += 1


def tiff_offset(data: bytes) -> int:
    """Where a TIFF's first directory is said to be.

    Raises:
        struct.error: not even that is there.
    """
    order = "<" if data[:1] == b"I" else ">"
    form, at = ("Q", 8) if _is_big(data) else ("I", 4)
    return int(struct.unpack_from(order + form, data, at)[0])


def _is_big(data: bytes) -> bool:
    return 43 in data[2:4]


def tiff_directory(data: bytes, wanted: frozenset[int]) -> tuple[int, dict[int, int]]:
    """How many entries the first directory has, and the wanted ones' single numbers.

    Raises:
        struct.error: the directory is cut off, or not where the header says.
    """
    order = "<" if data[:1] == b"I" else ">"
    # BigTIFF has 64 bits for what has 32, or for the count 16, in TIFF.
    count, step, value = ("Q", 20, 12) if _is_big(data) else ("H", 12, 8)
    at = tiff_offset(data)
    if at > len(data):
        raise struct.error("the directory is beyond the end")
    (entries,) = struct.unpack_from(order + count, data, at)
    at += struct.calcsize(order + count)
    found: dict[int, int] = {}
    for place in range(at, at + step * min(entries, _MAX_ENTRIES), step):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        if tag in wanted:
            form = order + ("H" if kind == _TIFF_SHORT else "I")
            (found[tag],) = struct.unpack_from(form, data, place + value)
    return entries, found


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif_size(data: bytes) -> tuple[int, int]:
    """The screen, or the first image where that is larger: decoders enlarge the screen then."""
    width, height = struct.unpack_from("<HH", data, 6)
    for number, (kind, at) in enumerate(gif_blocks(data)):
        if kind == GIF_IMAGE:
            left, top, wide, high = struct.unpack_from("<HHHH", data, at)
            return max(width, left + wide), max(height, top + high)
        if number == _MAX_BLOCKS:
            break
    return width, height


def _bmp_size(data: bytes) -> tuple[int, int]:
    (head,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if head == _OLDEST_BMP_HEAD else "<ii", data, 18)
    return width, abs(height)


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if data[8:12] != b"WEBP":
        return 0, 0
    if kind == b"VP8X":  # the canvas: 24 bits each, less one
        width = int.from_bytes(data[24:27], "little")
        return width + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":  # 14 bits each, less one
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(data: bytes) -> tuple[int, int]:
    for number, (marker, at, _) in enumerate(jpeg_segments(data)):
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 1)
            return width, height
        if number == _MAX_SEGMENTS:
            break
    return 0, 0


def _tiff_size(data: bytes) -> tuple[int, int]:
    _, sides = tiff_directory(data, _SIDES)
    return sides.get(256, 0), sides.get(257, 0)


_SIDES = frozenset({256, 257})
_SIZES = {
    b"\x89PNG\r\n\x1a\n": _png_size,
    b"\xff\xd8\xff": _jpeg_size,
    b"RIFF": _webp_size,
    b"BM": _bmp_size,
    b"II*\0": _tiff_size,
    b"MM\0*": _tiff_size,
    b"II+\0": _tiff_size,
    b"MM\0+": _tiff_size,
    b"GIF8": _gif_size,
}
