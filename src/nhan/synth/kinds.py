"""The looks: which face, size, paper, ink and damage each kind of picture has.

`draw` makes one picture. Each look is a short recipe over `render`, `paper` and `degrade`; numbers
in them were set by eye beside real pictures of the same kind, and grow with `hard` (0..1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from nhan.synth import degrade, handwriting, paper, render
from nhan.synth.dice import Dice
from nhan.synth.fonts import Face
from nhan.synth.recipe import Recipe
from nhan.synth.render import Drawn, Setting

Field = NDArray[np.float32]
Picture = NDArray[np.uint8]

# How often each style of face is drawn, by look.
STYLES: Mapping[str, Mapping[str, float]] = {
    "print": {"serif": 32, "sans": 36, "mono": 8, "condensed": 8, "display": 6, "script": 3, "handwriting": 4, "bitmap": 2},
    "scan": {"serif": 55, "sans": 25, "mono": 12, "condensed": 4, "display": 2, "bitmap": 1},
    "photo": {"serif": 48, "sans": 34, "mono": 7, "condensed": 6, "display": 3, "script": 1, "bitmap": 1},
    "receipt": {"sans": 28, "mono": 30, "condensed": 24, "bitmap": 14, "serif": 4},
    "card": {"sans": 45, "serif": 25, "mono": 10, "condensed": 15, "display": 3},
    "scene": {"sans": 34, "condensed": 20, "display": 28, "serif": 10, "script": 8},
    "handwriting": {"handwriting": 70, "script": 30},
    "short": {"serif": 28, "sans": 40, "mono": 10, "condensed": 10, "display": 6, "handwriting": 3, "bitmap": 3},
}  # fmt: skip
# Middle of the picture heights, pixels.
_HEIGHTS = {"receipt": 30, "handwriting": 72, "scene": 40, "card": 42}
_MIN_EM = 12.5  # smaller marks melt into their letters even on clean prints
_BOLD = re.compile(r"[6-9]00|bold|black|heavy", re.IGNORECASE)  # no pen's centre line
_CURSIVE = ("script", "handwriting")


@dataclass(frozen=True)
class Look:
    """What a look needs to make one picture.

    Attributes:
        dice: of the line.
        kind: its name.
        text: the line.
        face: holds all of the text.
        hard: how much may go wrong, 0..1.
        recipe: the limits.
    """

    dice: Dice
    kind: str
    text: str
    face: Face
    hard: float
    recipe: Recipe


class Cast:
    """The faces of a recipe, drawn by style, each family as often as any other."""

    def __init__(self, faces: tuple[Face, ...]) -> None:
        self.styles: dict[str, list[list[Face]]] = {}
        for face in faces:
            if face.vietnamese:
                self._add(face.style, face)
        self.fallback = next(f for f in sorted(faces, key=_plainness) if f.vietnamese)
        hands = [f for f in faces if f.style == "handwriting" and not _BOLD.search(f.name)]
        self.hands = _families(hands)

    def _add(self, style: str, face: Face) -> None:
        families = self.styles.setdefault(style, [])
        for family in families:
            if family[0].group == face.group:
                family.append(face)
                return
        families.append([face])

    def hand(self, dice: Dice, text: str) -> Face | None:
        """A face whose letters a pen could follow; None if no face can write the text."""
        for _ in range(6):
            face = dice.pick(dice.pick(self.hands)) if self.hands else self.fallback
            # A face of capitals still gives a hand, one that writes in capitals.
            if face.capitals and not text.isupper():
                continue
            if handwriting.can_write(face, text):
                return face
        return self.fallback if handwriting.can_write(self.fallback, text) else None

    def face(self, dice: Dice, shares: Mapping[str, float], text: str) -> Face:
        """A face that can write the text, styles drawn by their shares."""
        present = {s: share for s, share in shares.items() if s in self.styles}
        present = present or dict.fromkeys(self.styles, 1.0)
        for _ in range(6):
            face = dice.pick(dice.pick(self.styles[dice.weighted(present)]))
            # Words in capitals are not written with a script face, and cannot be read in one.
            shouted = face.style == "script" and text.isupper() and len(text) > 3
            if face.writes(text.upper() if face.capitals else text) and not shouted:
                return face
        return self.fallback


def _families(faces: list[Face]) -> list[list[Face]]:
    table: dict[str, list[Face]] = {}
    for face in faces:
        table.setdefault(face.group, []).append(face)
    return list(table.values())


def _plainness(face: Face) -> tuple[int, str]:
    return (0 if face.name.startswith("DejaVuSans") else 1, face.name)


def picture_height(dice: Dice, kind: str, recipe: Recipe) -> float:
    """How high the picture should be, pixels."""
    middle = _HEIGHTS.get(kind, 42)
    height = middle * math.exp(dice.around(0.0, 0.34))
    return min(max(height, recipe.min_height), recipe.max_height)


# --- parts of looks ----------------------------------------------------------------------------


def set_line(
    look: Look, *, setting: Setting = Setting(), margin: float = 0.35
) -> tuple[Drawn, float]:
    """Set the text; return it and the scale that brings it to the wanted picture height."""
    dice, recipe = look.dice, look.recipe
    height = picture_height(dice, look.kind, recipe)
    em = max(_MIN_EM, height / (render.ASCENT + render.DESCENT + margin))
    size = render.nearest_size(em)
    drawn = render.typeset(look.text, look.face, size, setting)
    width = (drawn.box[2] - drawn.box[0]) * em / size + em
    if width > recipe.max_width:
        em *= recipe.max_width / width
    return drawn, em / size


def turn(
    look: Look, scale: float, drawn: Drawn, *, degrees: float, slant: float, depth: float
) -> NDArray[np.float64]:
    """Scale, rotate, slant and tilt, around the middle of the mask.

    Args:
        look: for its dice and hardness.
        scale: of the whole.
        drawn: what will be moved.
        degrees, slant, depth: largest rotation, shear and perspective at hardness 1.
    """
    dice, hard = look.dice, look.hard
    height, width = drawn.text.shape
    # A long line leaves its crop with a small angle already.
    limit = min(degrees, 220.0 * height / max(width, 1))
    angle = math.radians(dice.around(0, limit * hard / 2))
    shear = dice.around(0, slant * hard / 2)
    stretch = dice.uniform(1 - 0.18 * hard, 1 + 0.14 * hard)
    middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
    c, s = math.cos(angle), math.sin(angle)
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) @ np.array(
        [[scale * stretch, scale * shear, 0], [0, scale, 0], [0, 0, 1.0]]
    )
    if depth and dice.chance(0.6 * hard):
        tilt = np.eye(3)
        tilt[2, 0] = dice.uniform(-depth, depth) * hard / max(width * scale, 1)
        tilt[2, 1] = dice.uniform(-depth, depth) * hard * 0.5 / max(width * scale, 1)
        matrix = tilt @ matrix
    return np.asarray(matrix @ middle)


def bend(look: Look, share: float, height: float) -> tuple[float, float, float]:
    """Now and then a curve, as of an open book: amplitude in ems, waves, phase."""
    dice = look.dice
    if not dice.chance(share * look.hard):
        return (0.0, 0.0, 0.0)
    return (dice.uniform(0.04, height) * look.hard, dice.uniform(0.2, 1.1), dice.uniform(0, 6.3))


def cut_out(look: Look, drawn: Drawn, *, wide: float = 0.5) -> Drawn:
    """Crop as a detector does: mostly around the line box, sometimes to the ink."""
    dice = look.dice
    if dice.chance(look.recipe.tight):
        margins = tuple(dice.uniform(0, 0.06) for _ in range(4))
        return render.crop(drawn, margins, to_ink=True)[0]  # type: ignore[arg-type]
    up, down = dice.uniform(0.0, 0.3), dice.uniform(0.0, 0.3)
    left, right = dice.uniform(0.05, wide), dice.uniform(0.05, wide)
    if dice.chance(0.3):
        extra = 0.12
        return render.crop(drawn, (left, up + extra, right, down + extra), to_ink=True)[0]
    return render.crop(drawn, (left, up - 0.1, right, down - 0.04), to_ink=False)[0]


def lay(
    ground: Field,
    mask: NDArray[np.uint8],
    ink: Field | tuple[float, float, float],
    strength: float = 1.0,
) -> Field:
    """Ink over a ground, in place; `ink` is a colour or a field of colours."""
    alpha = degrade.triple(mask.astype(np.float32) * np.float32(strength / 255))
    change = np.asarray(ink, np.float32) - ground
    change *= alpha
    ground += change
    return ground


def ink_colour(
    dice: Dice, *, dark: float = 55, colourful: float = 0.1
) -> tuple[float, float, float]:
    """A dark ink, RGB; now and then blue, red, green or brown."""
    if dice.chance(colourful):
        base = dice.pick(
            ((25, 40, 140), (165, 25, 40), (20, 95, 60), (90, 55, 30), (70, 25, 110), (0, 70, 130))
        )
        return (
            base[0] + dice.uniform(-20, 30),
            base[1] + dice.uniform(-20, 30),
            base[2] + dice.uniform(-20, 30),
        )
    value = dice.uniform(0, dark)
    return (value + dice.uniform(-6, 6), value + dice.uniform(-6, 6), value + dice.uniform(-4, 10))


def finish(look: Look, image: Field, *, compress: float) -> Picture:
    """To uint8, through JPEG with the share `compress`."""
    out = np.asarray(cv2.addWeighted(image, 1, image, 0, 0, dtype=cv2.CV_8U), np.uint8)
    if look.dice.chance(compress):
        out = degrade.jpeg(out, look.dice, look.hard)
    return np.ascontiguousarray(out)


def surroundings(look: Look, drawn: Drawn, *, neighbours: float, rules: float) -> Drawn:
    """Neighbour lines, underlines, form dots, boxes and table rules, by their shares."""
    dice = look.dice
    if dice.chance(neighbours):
        pitch = dice.uniform(1.12, 1.6)
        above, below = dice.pick(((True, True), (True, False), (False, True)))
        drawn = render.with_neighbours(drawn, dice, pitch, above=above, below=below)
    if dice.chance(rules):
        drawn = _rules(dice, drawn)
    return drawn


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
        y = base + em * dice.uniform(0.05, 0.3)
        return render.with_dots(
            drawn, y, em * dice.uniform(0.1, 0.3), em * dice.uniform(0.03, 0.08)
        )
    top, low = y0 - em * dice.uniform(-0.02, 0.3), y1 + em * dice.uniform(-0.02, 0.3)
    left, right = x0 - em * dice.uniform(0.1, 0.6), x1 + em * dice.uniform(0.1, 0.6)
    lines = [(0.0, top, float(width), top), (0.0, low, float(width), low)]
    sides = [(left, 0.0, left, float(height)), (right, 0.0, right, float(height))]
    keep = [line for line in lines + sides if dice.chance(0.65)]
    return render.with_lines(drawn, keep, thick)


def _setting(look: Look) -> Setting:
    dice = look.dice
    point = dice.random()
    if point < 0.10 and look.face.style not in _CURSIVE:
        return Setting(tracking=dice.uniform(-0.035, 0.16))
    if point < 0.3:
        return Setting(word_gap=dice.uniform(0.7, 2.4))
    return Setting(shaping=point > 0.85 and look.face.style in _CURSIVE)


# --- looks -------------------------------------------------------------------------------------


def _print(look: Look) -> Picture:
    """Born digital: screens, exported pages, screenshots."""
    dice, hard = look.dice, look.hard
    drawn, scale = set_line(look, setting=_setting(look))
    drawn = surroundings(look, drawn, neighbours=0.25, rules=0.14)
    if not (hard < 0.05 or dice.chance(0.4)):
        drawn = render.transform(drawn, turn(look, scale, drawn, degrees=1.2, slant=0.12, depth=0))
    else:
        drawn = render.transform(drawn, np.diag([scale, scale, 1.0]))
    drawn = cut_out(look, drawn)
    height, width = drawn.text.shape
    ground = np.empty((height, width, 3), np.float32)
    light_on_dark = dice.chance(0.12)
    paper_value, ink = dice.uniform(225, 255), ink_colour(dice, colourful=0.15)
    if dice.chance(0.25):
        ground[:] = dice.fields.uniform(190, 255, 3)
    else:
        ground[:] = 255 if dice.chance(0.6) else paper_value
    other_ink = ink if dice.chance(0.7) else ink_colour(dice, dark=170)
    if drawn.other is not None:
        lay(ground, drawn.other, other_ink)
    lay(ground, drawn.text, ink, dice.uniform(1 - 0.35 * hard, 1))
    if light_on_dark:
        ground = 255 - ground
    if dice.chance(0.25 * hard):
        ground = degrade.blur(ground, dice, 0.35 * hard)
    if dice.chance(0.25 * hard):
        ground = degrade.low_resolution(ground, dice, 0.5 * hard)
    if dice.chance(0.2 * hard):
        ground = degrade.noise(ground, dice, 0.4 * hard)
    return finish(look, ground, compress=0.35 * hard)


def _scan(look: Look) -> Picture:
    """Office scanners, copies, faxes: grey, slightly turned, worn."""
    dice, hard = look.dice, look.hard
    drawn, scale = set_line(look, setting=_setting(look))
    drawn = surroundings(look, drawn, neighbours=0.4, rules=0.2)
    drawn = render.transform(
        drawn,
        turn(look, scale, drawn, degrees=2.2, slant=0.1, depth=0),
        bend=bend(look, 0.12, 0.12),
    )
    drawn = cut_out(look, drawn)
    mask = drawn.text
    if dice.chance(0.5 * hard):
        mask = degrade.spread(mask, dice, hard)
    if dice.chance(0.35 * hard):
        mask = degrade.worn(mask, dice, 0.9 * hard)
    height, width = mask.shape
    ground = paper.cut(dice, "sheet", height, width)
    if dice.chance(0.8):
        ground[:] = ground[..., :1]
    if dice.chance(0.18 * hard):  # bleed-through of the back of the page
        back = np.ascontiguousarray(
            np.roll(mask[:, ::-1], dice.randint(-height, height) // 2, axis=0)
        )
        lay(
            ground,
            cv2.GaussianBlur(back, (0, 0), height / 40 + 0.5),
            (90, 88, 84),
            dice.uniform(0.1, 0.4),
        )
    ink = ink_colour(dice, dark=90, colourful=0.06)
    if drawn.other is not None:
        lay(ground, drawn.other, ink, dice.uniform(0.6, 1))
    lay(ground, mask, ink, dice.uniform(1 - 0.3 * hard, 1))
    if dice.chance(0.6 * hard):
        ground = degrade.blur(ground, dice, 0.6 * hard)
    if dice.chance(0.35 * hard):
        ground = degrade.low_resolution(ground, dice, 0.8 * hard)
    if dice.chance(0.3 * hard):
        ground = degrade.light(ground, dice, 0.6)
    if dice.chance(0.6 * hard):
        ground = degrade.noise(ground, dice, hard)
    if dice.chance(0.3 * hard):
        ground = degrade.specks(ground, dice, hard)
    if dice.chance(0.2 * hard):
        ground = degrade.fax(ground, dice)
        if dice.chance(0.5):
            ground = degrade.low_resolution(ground, dice, 0.3)
    elif dice.chance(0.3 * hard):
        ground = degrade.sharpen(ground, dice, hard)
    return finish(look, ground, compress=0.4 * hard)


def _photographed(
    look: Look,
    drawn: Drawn,
    ground: Field,
    inks: tuple[tuple[float, float, float], ...],
    strength: float,
) -> Picture:
    """The end that all photographs share: light, lens, sensor, file."""
    dice, hard = look.dice, look.hard
    if drawn.other is not None:
        lay(ground, drawn.other, inks[1], dice.uniform(0.5, 1))
    if strength:
        lay(ground, drawn.text, legible(ground, inks[0]), strength)
    if dice.chance(0.5 * hard):
        ground = degrade.light(ground, dice, hard)
    if dice.chance(0.25 * hard):
        ground = degrade.shadow(ground, dice, hard)
    if dice.chance(0.6 * hard):
        ground = degrade.contrast(ground, dice, hard)
    if dice.chance(0.75 * hard):
        ground = degrade.blur(ground, dice, 0.8 * hard)
    if dice.chance(0.35 * hard):
        ground = degrade.low_resolution(ground, dice, 0.9 * hard)
    if dice.chance(0.05 * hard):
        ground = degrade.moire(ground, dice, hard)
    if dice.chance(0.6 * hard):
        ground = degrade.noise(ground, dice, 0.8 * hard)
    if dice.chance(0.25 * hard):
        ground = degrade.sharpen(ground, dice, hard)
    return finish(look, ground, compress=0.6 * hard)


def _photo(look: Look) -> Picture:
    """A page, book or screen photographed with a phone."""
    dice, hard = look.dice, look.hard
    drawn, scale = set_line(look, setting=_setting(look))
    drawn = surroundings(look, drawn, neighbours=0.45, rules=0.12)
    matrix = turn(look, scale, drawn, degrees=4, slant=0.2, depth=0.35)
    drawn = render.transform(drawn, matrix, bend=bend(look, 0.4, 0.3))
    drawn = cut_out(look, drawn)
    if dice.chance(0.3 * hard):
        drawn = replace(drawn, text=degrade.spread(drawn.text, dice, hard))
    if dice.chance(0.15 * hard):
        drawn = replace(drawn, text=degrade.worn(drawn.text, dice, 0.7 * hard))
    ground = paper.cut(dice, "tinted" if dice.chance(0.55) else "sheet", *drawn.text.shape)
    if dice.chance(0.3):
        ground *= dice.uniform(0.5, 0.95)
    ink = ink_colour(dice, dark=80, colourful=0.08)
    return _photographed(look, drawn, ground, (ink, ink), dice.uniform(1 - 0.4 * hard, 1))


def _receipt(look: Look) -> Picture:
    """Thermal and dot-matrix slips, photographed."""
    dice, hard = look.dice, look.hard
    setting = Setting(tracking=dice.uniform(-0.02, 0.14)) if dice.chance(0.2) else _setting(look)
    drawn, scale = set_line(look, setting=setting)
    if dice.chance(0.35):
        # The printer's own small dots, then the camera's pixels.
        em = drawn.em * scale
        size = dice.pick((14, 17, 20, 24))
        drawn = render.bitmap_like(
            render.typeset(look.text, look.face, size, setting), dice.randint(70, 140)
        )
        scale = em / size
    drawn = surroundings(look, drawn, neighbours=0.4, rules=0.06)
    narrow = dice.uniform(0.62, 1.1) if dice.chance(0.4) else 1.0
    matrix = turn(look, scale, drawn, degrees=3.5, slant=0.15, depth=0.3) @ np.diag(
        [narrow, 1, 1.0]
    )
    drawn = render.transform(drawn, matrix, bend=bend(look, 0.35, 0.35))
    drawn = cut_out(look, drawn)
    if dice.chance(0.4 * hard):
        drawn = replace(drawn, text=degrade.spread(drawn.text, dice, hard))
    if dice.chance(0.5 * hard):
        drawn = replace(drawn, text=degrade.thermal(drawn.text, dice, hard))
    ground = paper.cut(dice, "tinted" if dice.chance(0.7) else "sheet", *drawn.text.shape)
    ink = ink_colour(dice, dark=100, colourful=0.12)
    return _photographed(look, drawn, ground, (ink, ink), dice.uniform(1 - 0.45 * hard, 1))


def _card(look: Look) -> Picture:
    """Identity cards, licences and certificates: fine coloured grounds, laminate, form dots."""
    dice, hard = look.dice, look.hard
    drawn, scale = set_line(look, setting=_setting(look))
    drawn = surroundings(look, drawn, neighbours=0.25, rules=0.35)
    matrix = turn(look, scale, drawn, degrees=3, slant=0.12, depth=0.25)
    drawn = cut_out(look, render.transform(drawn, matrix, bend=bend(look, 0.08, 0.15)))
    ground = paper.cut(
        dice, dice.pick(("guilloche", "guilloche", "guilloche", "tinted")), *drawn.text.shape
    )
    ink = ink_colour(dice, dark=70, colourful=0.35)
    strength = dice.uniform(1 - 0.45 * hard, 1)
    if drawn.other is not None:
        lay(ground, drawn.other, ink, dice.uniform(0.4, 1))
    lay(ground, drawn.text, legible(ground, ink), strength)
    if dice.chance(0.35 * hard):
        ground = degrade.glare(ground, dice, hard)
    empty = replace(drawn, text=np.zeros_like(drawn.text), other=None)
    return _photographed(look, empty, ground, (ink, ink), 0.0)


def _scene(look: Look) -> Picture:
    """Signs, banners, packages and captions, in colour."""
    dice, hard = look.dice, look.hard
    drawn, scale = set_line(look, setting=_setting(look))
    if dice.chance(0.15):
        drawn = render.with_neighbours(drawn, dice, dice.uniform(1.2, 1.8))
    matrix = turn(look, scale, drawn, degrees=6, slant=0.3, depth=0.7)
    drawn = render.transform(drawn, matrix, bend=bend(look, 0.12, 0.3))
    drawn = cut_out(look, drawn, wide=0.8)
    height, width = drawn.text.shape
    ground = paper.cut(dice, "clutter" if dice.chance(0.25) else "wall", height, width)
    ink, edge = _sign_colours(dice, ground)
    em = drawn.em
    if dice.chance(0.45):  # outline, drop shadow or the depth of raised letters
        thick = max(1, round(em * dice.uniform(0.03, 0.09)))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thick + 1, 2 * thick + 1))
        around = cv2.dilate(drawn.text, kernel)
        if dice.chance(0.5):
            dx, dy = dice.randint(0, thick + 1), dice.randint(0, thick + 1)
            around = np.roll(drawn.text, (dy, dx), (0, 1))
        if dice.chance(0.4):
            around = cv2.GaussianBlur(around, (0, 0), thick)
        lay(ground, np.asarray(around, np.uint8), edge, dice.uniform(0.5, 1))
    if drawn.other is not None:
        lay(ground, drawn.other, ink)
    if dice.chance(0.2):  # a gradient down the letters
        ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        colours = np.asarray(ink, np.float32) * (1 - ramp * dice.uniform(0.1, 0.45))
        lay(ground, drawn.text, np.broadcast_to(colours, ground.shape).astype(np.float32))
    else:
        lay(ground, drawn.text, ink)
    if dice.chance(0.06 * hard):
        ground = degrade.led_grid(ground, dice)
    if dice.chance(0.12 * hard):
        ground = degrade.glare(ground, dice, hard)
    empty = replace(drawn, text=np.zeros_like(drawn.text), other=None)
    return _photographed(look, empty, ground, (ink, ink), 0.0)


def legible(ground: Field, ink: tuple[float, float, float]) -> tuple[float, float, float]:
    """The ink, darkened with the ground under it until people could still read it."""
    tone = float(ground[::3, ::7].mean())
    value = 0.3 * ink[0] + 0.59 * ink[1] + 0.11 * ink[2]
    share = min(1.0, max(0.0, tone - 85) / max(value, 1.0))
    return (ink[0] * share, ink[1] * share, ink[2] * share)


def _sign_colours(
    dice: Dice, ground: Field
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Ink that stands out from the ground, and the opposite for outlines."""
    mean = float(ground[::4, ::8].mean())
    light = mean < 128 if dice.chance(0.9) else mean < 170
    strong = ((255, 214, 0), (255, 255, 255), (255, 240, 120), (200, 255, 210), (255, 190, 190))
    deep = ((15, 15, 20), (150, 10, 20), (10, 30, 120), (0, 80, 40), (90, 20, 90))
    ink = dice.pick(strong[:3] if dice.chance(0.7) else strong) if light else dice.pick(deep)
    jitter = [dice.uniform(-25, 20) for _ in range(3)]
    colour = tuple(min(255.0, max(0.0, c + j)) for c, j in zip(ink, jitter, strict=True))
    edge = dice.pick(deep if light else strong)
    return (colour[0], colour[1], colour[2]), (float(edge[0]), float(edge[1]), float(edge[2]))


def _short(look: Look) -> Picture:
    """Short fields, in any of the other looks."""
    maker = look.dice.pick((_print, _print, _scan, _photo, _receipt, _card, _scene))
    return maker(look)


def _handwriting(look: Look) -> Picture:
    """Pen on paper, photographed or scanned; a form's cell, a notebook's rules, or nothing round it."""
    dice, hard = look.dice, look.hard
    height = picture_height(dice, "handwriting", look.recipe)
    hand = handwriting.Hand.of(dice, hard)
    drawn = handwriting.write(dice, hand, look.face, look.text, max(_MIN_EM + 4, height / 2.1))
    scale = 1 / handwriting.SHARP
    width = (drawn.box[2] - drawn.box[0]) * scale + drawn.em * scale
    scale *= min(1.0, look.recipe.max_width / width)
    sort = dice.weighted({"form": 0.4, "notebook": 0.2, "line": 0.1, "bare": 0.3})
    if dice.chance(0.25):
        drawn = render.with_neighbours(drawn, dice, dice.uniform(1.5, 2.0))
    matrix = turn(look, scale, drawn, degrees=2.5, slant=0.1, depth=0.15)
    drawn = render.transform(drawn, matrix, bend=bend(look, 0.1, 0.08))
    em = drawn.em
    left, right = dice.uniform(0.1, 0.8), dice.uniform(0.1, 0.8)
    if dice.chance(0.35):  # most of a form's cell stays empty
        right += dice.uniform(0, 6)
    tight = dice.chance(look.recipe.tight)
    up, low = (0.02, 0.02) if tight else (dice.uniform(0.05, 0.45), dice.uniform(0.05, 0.45))
    drawn = render.widened(drawn, left * em, right * em)
    drawn = render.crop(drawn, (left, up, right, low), to_ink=True)[0]
    screen = dice.chance(0.08)  # written on glass: no paper, no camera
    ground = paper.cut(dice, "tinted" if dice.chance(0.6) else "sheet", *drawn.text.shape)
    if screen:
        ground[:] = 255
    else:
        paper.ruled(dice, ground, sort, em, drawn.baseline)
    ink = pen_colour(dice)
    if drawn.other is not None:
        lay(ground, drawn.other, ink)
    mask = drawn.text
    if dice.chance(0.3 * hard):
        mask = degrade.worn(mask, dice, 0.5 * hard)
    lay(ground, mask, legible(ground, ink), dice.uniform(1 - 0.35 * hard, 1))
    if screen:
        return finish(look, ground, compress=0.3)
    empty = replace(drawn, text=np.zeros_like(drawn.text), other=None)
    return _photographed(look, empty, ground, (ink, ink), 0.0)


def pen_colour(dice: Dice) -> tuple[float, float, float]:
    """Ball pens and markers: blue, black, violet; seldom red or green; pencil grey."""
    base = dice.pick(
        ((32, 42, 120), (45, 55, 140), (20, 25, 80), (28, 28, 40), (22, 22, 26), (15, 15, 18), (60, 40, 120), (60, 80, 175),
         (70, 72, 80), (150, 30, 40), (20, 80, 60))
    )  # fmt: skip
    return (
        base[0] + dice.uniform(-12, 16),
        base[1] + dice.uniform(-12, 16),
        base[2] + dice.uniform(-12, 16),
    )


def _script(look: Look) -> Picture:
    """Handwriting and script faces as they are, brushes and markers included, shaken."""
    dice, hard = look.dice, look.hard
    drawn, scale = set_line(look, setting=Setting(word_gap=dice.uniform(0.8, 2.2)))
    drawn = surroundings(look, drawn, neighbours=0.15, rules=0.4)
    matrix = turn(look, scale, drawn, degrees=3, slant=0.5, depth=0.2)
    ripple = dice.uniform(0, 0.09) * hard
    drawn = render.transform(drawn, matrix, bend=bend(look, 0.6, 0.2), ripple=ripple, dice=dice)
    drawn = cut_out(look, drawn, wide=1.5)
    ground = paper.cut(dice, "tinted" if dice.chance(0.6) else "sheet", *drawn.text.shape)
    paper.ruled(
        dice, ground, dice.pick(("bare", "bare", "notebook", "line")), drawn.em, drawn.baseline
    )
    ink = pen_colour(dice)
    return _photographed(look, drawn, ground, (ink, ink), dice.uniform(1 - 0.3 * hard, 1))


_LOOKS: Mapping[str, Callable[[Look], Picture]] = {
    "print": _print,
    "scan": _scan,
    "photo": _photo,
    "receipt": _receipt,
    "card": _card,
    "scene": _scene,
    "short": _short,
    "handwriting": _script,
}


def draw(dice: Dice, kind: str, text: str, cast: Cast, recipe: Recipe) -> tuple[Picture, str, str]:
    """One picture of a line.

    Args:
        dice: of the line.
        kind: a name in `nhan.synth.recipe.KINDS`.
        text: what to write.
        cast: the faces to choose from.
        recipe: sizes and difficulty.

    Returns:
        The picture (uint8 RGB, shape (H, W, 3)), the text as written (a face of capitals changes
        it), and the name of the face.
    """
    hard = recipe.difficulty * dice.uniform(0.55, 1.0) if recipe.difficulty < 1 else 1.0
    if kind == "handwriting" and dice.chance(0.8):
        written = handwriting.by_hand(text)
        hand = cast.hand(dice, written)
        if hand:
            return _handwriting(Look(dice, kind, written, hand, hard, recipe)), written, hand.name
    face = cast.face(dice, STYLES[kind], text)
    if face.capitals:
        text = text.upper()
    return _LOOKS[kind](Look(dice, kind, text, face, hard, recipe)), text, face.name
