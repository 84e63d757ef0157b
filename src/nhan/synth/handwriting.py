"""Lines as a hand writes them, drawn stroke by stroke.

Letters are the centre lines of handwriting faces. Vietnamese marks are not taken from the face but
drawn by the same pen: people write them fast, late and beside their letter, fonts never do. So
faces with Latin letters only can write Vietnamese here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nhan.synth.dice import Dice
from nhan.synth.fonts import Face
from nhan.synth.render import Drawn
from nhan.synth.strokes import GlyphPath, Stroke, keeping, paths, scaled
from nhan.tasks.text.alphabet import decompose

SHARP = 2.0  # strokes are drawn at twice their size: pens are thinner than whole pixels
# A pen makes no difference between these, so the label must not either.
_SAME_BY_HAND = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "…": "...", "₫": "đ"}
)


@dataclass(frozen=True)
class Hand:
    """One person's habits, lengths in ems.

    Attributes:
        slant: horizontal shift per unit of height.
        wide: width of letters as a share of the face's.
        tracking, word_gap: space after letters, and between words.
        wobble: how far points stray smoothly.
        jitter: how far whole letters stray in height, size and angle.
        drift, wander: slope of the baseline, and the height of its slow waves.
        pen: stroke width.
        pressure: how much the width varies between strokes.
        joined: share of neighbouring letters that are joined.
        mark_size: width of a vowel mark or tone.
        tone_right, tone_up: where tones are put, beyond the middle and the top of the letter.
        late: how far to the right roofs and bowls stray, put when the word is written.
        hasty: how much marks are flattened to dashes and dots.
    """

    slant: float
    wide: float
    tracking: float
    word_gap: float
    wobble: float
    jitter: float
    drift: float
    wander: float
    pen: float
    pressure: float
    joined: float
    mark_size: float
    tone_right: float
    tone_up: float
    late: float
    hasty: float

    @classmethod
    def of(cls, dice: Dice, hard: float) -> Hand:
        """Draw a hand; `hard` (0..1) widens every habit."""
        return cls(
            slant=dice.around(0.08, 0.12 + 0.1 * hard),
            wide=dice.uniform(1 - 0.25 * hard, 1 + 0.3 * hard),
            tracking=dice.uniform(-0.08, 0.08) * (0.4 + hard),
            word_gap=dice.uniform(0.22, 0.45 + 0.45 * hard),
            wobble=dice.uniform(0.004, 0.012 + 0.034 * hard),
            jitter=dice.uniform(0.1, 1.0) * hard,
            drift=dice.around(0, 0.015 * hard),
            wander=dice.uniform(0, 0.07) * hard,
            pen=math.exp(dice.uniform(math.log(0.025), math.log(0.075))),
            pressure=dice.uniform(0, 0.5) * hard,
            joined=dice.pick((0.0, 0.0, 0.4, 0.8, 1.0)) * dice.random() * min(1.0, 0.4 + hard),
            mark_size=dice.uniform(0.17, 0.32),
            tone_right=dice.uniform(-0.04, 0.06 + 0.2 * hard),
            tone_up=dice.uniform(0.0, 0.10),
            late=dice.uniform(0, 0.12) * hard,
            hasty=dice.random() * hard,
        )


# --- marks: strokes in a box around (0, 0), width 1, y down -------------------------------------


def _line(*points: tuple[float, float]) -> Stroke:
    return np.array(points, np.float32)


def _arc(
    x: float, y: float, rx: float, ry: float, start: float, end: float, steps: int = 7
) -> Stroke:
    angles = np.linspace(start, end, steps, dtype=np.float32) * np.float32(math.pi)
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1).astype(np.float32)


def _roof(dice: Dice, hasty: float) -> Stroke:
    peak = dice.uniform(-0.15, 0.15)
    if dice.chance(0.5 * hasty):
        return _arc(0, 0.2, 0.5, 0.5, 1.05, 1.95)
    return _line((-0.5, 0.28), (peak, -0.32), (0.5, dice.uniform(0.1, 0.34)))


def _bowl(dice: Dice, hasty: float) -> Stroke:
    return _arc(0, -0.2, 0.5, dice.uniform(0.3, 0.5) * (1 - 0.4 * hasty), 0.95, 0.05)


def _tone(dice: Dice, tone: str, hasty: float) -> Stroke:
    """A tone's stroke; hasty hooks open up and hasty tildes become dashes."""
    lean = dice.uniform(0.15, 0.5)
    if tone == "acute":
        return _line((-lean * 0.7, 0.4), (lean * 0.2, -0.05), (lean, -0.45))
    if tone == "grave":
        return _line((-lean, -0.45), (-lean * 0.1, 0.0), (lean * 0.7, 0.4))
    if tone == "hook":
        tail = dice.uniform(0.15, 0.5) * (1 - 0.5 * hasty)
        curl = _arc(0.0, -0.18, 0.27, 0.27, 1.0 - 0.1 * hasty, 2.45, 8)
        return np.concatenate([curl, _line((0.0, 0.08 + tail))])
    if tone == "tilde":
        wave = (1 - 0.75 * hasty) * dice.uniform(0.14, 0.3)
        rise = dice.uniform(-0.1, 0.25)
        xs = np.linspace(-0.55, 0.55, 8, dtype=np.float32)
        return np.stack([xs, -wave * np.sin(xs * 5.4) - rise * xs], axis=1).astype(np.float32)
    return _line((-0.1, -0.02), (0.08, 0.04 + 0.08 * dice.random()), (0.0, 0.08))


def _placed(stroke: Stroke, x: float, y: float, size: float, turn: float) -> Stroke:
    c, s = math.cos(turn) * size, math.sin(turn) * size
    return np.asarray(
        stroke @ np.array([[c, s], [-s, c]], np.float32) + np.array([x, y], np.float32), np.float32
    )


def _marks(dice: Dice, hand: Hand, path: GlyphPath, char: str) -> list[Stroke]:
    """The strokes of a letter's vowel mark and tone, in ems of its glyph."""
    letter = decompose(char)
    left, top, right, bottom = path.box
    middle, size = (left + right) / 2, hand.mark_size * dice.uniform(0.85, 1.15)
    out: list[Stroke] = []
    ceiling, above = top, middle
    if letter.mark == "stroke":
        high, wide = bottom - top, right - left
        if letter.base == "d":
            y, x0, x1 = top + 0.24 * high, right - 0.62 * wide, right + 0.22 * wide
        else:
            y, x0, x1 = top + 0.5 * high, left - 0.16 * wide, left + 0.42 * wide
        out.append(_line((x0, y + dice.around(0, 0.02)), (x1, y + dice.around(-0.01, 0.025))))
    elif letter.mark == "horn":
        x, y = right - 0.02, top + 0.08 * (bottom - top)
        reach = size * dice.uniform(0.4, 0.75)
        if letter.base in "uU" or dice.chance(0.6):
            out.append(
                _line(
                    (x, y + 0.02), (x + 0.7 * reach, y - 0.2 * reach), (x + reach, y - 0.95 * reach)
                )
            )
        else:
            out.append(_arc(x, y - 0.3 * reach, reach * 0.6, reach * 0.6, 0.6, -0.5, 6))
    elif letter.mark in ("circumflex", "breve"):
        shape = _roof(dice, hand.hasty) if letter.mark == "circumflex" else _bowl(dice, hand.hasty)
        y = top - size * dice.uniform(0.35, 0.6) - 0.02
        above = middle + hand.late
        out.append(_placed(shape, above + dice.around(0.01, 0.03), y, size, dice.around(0, 0.1)))
        ceiling = y - size * 0.25
    if letter.tone == "level":
        return out
    shape = _tone(dice, letter.tone, hand.hasty)
    x, y = (
        above + hand.tone_right + dice.around(0, 0.03),
        ceiling - hand.tone_up - size * dice.uniform(0.4, 0.7),
    )
    if letter.tone == "dot":
        x, y = middle + dice.around(0, 0.03), max(bottom, 0.0) + dice.uniform(0.08, 0.2)
    elif ceiling != top and letter.tone in ("acute", "grave") and dice.chance(0.6):
        # Beside the roof, as schoolbooks show: acute to the right, grave to either side.
        side = 1.0 if letter.tone == "acute" or dice.chance(0.5) else -1.0
        x, y = x + side * size * dice.uniform(0.3, 0.75), ceiling - size * dice.uniform(-0.1, 0.4)
    tone_size = size * dice.uniform(0.85, 1.25)
    out.append(_placed(shape, x, y, tone_size, dice.around(0, 0.15)))
    return out


# --- letters to a line ----------------------------------------------------------------------------


def _undotted(path: GlyphPath) -> GlyphPath:
    """An i without its dot, which a tone above replaces."""
    limit = path.box[1] + 0.25 * (path.box[3] - path.box[1])
    kept = tuple(s for s in path.strokes if float(s[:, 1].max()) > limit)
    if not kept or len(kept) == len(path.strokes):
        return path
    return keeping(path, kept)


def _letter(dice: Dice, hand: Hand, path: GlyphPath, char: str) -> tuple[list[Stroke], GlyphPath]:
    letter = decompose(char)
    if letter.base == "i" and letter.tone not in ("level", "dot"):
        path = _undotted(path)
    return [*path.strokes, *_marks(dice, hand, path, char)], path


def _join(before: NDArray[np.float32], after: NDArray[np.float32], room: float) -> Stroke | None:
    """A stroke from the right end of one letter to the left end of the next, near the baseline."""
    ends = before[(before[:, 1] > -0.45) & (before[:, 1] < 0.08)]
    starts = after[(after[:, 1] > -0.5) & (after[:, 1] < 0.08)]
    if not len(ends) or not len(starts):
        return None
    a, b = ends[ends[:, 0].argmax()], starts[starts[:, 0].argmin()]
    if not -0.05 < b[0] - a[0] < room:
        return None
    sag = np.array([(a[0] + b[0]) / 2, max(a[1], b[1]) + 0.03], np.float32)
    t = np.linspace(0, 1, 5, dtype=np.float32)[:, None]
    return np.asarray((1 - t) ** 2 * a + 2 * t * (1 - t) * sag + t**2 * b, np.float32)


def by_hand(text: str) -> str:
    """The text in the signs that a hand tells apart; what to label the picture with."""
    return text.translate(_SAME_BY_HAND)


def can_write(face: Face, text: str) -> bool:
    """Whether the face holds the bare letters and signs of a text that `by_hand` gave."""
    return face.writes("".join(decompose(c).base for c in text)) and "€" not in text


def _alphabet(dice: Dice, faces: tuple[Face, ...], text: str) -> dict[str, GlyphPath]:
    """One form for each letter: the first face's, or another's at the first one's size."""
    first = paths(faces[0].path)
    height = _small_height(first)
    forms = {}
    for base in dict.fromkeys(decompose(char).base for char in text if char != " "):
        table = first
        if len(faces) > 1 and base.isalpha() and dice.chance(0.6):
            table = paths(dice.pick(faces).path)
        forms[base] = scaled(table[base], height / _small_height(table))
    return forms


def _small_height(table: Mapping[str, GlyphPath]) -> float:
    return max(0.1, -table["x"].box[1])


def _strokes(dice: Dice, hand: Hand, faces: tuple[Face, ...], text: str) -> list[Stroke]:
    """All strokes of a line in ems, before the hand's slant and wobble."""
    alphabet = _alphabet(dice, faces, text)
    out: list[Stroke] = []
    at, previous = 0.0, None
    for char in text:
        if char == " ":
            at += hand.word_gap * dice.uniform(0.75, 1.35)
            previous = None
            continue
        strokes, path = _letter(dice, hand, alphabet[decompose(char).base], char)
        grow = 1 + hand.jitter * dice.around(0, 0.06)
        turn = hand.jitter * dice.around(0, 0.045)
        lift = hand.jitter * dice.around(0, 0.025)
        c, s = math.cos(turn) * grow, math.sin(turn) * grow
        matrix = np.array([[c * hand.wide, s], [-s * hand.wide, c]], np.float32)
        origin = np.array([at, lift], np.float32)
        moved = [np.asarray(stroke @ matrix + origin, np.float32) for stroke in strokes]
        out += moved
        bones = np.concatenate(moved[: len(path.strokes)]) if path.strokes else None
        if (
            previous is not None
            and bones is not None
            and char.islower()
            and dice.chance(hand.joined)
        ):
            link = _join(previous, bones, 0.4)
            if link is not None:
                out.append(link)
        previous = bones
        at += path.advance * hand.wide * grow + hand.tracking + hand.jitter * dice.around(0, 0.02)
    return out


def _shaken(dice: Dice, hand: Hand, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Wobble, wander, drift and slant, all smooth in space so that strokes stay connected."""
    x, y = points[:, 0].copy(), points[:, 1].copy()
    for _ in range(3):
        kx, ky = dice.uniform(2, 9), dice.uniform(2, 9)
        p, q = dice.uniform(0, 6.3), dice.uniform(0, 6.3)
        points[:, 0] += hand.wobble * np.sin(kx * x + ky * y + p)
        points[:, 1] += hand.wobble * np.sin(ky * x - kx * y + q)
    points[:, 1] += hand.wander * np.sin(x * dice.uniform(0.3, 1.6) + dice.uniform(0, 6.3))
    points[:, 1] += hand.drift * x
    points[:, 0] -= hand.slant * y
    return points


def write(
    dice: Dice, hand: Hand, faces: tuple[Face, ...], text: str, em: float, *, pad: float = 0.9
) -> Drawn:
    """Write a line.

    Args:
        dice: of the line.
        hand: whose.
        faces: whose letters; a hand takes each letter's form from one of them, most from the first.
            `can_write` must hold for all.
        text: NFC, one line.
        em: pixels per em of the result.
        pad: room around the ink, ems.

    Returns:
        The ink at twice the size (`em` says so); the line box encloses the ink.
    """
    # A text of nothing but blanks leaves no ink; the line is then one dot.
    strokes = _strokes(dice, hand, faces, text) or [np.zeros((1, 2), np.float32)]
    sizes = [len(s) for s in strokes]
    points = _shaken(dice, hand, np.concatenate(strokes))
    scale = em * SHARP
    low, high = points.min(axis=0), points.max(axis=0)
    low[1], high[1] = min(low[1], -0.8), max(high[1], 0.2)
    origin = low - np.float32(pad)
    width, height = (int(v) + 2 for v in (high - low + 2 * pad) * scale)
    pixels = np.round((points - origin) * (scale * 16)).astype(np.int32)
    mask = np.zeros((height, width), np.uint8)
    thick = hand.pen * scale
    groups: dict[int, list[NDArray[np.int32]]] = {}
    at = 0
    for size in sizes:
        wide = max(1, round(thick * (1 + hand.pressure * dice.uniform(-0.6, 0.6))))
        groups.setdefault(wide, []).append(pixels[at : at + size])
        at += size
    for wide, lines in groups.items():
        cv2.polylines(mask, lines, False, 255, wide, cv2.LINE_8, 4)
    (x0, y0), (x1, y1) = (low - origin) * scale, (high - origin) * scale
    box = (float(x0), float(y0), float(x1), float(y1))
    return Drawn(mask, None, scale, box, float(-origin[1] * scale))
