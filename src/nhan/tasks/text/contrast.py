"""Even out brightness: faint writing made strong, light writing on dark turned round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Shares of the pixels taken for the darkest and the lightest: writing may cover only a few in a
# hundred, single hot pixels less.
_DARKEST = 0.005
_LIGHTEST = 0.995

# Of 255 grey levels: a picture that spans more is strong enough, one that spans less is blank and
# stretching it would make writing out of noise.
_STRONG = 200
_BLANK = 12

# Paper covers most of a picture: its level is the median. It counts as dark in the lower part of
# the range; in between (heavy letters on a tight crop) the picture is left alone.
_DARK_PAPER = 0.35


def grey(picture: Image.Image) -> NDArray[np.uint8]:
    """Brightness of an RGB picture: uint8 (H, W), ITU-R 601 weights."""
    return np.asarray(picture.convert("L"))


def even_out(picture: Image.Image, *, stretch: bool, invert: bool) -> Image.Image:
    """Map the levels of an RGB picture, the same for all three channels.

    Args:
        picture: mode RGB.
        stretch: spread the picture's range over 0..255 where it is small but not blank.
        invert: turn 0..255 round where the paper is dark.

    Returns:
        A picture of the same size; the same object where nothing needs doing.
    """
    dark, middle, light = _levels(grey(picture))
    span = light - dark
    if span < _BLANK:
        return picture
    levels = np.arange(256, dtype=np.float32)
    inverted = invert and middle < dark + _DARK_PAPER * span
    stretched = stretch and span < _STRONG
    if stretched:
        levels = (levels - dark) * (255 / span)
    if inverted:
        levels = 255 - levels
    if not (stretched or inverted):
        return picture
    table = np.clip(np.rint(levels), 0, 255).astype(int).tolist()
    return picture.point(table * 3)


def _levels(pixels: NDArray[np.uint8]) -> tuple[int, int, int]:
    below = np.bincount(pixels.ravel(), minlength=256).cumsum()
    dark, middle, light = np.searchsorted(below, np.array([_DARKEST, 0.5, _LIGHTEST]) * below[-1])
    return int(dark), int(middle), int(light)
