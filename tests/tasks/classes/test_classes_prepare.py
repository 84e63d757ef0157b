"""The one preparation: square, never squeezed, the same everywhere."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nhan.errors import SettingsError
from nhan.tasks.classes.prepare import Preparation


def quarters(height: int, width: int) -> np.ndarray:
    """Left third red, middle third green, right third blue."""
    rgb = np.zeros((height, width, 3), np.uint8)
    for channel in range(3):
        rgb[:, channel * width // 3 : (channel + 1) * width // 3, channel] = 255
    return rgb


@pytest.mark.parametrize("fit", ["crop", "letterbox"])
@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 7), (50, 50), (3000, 20)])
def test_any_size_becomes_the_square(fit, size, random_rgb):
    prepared = Preparation(size=32, fit=fit, keep=0.875).prepare(random_rgb(*size))
    assert prepared.shape == (32, 32, 3)
    assert prepared.dtype == np.uint8


def test_crop_shows_the_middle_undistorted():
    prepared = Preparation(size=30).prepare(quarters(60, 180))
    assert prepared[15, 3:27].tolist() == [[0, 255, 0]] * 24


def test_keep_shows_less_of_it():
    rgb = np.zeros((100, 100, 3), np.uint8)
    rgb[10:90, 10:90] = 200
    assert Preparation(size=40, keep=0.7).prepare(rgb).min() == 200
    assert Preparation(size=40).prepare(rgb).min() == 0


def test_letterbox_shows_all_on_the_mean_colour():
    preparation = Preparation(size=30, fit="letterbox")
    prepared = preparation.prepare(quarters(60, 180))
    assert prepared[15, 2].tolist() == [255, 0, 0]
    assert prepared[15, 27].tolist() == [0, 0, 255]
    assert preparation.to_input(prepared)[:, 0, 0] == pytest.approx(0, abs=0.01)


def test_input_is_normalised_channel_by_channel():
    preparation = Preparation(size=8, mean=(0.5, 0.25, 0.0), std=(0.25, 0.5, 1.0))
    planes = preparation.to_input(np.full((8, 8, 3), 255, np.uint8))
    assert planes.shape == (3, 8, 8)
    assert planes.dtype == np.float32
    assert planes[:, 0, 0] == pytest.approx([2.0, 1.5, 1.0])


def test_several_pictures_come_out_as_each_alone(random_rgb):
    preparation = Preparation(size=16, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    pictures = np.stack([random_rgb(16, 16, seed) for seed in range(4)])
    together = preparation.to_input(pictures)
    alone = np.stack([preparation.to_input(picture) for picture in pictures])
    assert together.tobytes() == alone.tobytes()


def test_numbers_survive_json():
    preparation = Preparation(size=56, keep=0.875, mean=(0.485, 0.456, 0.406))
    assert Preparation.from_dict(json.loads(json.dumps(preparation.to_dict()))) == preparation


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 4},
        {"size": 5000},
        {"fit": "squash"},
        {"keep": 0},
        {"std": [0, 1, 1]},
        {"mean": [0.5]},
        {"shrink": "magic"},
        {"height": 64},
        {"colour": "BGR"},
    ],
)
def test_wrong_numbers_are_refused_by_name(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Preparation.from_dict(wrong)


def test_only_pictures_are_prepared():
    with pytest.raises(ValueError, match="expected uint8"):
        Preparation().prepare(np.zeros((8, 8), np.uint8))
