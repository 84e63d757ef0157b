"""Find the rows that hold the line where a crop left much empty paper above or below."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A row is inked where brightness changes along it by more than this share of the way from the
# emptiest to the busiest row. Marks above and below make thin rows, hence the margin kept.
_INKED = 0.15

# Kept above and below, as a share of the inked height: a stack of mark and tone is a third of it.
_KEPT = 0.35

# Crop only where less than this share of the height remains: small margins do no harm, and
# networks are trained on crops that have some.
_WORTHWHILE = 0.75

# The busiest row must stand out from the emptiest this many times, or texture and noise fill the
# picture and no row is surely empty.
_STANDS_OUT = 4.0


def inked_rows(pixels: NDArray[np.uint8]) -> tuple[int, int] | None:
    """The rows to keep of a picture of one line.

    Args:
        pixels: brightness, uint8 (H, W).

    Returns:
        (first row, row after the last), or None where cutting is not worth while or not safe.
    """
    height, width = pixels.shape
    if width < 2:
        return None
    changes = np.abs(np.diff(pixels.astype(np.int16), axis=1)).mean(axis=1)
    emptiest, busiest = float(changes.min()), float(changes.max())
    if busiest <= _STANDS_OUT * emptiest or busiest == 0:
        return None
    inked = np.flatnonzero(changes > emptiest + _INKED * (busiest - emptiest))
    first, last = int(inked[0]), int(inked[-1]) + 1
    kept = round(_KEPT * (last - first)) + 1
    top, bottom = max(0, first - kept), min(height, last + kept)
    return (top, bottom) if bottom - top < _WORTHWHILE * height else None
