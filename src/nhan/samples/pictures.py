"""A picture on its way into the object store, and what the catalogue keeps of it."""

from __future__ import annotations

from collections.abc import Set
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nhan.images import PictureLimits, decode, perceptual_hash, probe, thumbnail
from nhan.storage import Store

if TYPE_CHECKING:
    from nhan.catalog.samples import Picture

# Where `nhan gc` sets objects aside, below the time at which it did.
ASIDE = "gc/aside"
# Far below the age at which anything is cleared away, far above what the same picture sent in a
# loop may cost; clocks of stores differ by minutes at most, or they refuse our requests.
_RENEWED = timedelta(hours=1)


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
    """Write a picture once; one that a power cut left empty or short is written again.

    So is one that has been there for a while: perhaps nothing refers to it, and then only a new
    date keeps it from being cleared away (`nhan gc`) before our reference is written.
    """
    if store.put_once(path, data):
        return
    there = store.look(path)
    if there is None or there.size != len(data) or datetime.now(UTC) - there.modified > _RENEWED:
        store.put(path, data)


def heal(store: Store, path: str, data: bytes) -> None:
    """Write an object that should be there and is not, or not whole."""
    if store.size(path) != len(data):
        store.put(path, data)


def origin_of(aside: str) -> str:
    """What an object was called before it was set aside, as `gc/aside/TIME/PATH`."""
    return aside.removeprefix(f"{ASIDE}/").partition("/")[2]


def forget_aside(store: Store, paths: Set[str]) -> None:
    """Delete the copies of pictures that were set aside as unused before they came in again."""
    if paths:
        for aside in list(store.list(ASIDE)):
            if origin_of(aside) in paths:
                store.delete(aside)
