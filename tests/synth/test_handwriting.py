from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nhan.synth import handwriting, render, strokes
from nhan.synth.dice import Dice
from nhan.synth.fonts import Face, find
from nhan.tasks.text.alphabet import ACCENTED, decompose


@pytest.fixture(scope="module")
def face(dejavu: Path) -> Face:
    return next(face for face in find(str(dejavu)) if face.name == "DejaVuSans")


def test_thinning_leaves_lines_one_pixel_wide() -> None:
    mask = np.zeros((20, 40), np.uint8)
    mask[8:13, 5:35] = 1
    thin = strokes.thin(mask)
    assert 20 <= thin.sum() <= 30
    assert thin.sum(axis=0).max() == 1


def test_tracing_follows_a_cross_from_end_to_end() -> None:
    mask = np.zeros((21, 21), np.uint8)
    mask[10, 2:19] = 1
    mask[2:19, 10] = 1
    paths = strokes.trace(mask)
    assert len(paths) == 4
    assert all((10, 10) in (path[0], path[-1]) for path in paths)


def test_a_ring_is_traced_once_around() -> None:
    mask = np.zeros((12, 12), np.uint8)
    mask[2:10, 2:10] = 1
    mask[3:9, 3:9] = 0
    (path,) = strokes.trace(mask)
    assert len(set(path)) == int(mask.sum())


def test_paths_come_back_from_the_cache_unchanged(face: Face) -> None:
    first = strokes.paths(face.path)
    strokes.paths.cache_clear()
    again = strokes.paths(face.path)
    for char in "Agi@":
        assert first[char].advance == again[char].advance
        assert all(map(np.array_equal, first[char].strokes, again[char].strokes))


def test_every_letter_is_written_with_its_marks(face: Face) -> None:
    hand = handwriting.Hand.of(Dice.of(0, 0), 0.0)
    for letter in ACCENTED:
        base = handwriting.write(Dice.of(1, 0), hand, (face,), decompose(letter).base, 40)
        whole = handwriting.write(Dice.of(1, 0), hand, (face,), letter, 40)
        dotless = letter.lower() in "ìíỉĩ"  # the tone replaces the dot
        assert dotless or whole.text.sum() > base.text.sum() * 1.02, letter
        edges = whole.text[0].max(), whole.text[-1].max(), whole.text[:, 0].max()
        assert max(edges) == 0, letter


def test_different_hands_write_differently(face: Face) -> None:
    pictures = []
    for index in range(3):
        dice = Dice.of(5, index)
        hand = handwriting.Hand.of(dice, 1.0)
        pictures.append(handwriting.write(dice, hand, (face,), "Hoà Hiệp", 40).text)
    assert len({picture.shape for picture in pictures}) == 3


def test_the_box_encloses_the_ink(face: Face) -> None:
    dice = Dice.of(2, 2)
    drawn = handwriting.write(dice, handwriting.Hand.of(dice, 1.0), (face,), "Ễ Gỹ ượ", 50)
    x0, y0, x1, y1 = render.ink_box(drawn.text)
    reach = 0.1 * drawn.em
    assert drawn.box[0] - reach <= x0
    assert drawn.box[1] - reach <= y0
    assert x1 <= drawn.box[2] + reach
    assert y1 <= drawn.box[3] + reach


def test_signs_that_a_pen_cannot_tell_apart_get_one_label(face: Face) -> None:
    assert handwriting.by_hand("“Nhãn” – 5₫…") == '"Nhãn" - 5đ...'
    assert handwriting.can_write(face, "Ỷ Lan 5°")
    assert not handwriting.can_write(face, "5 €")
