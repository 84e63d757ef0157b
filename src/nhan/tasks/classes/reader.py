"""What serving runs for a model of classes: prepare, and turn logits into classes with scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nhan.errors import SettingsError
from nhan.tasks.base import RGB, Answer, Feed, Outputs
from nhan.tasks.classes.calibrate import Temperature
from nhan.tasks.classes.prepare import Preparation

# Significant digits of a score; more are noise, and pad every reply of a thousand classes.
_DIGITS = 6


class ClassReader:
    """Says which class a picture shows, given the network's logits.

    Stateless: one object serves any number of threads.

    Args:
        spec: the content of `nhan.json`: `prepare` (`Preparation.to_dict`), `outputs` with
            `classes` in the order of the logits; optional is `calibration`.

    Raises:
        SettingsError: the spec lacks a part, or is of a newer version.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        try:
            self.classes = tuple(str(name) for name in spec["outputs"]["classes"])
            self.preparation = Preparation.from_dict(spec["prepare"])
        except KeyError as error:
            raise SettingsError(
                f"the model's nhan.json lacks {error}", hint="register the model again"
            ) from error
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise SettingsError(
                f"the model's nhan.json names {len(self.classes)} classes, "
                f"{len(set(self.classes))} of them different",
                hint="register the model again",
            )
        self.temperature = Temperature.from_dict(spec.get("calibration", {}))

    def inputs(self, rgb: RGB) -> list[Feed]:
        """One feed: `image` float32 (1, 3, size, size), normalised."""
        return [{"image": self.preparation.to_input(self.preparation.prepare(rgb))[None]}]

    def answer(self, outputs: Sequence[Outputs]) -> Answer:
        """Decode one picture.

        Args:
            outputs: for the one feed, `logits` float32 (1, classes).

        Returns:
            The likeliest class with its calibrated probability; `details` holds `label` and
            `labels`, all classes with their probabilities from high to low.
        """
        probabilities = self.temperature.probabilities(outputs[0][0][0])
        # Stable, so that equal scores always come in the same order.
        order = np.argsort(-probabilities, kind="stable")
        labels = {self.classes[i]: float(f"{probabilities[i]:.{_DIGITS}g}") for i in order}
        best = self.classes[int(order[0])]
        return Answer(best, float(probabilities[order[0]]), {"label": best, "labels": labels})
