"""Pictures that hang upside down are read all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nhan.errors import SettingsError
from nhan.tasks.base import Answer, Feed, Outputs, Reader, look
from nhan.tasks.text.prepare import Preparation
from nhan.tasks.text.reader import LineReader

CHARSET = " 0123456789"
PREPARATION = Preparation(height=16, min_width=8, max_width=256, overlap=64)


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "task": "text",
        "prepare": PREPARATION.to_dict(),
        "outputs": {"charset": CHARSET, "blank": 0},
        "second_look": {"turned_below": 0.85},
        **changes,
    }


def picture(digits: str, *, blot: bool = False) -> np.ndarray:
    """Blocks whose red tells the digit, over a black line that tells which way is up."""
    rgb = np.full((16, 12 * len(digits), 3), 255, np.uint8)
    for index, digit in enumerate(digits):
        rgb[:12, 12 * index : 12 * index + 8] = 20 * int(digit)
    rgb[12:] = 0
    if blot:
        rgb[12:, ::2] = 255
    return rgb


class Network:
    """Reads `picture`; counts its passes. Over a blot it is half sure, upside down less."""

    def __init__(self) -> None:
        self.passes = 0

    def __call__(self, feeds: list[Feed]) -> list[Outputs]:
        self.passes += len(feeds)
        return [self._read(feed) for feed in feeds]

    def _read(self, feed: Feed) -> Outputs:
        image = feed["image"][0, 0]
        upright = image[13:].mean() < 0.1
        blotted = np.abs(np.diff(image[13:], axis=1)).mean() > 0.8
        red = np.rint(image[5:11, 1::4].mean(axis=0) * 255)
        classes = np.where(red > 200, 0, np.rint(red / 20).astype(int) + 2)
        sure = 0.99 if upright else 0.6 if blotted else 0.4
        table = np.full((1, len(classes), len(CHARSET) + 1), (1 - sure) / len(CHARSET))
        table[0, np.arange(len(classes)), classes] = sure
        return [np.log(table).astype(np.float32), np.array([len(classes)], np.int64)]


def read(rgb: np.ndarray, **changes: Any) -> tuple[Answer, int]:
    reader, network = LineReader(spec(**changes)), Network()
    return reader.answer(*look(reader, rgb, network)), network.passes


def test_an_upright_line_is_looked_at_once() -> None:
    answer, passes = read(picture("4711"))
    assert (answer.value, passes) == ("4711", 1)
    assert "turned" not in answer.details


def test_a_line_upside_down_is_read_turned_and_says_so() -> None:
    answer, passes = read(picture("4711")[::-1, ::-1])
    assert (answer.value, passes) == ("4711", 2)
    assert answer.details["turned"] == 180
    assert answer.details["text"] == "4711"
    assert [char["text"] for char in answer.details["characters"]] == ["4", "7", "1", "1"]


def test_a_very_long_line_upside_down_is_read_in_its_windows() -> None:
    digits = "90125" * 12
    answer, passes = read(np.ascontiguousarray(picture(digits)[::-1, ::-1]))
    assert answer.value == digits
    assert answer.details["turned"] == 180
    windows = len(LineReader(spec()).inputs(picture(digits)))
    assert windows > 2
    assert passes == 2 * windows + 1  # the middle was turned first


def test_an_unsure_line_that_is_upright_stays_as_it_is() -> None:
    answer, passes = read(picture("4711", blot=True))
    assert (answer.value, passes) == ("4711", 2)
    assert "turned" not in answer.details


def test_of_a_long_unsure_line_that_is_upright_only_the_middle_is_turned() -> None:
    digits = "4711" * 15
    answer, passes = read(picture(digits, blot=True))
    assert answer.value == digits
    assert passes == len(LineReader(spec()).inputs(picture(digits))) + 1
    assert "turned" not in answer.details


def test_a_long_line_upside_down_with_nothing_in_its_middle_is_found() -> None:
    rgb = picture("4711" * 15)
    rgb[:12, 12 * 15 : 12 * 45] = 255
    answer, _ = read(np.ascontiguousarray(rgb[::-1, ::-1]))
    assert answer.details["turned"] == 180
    assert answer.value.startswith("4711")
    assert answer.value.endswith("4711")


def test_the_confidence_is_that_of_the_reading_that_counts() -> None:
    upright, _ = read(picture("4711"))
    turned, _ = read(picture("4711")[::-1, ::-1])
    assert turned.confidence == pytest.approx(upright.confidence)


def test_beam_search_looks_twice_too() -> None:
    answer, _ = read(picture("4711")[::-1, ::-1], decoding={"method": "beam", "sure": 2.0})
    assert (answer.value, answer.details["turned"]) == ("4711", 180)


def test_a_model_that_does_not_ask_for_it_is_not_given_a_second_look() -> None:
    answer, passes = read(picture("4711")[::-1, ::-1], second_look={})
    assert passes == 1
    assert answer.value != "4711"


def test_an_empty_second_reading_never_wins() -> None:
    reader = LineReader(spec())
    blank = np.log(np.full((1, 4, 12), 1e-6))
    blank[..., 0] = 0.0
    unsure = [Network()._read(feed) for feed in reader.inputs(picture("47", blot=True))]
    nothing = [[blank.astype(np.float32), np.array([4], np.int64)]]
    assert reader.answer(unsure, nothing).value == "47"


def test_long_lines_are_not_turned_for_their_length() -> None:
    digits = "4711" * 15
    answer, passes = read(picture(digits))
    assert answer.value == digits
    assert passes == len(LineReader(spec()).inputs(picture(digits)))


def test_a_reader_without_second_looks_is_run_once() -> None:
    class Plain:
        def inputs(self, rgb: np.ndarray) -> list[Feed]:
            return [{"image": rgb}]

        def answer(self, outputs: Any) -> Answer:
            return Answer(str(len(outputs)), 1.0)

    reader: Reader = Plain()
    looks = look(reader, picture("1"), lambda feeds: [[feed["image"]] for feed in feeds])
    assert len(looks) == 1
    assert reader.answer(*looks).value == "1"


@pytest.mark.parametrize("wrong", [{"turned_below": 1.5}, {"turned": 0.8}])
def test_an_option_nobody_knows_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="second_look"):
        LineReader(spec(second_look=wrong))
