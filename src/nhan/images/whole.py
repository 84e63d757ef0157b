"""Whether a file is all there, and can hold what its header promises: arithmetic, no decoding.

What is refused here the decoder would refuse too, but only after it has been waited for. (The one
exception: it would read some JPEGs that lack nothing but their end.) What passes may still be cut.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from nhan.images.headers import (
    GIF_IMAGE,
    JPEG_SCAN,
    announced_size,
    gif_blocks,
    jpeg_segments,
    tiff_offset,
)
from nhan.images.limits import unidentified

# Parts of a file that are walked through; who has time may look at all of them.
FEW_PARTS = 64
# Pieces of a GIF's pixels, up to 255 bytes each: an eighth of a megabyte in some ten microseconds.
_GIF_BLOCKS = 500
# Decoders do without what ends a PNG's pixels.
_CHECKSUMS = 8
# No deflated byte stands for more.
_DEFLATE = 1032
# Bits of a pixel for each colour type of a PNG, as samples.
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_BMP_PLAIN = 0
_BMP_HEAD = 40  # bytes; older heads have other fields


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG: kind, and where the content begins and ends, perhaps beyond the end."""
    at, end = 8, len(data) - 8
    while at <= end:
        kind = data[at + 4 : at + 8]
        length = int.from_bytes(data[at : at + 4], "big")
        yield kind, at + 8, at + 8 + length
        if kind == b"IEND":
            return  # what was appended is not read
        at += 12 + length


def check_whole(data: bytes, *, parts: int | None = FEW_PARTS) -> None:
    """Refuse a file that is cut off, or far too short for the picture it announces.

    Args:
        data: of a format we read.
        parts: how many of its parts to look at; None for all. What lies beyond is not judged.

    Raises:
        BadPicture: it is not whole.
    """
    with suppress(struct.error, IndexError):
        for magic, lacks in _LACKS.items():
            if data.startswith(magic) and lacks(data, parts):
                raise unidentified(data)


def _png_lacks(data: bytes, parts: int | None) -> bool:
    pixels, seen = 0, 0
    for kind, start, end in islice(png_chunks(data), parts):
        seen += 1
        if kind == b"IDAT":
            pixels += end - start
            if end > len(data) + _CHECKSUMS:
                return True
    if seen == parts:
        return False
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    row = (width * depth * _PNG_SAMPLES.get(colour, 0) + 7) // 8
    return bool((pixels + 1) * _DEFLATE < row * height)


def _jpeg_lacks(data: bytes, parts: int | None) -> bool:
    for marker, start, _ in islice(jpeg_segments(data), parts):
        if marker == JPEG_SCAN:
            return data.rfind(b"\xff\xd9") < start
    return False


def _webp_lacks(data: bytes, parts: int | None) -> bool:
    del parts
    return len(data) < 8 + int(struct.unpack_from("<I", data, 4)[0])


def _bmp_lacks(data: bytes, parts: int | None) -> bool:
    del parts
    start, head = struct.unpack_from("<II", data, 10)
    if head < _BMP_HEAD:
        return False
    bits, packed = struct.unpack_from("<HI", data, 28)
    width, height = announced_size(data)
    row = (width * bits + 31) // 32 * 4
    # Decoders do without the padding of the last row.
    return bool(packed == _BMP_PLAIN and len(data) + 3 < start + row * height)


def _tiff_lacks(data: bytes, parts: int | None) -> bool:
    del parts
    return len(data) < tiff_offset(data)


def _gif_lacks(data: bytes, parts: int | None) -> bool:
    at = 0
    for kind, start in islice(gif_blocks(data), parts):
        if kind == GIF_IMAGE:
            colours = 3 << (data[start + 8] & 7) + 1 if data[start + 8] & 0x80 else 0
            at = start + 9 + colours + 1
    left = _GIF_BLOCKS if parts is not None else len(data)
    while at and left and at < len(data) and data[at]:
        at, left = at + 1 + data[at], left - 1
    return at > len(data)


_LACKS = {
    b"\x89PNG": _png_lacks,
    b"\xff\xd8": _jpeg_lacks,
    b"RIFF": _webp_lacks,
    b"BM": _bmp_lacks,
    b"II*\0": _tiff_lacks,
    b"MM\0*": _tiff_lacks,
    b"II+\0": _tiff_lacks,
    b"MM\0+": _tiff_lacks,
    b"GIF8": _gif_lacks,
}
