"""How lines of text are learned: charset, preparation, network, CTC loss, greedy reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor
from torch.nn import functional

from nhan.errors import BadLabel, JobFailed, SettingsError
from nhan.settings import settings_error
from nhan.tasks.base import RGB, Feed, Finding
from nhan.tasks.learner import Adopted, Batch, Exportable, Learner, take_over
from nhan.tasks.text.charset import Charset
from nhan.tasks.text.decode import BLANK, greedy
from nhan.tasks.text.networks import build_network
from nhan.tasks.text.networks.base import LineNetwork
from nhan.tasks.text.prepare import Preparation

# Batches are padded to a multiple of this: few different shapes, so kernels are chosen once each.
_WIDTH_STEP = 8


class TextOptions(BaseModel):
    """What shapes a text model, beside its charset."""

    model_config = ConfigDict(extra="forbid")

    network: str = Field("convgru", description="a name of nhan.tasks.text.networks.NETWORKS")
    options: dict[str, Any] = Field(default_factory=dict, description="the network's own options")
    prepare: dict[str, Any] = Field(
        default_factory=dict, description="preparation, beside the height that the network sets"
    )
    extend_px: int = Field(
        24,
        ge=0,
        description="in training, pictures this much narrower than the batch's widest repeat their "
        "last column instead of being padded",
    )


class TextLearner(Learner):
    """Trains a `LineNetwork` with CTC.

    Args:
        vocabulary: `{"charset": "…"}`.
        options: as in `TextOptions`.

    Raises:
        SettingsError: an option is unknown, out of range or contradicts another.
        BadLabel: the charset is malformed.
    """

    network: LineNetwork

    width_input = "width"

    def __init__(self, vocabulary: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        try:
            chosen = TextOptions(**options)
        except ValidationError as error:
            raise settings_error(error, TextOptions, "the model's options") from error
        self.charset = Charset(vocabulary["charset"])
        self.vocabulary = {"charset": self.charset.characters}
        self.network, filled = build_network(chosen.network, self.charset.classes, chosen.options)
        given = chosen.prepare.get("height", self.network.height)
        if given != self.network.height:
            raise SettingsError(
                f"prepare.height is {given}, the network's is {self.network.height}",
                hint="set options.height of the network; the preparation follows it",
            )
        self._preparation = Preparation.from_dict({**chosen.prepare, "height": self.network.height})
        self._extend_px = chosen.extend_px
        self.options = {
            "network": chosen.network,
            "options": filled.model_dump(mode="json"),
            "prepare": self._preparation.to_dict(),
            "extend_px": chosen.extend_px,
        }

    @property
    def preparer(self) -> Callable[[RGB], RGB]:
        return self._preparation.prepare

    def preparation(self) -> dict[str, Any]:
        return self._preparation.to_dict()

    def outputs(self) -> dict[str, Any]:
        return {"charset": self.charset.characters, "blank": BLANK}

    def check(self, label: str, *, width: int) -> list[Finding]:
        try:
            needed = _steps_needed(self.charset.encode(label))
        except BadLabel as error:
            return [Finding("outside_charset", "error", error.message, error.hint)]
        steps = self.network.steps(width)
        if needed <= steps:
            return []
        return [
            Finding(
                "too_long",
                "error",
                f"the label {label!r} needs {needed} steps, "
                f"a prepared picture {width} px wide gives {steps}",
                "check that the label belongs to the picture; squeezed pictures need a wider crop",
            )
        ]

    def batch(self, pictures: Sequence[RGB], labels: Sequence[str], *, training: bool) -> Batch:
        """Pad to the widest with zeros.

        In training, a picture nearly as wide as the widest repeats its last column up to there,
        as a looser crop would: then nothing is padded, and batch statistics see pictures only.
        """
        true_widths = [picture.shape[1] for picture in pictures]
        longest = (
            -(-max(true_widths) // _WIDTH_STEP) * _WIDTH_STEP if training else max(true_widths)
        )
        images = np.zeros((len(pictures), self.network.height, longest, 3), np.uint8)
        widths = np.empty(len(pictures), np.int64)
        for row, picture in enumerate(pictures):
            width = picture.shape[1]
            images[row, :, :width] = picture
            if training and longest - width <= self._extend_px:
                images[row, :, width:] = picture[:, -1:]
                width = longest
            widths[row] = width
        planes = torch.from_numpy(images[:, :, : widths.max()]).permute(0, 3, 1, 2)
        # Multiplied as `Preparation.to_input` does, so that both give the same bits.
        floats = planes.float() * float(np.float32(1 / 255))
        # What is only judged has no loss, and may hold what the charset lacks.
        encoded = [self.charset.encode(label) for label in labels] if training else []
        targets = torch.tensor([index for label in encoded for index in label], dtype=torch.int64)
        lengths = torch.tensor([len(label) for label in encoded], dtype=torch.int64)
        return Batch((floats, torch.from_numpy(widths)), (targets, lengths), list(labels))

    def loss(self, batch: Batch) -> Tensor:
        """CTC, each line divided by its length, then the mean.

        `zero_infinity` stays off: a label that does not fit its picture must not be hidden.
        """
        log_probs, steps = self.network(*batch.inputs)
        targets, lengths = batch.targets
        losses = functional.ctc_loss(
            log_probs.transpose(0, 1), targets, steps, lengths, blank=BLANK, reduction="none"
        )
        per_character = losses / lengths.clamp_min(1)
        if not bool(torch.isfinite(per_character.detach()).all()):
            bad = [
                label
                for label, value in zip(batch.labels, per_character.tolist(), strict=True)
                if not np.isfinite(value)
            ]
            raise JobFailed(
                f"the loss is not finite for {len(bad)} lines, first {bad[0]!r}",
                hint="a label longer than its picture's steps, or a learning rate that is too high",
            )
        return per_character.mean()

    @torch.inference_mode()
    def answers(self, batch: Batch) -> list[str]:
        log_probs, steps = self.network(*batch.inputs)
        return [text for text, _ in self.read((log_probs.cpu().numpy(), steps.cpu().numpy()))]

    def exportable(self) -> Exportable:
        return Exportable(
            module=self.network.eval(),
            inputs=("image", "width"),
            outputs=("log_probs", "steps"),
            dynamic={
                "image": {0: "batch", 3: "width_px"},
                "width": {0: "batch"},
                "log_probs": {0: "batch", 1: "time"},
                "steps": {0: "batch"},
            },
        )

    def feed(self, batch: Batch) -> Feed:
        images, widths = batch.inputs
        return {"image": images.cpu().numpy(), "width": widths.cpu().numpy()}

    def read(self, outputs: Sequence[NDArray[Any]]) -> list[tuple[str, NDArray[np.float32]]]:
        log_probs, steps = outputs
        lines = [line[:count] for line, count in zip(log_probs, steps, strict=True)]
        return [(greedy(line, self.charset.characters).text, line) for line in lines]

    def adopt(self, weights: Mapping[str, Tensor], vocabulary: Mapping[str, Any]) -> Adopted:
        old = Charset(vocabulary["charset"])
        characters = self.charset.characters
        shared = {
            index: old.encode(char)[0]
            for index, char in enumerate(characters, start=1)
            if char in old
        }
        take_over(
            self.network,
            weights,
            heads=_head_names(self.network),
            rows={BLANK: BLANK, **shared},
            shaping="model.network and model.options",
        )
        return Adopted.between(old.characters, characters)

    def widened(self, vocabulary: Mapping[str, Any]) -> dict[str, Any]:
        return {"charset": self.charset.extend(vocabulary["charset"]).characters}


def _steps_needed(classes: Sequence[int]) -> int:
    """CTC writes equal neighbours only with a blank between them."""
    return len(classes) + sum(a == b for a, b in pairwise(classes))


def _head_names(network: LineNetwork) -> tuple[str, ...]:
    for name, module in network.named_modules():
        if module is network.head:
            return (f"{name}.weight", f"{name}.bias")
    raise AssertionError("a network's head is one of its modules")
