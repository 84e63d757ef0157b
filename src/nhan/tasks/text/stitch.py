"""Put the frames of overlapping windows of one very wide line together again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nhan.tasks.text.decode import BLANK, LogProbs

# Frames at the ends of a window lack context on one side, so cuts stay in this middle share of
# the overlap.
_MIDDLE = 0.6


def stitch(
    windows: Sequence[LogProbs], *, max_width: int, overlap: int, space: int | None
) -> LogProbs:
    """Join the windows that `Preparation.windows` made, in order.

    Neighbours are cut at the place in the middle of their overlap where both are surest that no
    character is (blank or space), the nearest to the centre among equals; frames left of the cut
    come from the first window, the others from the second. No character is read twice or lost as
    long as the two agree on one gap.

    Args:
        windows: float32 (frames, classes) each, natural logarithms, one at least; all but the last
            stand for `max_width` pixels.
        max_width: pixels of a full window.
        overlap: pixels that neighbours share.
        space: the class of the space, if the charset has one.

    Returns:
        float32 (frames, classes) of the whole line.
    """
    if len(windows) == 1:
        return windows[0]
    # Networks take a whole number of pixels a frame; their edges may cost a frame or two, hence
    # the rounding.
    stride = max(1, round(max_width / max(len(windows[0]), 1)))
    step = (max_width - overlap) // stride
    pieces, begin = [], 0
    for left, right in pairwise(windows):
        cut = _best_cut(_emptiness(left[step:], space), _emptiness(right, space))
        pieces.append(left[begin : step + cut])
        begin = cut
    return np.concatenate([*pieces, windows[-1][begin:]])


def _best_cut(left: NDArray[np.float64], right: NDArray[np.float64]) -> int:
    """The first frame of the overlap to take from the right window."""
    shared = min(len(left), len(right))
    edge = int(shared * (1 - _MIDDLE) / 2)
    places = np.arange(edge, shared - edge)
    if not len(places):
        return 0
    # Rounded, so that the centre decides between nearly equal places.
    sureness = np.minimum(left[places], right[places]).round(2)
    off_centre = np.abs(places - (shared - 1) / 2)
    return int(places[np.lexsort((off_centre, -sureness))[0]])


def _emptiness(log_probs: LogProbs, space: int | None) -> NDArray[np.float64]:
    """The probability that a frame holds no visible character: float64 (frames,)."""
    empty = np.exp(log_probs[:, BLANK], dtype=np.float64)
    if space is not None:
        empty += np.exp(log_probs[:, space])
    return empty
