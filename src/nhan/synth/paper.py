"""What ink lies on: a pool of surfaces made once per process, cut anew for every line.

The pool is the same in every process (its seed is fixed), so a line stays a pure function of its
own seed. Each surface is uint8 RGB, shape (160, 1800, 3).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from nhan.synth.dice import Dice

Picture = NDArray[np.uint8]
HEIGHT, WIDTH = 160, 1800
_EACH = 14  # surfaces of each sort; 14 x 5 sorts x 0.86 MB stay in memory


def soft_noise(
    rng: np.random.Generator, height: int, width: int, cell: float
) -> NDArray[np.float32]:
    """Smooth random field, about -1..1, whose blobs are `cell` pixels wide."""
    rows, cols = max(2, int(height / cell) + 2), max(2, int(width / cell) + 2)
    coarse = rng.standard_normal((rows, cols)).astype(np.float32) * 0.5
    return np.asarray(
        cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32
    )


def _finish(base: NDArray[np.float32]) -> Picture:
    return np.clip(base, 0, 255).astype(np.uint8)


def _sheet(rng: np.random.Generator) -> Picture:
    """Paper: nearly white or tinted, fibres, stains, folds."""
    tint = np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.05, 0.05, 3) * rng.integers(0, 2)
    value = rng.uniform(205, 252)
    field = value + soft_noise(rng, HEIGHT, WIDTH, rng.uniform(60, 400)) * rng.uniform(1, 10)
    field += soft_noise(rng, HEIGHT, WIDTH, rng.uniform(2, 8)) * rng.uniform(0, 6)
    field += rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32) * rng.uniform(0, 3)
    for _ in range(rng.integers(0, 4)):
        x, slope = rng.uniform(0, WIDTH), rng.uniform(-0.6, 0.6)
        away = np.arange(WIDTH)[None] - x - slope * np.arange(HEIGHT)[:, None]
        field += np.exp(-((away / rng.uniform(1, 6)) ** 2)) * rng.uniform(-16, 12)
    return _finish((field[..., None] * tint).astype(np.float32))


def _tinted(rng: np.random.Generator) -> Picture:
    """Coloured paper and the colour casts of phone cameras: blue, grey, cream, pink."""
    hue = rng.choice(
        np.array([[176, 190, 228], [140, 185, 222], [188, 186, 180], [206, 208, 214],
                  [232, 222, 196], [226, 198, 190], [196, 214, 188], [165, 165, 168],
                  [214, 202, 226]], np.float32)
    ) + rng.uniform(-14, 14, 3)  # fmt: skip
    field = soft_noise(rng, HEIGHT, WIDTH, rng.uniform(80, 500)) * rng.uniform(3, 14)
    field += soft_noise(rng, HEIGHT, WIDTH, rng.uniform(2, 6)) * rng.uniform(0, 5)
    field += rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32) * rng.uniform(0.5, 4)
    return _finish(hue[None, None].astype(np.float32) + field[..., None])


def _guilloche(rng: np.random.Generator) -> Picture:
    """The fine crossing waves of identity cards and certificates."""
    grounds = [[196, 226, 226], [150, 200, 200], [120, 178, 186], [228, 220, 200], [214, 226, 240],
               [236, 214, 214], [206, 226, 196], [92, 150, 160]]  # fmt: skip
    ground = np.array(grounds[rng.integers(len(grounds))], np.float32) + rng.uniform(-12, 12, 3)
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    base = np.broadcast_to(ground.astype(np.float32), (HEIGHT, WIDTH, 3)).copy()
    for _ in range(rng.integers(2, 5)):
        wave = np.zeros_like(xs)
        for _ in range(2):
            reach, length = rng.uniform(3, 14), rng.uniform(8, 80)
            wave += np.float32(reach) * np.sin(
                xs / np.float32(length) + np.float32(rng.uniform(0, 6))
            )
        angle = rng.uniform(-1.5, 1.5)
        phase = (ys + wave) * np.cos(angle) + xs * np.sin(angle) * rng.uniform(0.2, 1)
        lines = np.maximum(0, np.cos(phase * (2 * np.pi / rng.uniform(3, 9)))) ** rng.uniform(2, 8)
        colour = ground * rng.uniform(0.45, 0.85, 3)
        base += lines[..., None] * (colour - ground) * rng.uniform(0.25, 0.8)
    base += soft_noise(rng, HEIGHT, WIDTH, 120)[..., None] * rng.uniform(2, 18)
    return _finish(base)


def _wall(rng: np.random.Generator) -> Picture:
    """Boards, walls and banners: one strong colour, gradients, panels, blotches."""
    colour = rng.uniform(0, 255, 3)
    if rng.random() < 0.35:
        colour = np.full(3, rng.uniform(10, 245)) + rng.uniform(-12, 12, 3)
    second = np.clip(colour + rng.normal(0, 45, 3), 0, 255)
    ramp = np.linspace(0, 1, WIDTH, dtype=np.float32)[None, :, None]
    fade = colour + (second - colour) * (ramp * rng.integers(1, 4) % 1.0)
    base = np.broadcast_to(fade, (HEIGHT, WIDTH, 3)).astype(np.float32)
    base += soft_noise(rng, HEIGHT, WIDTH, rng.uniform(20, 300))[..., None] * rng.uniform(2, 26)
    base += rng.standard_normal((HEIGHT, WIDTH, 1)).astype(np.float32) * rng.uniform(0, 7)
    for _ in range(rng.integers(0, 8)):
        x = int(rng.uniform(0, WIDTH))
        base[:, x : x + rng.integers(1, 4)] *= rng.uniform(0.6, 1.3)
    return _finish(base)


def _clutter(rng: np.random.Generator) -> Picture:
    """Photographs behind captions: blobs, edges and foliage of many colours."""
    base = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for channel in range(3):
        base[..., channel] = 120 + soft_noise(rng, HEIGHT, WIDTH, rng.uniform(30, 160)) * 70
    shared = soft_noise(rng, HEIGHT, WIDTH, rng.uniform(8, 60)) * rng.uniform(20, 70)
    base += shared[..., None]
    for _ in range(rng.integers(4, 24)):
        centre = (int(rng.uniform(0, WIDTH)), int(rng.uniform(0, HEIGHT)))
        axes = (int(rng.uniform(6, 160)), int(rng.uniform(4, 80)))
        colour = rng.uniform(0, 255, 3)
        cv2.ellipse(
            base, centre, axes, rng.uniform(0, 180), 0, 360, colour.tolist(), -1, cv2.LINE_AA
        )
    soft = np.asarray(cv2.GaussianBlur(base, (0, 0), rng.uniform(0.6, 5)), np.float32)
    return _finish(soft + rng.standard_normal((HEIGHT, WIDTH, 1)).astype(np.float32) * 4)


_SORTS = {
    "sheet": _sheet,
    "tinted": _tinted,
    "guilloche": _guilloche,
    "wall": _wall,
    "clutter": _clutter,
}


@cache
def surface(sort: str, number: int) -> Picture:
    """One surface of the pool: `sort` is sheet, tinted, guilloche, wall or clutter."""
    seed = [sum(map(ord, sort)), number]
    return _SORTS[sort](np.random.Generator(np.random.SFC64(seed)))


def cut(dice: Dice, sort: str, height: int, width: int) -> NDArray[np.float32]:
    """A piece of a random surface, float32 (H, W, 3), values 0..255, free to change in place."""
    whole = surface(sort, dice.randrange(_EACH))
    rows, cols = min(height, HEIGHT), min(width, WIDTH)
    y, x = dice.randint(0, HEIGHT - rows), dice.randint(0, WIDTH - cols)
    piece = whole[y : y + rows, x : x + cols]
    if dice.chance(0.5):
        piece = piece[:, ::-1]
    if dice.chance(0.5):
        piece = piece[::-1]
    if piece.shape[:2] != (height, width):
        piece = np.asarray(cv2.resize(np.ascontiguousarray(piece), (width, height)), np.uint8)
    return piece.astype(np.float32)


def ruled(dice: Dice, ground: NDArray[np.float32], sort: str, em: float, baseline: float) -> None:
    """Print rules on a sheet, in place.

    Args:
        dice: of the line.
        ground: float32 (H, W, 3).
        sort: form (a table's cell), notebook (lines or squares), line (one to write on), bare.
        em: of the writing, pixels.
        baseline: of the writing, pixels from the top.
    """
    height, width = ground.shape[:2]
    tilt = dice.around(0, 0.006) * width

    def across(y: float, colour: tuple[float, float, float], thick: float) -> None:
        ends = ((0, round((y - tilt / 2) * 16)), (width * 16, round((y + tilt / 2) * 16)))
        cv2.line(ground, *ends, colour, max(1, round(thick)), cv2.LINE_AA, 4)

    def down(x: float, colour: tuple[float, float, float], thick: float) -> None:
        lean = dice.around(0, 0.02) * height
        ends = ((round(x * 16), 0), (round((x + lean) * 16), height * 16))
        cv2.line(ground, *ends, colour, max(1, round(thick)), cv2.LINE_AA, 4)

    if sort == "form":
        value = dice.uniform(15, 110)
        colour = (value, value, value + dice.uniform(0, 15))
        thick = em * dice.uniform(0.015, 0.07)
        if dice.chance(0.75):
            across(dice.uniform(0, 0.1) * height, colour, thick)
        if dice.chance(0.75):
            across(height - dice.uniform(0, 0.1) * height, colour, thick)
        if dice.chance(0.6):
            down(width - dice.uniform(0.05, 2.0) * em, colour, thick)
        if dice.chance(0.25):
            down(dice.uniform(0, 0.2) * em, colour, thick)
    elif sort == "notebook":
        tone = dice.pick(
            ((150, 165, 215), (190, 160, 200), (165, 190, 200), (215, 165, 170), (150, 150, 160))
        )
        colour = (float(tone[0]), float(tone[1]), float(tone[2]))
        pitch = em * dice.uniform(0.25, 1.6)
        y = (baseline + dice.uniform(-0.1, 0.15) * em) % pitch
        while y < height:
            across(y, colour, em * 0.02)
            y += pitch
        if dice.chance(0.45):
            x = dice.uniform(0, pitch)
            while x < width:
                down(x, colour, em * 0.02)
                x += pitch
    elif sort == "line":
        y = baseline + dice.uniform(0.0, 0.2) * em
        if dice.chance(0.5):
            row = min(height - 1, max(0, round(y)))
            on = np.arange(width) % max(3, round(em * dice.uniform(0.06, 0.2))) < 2
            ground[row, on] *= 0.45
        else:
            across(y, (90.0, 90.0, 95.0), em * 0.03)


def stamp(dice: Dice, ground: NDArray[np.float32]) -> None:
    """A part of a round seal over the line, red or violet, in place."""
    height, width = ground.shape[:2]
    radius = height * dice.uniform(0.6, 1.8)
    centre = (dice.uniform(0, width), dice.uniform(-0.6, 1.6) * height)
    ink = np.zeros((height, width), np.uint8)
    at = (round(centre[0] * 16), round(centre[1] * 16))
    for share, thick in ((1.0, 0.06), (0.9, 0.02), (0.55, 0.02)):
        reach = round(radius * share * 16)
        cv2.circle(ink, at, reach, 255, max(1, round(height * thick)), cv2.LINE_AA, 4)
    colour = dice.pick(((215, 40, 60), (200, 30, 45), (110, 50, 150), (60, 70, 170)))
    alpha = cv2.merge([ink, ink, ink]).astype(np.float32) * np.float32(
        dice.uniform(0.25, 0.6) / 255
    )
    ground += (np.array(colour, np.float32) - ground) * alpha


def highlight(dice: Dice, ground: NDArray[np.float32]) -> None:
    """A marker's band over a part of the line, in place."""
    height, width = ground.shape[:2]
    x0 = dice.randrange(width)
    x1 = min(width, x0 + dice.randint(height, 8 * height))
    y0, y1 = int(height * dice.uniform(0, 0.3)), int(height * dice.uniform(0.7, 1)) + 1
    colour = dice.pick(((255, 245, 90), (150, 255, 150), (255, 170, 210), (160, 225, 255)))
    ground[y0:y1, x0:x1] *= np.array(colour, np.float32) / np.float32(255)
