from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nhan.synth import render
from nhan.synth.dice import Dice
from nhan.synth.fonts import Face, find
from nhan.tasks.text.alphabet import ACCENTED

SIDE = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])


@pytest.fixture(scope="module")
def faces(dejavu: Path) -> list[Face]:
    return [face for face in find(str(dejavu)) if face.vietnamese]


def _edges(mask: np.ndarray) -> int:
    return int(max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()))


def test_no_mark_of_any_letter_touches_the_border(faces: list[Face]) -> None:
    for face in faces:
        for letter in ACCENTED + "Q{}|@jg":
            drawn = render.typeset(letter, face, 40)
            assert _edges(drawn.text) == 0, (face.name, letter)
            x0, y0, x1, y1 = render.ink_box(drawn.text)
            left, top, right, bottom = drawn.box
            assert (left - 1, top - 1) <= (x0, y0), (face.name, letter)
            assert left - 1 <= x0
            assert top - 1 <= y0
            assert x1 <= right + 1
            assert y1 <= bottom + 1


@pytest.mark.parametrize("to_ink", [True, False])
def test_the_tightest_crop_keeps_all_ink(faces: list[Face], *, to_ink: bool) -> None:
    for text in ("ẶẪỄỘ", "ẵọỹ", "a", "-"):
        drawn = render.typeset(text, faces[0], 34)
        cut = render.crop(drawn, (-1, -1, -1, -1), to_ink=to_ink)
        x0, y0, x1, y1 = render.ink_box(drawn.text)
        assert np.array_equal(cut.text, drawn.text[y0:y1, x0:x1])


def test_warps_keep_the_ink_inside(faces: list[Face]) -> None:
    drawn = render.typeset("Ễ Ặng ỹ", faces[0], 40)
    turned = np.array([[0.9, -0.1, 5], [0.12, 0.8, -40], [1e-4, 2e-4, 1]])
    for bend in ((0.0, 0, 0), (0.2, 1.0, 0.4)):
        moved = render.transform(drawn, turned, bend=bend)
        assert _edges(moved.text) == 0
        assert moved.text.max() > 200
        x0, y0, x1, y1 = render.ink_box(moved.text)
        left, top, right, bottom = moved.box
        assert left - 2 <= x0
        assert top - 2 <= y0
        assert x1 <= right + 2
        assert y1 <= bottom + 2


def test_a_warp_by_nothing_changes_nothing(faces: list[Face]) -> None:
    drawn = render.typeset("Việt", faces[0], 34)
    same = render.transform(drawn, SIDE)
    assert np.array_equal(same.text, drawn.text)
    assert same.baseline == drawn.baseline


def test_spacing_widens_the_line(faces: list[Face]) -> None:
    plain = render.typeset("hai từ", faces[0], 40)
    spaced = render.typeset("hai từ", faces[0], 40, render.Setting(tracking=0.1))
    justified = render.typeset("hai từ", faces[0], 40, render.Setting(word_gap=3))
    assert spaced.text.shape[1] > plain.text.shape[1] + 15
    assert justified.text.shape[1] > plain.text.shape[1] + 15


def test_neighbours_are_kept_apart_from_the_line(faces: list[Face]) -> None:
    drawn = render.typeset("dòng giữa", faces[0], 40)
    with_both = render.with_neighbours(drawn, Dice.of(0, 0), 1.2)
    assert np.array_equal(with_both.text, drawn.text)
    assert with_both.other is not None
    middle = slice(int(drawn.baseline) - 10, int(drawn.baseline))
    assert with_both.other[:8].max() > 0 or with_both.other[-8:].max() > 0
    assert with_both.other[middle].max() == 0


def test_two_faces_share_a_baseline(faces: list[Face]) -> None:
    pair = render.typeset_pair(("Họ tên: ", faces[0], 40), ("An", faces[-1], 48))
    x0, _, x1, y1 = render.ink_box(pair.text)
    assert x1 - x0 > 150
    columns = pair.text[:, int(x1 - 40) :]
    assert abs(render.ink_box(columns)[3] - pair.baseline) <= 2
    assert y1 <= pair.box[3] + 1
