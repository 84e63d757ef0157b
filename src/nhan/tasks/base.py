"""What a task is: the one seam between "which answer" and everything else.

Shared code (import, freeze, train, evaluate, gate, serve) works for any `Task` and never asks
which one it has. A new task is one folder here and one row in `nhan.tasks.TASKS`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nhan.tasks.learner import Learner

RGB = NDArray[np.uint8]
Feed = dict[str, NDArray[Any]]
Outputs = Sequence[NDArray[Any]]
Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Answer:
    """What a model says of one picture.

    Attributes:
        value: the text or the class.
        confidence: calibrated, 0..1: of many answers given 0.9, nine in ten are right.
        details: what the task adds to the prediction JSON, e.g. `text` and `characters`.
    """

    value: str
    confidence: float
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One thing the label doctor noticed about one sample.

    Attributes:
        code: machine-readable kind, e.g. `outside_charset`.
        severity: `error` must be fixed before training, `warning` should be looked at.
        message: what was seen, with the value at fault.
        hint: what to do.
        subjects: the values at fault, e.g. characters; the label doctor counts them.
    """

    code: str
    severity: Severity
    message: str
    hint: str = ""
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rate:
    """One sample's share of a corpus-level rate: `errors` out of `weight`.

    Corpus CER is the sum of edit distances over the sum of reference lengths; accuracy is the
    sum of wrong answers over the number of samples. The pair is what a bootstrap resamples.
    """

    errors: float
    weight: float


class Reader(Protocol):
    """Turns pictures into network inputs and network outputs into answers.

    Built from a model package's `nhan.json`. Stateless and thread-safe; imports no torch.
    """

    def inputs(self, rgb: RGB) -> list[Feed]:
        """Prepare one picture, uint8 (H, W, 3): one feed per forward pass.

        Usually one; several where a very wide picture is read in overlapping windows.
        """

    def answer(self, outputs: Sequence[Outputs]) -> Answer:
        """Decode the outputs of the feeds of one picture, in order."""


@runtime_checkable
class ManyLooks(Protocol):
    """A reader that may want to see a picture once more, another way, before it answers.

    Its `answer` then takes the outputs of all looks. Whoever runs pictures calls `look`, which
    knows the order, and never asks.
    """

    def another_look(self, feeds: Sequence[Feed], looks: Sequence[Sequence[Outputs]]) -> list[Feed]:
        """Feeds of the next look; empty if none is needed.

        Args:
            feeds: those of the first look.
            looks: the outputs of all looks so far.
        """

    def answer(self, outputs: Sequence[Outputs], *more: Sequence[Outputs]) -> Answer:
        """Decode one picture from the outputs of its first look and of those that followed."""


@runtime_checkable
class TellsWidth(Protocol):
    """A reader, or learner, of a network that also takes the widths of its pictures.

    A feed of one picture holds it without padding: what the input named here says is the width of
    the picture beside it. Whoever runs pictures alone may then simplify the graph.
    """

    width_input: str


def look(
    reader: Reader, rgb: RGB, forward: Callable[[list[Feed]], list[Outputs]]
) -> list[list[Outputs]]:
    """Run every pass that a reader asks for on one picture: `reader.answer(*look(…))`.

    Args:
        reader: prepares the feeds.
        rgb: uint8 (H, W, 3).
        forward: runs the network on feeds, one after the other.

    Returns:
        The outputs of each look, in order; one at least.
    """
    first = reader.inputs(rgb)
    looks = [forward(first)]
    if isinstance(reader, ManyLooks):
        while feeds := reader.another_look(first, looks):
            looks.append(forward(feeds))
    return looks


class Task(ABC):
    """The rules of one kind of label.

    Attributes:
        name: as in `--task` and `nhan.json`.
        primary: the metric that the gate compares, a key of `score`; always an error rate, so
            lower is better.
        folder_is_label: a folder's name may be the label of all pictures in it (a class is; a
            line's text is not).
        choices: labels are few and listed, so a reviewer chooses one instead of typing.
    """

    name: str
    primary: str
    folder_is_label: bool = False
    choices: bool = False

    @abstractmethod
    def normalise(self, label: str) -> str:
        """The label as it is stored and compared.

        Raises:
            BadLabel: it cannot be a label of this task (empty, control characters).
        """

    @abstractmethod
    def vocabulary(self, labels: Iterable[str]) -> dict[str, Any]:
        """What a model of these labels must be able to say: `{"charset": …}`, `{"classes": …}`."""

    @abstractmethod
    def check(self, label: str, *, width: int, height: int) -> list[Finding]:
        """Look one label over beside its picture's size in pixels."""

    def check_all(self, counts: Mapping[str, int]) -> list[Finding]:  # noqa: ARG002
        """Look all labels of a dataset over together; nothing by default.

        Args:
            counts: every normalised label and how many samples have it.
        """
        return []

    @abstractmethod
    def reader(self, spec: Mapping[str, Any]) -> Reader:
        """The reader that a package's `nhan.json` describes."""

    @abstractmethod
    def rate(self, truth: str, answer: str) -> Rate:
        """One sample's share of the primary metric."""

    @abstractmethod
    def score(self, truths: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
        """Every metric of the task over a set of samples, the primary one among them."""

    def support(self, metric: str, truths: Sequence[str], answers: Sequence[str]) -> int:  # noqa: ARG002
        """How many of the samples a share among `score`'s metrics is a share of; by default all.

        A figure that only some samples decide (one class's recall) may be off by more luck than
        one that all decide, and its interval must say so.
        """
        return len(truths)

    def rates(self, truth: str, answer: Answer) -> dict[str, Rate]:  # noqa: ARG002
        """One sample's share of rates that need more than the answer's value; none by default.

        For metrics of `Answer.details`, such as whether the truth is among the best five. Every
        answer of a model has the same names.
        """
        return {}

    def calibration(
        self,
        truths: Sequence[str],  # noqa: ARG002
        answers: Sequence[Answer],  # noqa: ARG002
    ) -> dict[str, Any] | None:
        """Fit `nhan.json`'s `calibration` on answers of an uncalibrated model.

        None, as by default, leaves it to whoever asks to choose a map of the confidence
        (`nhan.tasks.calibration`), which a reader must then apply. A task whose answers carry
        more than one score may do better.

        Args:
            truths: labels of samples that were not learned from.
            answers: in the same order.
        """
        return None

    def describe(self, answer: Answer) -> str:
        """An answer for people at a terminal, perhaps in several lines; by default its value."""
        return answer.value

    def uncertainty(self, answer: Answer) -> float:
        """How much a person's look at this answer would tell, 0..1; by default 1 - confidence."""
        return 1.0 - answer.confidence

    def contradiction(self, label: str, answer: Answer) -> float:
        """How sure an answer is that a label is wrong, 0..1; by default its confidence if so."""
        return answer.confidence if self.rate(label, answer.value).errors else 0.0

    def parts(self, label: str) -> frozenset[str]:
        """What of a label can be new to a model; by default the label as a whole."""
        return frozenset((label,))

    def highest(self, metric: str) -> float:
        """What a metric of `score` never exceeds, so that no interval does; default: no bound."""
        del metric
        return math.inf

    def agreement(self, first: Sequence[str], second: Sequence[str]) -> dict[str, float]:
        """How far two people agree who labelled the same samples, in the same order.

        Returns:
            `same`: share of equal labels, 0..1; and what is customary for the task.
        """
        same = sum(a == b for a, b in zip(first, second, strict=True))
        return {"same": same / max(len(first), 1)}

    def symbols(self, value: str) -> list[str]:
        """What a label or answer is made of: its characters, or by default itself as a whole.

        How often each occurs is what drifts when other things are written or shown.
        """
        return [value]

    @abstractmethod
    def slices(self, truth: str) -> dict[str, str]:
        """The slices a sample falls in by its label, e.g. `{"length": "11-20"}`."""

    @abstractmethod
    def confusions(
        self, truths: Sequence[str], answers: Sequence[str]
    ) -> dict[str, list[Confusion]]:
        """What was taken for what, most frequent first, by kind (letters, tones, classes …)."""

    def suited(
        self,
        options: Mapping[str, Any],
        sizes: Sequence[tuple[int, int]],  # noqa: ARG002
    ) -> dict[str, Any]:
        """The options of a model that begins from nothing, made fit for a dataset's pictures.

        Args:
            options: of the model, as given; what they say stays.
            sizes: (width, height) of training pictures, px; at least one.

        Returns:
            By default the options as they are.
        """
        return dict(options)

    @abstractmethod
    def learner(self, vocabulary: Mapping[str, Any], options: Mapping[str, Any]) -> Learner:
        """The part that trains; imports torch.

        Raises:
            MissingExtra: torch is not installed.
        """


@dataclass(frozen=True)
class Confusion:
    """`truth` was read as `answer` this many times; an empty string is a gap."""

    truth: str
    answer: str
    count: int
