"""Hashes of pictures: the same file, and nearly the same picture."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from nhan.images.limits import RGB


def content_hash(data: bytes) -> str:
    """SHA-256 of the original bytes, in hexadecimal: a picture's identity everywhere."""
    return hashlib.sha256(data).hexdigest()


def perceptual_hash(rgb: RGB) -> int:
    """64-bit difference hash: near-duplicates differ in few bits.

    The picture is shrunk to 9 × 8 grey cells and each cell compared with its right neighbour.
    Wide pictures (text lines) are shrunk to 33 × 2 cells instead, because 9 columns cannot tell
    two lines of a page apart.

    Source: N. Krawetz, "Kind of Like That" (2013), dHash.
    """
    height, width = rgb.shape[:2]
    columns, rows = (33, 2) if width > 3 * height else (9, 8)
    grey = Image.fromarray(rgb).convert("L").resize((columns, rows), Image.Resampling.BOX)
    cells = np.asarray(grey, dtype=np.int16)
    bits = (cells[:, 1:] > cells[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def thumbnail(rgb: RGB) -> bytes:
    """512 grey cells, row by row: what confirms that two pictures of near hashes are one.

    32 × 16 cells, or 128 × 4 for wide pictures (text lines). Blank-looking lines and lines of a
    form collide in the 64 bits of `perceptual_hash`; they do not collide here.
    """
    height, width = rgb.shape[:2]
    size = (128, 4) if width > 3 * height else (32, 16)
    return Image.fromarray(rgb).convert("L").resize(size, Image.Resampling.BOX).tobytes()
