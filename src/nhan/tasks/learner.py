"""What a task gives to training: everything that shared training code must not know.

`nhan.training` prepares, batches, optimises, checkpoints and exports any `Learner`; a task says
how a picture and a label become tensors, what the loss is, and how an answer is read. Imports
torch, so only training code and `tasks/<task>/learner.py` import this module.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nhan.errors import SettingsError
from nhan.tasks.base import RGB, Feed, Finding


class Samples(Protocol):
    """Prepared samples with random access."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[RGB, str]: ...


@dataclass(frozen=True)
class Start:
    """Where a training begins.

    Attributes:
        learned: what `Learner.batch` will be given to learn from.
        judged: what it will be given to be judged on.
        answers: the network answers already, so how it stands is judged before the first step.
    """

    learned: Samples
    judged: Samples
    answers: bool = False


@dataclass
class Batch:
    """Samples as tensors.

    Attributes:
        inputs: what the network's `forward` takes, in order.
        targets: what the loss needs beside the network's outputs.
        labels: the samples' labels, in order.
    """

    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str, **options: Any) -> Batch:
        """The same batch on another device."""
        return Batch(
            tuple(x.to(device, **options) for x in self.inputs),
            tuple(x.to(device, **options) for x in self.targets),
            self.labels,
        )


@dataclass(frozen=True)
class Exportable:
    """How the network is written as ONNX.

    Attributes:
        module: takes and returns tensors, in evaluation mode.
        inputs: names of its inputs, in order.
        outputs: names of its outputs, in order.
        dynamic: for each name, the axes that may change and what they are called.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dynamic: Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class Adopted:
    """What was taken over from another model.

    Attributes:
        kept: answers (characters, classes) whose weights were taken over.
        new: answers that start untrained.
        dropped: answers that the other model had and this one has not.
    """

    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]

    @classmethod
    def between(cls, old: Sequence[str], own: Sequence[str]) -> Adopted:
        """From the answers of the other model and of this one, each in the order of its model."""
        return cls(
            kept=tuple(answer for answer in own if answer in old),
            new=tuple(answer for answer in own if answer not in old),
            dropped=tuple(answer for answer in old if answer not in own),
        )


def take_over(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    heads: Sequence[str],
    rows: Mapping[int, int],
    shaping: str,
) -> None:
    """Load another model's weights into a network that answers other things.

    Args:
        network: changed in place.
        weights: of the other model's network.
        heads: names of the weights that have a row for each answer.
        rows: own row to the other model's row; rows that are not named stay untrained.
        shaping: the options that give a network its shape, for the hint.

    Raises:
        SettingsError: beside the heads, the networks differ.
    """
    own = network.state_dict()
    different = sorted(
        name
        for name in own.keys() | weights.keys()
        if name not in heads
        and (name not in own or name not in weights or own[name].shape != weights[name].shape)
    )
    if different:
        raise SettingsError(
            f"the model to start from has another network: {', '.join(different[:3])} differ",
            hint=f"leave {shaping} out: they follow the model",
        )
    merged = {name: weights[name].to(own[name].dtype) for name in own if name not in heads}
    for name in heads:
        merged[name] = own[name].clone()
        mine, theirs = list(rows), list(rows.values())
        merged[name][mine] = weights[name][theirs].to(own[name].dtype)
    network.load_state_dict(merged)


class Learner(ABC):
    """The part of a task that trains.

    Attributes:
        network: what is optimised.
        vocabulary: what the model can answer, as in `Task.vocabulary`.
        options: the filled options it was built with, JSON-able; building with them again gives
            the same untrained network and preparation.
    """

    network: nn.Module
    vocabulary: dict[str, Any]
    options: dict[str, Any]

    @property
    @abstractmethod
    def preparer(self) -> Callable[[RGB], RGB]:
        """Picklable: brings a decoded picture, uint8 (H, W, 3), to what `batch` takes."""

    @abstractmethod
    def preparation(self) -> dict[str, Any]:
        """The numbers of the preparation: `nhan.json`'s `prepare`, and part of the cache's key."""

    @abstractmethod
    def outputs(self) -> dict[str, Any]:
        """What the network's outputs mean: `nhan.json`'s `outputs`."""

    @abstractmethod
    def check(self, label: str, *, width: int) -> list[Finding]:
        """Why a sample could not be learned; empty if it can.

        Args:
            label: the normalised label.
            width: of the prepared picture, pixels.
        """

    def begin(self, learned: Samples, judged: Samples, *, cache: Path | None) -> Start:  # noqa: ARG002
        """Look at the samples once, before the first step of a run or of its continuation.

        The place to count labels, to set weights that need no steps, and to put what is computed
        once (features of a trunk that is not trained) in the place of pictures. By default
        nothing is done.

        Args:
            learned: prepared samples that can be learned.
            judged: prepared samples that choose the best weights; may be empty.
            cache: a folder for what is worth keeping between runs; None keeps nothing.
        """
        return Start(learned, judged)

    @abstractmethod
    def batch(self, pictures: Sequence[RGB], labels: Sequence[str], *, training: bool) -> Batch:
        """Put prepared pictures and labels together.

        Args:
            pictures: prepared.
            labels: in the same order; what is only judged (`training` off) may have labels that
                the model cannot say: they count as misread.
            training: the batch will be learned from, so `loss` will be asked of it.
        """

    def augment(self, batch: Batch) -> Batch:
        """Change a batch at random before a training step; by default it stays as it is.

        Called where the batch is trained on, CPU or GPU, with torch's generator seeded by run and
        position: draw from nothing else, and a resumed run draws the same.
        """
        return batch

    def pretrained(self) -> Iterable[nn.Parameter]:
        """Parameters that came trained and are trained further; they learn at a tenth of `lr`."""
        return ()

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """One number, float32, the mean over the samples.

        Raises:
            JobFailed: it is not finite; the message names labels.
        """

    @abstractmethod
    def answers(self, batch: Batch) -> list[str]:
        """What the network says, in evaluation mode and without gradients."""

    @abstractmethod
    def exportable(self) -> Exportable:
        """The network as it is served."""

    @abstractmethod
    def feed(self, batch: Batch) -> Feed:
        """The batch as the exported network takes it."""

    @abstractmethod
    def read(self, outputs: Sequence[NDArray[Any]]) -> list[tuple[str, NDArray[np.float32]]]:
        """What exported outputs say: for each sample its answer and its meaningful scores."""

    @abstractmethod
    def adopt(self, weights: Mapping[str, Tensor], vocabulary: Mapping[str, Any]) -> Adopted:
        """Start from another model's weights, keeping what it learned of shared answers.

        Raises:
            SettingsError: its network has another shape.
        """

    @abstractmethod
    def widened(self, vocabulary: Mapping[str, Any]) -> dict[str, Any]:
        """This learner's vocabulary with another's answers added behind its own."""
