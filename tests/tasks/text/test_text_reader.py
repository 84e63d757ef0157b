from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nhan.errors import SettingsError
from nhan.tasks import get_task
from nhan.tasks.base import Feed, Outputs
from nhan.tasks.text.prepare import Preparation
from nhan.tasks.text.reader import LineReader

CHARSET = " 0123456789"
PREPARATION = Preparation(height=16, min_width=8, max_width=256, overlap=64)


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "task": "text",
        "prepare": PREPARATION.to_dict(),
        "outputs": {"charset": CHARSET, "blank": 0},
        "calibration": {"method": "temperature", "temperature": 2.0},
        **changes,
    }


def colour_network(feed: Feed) -> Outputs:
    """Reads blocks of colour: a frame of 4 pixels says the digit that its red channel tells.

    White is blank; red 0, 20, 40 … is the digit 0, 1, 2 …
    """
    red = np.rint(feed["image"][0, 0, :, 1::4].mean(axis=0) * 255)
    classes = np.where(red > 200, 0, np.rint(red / 20).astype(int) + 2)
    table = np.full((1, len(classes) + 3, len(CHARSET) + 1), 0.001)
    table[0, np.arange(len(classes)), classes] = 0.99
    # Frames beyond `steps` are padding and would read 7.
    table[0, len(classes) :, 9] = 1.0
    return [np.log(table).astype(np.float32), np.array([len(classes)], np.int64)]


def picture(digits: str) -> np.ndarray:
    rgb = np.full((16, 12 * len(digits), 3), 255, np.uint8)
    for index, digit in enumerate(digits):
        rgb[:, 12 * index : 12 * index + 8] = 20 * int(digit)
    return rgb


@pytest.mark.parametrize("digits", ["3", "0123456789", "1122", "71" * 40, "90125" * 30])
def test_pictures_are_read_whole_however_wide(digits: str) -> None:
    reader = get_task("text").reader(spec())
    feeds = reader.inputs(picture(digits))
    assert (len(feeds) > 1) == (12 * len(digits) > 256)
    answer = reader.answer([colour_network(feed) for feed in feeds])
    assert answer.value == digits


def test_feeds_have_the_shapes_of_the_package_format() -> None:
    reader = LineReader(spec())
    for feed in reader.inputs(picture("12345" * 6)):
        assert feed["image"].dtype == np.float32
        assert feed["image"].shape == (1, 3, 16, int(feed["width"][0]))
        assert feed["width"].dtype == np.int64
        assert 0 <= feed["image"].min() <= feed["image"].max() <= 1


def test_the_same_picture_gives_the_same_answer_after_any_neighbour() -> None:
    reader = LineReader(spec())
    alone = LineReader(spec()).answer([colour_network(f) for f in reader.inputs(picture("42"))])
    reader.answer([colour_network(f) for f in reader.inputs(picture("77" * 60))])
    assert reader.answer([colour_network(f) for f in reader.inputs(picture("42"))]) == alone


def test_details_hold_the_text_and_each_character() -> None:
    reader = LineReader(spec())
    answer = reader.answer([colour_network(f) for f in reader.inputs(picture("42"))])
    assert answer.details["text"] == "42"
    assert [char["text"] for char in answer.details["characters"]] == ["4", "2"]
    assert answer.details["characters"][0]["confidence"] == pytest.approx(0.99, abs=1e-3)


def test_beam_search_is_chosen_by_the_spec() -> None:
    decoding = {"method": "beam", "width": 4, "model": "vi-characters", "sure": 2.0}
    reader = LineReader(spec(decoding=decoding))
    answer = reader.answer([colour_network(f) for f in reader.inputs(picture("90125" * 30))])
    assert answer.value == "90125" * 30


def test_confidence_is_calibrated() -> None:
    outputs = [colour_network(f) for f in LineReader(spec()).inputs(picture("42"))]
    raw = LineReader(spec(calibration={"method": "none"})).answer(outputs).confidence
    assert LineReader(spec()).answer(outputs).confidence < raw
    assert 0.9 < raw <= 1


def test_a_picture_without_text_reads_as_nothing() -> None:
    reader = LineReader(spec())
    blank = np.full((16, 40, 3), 255, np.uint8)
    answer = reader.answer([colour_network(f) for f in reader.inputs(blank)])
    assert (answer.value, answer.details["characters"]) == ("", [])


@pytest.mark.parametrize(
    "broken",
    [
        {"prepare": {"height": 16, "deskew": True}},
        {"outputs": {"charset": CHARSET, "blank": 11}},
        {"outputs": {"blank": 0}},
        {"calibration": {"method": "magic"}},
        {"decoding": {"method": "magic"}},
        {"decoding": {"method": "beam", "depth": 3}},
        {"decoding": {"method": "beam", "model": "../../etc/passwd"}},
    ],
)
def test_specs_we_cannot_follow_are_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        LineReader(spec(**broken))
    assert caught.value.hint


def test_a_spec_without_a_part_says_which() -> None:
    with pytest.raises(SettingsError, match="prepare"):
        LineReader({"outputs": {"charset": CHARSET, "blank": 0}})
