"""What is measured of a picture and its answer to tell drift."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from nhan.errors import BadPicture, NotFound
from nhan.images import RGB, PictureLimits, decode
from nhan.storage import Store

_THREADS = 4


@dataclass(frozen=True)
class Traits:
    """One picture and what was answered of it, or its label.

    Attributes:
        sha256: of the picture.
        width, height: px; 0 where unknown.
        brightness: mean grey, 0..1; None where the picture could not be looked at.
        sharpness: logarithm of the variance of the Laplacian: low is blurred; None likewise.
        value: the text or class.
        confidence: of the answer; None for a label.
    """

    sha256: str
    width: int
    height: int
    value: str
    brightness: float | None = None
    sharpness: float | None = None
    confidence: float | None = None


def look(rgb: RGB) -> tuple[float, float]:
    """Brightness and sharpness of a picture.

    Args:
        rgb: uint8, shape (H, W, 3).

    Returns:
        Mean grey, 0..1; log10 of the variance of the Laplacian of grey 0..1, at least -8.

    Source: Pech-Pacheco et al. 2000 (variance of the Laplacian as a measure of focus).
    """
    grey = rgb.astype(np.float32).mean(axis=2) / 255
    if min(grey.shape) < 3:
        return float(grey.mean()), -8.0
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(grey.mean()), float(np.log10(max(float(laplacian.var()), 1e-8)))


def look_at(
    store: Store, paths: Iterable[str], limits: PictureLimits
) -> list[tuple[float, float] | None]:
    """`look` at stored pictures, several at a time; None for one that is gone or broken."""

    def one(path: str) -> tuple[float, float] | None:
        try:
            return look(decode(store.read(path), limits))
        except (NotFound, BadPicture):
            return None

    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(one, paths))


def numbers(traits: Sequence[Traits], name: str) -> tuple[list[float], list[int]]:
    """One measure of those that have it, and their indices."""
    found = [
        (float(value), index)
        for index, value in enumerate(getattr(one, name) for one in traits)
        if value is not None
    ]
    return [value for value, _ in found], [index for _, index in found]
