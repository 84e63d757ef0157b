from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from nhan.errors import SettingsError
from nhan.tasks.base import RGB
from nhan.tasks.text.prepare import Preparation

ROBUST = Preparation(height=40, trim_margins=True, stretch_contrast=True, invert_dark=True)


def strokes(
    height: int, width: int, *, ink: int, paper: int, top: float = 0.2, bottom: float = 0.8
) -> RGB:
    """A line of upright strokes over a part of the height."""
    picture = np.full((height, width, 3), paper, np.uint8)
    picture[int(top * height) : int(bottom * height), 6:-6:8] = ink
    picture[int(top * height) : int(bottom * height), 7:-6:8] = ink
    return picture


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (64, 300, 300),
        (32, 150, 300),  # enlarged, aspect kept
        (128, 600, 300),  # shrunk, aspect kept
        (64, 5, 32),  # widened to the least width
        (3000, 40, 32),
        (1, 1, 64),
        (1, 20000, 16384),  # capped, centred
    ],
)
def test_every_size_gets_the_height_and_keeps_its_aspect(
    height: int, width: int, expected: int, random_rgb: Callable[..., RGB]
) -> None:
    prepared = Preparation().prepare(random_rgb(height, width))
    assert prepared.shape == (64, expected, 3)
    assert prepared.dtype == np.uint8
    assert Preparation().width(width, height) == expected


def test_the_same_height_is_left_untouched(random_rgb: Callable[..., RGB]) -> None:
    rgb = random_rgb(64, 200)
    assert np.array_equal(Preparation().prepare(rgb), rgb)


def test_colours_stay_red_green_blue() -> None:
    rgb = np.zeros((30, 100, 3), np.uint8)
    rgb[...] = (200, 100, 50)
    planes = Preparation().to_input(Preparation().prepare(rgb))
    assert planes.shape == (3, 64, 213)
    assert planes.dtype == np.float32
    assert planes.mean(axis=(1, 2)) == pytest.approx([200 / 255, 100 / 255, 50 / 255], abs=1e-3)


def test_numbers_span_zero_to_one(random_rgb: Callable[..., RGB]) -> None:
    planes = Preparation().to_input(random_rgb(64, 100))
    assert planes.min() == 0.0
    assert planes.max() == 1.0
    assert planes.flags.c_contiguous


def test_shrinking_averages_instead_of_skipping() -> None:
    # Stripes of one pixel become an even grey; nearest neighbour would keep or lose them.
    rgb = np.zeros((200, 400, 3), np.uint8)
    rgb[:, ::2] = 255
    prepared = Preparation(height=40).prepare(rgb).astype(int)
    assert abs(prepared[:, 2:-2] - 128).max() <= 12


def test_narrow_pictures_are_widened_with_their_paper_colour() -> None:
    rgb = np.full((64, 6, 3), (250, 240, 200), np.uint8)
    rgb[20:40, 2:4] = 0
    prepared = Preparation().prepare(rgb)
    assert (prepared[:, 6:] == (250, 240, 200)).all()
    assert np.array_equal(prepared[:, :6], rgb)


@pytest.mark.parametrize("preparation", [Preparation(), ROBUST])
def test_preparing_is_deterministic_and_leaves_its_input(
    preparation: Preparation, random_rgb: Callable[..., RGB]
) -> None:
    rgb = random_rgb(50, 333)
    before = rgb.copy()
    assert np.array_equal(preparation.prepare(rgb), preparation.prepare(rgb.copy()))
    assert np.array_equal(rgb, before)


def test_read_only_and_strided_pictures_are_taken(random_rgb: Callable[..., RGB]) -> None:
    whole = random_rgb(60, 400)
    piece = whole[5:55, ::2]
    piece.flags.writeable = False
    assert np.array_equal(ROBUST.prepare(piece), ROBUST.prepare(piece.copy()))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(wrong: RGB) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        Preparation().prepare(wrong)


def test_faint_writing_is_made_strong() -> None:
    prepared = ROBUST.prepare(strokes(40, 300, ink=120, paper=160))
    assert prepared.min() < 5
    assert prepared.max() > 250


def test_blank_paper_is_not_made_into_writing() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(200, 206, (40, 300, 3), dtype=np.uint8)
    assert np.array_equal(ROBUST.prepare(rgb), rgb)


@pytest.mark.parametrize(("ink", "paper"), [(255, 0), (240, 60), (120, 90)])
def test_light_on_dark_is_turned_round(ink: int, paper: int) -> None:
    prepared = ROBUST.prepare(strokes(40, 300, ink=ink, paper=paper))
    assert np.median(prepared) > 180


def test_dark_on_light_is_not_turned_round() -> None:
    rgb = strokes(40, 300, ink=0, paper=255)
    assert np.array_equal(ROBUST.prepare(rgb), rgb)


def test_large_empty_margins_are_cut_and_small_ones_kept() -> None:
    loose = strokes(120, 300, ink=0, paper=255, top=0.45, bottom=0.6)
    tight = strokes(40, 300, ink=0, paper=255)
    assert ROBUST.prepare(loose).shape[1] > 1.8 * Preparation(height=40).width(300, 120)
    assert ROBUST.prepare(tight).shape[1] == 300


def test_cutting_margins_never_cuts_stacked_marks() -> None:
    # Strokes with a small mark well above one of them, in a high empty picture.
    rgb = strokes(150, 600, ink=0, paper=255, top=0.5, bottom=0.66)
    rgb[66:71, 294:299] = 0
    prepared = ROBUST.prepare(rgb)
    above = prepared[: 40 // 3, :, 0]
    assert (above < 100).sum() >= 8


def test_noise_all_over_is_not_cut(random_rgb: Callable[..., RGB]) -> None:
    rgb = random_rgb(100, 400)
    assert ROBUST.prepare(rgb).shape[1] == 160


def test_the_robust_steps_are_off_by_default() -> None:
    rgb = strokes(64, 300, ink=120, paper=90, top=0.45, bottom=0.55)
    assert np.array_equal(Preparation().prepare(rgb), rgb)


def test_numbers_survive_saving() -> None:
    saved = json.loads(json.dumps(ROBUST.to_dict()))
    assert Preparation.from_dict(saved) == ROBUST
    assert saved["height"] == 40
    assert saved["scale"] == "1/255"
    assert saved["colour"] == "RGB"


def test_a_spec_with_missing_numbers_means_the_defaults() -> None:
    assert Preparation.from_dict({"height": 48}) == Preparation(height=48)


@pytest.mark.parametrize(
    "spec",
    [
        {"deskew": True},
        {"colour": "BGR"},
        {"scale": "1/127"},
        {"height": 2},
        {"overlap": 0},
        {"overlap": 2000},
        {"min_width": 0},
        {"max_width": 20000},
        {"shrink": "magic"},
    ],
)
def test_numbers_we_cannot_follow_are_refused(spec: dict[str, object]) -> None:
    with pytest.raises(SettingsError) as caught:
        Preparation.from_dict(spec)
    assert caught.value.hint


@pytest.mark.parametrize("width", [1, 32, 500, 512, 513, 700, 960, 961, 5000])
def test_windows_cover_the_picture_with_a_constant_overlap(width: int) -> None:
    windows = Preparation(max_width=512, overlap=64).windows(width)
    assert windows[0][0] == 0
    assert windows[-1][1] == width
    assert all(end - start == 512 for start, end in windows[:-1])
    assert windows[-1][1] - windows[-1][0] <= 512
    for (_, end), (start, _) in pairwise(windows):
        assert end - start == 64
    assert (len(windows) == 1) == (width <= 512)


def test_real_lines_keep_their_ink(shared_data) -> None:
    from nhan.images import decode

    for path in sorted((shared_data / "vi-lines").glob("*/*.png"))[::5]:
        rgb = decode(path.read_bytes())
        plain, robust = Preparation(height=40).prepare(rgb), ROBUST.prepare(rgb)
        assert robust.shape[0] == 40
        assert robust.shape[1] >= plain.shape[1]
        assert robust.std() >= 0.9 * plain.std()
