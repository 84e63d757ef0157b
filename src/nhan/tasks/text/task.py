"""The text task: read one line of text from a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nhan.errors import MissingExtra
from nhan.tasks.base import Answer, Confusion, Finding, Rate, Task
from nhan.tasks.text import legacy, metrics
from nhan.tasks.text.alphabet import strip_marks
from nhan.tasks.text.charset import Charset
from nhan.tasks.text.check import check_label, is_learnable
from nhan.tasks.text.contradict import contradiction
from nhan.tasks.text.normalise import normalise_text
from nhan.tasks.text.prepare import Preparation
from nhan.tasks.text.reader import LineReader

if TYPE_CHECKING:
    from nhan.tasks.learner import Learner

# The baseline network's: two poolings halve the width, and the last convolution costs a step.
_PIXELS_PER_STEP = 4

_LENGTHS = (5, 10, 20, 40, 80)


class TextTask(Task):
    """Lines of text; Vietnamese first."""

    name = "text"
    primary = "cer"

    def normalise(self, label: str) -> str:
        """See `normalise_text`."""
        return normalise_text(label)

    def vocabulary(self, labels: Iterable[str]) -> dict[str, Any]:
        """The charset of a model of these labels: the standard one and what they add.

        Look-alikes, stray marks and broken characters are not added; the label doctor reports
        them, and encoding a label that holds one raises `BadLabel`.

        Args:
            labels: normalised labels.

        Returns:
            `{"charset": …}`: the standard charset first, so that its class numbers never change.
        """
        standard = Charset()
        seen = {char for label in labels for char in label if char not in standard}
        return {"charset": standard.extend(filter(is_learnable, seen)).characters}

    def check(self, label: str, *, width: int, height: int) -> list[Finding]:
        """Look one label over; time steps are counted for the baseline network."""
        prepared = Preparation().width(width, height)
        return check_label(label, charset=Charset(), steps=prepared // _PIXELS_PER_STEP - 1)

    def reader(self, spec: Mapping[str, Any]) -> LineReader:
        """The reader that a text model's `nhan.json` describes."""
        return LineReader(spec)

    def rate(self, truth: str, answer: str) -> Rate:
        """Edit distance and length of the truth: one line's share of the CER."""
        return Rate(*metrics.character_errors(truth, answer))

    def score(self, truths: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
        """Every metric of `metrics` and `legacy`; the three parts add up to `cer`."""
        split = metrics.split_cer(truths, answers)
        return {
            "cer": metrics.cer(truths, answers),
            "wer": metrics.wer(truths, answers),
            "exact": metrics.exact(truths, answers),
            "cer_letter": split.letter,
            "cer_mark": split.mark,
            "cer_tone": split.tone,
            "cer_ignoring_case": metrics.cer_ignoring_case(truths, answers),
            "cer_ignoring_marks": metrics.cer_ignoring_marks(truths, answers),
            "cer_ignoring_tone_placement": metrics.cer_ignoring_tone_placement(truths, answers),
            "accuracy_by_char": legacy.accuracy_by_char(truths, answers),
            "accuracy_by_field": legacy.accuracy_by_field(truths, answers),
        }

    def highest(self, metric: str) -> float:
        """Infinity for rates of edits, for an answer may be longer than its line; 1 for shares."""
        return math.inf if metric.startswith(("cer", "wer")) else 1.0

    def uncertainty(self, answer: Answer) -> float:
        """The doubt about the line and about its least sure character, half each.

        The line's confidence falls with its length, the least sure character's does not: together
        they find both a line full of small doubts and one hopeless letter in a good line.
        """
        characters = answer.details.get("characters") or ()
        least = min((float(one["confidence"]) for one in characters), default=answer.confidence)
        return 1.0 - (answer.confidence + least) / 2

    def contradiction(self, label: str, answer: Answer) -> float:
        """How sure it is of the characters that differ: a hard letter elsewhere says nothing."""
        scores = [float(one["confidence"]) for one in answer.details.get("characters") or ()]
        if len(scores) != len(answer.value):
            return super().contradiction(label, answer)
        return contradiction(label, answer.value, scores)

    def parts(self, label: str) -> frozenset[str]:
        """Its characters."""
        return frozenset(label)

    def agreement(self, first: Sequence[str], second: Sequence[str]) -> dict[str, float]:
        """Also `cer`, the mean of the CER of each person against the other."""
        both = (metrics.cer(first, second) + metrics.cer(second, first)) / 2
        return {**super().agreement(first, second), "cer": both}

    def symbols(self, value: str) -> list[str]:
        """Its characters."""
        return list(value)

    def slices(self, truth: str) -> dict[str, str]:
        """By length in characters, and by what the line is made of."""
        return {"length": _length_slice(len(truth)), "characters": _character_slice(truth)}

    def confusions(
        self, truths: Sequence[str], answers: Sequence[str]
    ) -> dict[str, list[Confusion]]:
        """By `characters`, base `letters`, vowel `marks` and `tones`."""
        return metrics.confusions(truths, answers)

    def learner(self, vocabulary: Mapping[str, Any], options: Mapping[str, Any]) -> Learner:
        """The part that trains a CTC network."""
        try:
            from nhan.tasks.text.learner import TextLearner
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.startswith("nhan"):
                raise
            raise MissingExtra("training", "train") from error
        return TextLearner(vocabulary, options)


def _length_slice(length: int) -> str:
    shortest = 1
    for longest in _LENGTHS:
        if length <= longest:
            return f"{shortest}-{longest}"
        shortest = longest + 1
    return f"over {_LENGTHS[-1]}"


def _character_slice(text: str) -> str:
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return "numbers and signs"
    if len(letters) > 1 and text.isupper():
        return "capitals"
    return "with marks" if strip_marks(text) != text else "without marks"
