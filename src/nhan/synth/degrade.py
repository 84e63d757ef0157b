"""What happens to a picture between ink and file.

All functions take and return float32 RGB, shape (H, W, 3), values 0..255, unless they say
otherwise, and may change their argument. `amount` is 0..1 and grows with the damage.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from nhan.synth.dice import Dice

Field = NDArray[np.float32]
Mask = NDArray[np.uint8]


def triple(field: NDArray[np.float32]) -> Field:
    """The field (H, W) for each colour (H, W, 3); numpy multiplies whole arrays much faster."""
    return np.asarray(cv2.merge([field, field, field]), np.float32)


@lru_cache(maxsize=1)
def _noise_pool() -> Field:
    rng = np.random.Generator(np.random.SFC64(7))
    return rng.standard_normal((260, 2200, 3), dtype=np.float32)


def _noise(dice: Dice, height: int, width: int, channels: int) -> Field:
    pool = _noise_pool()
    rows, cols = min(height, 200), min(width, 1700)
    y, x = dice.randint(0, 260 - rows), dice.randint(0, 2200 - cols)
    piece = pool[y : y + rows, x : x + cols, :channels]
    if (rows, cols) != (height, width):
        piece = np.asarray(cv2.resize(np.ascontiguousarray(piece), (width, height)), np.float32)
    return np.ascontiguousarray(piece.reshape(height, width, channels))


def light(image: Field, dice: Dice, amount: float) -> Field:
    """Uneven light: a smooth gain, brighter here and darker there."""
    rng = dice.fields
    coarse = 1.0 + rng.standard_normal((3, dice.randint(3, 7))).astype(np.float32) * 0.22 * amount
    height, width = image.shape[:2]
    gain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    image *= triple(np.clip(gain, 0.35, 1.5))
    return image


def shadow(image: Field, dice: Dice, amount: float) -> Field:
    """The edge of a shadow across the line."""
    height, width = image.shape[:2]
    across = (np.arange(width, dtype=np.float32) - dice.uniform(0, width)) / height
    down = np.arange(height, dtype=np.float32)[:, None] / height * dice.uniform(-2.5, 2.5)
    soft = dice.uniform(0.05, 1.5)
    side = np.clip((across + down) / soft * dice.pick((-1.0, 1.0)) + 0.5, 0, 1)
    image *= triple(np.float32(1.0) - np.float32(amount * dice.uniform(0.15, 0.6)) * side)
    return image


def glare(image: Field, dice: Dice, amount: float) -> Field:
    """Laminate and glass throwing light back: ink pales in bright spots."""
    height, width = image.shape[:2]
    white = np.float32(dice.uniform(215, 255))
    for _ in range(dice.randint(1, 3)):
        x, y = dice.uniform(0, width), dice.uniform(-0.3, 1.3) * height
        wide, high = dice.uniform(0.5, 5) * height, dice.uniform(0.3, 1.2) * height
        a = np.exp(-(((np.arange(width, dtype=np.float32) - x) / wide) ** 2))
        b = np.exp(-(((np.arange(height, dtype=np.float32) - y) / high) ** 2))
        spot = b[:, None] * (a * np.float32(amount * dice.uniform(0.25, 0.75)))
        image += (white - image) * triple(spot)
    return image


def blur(image: Field, dice: Dice, amount: float) -> Field:
    """Out of focus, or moved, by a radius that the line's height still bears."""
    reach = amount * image.shape[0] / 40.0
    form = dice.random()
    if form < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.3 + dice.uniform(0.2, 1.5) * reach))
    size = max(2, round(dice.uniform(1.0, 4.0 if form < 0.8 else 3.0) * reach + 1))
    if form < 0.8:
        return np.asarray(cv2.filter2D(image, -1, _motion(size, dice.uniform(0, np.pi))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)).astype(np.float32)
    return np.asarray(cv2.filter2D(image, -1, disc / disc.sum()))


def _motion(length: int, angle: float) -> Field:
    size = length * 2 + 1
    kernel = np.zeros((size, size), np.float32)
    dx, dy = np.cos(angle) * length / 2, np.sin(angle) * length / 2
    start, end = ((round((length + s * dx) * 16), round((length + s * dy) * 16)) for s in (-1, 1))
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA, 4)
    return np.asarray(kernel / max(kernel.sum(), 1e-6), np.float32)


def noise(image: Field, dice: Dice, amount: float) -> Field:
    """Sensor noise: grey or coloured, fine or in grains."""
    height, width = image.shape[:2]
    sigma = np.float32(dice.uniform(1, 22) * amount)
    coloured, grained = dice.chance(0.5), dice.chance(0.3)
    grain = _noise(dice, height, width, 3 if coloured else 1)
    if grained:
        grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), 0.9), np.float32)
        sigma *= 2
    image += (grain if coloured else triple(grain.reshape(height, width))) * sigma
    return image


def specks(image: Field, dice: Dice, amount: float) -> Field:
    """Dust and toner: some dozens of dark or light points."""
    height, width = image.shape[:2]
    count = dice.randint(1, 2 + int(amount * height * width / 250))
    rng = dice.fields
    ys, xs = rng.integers(0, height, count), rng.integers(0, width, count)
    image[ys, xs] = np.float32(dice.pick((0, 20, 60, 255)))
    return image


def low_resolution(image: Field, dice: Dice, amount: float) -> Field:
    """Fewer pixels than it now has: scaled down, and up again."""
    height, width = image.shape[:2]
    # Below about 12 rows Vietnamese marks are gone for people too.
    share = max(1.0 - amount * dice.uniform(0.2, 0.75), 13.0 / height)
    if share >= 0.97:
        return image
    small = (max(2, round(width * share)), max(2, round(height * share)))
    down = dice.pick((cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_LINEAR))
    up = dice.pick((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_CUBIC, cv2.INTER_NEAREST))
    return np.asarray(
        cv2.resize(cv2.resize(image, small, interpolation=down), (width, height), interpolation=up)
    )


def moire(image: Field, dice: Dice, amount: float) -> Field:
    """The beat of a screen's grid with the camera's."""
    height, width = image.shape[:2]
    angle, period = dice.uniform(0, np.pi), dice.uniform(2.1, 9.0)
    xs = np.arange(width, dtype=np.float32) * np.float32(np.cos(angle) * 2 * np.pi / period)
    ys = np.arange(height, dtype=np.float32) * np.float32(np.sin(angle) * 2 * np.pi / period)
    image *= triple(np.float32(1.0) + np.float32(0.16 * amount) * np.sin(ys[:, None] + xs))
    return image


def led_grid(image: Field, dice: Dice) -> Field:
    """The dots of a lit sign or a coarse halftone."""
    height, width = image.shape[:2]
    period = dice.uniform(0.045, 0.09) * height + 1.2
    xs = np.cos(np.arange(width, dtype=np.float32) * np.float32(2 * np.pi / period))
    ys = np.cos(np.arange(height, dtype=np.float32) * np.float32(2 * np.pi / period))
    image *= triple(np.float32(1.0) + np.float32(dice.uniform(0.07, 0.2)) * (ys[:, None] + xs))
    return image


def jpeg(image: Mask, dice: Dice, amount: float) -> Mask:
    """Compression; takes and returns uint8."""
    quality = int(95 - amount * dice.uniform(5, 75))
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, max(14, quality)])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def fax(image: Field, dice: Dice) -> Field:
    """Black or white only, by a threshold that follows the page's light."""
    grey = np.ascontiguousarray(image.mean(axis=2))
    ground = cv2.blur(grey, (2 * (grey.shape[0] // 2) + 1, 2 * (grey.shape[0] // 2) + 1))
    level = ground * dice.uniform(0.82, 0.94)
    return np.repeat(np.where(grey > level, np.float32(255), np.float32(0))[..., None], 3, axis=2)


def contrast(image: Field, dice: Dice, amount: float) -> Field:
    """Flatter or steeper, darker or lighter, slightly off colour."""
    gain = np.float32(1.0 + amount * dice.uniform(-0.45, 0.25))
    offset = np.float32(amount * dice.uniform(-35, 35))
    cast = dice.fields.uniform(1 - 0.08 * amount, 1 + 0.08 * amount, 3).astype(np.float32)
    image -= 128
    image *= gain * cast
    image += 128 + offset
    return image


def sharpen(image: Field, dice: Dice, amount: float) -> Field:
    """The halo that phones and scanners add."""
    soft = cv2.GaussianBlur(image, (0, 0), dice.uniform(0.8, 2.0))
    image += (image - soft) * np.float32(amount * dice.uniform(0.3, 1.6))
    return image


# --- ink: uint8 masks --------------------------------------------------------------------------


def spread(mask: Mask, dice: Dice, amount: float) -> Mask:
    """Ink that runs or starves: heavier or lighter strokes; thin strokes are not starved away."""
    kernel = np.ones((2, 2), np.uint8) if mask.shape[0] < 60 else np.ones((3, 3), np.uint8)
    heavier = np.asarray(cv2.dilate(mask, kernel), np.uint8)
    share = amount * dice.random()
    if dice.chance(0.6):
        return np.asarray(cv2.addWeighted(mask, 1 - share, heavier, share, 0), np.uint8)
    lighter = cv2.erode(mask, kernel)
    share = min(share, 0.6)
    return np.asarray(cv2.addWeighted(mask, 1 - share, lighter, share, 0), np.uint8)


def worn(mask: Mask, dice: Dice, amount: float) -> Mask:
    """Ink missing in blotches, as on old print and dry ribbons."""
    height, width = mask.shape
    field = _noise(dice, height, width, 1)[..., 0]
    blurred = cv2.GaussianBlur(np.ascontiguousarray(field), (0, 0), dice.uniform(0.6, 2.5))
    soft = np.asarray(blurred, np.float32)
    soft /= max(float(soft.std()), 1e-6)
    keep = np.clip(1.0 - amount * np.clip(soft - dice.uniform(0.2, 1.2), 0, 1.2), 0.1, 1)
    return np.asarray(mask * keep, np.uint8)


def thermal(mask: Mask, dice: Dice, amount: float) -> Mask:
    """A thermal head: paler bands along and across the paper, dead dots as white rows."""
    height, width = mask.shape
    rng = dice.fields
    bands = 1 - amount * 0.6 * rng.random((dice.randint(2, 5), dice.randint(2, 9))).astype(
        np.float32
    )
    keep = np.asarray(cv2.resize(bands, (width, height)), np.float32)
    if dice.chance(0.3 * amount):
        keep[:, dice.randrange(width)] *= 0.3
    if dice.chance(0.25 * amount):
        keep[dice.randrange(height)] *= 0.4
    return np.asarray(mask * keep, np.uint8)
