"""From the network's probabilities to a text: greedy CTC decoding.

Source: Graves et al. 2006, Connectionist Temporal Classification: take the likeliest class of
each frame, merge equal neighbours, drop blanks. Labels have no space at an end and never two in a
row, so such spaces are dropped as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LogProbs = NDArray[np.float32]

# Class 0 stands for "no character here".
BLANK = 0


@dataclass(frozen=True)
class Reading:
    """What was read of one line, before calibration.

    Attributes:
        text: the decoded text.
        characters: one probability 0..1 for each character of `text`: the highest that the
            character has in any frame of its run. Networks trained with CTC put their evidence in
            one or two frames, and a mean over the run would measure how long it is.
        score: the raw score of the line, 0..1; see `line_score`.
    """

    text: str
    characters: tuple[float, ...]
    score: float


def greedy(log_probs: LogProbs, characters: Sequence[str]) -> Reading:
    """Read one line.

    Args:
        log_probs: natural logarithms of probabilities, float32 (frames, classes), frames >= 0;
            class 0 is the blank, class i is `characters[i - 1]`.
        characters: the charset in class order.

    Returns:
        The reading; an empty text when every frame is blank, with the score of that.

    Raises:
        ValueError: the shape does not fit the charset.
    """
    if log_probs.ndim != 2 or log_probs.shape[1] != len(characters) + 1:
        raise ValueError(
            f"expected log-probabilities (frames, {len(characters) + 1}), got {log_probs.shape}"
        )
    if not len(log_probs):
        return Reading("", (), 0.0)
    best = log_probs.argmax(axis=1)
    peak = np.exp(log_probs[np.arange(len(best)), best], dtype=np.float64)
    starts = np.flatnonzero(np.concatenate(([True], best[1:] != best[:-1])))
    run_class = best[starts]
    written = run_class != BLANK
    run_peak = np.minimum(np.maximum.reduceat(peak, starts), 1.0)
    read = [characters[index - 1] for index in run_class[written].tolist()]
    text, peaks = without_stray_spaces(read, run_peak[written].tolist())
    return Reading(text, peaks, line_score(log_probs, best, starts))


def without_stray_spaces(read: list[str], peaks: list[float]) -> tuple[str, tuple[float, ...]]:
    """Join characters, leaving out spaces at the ends and second spaces, with their numbers."""
    text = "".join(read)
    if "  " not in text and text.strip(" ") == text:
        return text, tuple(peaks)
    kept = [
        index
        for index, char in enumerate(read)
        if char != " " or (index and read[index - 1] != " " and text[index:].strip(" "))
    ]
    return "".join(read[index] for index in kept), tuple(peaks[index] for index in kept)


def line_score(log_probs: LogProbs, best: NDArray[np.intp], starts: NDArray[np.intp]) -> float:
    """The raw score of a greedy reading: the product over its runs of how surely each is right.

    For a run of a character that is its highest probability. For a run of blanks it is the lowest,
    over its frames, of P(blank) + P(character before) + P(character after): what is left over is
    the chance of a character that was missed. (The neighbours count in favour, because where
    exactly a character begins does not change the text.) One unsure letter therefore lowers the
    score of the line as much as it should, and the product approximates the probability of the
    text summed over all alignments at a fraction of its price.

    Args:
        log_probs: float32 (frames, classes).
        best: the likeliest class of each frame, (frames,).
        starts: the first frame of each run of equal classes, (runs,).

    Returns:
        0..1; needs calibration before it is a probability of being right.
    """
    frames = np.arange(len(best))
    runs = best[starts]
    run_of = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(best)))
    before = np.concatenate(([BLANK], runs[:-1]))[run_of]
    after = np.concatenate((runs[1:], [BLANK]))[run_of]
    sure = np.exp(log_probs[frames, best], dtype=np.float64)
    is_blank = best == BLANK
    for beside, other in ((before, BLANK), (after, before)):
        adds = is_blank & (beside != BLANK) & (beside != other)
        sure[adds] += np.exp(log_probs[frames[adds], beside[adds]])
    highest = np.maximum.reduceat(sure, starts)
    lowest = np.minimum.reduceat(sure, starts)
    product = np.where(runs == BLANK, lowest, highest).clip(max=1.0).prod()
    return float(product) if math.isfinite(product) else 0.0
