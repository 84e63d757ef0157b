"""A picture on its way into the object store, and what the catalogue keeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nhan.images import PictureLimits, decode, perceptual_hash, probe, thumbnail
from nhan.storage import Store

if TYPE_CHECKING:
    from nhan.catalog.samples import Picture


def picture_path(sha256: str, extension: str) -> str:
    """The object of a picture's original bytes."""
    return f"images/{sha256[:2]}/{sha256}.{extension}"


def examine(data: bytes, sha256: str, limits: PictureLimits) -> Picture:
    """Decode a picture and say what the catalogue keeps of it; nothing is written.

    Raises:
        BadPicture: it cannot be read, or is over the limits.
    """
    # Imported only now: a server keeps pictures too, and never opens a catalogue.
    from nhan.catalog.samples import Picture

    info = probe(data, limits)
    rgb = decode(data, limits)
    height, width = rgb.shape[:2]
    return Picture(
        path=picture_path(sha256, info.extension),
        size_bytes=len(data),
        width=width,
        height=height,
        phash=f"{perceptual_hash(rgb):016x}",
        thumbnail=thumbnail(rgb),
    )


def keep(store: Store, path: str, data: bytes) -> None:
    """Write a picture once; one that a power cut left empty or short is written again."""
    if not store.put_once(path, data):
        heal(store, path, data)


def heal(store: Store, path: str, data: bytes) -> None:
    """Write a picture that should be there and is not, or not whole."""
    if store.size(path) != len(data):
        store.put(path, data)
