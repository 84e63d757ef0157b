"""The steps that all looks share, from a text to a finished picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from nhan.synth import degrade, render
from nhan.synth.cast import Cast
from nhan.synth.dice import Dice
from nhan.synth.fonts import Face
from nhan.synth.recipe import Recipe
from nhan.synth.render import Drawn, Setting

Field = NDArray[np.float32]
Picture = NDArray[np.uint8]
Colour = tuple[float, float, float]

MIN_EM = 12.5  # pixels; smaller marks melt into their letters even on clean prints
_PLAIN = Setting()
# Middle of the picture heights by look, pixels.
_HEIGHTS = {"receipt": 30, "handwriting": 72, "scene": 40}
_INKS = (
    *((25, 40, 140), (165, 25, 40), (20, 95, 60), (90, 55, 30)),
    *((70, 25, 110), (0, 70, 130)),
)
_PENS = (
    *((32, 42, 120), (45, 55, 140), (20, 25, 80), (28, 28, 40), (22, 22, 26), (15, 15, 18)),
    *((60, 40, 120), (60, 80, 175), (70, 72, 80), (150, 30, 40), (20, 80, 60)),
)


@dataclass(frozen=True)
class Look:
    """What a look needs to make one picture.

    Attributes:
        dice: of the line.
        kind: the look's name.
        text: the line.
        face: holds all of the text.
        cast: where more faces come from.
        hard: how much may go wrong, 0..1.
        recipe: the limits.
    """

    dice: Dice
    kind: str
    text: str
    face: Face
    cast: Cast
    hard: float
    recipe: Recipe

    def harm(self, share: float) -> bool:
        """True with probability `share` times how hard the line is."""
        return self.dice.chance(share * self.hard)


def picture_height(look: Look) -> float:
    """How high the picture should be, pixels."""
    height = _HEIGHTS.get(look.kind, 42) * math.exp(look.dice.around(0.0, 0.34))
    return min(max(height, look.recipe.min_height), look.recipe.max_height)


def spacing(look: Look) -> Setting:
    """Mostly the face's own; now and then letter-spaced, justified or shaped."""
    dice = look.dice
    cursive = look.face.style in ("script", "handwriting")
    point = dice.random()
    if point < 0.10 and not cursive:
        return Setting(tracking=dice.uniform(-0.035, 0.16))
    if point < 0.3:
        return Setting(word_gap=dice.uniform(0.7, 2.4))
    return Setting(shaping=point > 0.85 and cursive)


def set_line(look: Look, *, setting: Setting = _PLAIN) -> tuple[Drawn, float]:
    """Set the text; return it and the scale that brings it to the wanted picture height."""
    dice, recipe = look.dice, look.recipe
    em = max(MIN_EM, picture_height(look) / (render.ASCENT + render.DESCENT + 0.35))
    size = render.nearest_size(em)
    cut = _place_to_change(dice, look.text)
    if cut and setting == _PLAIN and not look.face.capitals:
        other = look.cast.companion(dice, look.face, look.text[cut:])
        other_size = render.nearest_size(size * dice.pick((1.0, 1.0, 0.8, 1.25)))
        drawn = render.typeset_pair(
            (look.text[:cut], look.face, size), (look.text[cut:], other, other_size)
        )
    else:
        drawn = render.typeset(look.text, look.face, size, setting)
    width = (drawn.box[2] - drawn.box[0]) * em / size + em
    return drawn, em / size * min(1.0, recipe.max_width / width)


def _place_to_change(dice: Dice, text: str) -> int:
    """Where the face changes inside a line: after a colon, or at any space; 0 for nowhere."""
    colon = text.find(": ")
    if colon > 0 and dice.chance(0.35):
        return colon + 2
    if not dice.chance(0.06):
        return 0
    spaces = [i + 1 for i, char in enumerate(text[:-1]) if char == " "]
    return dice.pick(spaces) if spaces else 0


def turn(
    look: Look, scale: float, drawn: Drawn, *, degrees: float, slant: float, depth: float
) -> NDArray[np.float64]:
    """Scale, rotate, slant and tilt, around the middle of the mask.

    Args:
        look: for its dice and hardness.
        scale: of the whole.
        drawn: what will be moved.
        degrees: largest rotation at hardness 1; long lines turn less, their crops would grow.
        slant: largest shear at hardness 1.
        depth: largest perspective at hardness 1: how much nearer one end is than the middle.

    Returns:
        A projective map, float64, shape (3, 3).
    """
    dice, hard = look.dice, look.hard
    height, width = drawn.text.shape
    limit = min(degrees, 220.0 * height / max(width, 1))
    angle = math.radians(dice.around(0, limit * hard / 2))
    shear = dice.around(0, slant * hard / 2)
    stretch = dice.uniform(1 - 0.18 * hard, 1 + 0.14 * hard)
    c, s = math.cos(angle), math.sin(angle)
    middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
    sized = np.array([[scale * stretch, scale * shear, 0], [0, scale, 0], [0, 0, 1.0]])
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) @ sized
    if depth and look.harm(0.6):
        reach = depth * hard / max(width * scale, 1)
        tilt = np.eye(3)
        tilt[2, :2] = dice.uniform(-reach, reach), dice.uniform(-reach, reach) / 2
        matrix = tilt @ matrix
    return np.asarray(matrix @ middle)


def bend(look: Look, share: float, height: float) -> tuple[float, float, float]:
    """Now and then a curve, as of an open book: amplitude in ems, waves, phase."""
    dice = look.dice
    if not look.harm(share):
        return (0.0, 0.0, 0.0)
    return (dice.uniform(0.04, height) * look.hard, dice.uniform(0.2, 1.1), dice.uniform(0, 6.3))


def surroundings(look: Look, drawn: Drawn, *, neighbours: float, rules: float) -> Drawn:
    """Neighbour lines, underlines, form dots, boxes and table rules, by their shares."""
    dice = look.dice
    if dice.chance(neighbours):
        above, below = dice.pick(((True, True), (True, False), (False, True)))
        pitch = dice.uniform(1.12, 1.6)
        drawn = render.with_neighbours(drawn, dice, pitch, above=above, below=below)
    return _rules(dice, drawn) if dice.chance(rules) else drawn


def _rules(dice: Dice, drawn: Drawn) -> Drawn:
    height, width = drawn.text.shape
    x0, y0, x1, y1 = drawn.box
    em, base = drawn.em, drawn.baseline
    thick = em * dice.uniform(0.02, 0.09)
    form = dice.random()
    if form < 0.3:
        y = base + em * dice.uniform(0.1, 0.3)
        return render.with_lines(drawn, [(x0, y, x1, y + dice.uniform(-1, 1))], thick)
    if form < 0.55:
        y, gap = base + em * dice.uniform(0.05, 0.3), em * dice.uniform(0.1, 0.3)
        return render.with_dots(drawn, y, gap, em * dice.uniform(0.03, 0.08))
    top, low = y0 - em * dice.uniform(-0.02, 0.3), y1 + em * dice.uniform(-0.02, 0.3)
    left, right = x0 - em * dice.uniform(0.1, 0.6), x1 + em * dice.uniform(0.1, 0.6)
    lines = [(0.0, top, float(width), top), (0.0, low, float(width), low)]
    sides = [(left, 0.0, left, float(height)), (right, 0.0, right, float(height))]
    return render.with_lines(drawn, [r for r in lines + sides if dice.chance(0.65)], thick)


def cut_out(look: Look, drawn: Drawn, *, wide: float = 0.5) -> Drawn:
    """Crop as a detector does: mostly around the line box, sometimes to the ink, ever outside it.

    Args:
        look: for its dice, and the recipe's share of tight crops.
        drawn: the line.
        wide: largest margin at the sides, ems.
    """
    dice = look.dice
    if dice.chance(look.recipe.tight):
        side, above = dice.uniform(0, 0.06), dice.uniform(0, 0.06)
        return render.crop(drawn, (side, above, dice.uniform(0, 0.06), above), to_ink=True)
    up, down = dice.uniform(0.0, 0.3), dice.uniform(0.0, 0.3)
    left, right = dice.uniform(0.05, wide), dice.uniform(0.05, wide)
    if dice.chance(0.3):
        return render.crop(drawn, (left, up + 0.12, right, down + 0.12), to_ink=True)
    if dice.chance(0.12):  # a generous box, with the neighbours in it
        up, down = up + dice.uniform(0, 0.5), down + dice.uniform(0, 0.5)
    return render.crop(drawn, (left, up - 0.1, right, down - 0.04), to_ink=False)


def lay(ground: Field, mask: NDArray[np.uint8], ink: Field | Colour, strength: float = 1.0) -> None:
    """Put ink on a ground, in place.

    Args:
        ground: float32 (H, W, 3).
        mask: coverage, uint8 (H, W).
        ink: a colour, or a field of colours of the ground's shape.
        strength: of full coverage, 0..1.
    """
    alpha = degrade.triple(mask.astype(np.float32) * np.float32(strength / 255))
    change = np.asarray(ink, np.float32) - ground
    change *= alpha
    ground += change


def ink_colour(dice: Dice, *, dark: float = 55, colourful: float = 0.1) -> Colour:
    """A printer's ink, RGB: black up to `dark`, or with the share `colourful` a deep colour."""
    if dice.chance(colourful):
        return _near(dice, dice.pick(_INKS), 25)
    value = dice.uniform(0, dark)
    return _near(dice, (value, value, value + 2), 6)


def pen_colour(dice: Dice) -> Colour:
    """Ball pens and markers: blue, black, violet; seldom red or green; pencil grey."""
    return _near(dice, dice.pick(_PENS), 14)


def _near(dice: Dice, base: Colour, reach: float) -> Colour:
    r, g, b = (max(0.0, c + dice.uniform(-reach, reach)) for c in base)
    return (r, g, b)


def legible(ground: Field, ink: Colour) -> Colour:
    """The ink, darkened with the ground under it until people could still read it."""
    tone = float(ground[::3, ::7].mean())
    value = 0.3 * ink[0] + 0.59 * ink[1] + 0.11 * ink[2]
    share = min(1.0, max(0.0, tone - 85) / max(value, 1.0))
    return (ink[0] * share, ink[1] * share, ink[2] * share)


def photographed(look: Look, ground: Field) -> Picture:
    """What all photographs go through: light, lens, sensor, file."""
    dice, hard = look.dice, look.hard
    if look.harm(0.5):
        ground = degrade.light(ground, dice, hard)
    if look.harm(0.25):
        ground = degrade.shadow(ground, dice, hard)
    if look.harm(0.6):
        ground = degrade.contrast(ground, dice, hard)
    if look.harm(0.75):
        ground = degrade.blur(ground, dice, 0.8 * hard)
    if look.harm(0.35):
        ground = degrade.low_resolution(ground, dice, 0.9 * hard)
    if look.harm(0.03):
        ground = degrade.moire(ground, dice, hard)
    if look.harm(0.6):
        ground = degrade.noise(ground, dice, 0.8 * hard)
    if look.harm(0.25):
        ground = degrade.sharpen(ground, dice, hard)
    return finish(look, ground, compress=0.6 * hard)


def finish(look: Look, image: Field, *, compress: float) -> Picture:
    """To uint8, through JPEG with the share `compress`."""
    out = np.asarray(cv2.addWeighted(image, 1, image, 0, 0, dtype=cv2.CV_8U), np.uint8)
    if look.dice.chance(compress):
        out = degrade.jpeg(out, look.dice, look.hard)
    return np.ascontiguousarray(out)


def worn_ink(look: Look, drawn: Drawn, *, spread: float, worn: float) -> Drawn:
    """Ink that ran, starved or rubbed off, by the shares of each."""
    mask = drawn.text
    if look.harm(spread):
        mask = degrade.spread(mask, look.dice, look.hard)
    if look.harm(worn):
        mask = degrade.worn(mask, look.dice, 0.8 * look.hard)
    return replace(drawn, text=mask)
