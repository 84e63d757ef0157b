"""What could keep a decoder busy for seconds or fill its memory, told before one is opened.

Pillow reads metadata block by block in Python and inflates what is compressed: a PNG of 60 kB with
64 comments took 190 ms and 61 MiB, ten megabytes of fill bytes in a JPEG seven seconds, a TIFF of
10 × 10 pixels in one tile of 16,000 × 16,000 a second and 244 MiB. The limits here are far above
what real files hold.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import islice

from nhan.errors import BadPicture
from nhan.images.headers import (
    JPEG_FRAMES,
    JPEG_SCAN,
    announced_size,
    gif_blocks,
    jpeg_segments,
    tiff_directory,
)
from nhan.images.limits import (
    BEGINNINGS,
    PictureLimits,
    empty,
    overloaded,
    too_many_bytes,
    too_many_pixels,
    unidentified,
)
from nhan.images.whole import FEW_PARTS, check_whole, png_chunks

# How much of a file is looked at where nobody may be kept waiting: some ten microseconds.
_FEW_BYTES = 100_000

# Encoders cut the pixels into pieces of 8 kB; ten megabytes are then 1,200 chunks.
_MAX_CHUNKS = 10_000
# Text and colour profile together, inflated; a large profile has half a megabyte. Pillow takes no
# more of each.
_MAX_INFLATED = 1_048_576
_MAX_COMPRESSED = 200
_COMPRESSED = frozenset({b"zTXt", b"iTXt", b"iCCP"})
# 64 kB each: a colour profile, a thumbnail, XMP in many parts.
_MAX_SEGMENTS = 1_000
_MAX_JUNK = 65_536
# A progressive JPEG has about ten; each goes over the whole picture.
_MAX_SCANS = 100
_SCAN = bytes((0xFF, JPEG_SCAN))
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
# Of 255 bytes at most, but XMP in a GIF makes many more of its bytes.
_MAX_BLOCKS = 20_000
# Scanned documents have some dozens, maps some hundreds.
_MAX_TIFF_ENTRIES = 1_000
# Pixels; decoders make room for a whole tile, however small the picture.
_MAX_TILE = 4_194_304
_TILE = frozenset({322, 323})
# Pillow unpacks run lengths in Python, at 4 MB/s.
_MAX_RUN_LENGTHS = 2_000_000
_BMP_RUN_LENGTHS = (1, 2)


def refuse_early(data: bytes, limits: PictureLimits) -> None:
    """Refuse what its first bytes already show to be no picture for us, within microseconds.

    For whoever must not be kept waiting. What passes may still be refused by `check_structure`,
    where `is_intricate` says so, and by `decode`.

    Raises:
        BadPicture, UnsupportedPicture, PictureTooLarge: as `decode` would.
    """
    if not data:
        raise empty()
    if len(data) > limits.max_bytes:
        raise too_many_bytes(len(data), limits)
    if not data.startswith(BEGINNINGS):
        raise unidentified(data)
    width, height = announced_size(data)
    if width * height > limits.max_pixels:
        raise too_many_pixels(f"{width:,} × {height:,} px", limits)
    if data.startswith((b"II", b"MM")):
        _check_tiff(data, width * height)
    elif data.startswith(b"BM"):
        _check_bmp(data)
    check_whole(data)


def is_intricate(data: bytes) -> bool:
    """Whether it takes more than some ten microseconds to tell that a picture is harmless.

    True for one with compressed metadata, with very many parts, or in very many scans.
    """
    with suppress(IndexError):  # cut off: the decoder says so soon enough
        if data.startswith(b"\x89PNG"):
            return _is_intricate_png(data)
        if data.startswith(b"\xff\xd8"):
            return _is_intricate_jpeg(data)
        if data.startswith(b"GIF8"):
            return sum(1 for _ in islice(gif_blocks(data), FEW_PARTS)) == FEW_PARTS
    return False


def check_structure(data: bytes) -> None:
    """Refuse a file whose parts would keep a decoder busy, after some milliseconds at most.

    Raises:
        BadPicture: it has more parts, or more compressed metadata, than any real picture; or it is
            cut off.
    """
    for magic, check in _CHECKS.items():
        if data.startswith(magic):
            with suppress(struct.error, IndexError):  # cut off: the decoder says so
                check(data)
            check_whole(data, parts=None)
            return


def _is_intricate_png(data: bytes) -> bool:
    number = 0
    for kind, _, _ in islice(png_chunks(data), FEW_PARTS):
        if kind in _COMPRESSED:
            return True
        number += 1
    return number == FEW_PARTS


def _is_intricate_jpeg(data: bytes) -> bool:
    progressive, colours = False, 0
    for marker, start, _ in islice(jpeg_segments(data), FEW_PARTS):
        if marker < 0:
            return True
        if marker in JPEG_FRAMES:
            progressive, colours = marker in _PROGRESSIVE, data[start + 5]
        elif marker == JPEG_SCAN:
            if not progressive and data[start] == colours:
                return False  # one scan with every colour in it is the only one
            return len(data) > _FEW_BYTES or data.count(_SCAN) > _MAX_SCANS
    return True


def _check_png(data: bytes) -> None:
    left, compressed = _MAX_INFLATED, 0
    for number, (kind, start, end) in enumerate(png_chunks(data)):
        if number >= _MAX_CHUNKS:
            raise overloaded(f"over {_MAX_CHUNKS:,} chunks")
        if kind in _COMPRESSED:
            compressed += 1
            if compressed > _MAX_COMPRESSED:
                raise overloaded(f"over {_MAX_COMPRESSED} chunks of compressed metadata")
            left -= _inflated(_deflated(kind, data[start:end]), left)


def _deflated(kind: bytes, content: bytes) -> bytes:
    """What a chunk holds compressed: after keyword and method, or what iTXt has there."""
    _, _, rest = content.partition(b"\0")
    if kind != b"iTXt":
        return rest[1:]
    if rest[:1] != b"\1":
        return b""
    return rest[2:].partition(b"\0")[2].partition(b"\0")[2]


def _inflated(deflated: bytes, most: int) -> int:
    """How many bytes it inflates to.

    Raises:
        BadPicture: more than `most`.
    """
    try:
        size = len(zlib.decompressobj().decompress(deflated, most + 1)) if deflated else 0
    except zlib.error:
        return 0  # nobody can read it, so it costs nobody anything
    if size > most:
        raise overloaded(f"over {_MAX_INFLATED:,} bytes of compressed metadata")
    return size


def _check_jpeg(data: bytes) -> None:
    junk = 0
    for number, (marker, start, end) in enumerate(jpeg_segments(data)):
        if number >= _MAX_SEGMENTS:
            raise overloaded(f"over {_MAX_SEGMENTS:,} segments")
        junk += end - start if marker < 0 else 0
        if junk > _MAX_JUNK:
            raise overloaded(f"over {_MAX_JUNK:,} bytes between its segments")
    if (scans := data.count(_SCAN)) > _MAX_SCANS:
        raise overloaded(f"{scans:,} scans")


def _check_gif(data: bytes) -> None:
    if sum(1 for _ in islice(gif_blocks(data), _MAX_BLOCKS)) == _MAX_BLOCKS:
        raise overloaded(f"over {_MAX_BLOCKS:,} blocks before its first image")


def _check_tiff(data: bytes, pixels: int) -> None:
    try:
        entries, tile = tiff_directory(data, _TILE)
    except struct.error:
        return
    if entries > _MAX_TIFF_ENTRIES:
        raise overloaded(f"{entries:,} entries in its directory")
    width, height = tile.get(322, 0), tile.get(323, 0)
    if width * height > max(_MAX_TILE, 2 * pixels):
        raise overloaded(f"tiles of {width:,} × {height:,} px")


def _check_bmp(data: bytes) -> None:
    packed = struct.unpack_from("<I", data, 30)[0] if len(data) >= 34 else 0
    if packed in _BMP_RUN_LENGTHS and len(data) > _MAX_RUN_LENGTHS:
        raise BadPicture(
            f"the picture has {len(data):,} bytes of run lengths; "
            f"the limit for such a BMP is {_MAX_RUN_LENGTHS:,}",
            hint="save it as PNG",
        )


_CHECKS: dict[bytes, Callable[[bytes], None]] = {
    b"\x89PNG": _check_png,
    b"\xff\xd8": _check_jpeg,
    b"GIF8": _check_gif,
}
