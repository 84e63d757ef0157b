"""The looks: what paper, ink and damage each kind of picture has.

Each look is a short story over `compose`, `paper` and `degrade`. The numbers in them were set by
eye beside real pictures of the same kind; what goes wrong grows with `Look.hard`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np

from nhan.synth import degrade, handwriting, paper, render
from nhan.synth.cast import Cast
from nhan.synth.compose import (
    MIN_EM,
    Colour,
    Field,
    Look,
    Picture,
    bend,
    cut_out,
    finish,
    ink_colour,
    lay,
    legible,
    pen_colour,
    photographed,
    picture_height,
    set_line,
    spacing,
    surroundings,
    turn,
    worn_ink,
)
from nhan.synth.dice import Dice
from nhan.synth.recipe import Recipe
from nhan.synth.render import Drawn, Setting

_BRIGHT = ((255, 214, 0), (255, 255, 255), (255, 240, 120), (200, 255, 210), (255, 190, 190))
_DEEP = ((15, 15, 20), (150, 10, 20), (10, 30, 120), (0, 80, 40), (90, 20, 90))


def _print(look: Look) -> Picture:
    """Born digital: screens, exported pages, screenshots."""
    dice, hard = look.dice, look.hard
    drawn, scale = set_line(look, setting=spacing(look))
    drawn = surroundings(look, drawn, neighbours=0.25, rules=0.14)
    matrix = np.diag([scale, scale, 1.0])
    if hard > 0.05 and dice.chance(0.6):
        matrix = turn(look, scale, drawn, degrees=1.2, slant=0.12, depth=0)
    drawn = cut_out(look, render.transform(drawn, matrix))
    ground = np.empty((*drawn.text.shape, 3), np.float32)
    tinted = dice.chance(0.25)
    ground[:] = dice.fields.uniform(190, 255, 3) if tinted else dice.pick((255, 255, 250, 235))
    ink = ink_colour(dice, colourful=0.15)
    if drawn.other is not None:
        lay(ground, drawn.other, ink if dice.chance(0.7) else ink_colour(dice, dark=170))
    lay(ground, drawn.text, ink, dice.uniform(1 - 0.35 * hard, 1))
    if dice.chance(0.12):
        ground = np.float32(255) - ground
    if look.harm(0.25):
        ground = degrade.blur(ground, dice, 0.35 * hard)
    if look.harm(0.25):
        ground = degrade.low_resolution(ground, dice, 0.5 * hard)
    if look.harm(0.2):
        ground = degrade.noise(ground, dice, 0.4 * hard)
    return finish(look, ground, compress=0.35 * hard)


def _scan(look: Look) -> Picture:
    """Office scanners, copies, faxes: mostly grey, slightly turned, worn."""
    dice, hard = look.dice, look.hard
    drawn, scale = set_line(look, setting=spacing(look))
    drawn = surroundings(look, drawn, neighbours=0.4, rules=0.2)
    matrix = turn(look, scale, drawn, degrees=2.2, slant=0.1, depth=0)
    drawn = cut_out(look, render.transform(drawn, matrix, bend=bend(look, 0.12, 0.12)))
    drawn = worn_ink(look, drawn, spread=0.5, worn=0.35)
    height, width = drawn.text.shape
    ground = paper.cut(dice, "sheet", height, width)
    if dice.chance(0.8):
        ground[:] = ground[..., :1]
    if look.harm(0.18):
        _bleed_through(dice, ground, drawn.text)
    _lay_line(look, drawn, ground, ink_colour(dice, dark=90, colourful=0.06), fade=0.3)
    if look.harm(0.06):
        paper.stamp(dice, ground)
    if look.harm(0.6):
        ground = degrade.blur(ground, dice, 0.6 * hard)
    if look.harm(0.35):
        ground = degrade.low_resolution(ground, dice, 0.8 * hard)
    if look.harm(0.3):
        ground = degrade.light(ground, dice, 0.6)
    if look.harm(0.6):
        ground = degrade.noise(ground, dice, hard)
    if look.harm(0.3):
        ground = degrade.specks(ground, dice, hard)
    if look.harm(0.2):
        ground = degrade.fax(ground, dice)
        ground = degrade.low_resolution(ground, dice, 0.3) if dice.chance(0.5) else ground
    elif look.harm(0.3):
        ground = degrade.sharpen(ground, dice, hard)
    return finish(look, ground, compress=0.4 * hard)


def _bleed_through(dice: Dice, ground: Field, mask: np.ndarray) -> None:
    """The back of the page, mirrored and soft."""
    height = mask.shape[0]
    back = np.roll(mask[:, ::-1], dice.randint(-height, height) // 2, axis=0)
    soft = cv2.GaussianBlur(np.ascontiguousarray(back), (0, 0), height / 40 + 0.5)
    lay(ground, np.asarray(soft, np.uint8), (90, 88, 84), dice.uniform(0.1, 0.4))


def _lay_line(look: Look, drawn: Drawn, ground: Field, ink: Colour, *, fade: float) -> None:
    """The surroundings, then the line; up to `fade` of its ink is missing at hardness 1."""
    dice = look.dice
    ink = legible(ground, ink)
    if drawn.other is not None:
        lay(ground, drawn.other, ink, dice.uniform(0.5, 1))
    lay(ground, drawn.text, ink, dice.uniform(1 - fade * look.hard, 1))


def _photo(look: Look) -> Picture:
    """A page, book or screen photographed with a phone."""
    dice = look.dice
    drawn, scale = set_line(look, setting=spacing(look))
    drawn = surroundings(look, drawn, neighbours=0.45, rules=0.12)
    matrix = turn(look, scale, drawn, degrees=4, slant=0.2, depth=0.35)
    drawn = cut_out(look, render.transform(drawn, matrix, bend=bend(look, 0.4, 0.3)))
    drawn = worn_ink(look, drawn, spread=0.3, worn=0.15)
    ground = paper.cut(dice, "tinted" if dice.chance(0.55) else "sheet", *drawn.text.shape)
    if dice.chance(0.3):
        ground *= np.float32(dice.uniform(0.5, 0.95))
    if look.harm(0.05):
        paper.highlight(dice, ground)
    _lay_line(look, drawn, ground, ink_colour(dice, dark=80, colourful=0.08), fade=0.4)
    if look.harm(0.05):
        paper.stamp(dice, ground)
    return photographed(look, ground)


def _receipt(look: Look) -> Picture:
    """Thermal and dot-matrix slips, photographed."""
    dice = look.dice
    setting = Setting(tracking=dice.uniform(-0.02, 0.14)) if dice.chance(0.2) else spacing(look)
    drawn, scale = set_line(look, setting=setting)
    if dice.chance(0.35):  # the printer's own coarse dots, then the camera's pixels
        size = dice.pick((14, 17, 20, 24))
        scale *= drawn.em / size
        drawn = render.typeset(look.text, look.face, size, setting)
        drawn = render.bitmap_like(drawn, dice.randint(70, 140))
    drawn = surroundings(look, drawn, neighbours=0.4, rules=0.06)
    narrow = dice.uniform(0.62, 1.1) if dice.chance(0.4) else 1.0
    matrix = turn(look, scale, drawn, degrees=3.5, slant=0.15, depth=0.3)
    matrix = matrix @ np.diag([narrow, 1.0, 1.0])
    drawn = cut_out(look, render.transform(drawn, matrix, bend=bend(look, 0.35, 0.35)))
    drawn = worn_ink(look, drawn, spread=0.4, worn=0.1)
    if look.harm(0.5):
        drawn = replace(drawn, text=degrade.thermal(drawn.text, dice, look.hard))
    ground = paper.cut(dice, "tinted" if dice.chance(0.7) else "sheet", *drawn.text.shape)
    _lay_line(look, drawn, ground, ink_colour(dice, dark=100, colourful=0.12), fade=0.45)
    return photographed(look, ground)


def _card(look: Look) -> Picture:
    """Identity cards, licences and certificates: fine coloured grounds, laminate, form dots."""
    dice = look.dice
    drawn, scale = set_line(look, setting=spacing(look))
    drawn = surroundings(look, drawn, neighbours=0.25, rules=0.35)
    matrix = turn(look, scale, drawn, degrees=3, slant=0.12, depth=0.25)
    drawn = cut_out(look, render.transform(drawn, matrix, bend=bend(look, 0.08, 0.15)))
    drawn = worn_ink(look, drawn, spread=0.2, worn=0.2)
    sort = dice.weighted({"guilloche": 0.7, "tinted": 0.2, "sheet": 0.1})
    ground = paper.cut(dice, sort, *drawn.text.shape)
    _lay_line(look, drawn, ground, ink_colour(dice, dark=70, colourful=0.35), fade=0.45)
    if look.harm(0.4):
        ground = degrade.glare(ground, dice, look.hard)
    if look.harm(0.08):
        paper.stamp(dice, ground)
    return photographed(look, ground)


def _scene(look: Look) -> Picture:
    """Signs, banners, packages and captions, in colour."""
    dice = look.dice
    drawn, scale = set_line(look, setting=spacing(look))
    if dice.chance(0.15):
        drawn = render.with_neighbours(drawn, dice, dice.uniform(1.2, 1.8))
    matrix = turn(look, scale, drawn, degrees=6, slant=0.3, depth=0.7)
    drawn = cut_out(look, render.transform(drawn, matrix, bend=bend(look, 0.12, 0.3)), wide=0.8)
    height = drawn.text.shape[0]
    ground = paper.cut(dice, "clutter" if dice.chance(0.25) else "wall", *drawn.text.shape)
    ink, edge = _sign_colours(dice, ground)
    if dice.chance(0.45):
        _outline(dice, drawn, ground, edge)
    if drawn.other is not None:
        lay(ground, drawn.other, ink)
    if dice.chance(0.2):  # a gradient down the letters
        ramp = np.linspace(1, dice.uniform(0.55, 0.9), height, dtype=np.float32)[:, None, None]
        colours = np.broadcast_to(np.asarray(ink, np.float32) * ramp, ground.shape)
        lay(ground, drawn.text, np.asarray(colours, np.float32))
    else:
        lay(ground, drawn.text, ink)
    if look.harm(0.06):
        ground = degrade.led_grid(ground, dice)
    if look.harm(0.12):
        ground = degrade.glare(ground, dice, look.hard)
    return photographed(look, ground)


def _outline(dice: Dice, drawn: Drawn, ground: Field, edge: Colour) -> None:
    """An outline, a drop shadow, or the depth of raised letters, under the letters."""
    thick = max(1, round(drawn.em * dice.uniform(0.03, 0.09)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thick + 1, 2 * thick + 1))
    around = np.asarray(cv2.dilate(drawn.text, kernel), np.uint8)
    if dice.chance(0.5):
        shift = (dice.randint(0, thick + 1), dice.randint(0, thick + 1))
        around = np.roll(around if dice.chance(0.4) else drawn.text, shift, (0, 1))
    if dice.chance(0.4):
        around = np.asarray(cv2.GaussianBlur(around, (0, 0), thick), np.uint8)
    lay(ground, around, edge, dice.uniform(0.5, 1))


def _sign_colours(dice: Dice, ground: Field) -> tuple[Colour, Colour]:
    """Ink that stands out from the ground, and the opposite for outlines."""
    dark = float(ground[::4, ::8].mean()) < 128
    ink = dice.pick(_BRIGHT[:3] if dice.chance(0.7) else _BRIGHT) if dark else dice.pick(_DEEP)
    r, g, b = (min(255.0, max(0.0, c + dice.uniform(-25, 20))) for c in ink)
    x, y, z = dice.pick(_DEEP if dark else _BRIGHT)
    return (r, g, b), (float(x), float(y), float(z))


def _handwriting(look: Look) -> Picture:
    """Pen on paper: a form's cell, a notebook's rules, a line to write on, or bare; or on glass."""
    dice, hard = look.dice, look.hard
    hand = handwriting.Hand.of(dice, hard)
    em = max(MIN_EM + 4, picture_height(look) / 2.1)
    others = tuple(look.cast.hand(dice, look.text) or look.face for _ in range(2))
    faces = (look.face, *others) if look.harm(0.6) else (look.face,)
    drawn = handwriting.write(dice, hand, faces, look.text, em)
    width = (drawn.box[2] - drawn.box[0]) / handwriting.SHARP + em
    scale = min(1.0, look.recipe.max_width / width) / handwriting.SHARP
    if dice.chance(0.25):
        drawn = render.with_neighbours(drawn, dice, dice.uniform(1.5, 2.0))
    matrix = turn(look, scale, drawn, degrees=2.5, slant=0.1, depth=0.15)
    drawn = render.transform(drawn, matrix, bend=bend(look, 0.1, 0.08))
    drawn = _hand_crop(look, drawn)
    drawn = worn_ink(look, drawn, spread=0.1, worn=0.3)
    ground = paper.cut(dice, "tinted" if dice.chance(0.6) else "sheet", *drawn.text.shape)
    glass = dice.chance(0.08)
    if glass:
        ground[:] = 255
    else:
        sort = dice.weighted({"form": 0.4, "notebook": 0.2, "line": 0.1, "bare": 0.3})
        paper.ruled(dice, ground, sort, drawn.em, drawn.baseline)
    _lay_line(look, drawn, ground, pen_colour(dice), fade=0.35)
    return finish(look, ground, compress=0.3) if glass else photographed(look, ground)


def _hand_crop(look: Look, drawn: Drawn) -> Drawn:
    """A hand does not fill its box: room at the sides, most of a form's cell left empty."""
    dice = look.dice
    left, right = dice.uniform(0.1, 0.8), dice.uniform(0.1, 0.8)
    if dice.chance(0.35):
        right += dice.uniform(0, 6)
    room = 0.8 if dice.chance(0.35) else 0.4
    up, low = dice.uniform(0.03, room), dice.uniform(0.03, room)
    if dice.chance(look.recipe.tight):
        up = low = 0.02
    drawn = render.widened(drawn, left * drawn.em, right * drawn.em)
    return render.crop(drawn, (left, up, right, low), to_ink=True)


def _script(look: Look) -> Picture:
    """Handwriting and script faces as they are, brushes and markers included, shaken."""
    dice = look.dice
    drawn, scale = set_line(look, setting=Setting(word_gap=dice.uniform(0.8, 2.2)))
    drawn = surroundings(look, drawn, neighbours=0.15, rules=0.4)
    matrix = turn(look, scale, drawn, degrees=3, slant=0.5, depth=0.2)
    ripple = dice.uniform(0, 0.09) * look.hard
    drawn = render.transform(drawn, matrix, bend=bend(look, 0.6, 0.2), ripple=ripple, dice=dice)
    drawn = cut_out(look, drawn, wide=1.5)
    ground = paper.cut(dice, "tinted" if dice.chance(0.6) else "sheet", *drawn.text.shape)
    sort = dice.pick(("bare", "bare", "notebook", "line"))
    paper.ruled(dice, ground, sort, drawn.em, drawn.baseline)
    _lay_line(look, drawn, ground, pen_colour(dice), fade=0.3)
    return photographed(look, ground)


def _short(look: Look) -> Picture:
    """Short fields, in any of the other looks."""
    maker = look.dice.pick((_print, _print, _scan, _photo, _receipt, _card, _scene))
    return maker(look)


_LOOKS: Mapping[str, Callable[[Look], Picture]] = {
    "print": _print,
    "scan": _scan,
    "photo": _photo,
    "receipt": _receipt,
    "card": _card,
    "scene": _scene,
    "handwriting": _script,
    "short": _short,
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
        The picture (uint8 RGB, shape (H, W, 3)), the text as written (faces of capitals and hands
        change it), and the name of the face.
    """
    hard = recipe.difficulty * dice.uniform(0.55, 1.0)
    if kind == "handwriting" and dice.chance(0.7):
        written = handwriting.by_hand(text)
        hand = cast.hand(dice, written)
        if hand:
            return (
                _handwriting(Look(dice, kind, written, hand, cast, hard, recipe)),
                written,
                hand.name,
            )
    face = cast.face(dice, kind, text)
    text = text.upper() if face.capitals else text
    return _LOOKS[kind](Look(dice, kind, text, face, cast, hard, recipe)), text, face.name
