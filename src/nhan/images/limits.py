"""What a picture may cost, which formats are read, and how a picture is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nhan.errors import BadPicture, PictureTooLarge, UnsupportedPicture

RGB = NDArray[np.uint8]

# Formats by content. Pillow knows forty more, each a parser that hostile bytes could reach.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
EXTENSIONS = {
    "PNG": "png",
    "JPEG": "jpg",
    "WEBP": "webp",
    "BMP": "bmp",
    "TIFF": "tif",
    "GIF": "gif",
}
_MAGIC = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "WebP",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF8": "GIF",
}
# Nothing that begins otherwise is read. TIFF has rarer beginnings too.
BEGINNINGS = (*_MAGIC, b"II", b"MM")


@dataclass(frozen=True)
class PictureLimits:
    """What a picture may cost.

    Attributes:
        max_bytes: encoded size.
        max_pixels: width × height, told from the header before any pixel is decoded.
    """

    max_bytes: int = 10_000_000
    max_pixels: int = 40_000_000


def empty() -> BadPicture:
    """No bytes at all."""
    return BadPicture("the picture is empty (0 bytes)", hint="send the file's bytes")


def too_many_bytes(size: int, limits: PictureLimits) -> PictureTooLarge:
    """Over `limits.max_bytes`."""
    return PictureTooLarge(
        f"the picture has {size:,} bytes; the limit is {limits.max_bytes:,}",
        hint="send a smaller picture or raise images.max_bytes",
    )


def too_many_pixels(size: str, limits: PictureLimits) -> PictureTooLarge:
    """Over `limits.max_pixels`."""
    return PictureTooLarge(
        f"the picture has too many pixels ({size}); the limit is {limits.max_pixels:,}",
        hint="scale it down or raise images.max_pixels",
    )


def overloaded(what: str) -> BadPicture:
    """More of something than a picture can need; reading it would take seconds or memory."""
    return BadPicture(
        f"the picture has {what}, more than any real one", hint="save it again without metadata"
    )


def unidentified(data: bytes) -> BadPicture:
    """Bytes that no decoder recognises."""
    for magic, name in _MAGIC.items():
        if data.startswith(magic) and (name != "WebP" or data[8:12] == b"WEBP"):
            return BadPicture(
                f"the picture begins like {name} but is truncated or damaged",
                hint="send the whole file, unchanged",
            )
    return UnsupportedPicture(
        "the data is no picture of a type we read", hint=f"send one of {', '.join(FORMATS)}"
    )
