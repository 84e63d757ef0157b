"""Text to ink: a line set in a face, warped and cropped, as coverage masks.

Nothing here knows colours. A `Drawn` carries the ink of the line itself and, apart, the ink of what
surrounds it (neighbour lines, rules, boxes), so that crops follow the line alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nhan.synth.dice import Dice
from nhan.synth.fonts import Face, load

Mask = NDArray[np.uint8]

# Sizes that faces are opened at, pixels per em. A short ladder keeps opened faces in the cache;
# the warp scales between the rungs.
SIZES = (11, 14, 17, 20, 24, 28, 34, 40, 48, 58, 70, 86)
# A line box that every stack of Vietnamese marks fits in for nearly all faces, in ems from the
# baseline; ink beyond it still counts, because crops take the larger of box and ink.
ASCENT, DESCENT = 0.98, 0.26
_INK = 12  # coverage below this does not count as ink when edges are looked for; hairlines do


@dataclass(frozen=True)
class Drawn:
    """Coverage masks of one line.

    Attributes:
        text: uint8, shape (H, W), 255 where the line's ink is.
        other: the same for what surrounds the line; None where nothing does.
        em: pixels per em.
        box: the corners of the line box (left, top, right, bottom), float pixels; it encloses the
            ink of ordinary faces whatever the text.
        baseline: y of the baseline, float pixels.
    """

    text: Mask
    other: Mask | None
    em: float
    box: tuple[float, float, float, float]
    baseline: float


@dataclass(frozen=True)
class Setting:
    """How a line is set.

    Attributes:
        tracking: extra space after each letter, ems.
        word_gap: width of a space as a share of the face's own.
        shaping: use the face's ligature and kerning tables (slower).
        pad: room around the line box, ems.
    """

    tracking: float = 0.0
    word_gap: float = 1.0
    shaping: bool = False
    pad: float = 0.9


def nearest_size(em: float) -> int:
    """The rung of `SIZES` to draw at for a wanted size: the first that is not much smaller."""
    for size in SIZES:
        if size >= em * 0.94:
            return size
    return SIZES[-1]


_PLAIN = Setting()


def typeset(text: str, face: Face, size: int, setting: Setting = _PLAIN) -> Drawn:
    """Set one line of text with room all around it.

    Args:
        text: NFC, one line.
        face: holds every character of it.
        size: pixels per em.
        setting: spacing and room.

    Returns:
        The line's ink; no mark touches the border of the mask.
    """
    font = load(face.path, size, shaping=setting.shaping)
    runs = _runs(text, setting)
    gap = setting.tracking * size
    space = font.getlength(" ") * setting.word_gap + gap
    at, places = 0.0, []
    for run in runs:
        if run == " ":
            at += space
        else:
            places.append((at, run))
            at += font.getlength(run) + (gap if len(run) == 1 else 0.0)
    left, top, right, bottom = font.getbbox(text, anchor="ls")
    top = min(top, -ASCENT * size)
    bottom = max(bottom, DESCENT * size)
    # Slanted and script faces reach out of their advance widths.
    right = max(at, at + right - font.getlength(text), 1.0)
    pad = setting.pad * size
    x0, y0 = pad - min(0.0, left), pad - top
    width, height = int(x0 + right + pad) + 2, int(y0 + bottom + pad) + 2
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    for x, run in places:
        draw.text((x0 + x, y0), run, fill=255, font=font, anchor="ls")
    box = (x0 + min(0.0, left), y0 + top, x0 + right, y0 + bottom)
    return Drawn(np.asarray(image), None, float(size), box, y0)


def typeset_pair(first: tuple[str, Face, int], second: tuple[str, Face, int]) -> Drawn:
    """Two parts of one line in faces or sizes of their own, on one baseline.

    Args:
        first: text with the space that parts it from the second, face and size in pixels per em.
        second: the same for the rest.

    Returns:
        The line, at the size of the first part.
    """
    left = typeset(first[0].rstrip(), first[1], first[2])
    right = typeset(second[0], second[1], second[2])
    gap = load(first[1].path, first[2]).getlength(" ")
    at = left.box[2] + gap - right.box[0]
    up = max(left.baseline, right.baseline)
    low = max(m.text.shape[0] - m.baseline for m in (left, right))
    x = max(0, round(at))
    text = np.zeros((int(up + low) + 2, x + right.text.shape[1]), np.uint8)
    for part, start in ((left, 0), (right, x)):
        rows, columns = part.text.shape
        row = round(up - part.baseline)
        columns = min(columns, text.shape[1] - start)
        place = text[row : row + rows, start : start + columns]
        np.maximum(place, part.text[: place.shape[0], :columns], out=place)
    top = min(up - left.baseline + left.box[1], up - right.baseline + right.box[1])
    bottom = max(up - left.baseline + left.box[3], up - right.baseline + right.box[3])
    box = (left.box[0], top, x + right.box[2], bottom)
    return Drawn(text, None, left.em, box, up)


def _runs(text: str, setting: Setting) -> list[str]:
    if setting.tracking:
        return list(text)
    if setting.word_gap == 1.0:
        return [text]
    runs: list[str] = []
    for word in text.split(" "):
        runs += [word, " "]
    return runs[:-1]


def bitmap_like(drawn: Drawn, threshold: int = 110) -> Drawn:
    """Hard pixels, as dot-matrix and thermal heads print small letters."""
    return replace(drawn, text=np.where(drawn.text > threshold, 255, 0).astype(np.uint8))


def with_neighbours(
    drawn: Drawn, dice: Dice, pitch: float, *, above: bool = True, below: bool = True
) -> Drawn:
    """Lines above and below, made of the line's own letters moved aside.

    Args:
        drawn: the line; its `pad` must leave room for what should be seen.
        dice: of the line.
        pitch: distance of baselines, ems; more where the line box is higher.
        above: whether a line stands above.
        below: whether one stands below.
    """
    other = np.zeros_like(drawn.text) if drawn.other is None else drawn.other.copy()
    height = other.shape[0]
    x0, _, x1, _ = (int(v) for v in drawn.box)
    ink = drawn.text[:, x0 : max(x0 + 1, x1)]
    # Tall scripts need more room, or two readable lines would share the picture.
    shift = round(max(pitch * drawn.em, 0.96 * (drawn.box[3] - drawn.box[1])))
    for sign in [s for s, wanted in ((-1, above), (1, below)) if wanted]:
        moved = np.roll(ink, dice.randrange(ink.shape[1]), axis=1)
        if dice.chance(0.3):
            moved = moved[:, : int(moved.shape[1] * dice.uniform(0.2, 0.9)) or 1]
        part = other[max(0, sign * shift) : height + min(0, sign * shift), x0 : x0 + moved.shape[1]]
        source = moved[max(0, -sign * shift) : height - max(0, sign * shift)]
        if part.shape == source.shape:
            np.maximum(part, source, out=part)
    return replace(drawn, other=other)


def with_lines(drawn: Drawn, lines: list[tuple[float, float, float, float]], width: float) -> Drawn:
    """Straight rules, among the surroundings.

    Args:
        drawn: the line.
        lines: x0, y0, x1, y1 in pixels of the mask.
        width: stroke width in pixels; below 1 gives a fainter line.
    """
    other = np.zeros_like(drawn.text) if drawn.other is None else drawn.other.copy()
    shade = int(255 * min(1.0, max(0.25, width)))
    for x0, y0, x1, y1 in lines:
        start, end = (round(x0 * 16), round(y0 * 16)), (round(x1 * 16), round(y1 * 16))
        cv2.line(other, start, end, shade, max(1, round(width)), cv2.LINE_AA, 4)
    return replace(drawn, other=other)


def with_dots(drawn: Drawn, y: float, gap: float, radius: float) -> Drawn:
    """A dotted form line at height `y`, over the whole width; all in pixels."""
    other = np.zeros_like(drawn.text) if drawn.other is None else drawn.other.copy()
    height, width = other.shape
    row, thick = round(y), max(1, round(radius))
    if 0 <= row < height - thick:
        on = (np.arange(width) % max(2, round(gap))) < thick
        other[row : row + thick, on] = 220
    return replace(drawn, other=other)


def transform(
    drawn: Drawn,
    matrix: NDArray[np.float64],
    *,
    bend: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ripple: float = 0.0,
    dice: Dice | None = None,
) -> Drawn:
    """Move the ink by a projective map, then bend the line; one resampling.

    Args:
        drawn: the line.
        matrix: shape (3, 3), from mask pixels to pixels of an unbounded plane; the result is moved
            and sized to hold the whole mask.
        bend: amplitude in ems of the new size, waves along the line, phase in radians.
        ripple: how far letters are warped smoothly, ems of the new size; needs `dice`.
        dice: of the line.

    Returns:
        The line in a mask of the new size; `em` and `box` follow.
    """
    height, width = drawn.text.shape
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64)
    moved = cv2.perspectiveTransform(corners, matrix)[0]
    low, high = moved.min(axis=0), moved.max(axis=0)
    amplitude, waves, phase = bend
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    lift = abs(amplitude) * drawn.em * scale
    shift = np.array([[1, 0, -low[0]], [0, 1, lift - low[1]], [0, 0, 1.0]])
    full = shift @ matrix
    size = (
        max(1, int(np.ceil(high[0] - low[0]))),
        max(1, int(np.ceil(high[1] - low[1] + 2 * lift))),
    )
    source = drawn.text if drawn.other is None else np.dstack([drawn.text, drawn.other])
    # Shrinking to less than half would skip pixels; blur first by what will be lost.
    if scale < 0.6:
        source = np.asarray(cv2.GaussianBlur(source, (0, 0), 0.35 / scale), np.uint8)
    if amplitude or ripple:
        field = _ripple(dice, size, ripple * drawn.em * scale) if dice and ripple else None
        out = _bent(source, full, size, (lift, waves, phase), field)
    elif abs(full[2, 0]) + abs(full[2, 1]) < 1e-9:
        out = np.asarray(cv2.warpAffine(source, full[:2], size), np.uint8)
    else:
        out = np.asarray(cv2.warpPerspective(source, full, size), np.uint8)
    text, other = (out, None) if out.ndim == 2 else (out[..., 0], np.ascontiguousarray(out[..., 1]))
    x0, y0, x1, y1 = drawn.box
    line = np.array([[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, drawn.baseline]]], np.float64)
    ends = cv2.perspectiveTransform(line, full)[0]
    box = (*ends[:4].min(axis=0), *ends[:4].max(axis=0))
    box = (box[0], box[1] - lift, box[2], box[3] + lift)
    return Drawn(np.ascontiguousarray(text), other, drawn.em * scale, box, float(ends[4, 1]))


def _ripple(dice: Dice, size: tuple[int, int], reach: float) -> NDArray[np.float32]:
    """A smooth field of shifts, shape (H, W, 2), at most about twice `reach` pixels."""
    width, height = size
    cells = (max(2, height // 28 + 1), max(2, width // 28 + 1), 2)
    coarse = dice.fields.standard_normal(cells, dtype=np.float32) * np.float32(reach)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)


def _bent(
    source: Mask,
    matrix: NDArray[np.float64],
    size: tuple[int, int],
    curve: tuple[float, float, float],
    field: NDArray[np.float32] | None,
) -> Mask:
    width, height = size
    lift, waves, phase = curve
    inverse = np.linalg.inv(matrix)
    xs = np.arange(width, dtype=np.float32)
    wave = (lift * np.sin(xs * (2 * np.pi * waves / max(width, 1)) + phase)).astype(np.float32)
    ys = np.arange(height, dtype=np.float32)[:, None] + wave
    if field is not None:
        xs, ys = xs + field[..., 0], ys + field[..., 1]
    w = (inverse[2, 0] * xs + inverse[2, 1] * ys + inverse[2, 2]).astype(np.float32)
    map_x = ((inverse[0, 0] * xs + inverse[0, 1] * ys + inverse[0, 2]) / w).astype(np.float32)
    map_y = ((inverse[1, 0] * xs + inverse[1, 1] * ys + inverse[1, 2]) / w).astype(np.float32)
    return np.asarray(cv2.remap(source, map_x, map_y, cv2.INTER_LINEAR), np.uint8)


def widened(drawn: Drawn, left: float, right: float) -> Drawn:
    """The line with more empty mask at its sides, pixels."""
    sides = (int(left) + 1, int(right) + 1)
    masks = [
        None if m is None else np.asarray(np.pad(m, ((0, 0), sides)), np.uint8)
        for m in (drawn.text, drawn.other)
    ]
    x0, y0, x1, y1 = drawn.box
    assert masks[0] is not None
    return replace(drawn, text=masks[0], other=masks[1], box=(x0 + sides[0], y0, x1 + sides[0], y1))


def ink_box(mask: Mask) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the ink; the whole mask if there is none."""
    x, y, w, h = cv2.boundingRect((mask > _INK).view(np.uint8))
    return (x, y, x + w, y + h) if w and h else (0, 0, mask.shape[1], mask.shape[0])


def crop(drawn: Drawn, margins: tuple[float, float, float, float], *, to_ink: bool) -> Drawn:
    """Cut the line out, as a line detector would.

    Args:
        drawn: the line, with room around it.
        margins: left, top, right, bottom, in ems; negative cuts in, never into the ink.
        to_ink: measure from the ink; else from the line box, which ink may only widen.

    Returns:
        The cropped line.
    """
    x0, y0, x1, y1 = ink_box(drawn.text)
    ink = (x0, y0, x1, y1)
    if not to_ink:
        left, top, right, bottom = drawn.box
        x0, y0 = min(x0, int(left)), min(y0, int(top))
        x1, y1 = max(x1, int(right) + 1), max(y1, int(bottom) + 1)
    em = drawn.em
    height, width = drawn.text.shape
    x0 = max(0, min(ink[0], round(x0 - margins[0] * em)))
    y0 = max(0, min(ink[1], round(y0 - margins[1] * em)))
    x1 = min(width, max(ink[2], round(x1 + margins[2] * em)))
    y1 = min(height, max(ink[3], round(y1 + margins[3] * em)))
    text = np.ascontiguousarray(drawn.text[y0:y1, x0:x1])
    other = None
    if drawn.other is not None:
        other = np.ascontiguousarray(drawn.other[y0:y1, x0:x1])
    left, top, right, bottom = drawn.box
    box = (left - x0, top - y0, right - x0, bottom - y0)
    return Drawn(text, other, em, box, drawn.baseline - y0)
