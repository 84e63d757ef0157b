"""What serving runs for a text model: prepare, and decode what the network says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nhan.errors import SettingsError
from nhan.tasks.base import RGB, Answer, Feed, Outputs
from nhan.tasks.calibration import Calibration
from nhan.tasks.text.beam import BeamSearch
from nhan.tasks.text.charset import Charset
from nhan.tasks.text.decode import BLANK, LogProbs, Reading, greedy
from nhan.tasks.text.prepare import Preparation
from nhan.tasks.text.stitch import stitch


class LineReader:
    """Reads one line of text from a picture, given the outputs of a CTC network.

    Stateless: one object serves any number of threads, and the same picture gives the same feeds.

    Args:
        spec: the content of `nhan.json`: `prepare` (`Preparation.to_dict`), `outputs` with
            `charset` and `blank`; optional are `calibration` and `decoding`, greedy unless its
            `method` is `beam`.

    Raises:
        SettingsError: the spec lacks a part or asks for what this version cannot do.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        try:
            outputs = spec["outputs"]
            self.charset = Charset(outputs["charset"])
            self.preparation = Preparation.from_dict(spec["prepare"])
        except KeyError as error:
            raise SettingsError(
                f"the model's nhan.json lacks {error}", hint="register the model again"
            ) from error
        if outputs.get("blank", BLANK) != BLANK:
            raise SettingsError(
                f"the model's blank is class {outputs['blank']}", hint="it must be class 0"
            )
        self.calibration = Calibration.from_dict(spec.get("calibration", {}))
        self._decode = _decoder(spec.get("decoding", {}))
        self._space = self.charset.encode(" ")[0] if " " in self.charset else None

    def inputs(self, rgb: RGB) -> list[Feed]:
        """One feed per window: `image` float32 (1, 3, height, width), `width` int64 (1,)."""
        prepared = self.preparation.prepare(rgb)
        return [
            {
                "image": self.preparation.to_input(prepared[:, start:end])[None],
                "width": np.array([end - start], np.int64),
            }
            for start, end in self.preparation.windows(prepared.shape[1])
        ]

    def answer(self, outputs: Sequence[Outputs]) -> Answer:
        """Decode one picture.

        Args:
            outputs: for each feed `log_probs` float32 (1, frames, classes) and `steps` int64 (1,),
                the frames that count.

        Returns:
            The text with its calibrated confidence; `details` holds `text` and `characters`, each
            with the (uncalibrated) probability of its best frame.
        """
        reading = self.read([log_probs[0, : int(steps[0])] for log_probs, steps in outputs])
        characters = [
            {"text": char, "confidence": confidence}
            for char, confidence in zip(reading.text, reading.characters, strict=True)
        ]
        return Answer(
            reading.text,
            self.calibration.confidence(reading.score),
            {"text": reading.text, "characters": characters},
        )

    def read(self, windows: Sequence[LogProbs]) -> Reading:
        """The reading of one picture before calibration.

        Args:
            windows: log-probabilities of each window, float32 (frames, classes).
        """
        line = stitch(
            windows,
            max_width=self.preparation.max_width,
            overlap=self.preparation.overlap,
            space=self._space,
        )
        return self._decode(line, self.charset.characters)


def _decoder(decoding: Mapping[str, Any]) -> Callable[[LogProbs, str], Reading]:
    method = decoding.get("method", "greedy")
    if method == "greedy":
        return greedy
    if method == "beam":
        return BeamSearch.from_dict({k: v for k, v in decoding.items() if k != "method"}).read
    raise SettingsError(f"decoding.method is {method!r}", hint="methods: greedy, beam")
