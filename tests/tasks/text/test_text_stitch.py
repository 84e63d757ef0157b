from __future__ import annotations

import numpy as np
import pytest

from nhan.tasks.text.decode import LogProbs, greedy
from nhan.tasks.text.prepare import Preparation
from nhan.tasks.text.stitch import stitch

CHARACTERS = " abcdefgh"
STRIDE = 4


def line_of(text: str) -> list[int]:
    """The class of each frame: a letter takes three frames (letter, letter, blank)."""
    return [index for char in text for index in (CHARACTERS.index(char) + 1,) * 2 + (0,)]


def log_probs(classes: list[int]) -> LogProbs:
    table = np.full((len(classes), len(CHARACTERS) + 1), 0.01)
    table[np.arange(len(classes)), classes] = 0.91
    return np.log(table).astype(np.float32)


def cut_into_windows(
    text: str, preparation: Preparation, *, edge_loss: int = 0, confusion: int = 3
) -> list[LogProbs]:
    """What a network would say of each window: wrong in the frames next to a cut edge."""
    classes = line_of(text)
    width = len(classes) * STRIDE
    windows = []
    for start, end in preparation.windows(width):
        piece = classes[start // STRIDE : end // STRIDE - edge_loss]
        if start:
            piece[:confusion] = [5] * confusion
        if end < width:
            piece[len(piece) - confusion :] = [6] * confusion
        windows.append(log_probs(piece))
    return windows


def rejoin(windows: list[LogProbs], preparation: Preparation) -> str:
    joined = stitch(windows, max_width=preparation.max_width, overlap=preparation.overlap, space=1)
    return greedy(joined, CHARACTERS).text


@pytest.mark.parametrize("edge_loss", [0, 1, 2])
@pytest.mark.parametrize("length", [10, 43, 50, 77, 100, 211])
def test_windows_read_as_the_whole_line(length: int, edge_loss: int) -> None:
    rng = np.random.default_rng(length)
    text = "".join(rng.choice(list("abcdefgh"), length))
    preparation = Preparation(max_width=512, overlap=128)
    windows = cut_into_windows(text, preparation, edge_loss=edge_loss)
    assert (len(windows) > 1) == (length * 3 * STRIDE > 512)
    assert rejoin(windows, preparation) == text


def test_repeated_letters_are_neither_merged_nor_doubled_at_a_cut() -> None:
    preparation = Preparation(max_width=512, overlap=128)
    assert rejoin(cut_into_windows("a" * 120, preparation), preparation) == "a" * 120


def test_the_cut_prefers_a_gap_to_the_centre() -> None:
    # Six shared frames; the centre (2, 3) lies in a letter, frame 4 is surely blank in both.
    letter, blank = [2, 2, 2, 2, 0, 2], 0
    left = log_probs([blank] * 6 + letter)
    right = log_probs([*letter, blank, 3, blank, blank, blank, blank])
    joined = stitch([left, right], max_width=48, overlap=24, space=1)
    assert len(joined) == 18
    assert greedy(joined, CHARACTERS).text == "aab"


def test_a_single_window_is_left_alone() -> None:
    window = log_probs(line_of("abc"))
    assert stitch([window], max_width=512, overlap=64, space=None) is window


def test_windows_without_frames_do_no_harm() -> None:
    empty = np.zeros((0, len(CHARACTERS) + 1), np.float32)
    joined = stitch([log_probs([2] * 128), empty], max_width=512, overlap=64, space=1)
    assert greedy(joined, CHARACTERS).text == "a"
