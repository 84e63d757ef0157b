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

_HALF_TURN = 180  # degrees


class LineReader:
    """Reads one line of text from a picture, given the outputs of a CTC network.

    Stateless: one object serves any number of threads, and the same picture gives the same feeds.

    Args:
        spec: the content of `nhan.json`: `prepare` (`Preparation.to_dict`), `outputs` with
            `charset` and `blank`; optional are `calibration`, `decoding`, greedy unless its
            `method` is `beam`, and `second_look`: below `turned_below` (a probability per
            character) a picture is also read turned by 180°.

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
        self._turned_below = _turned_below(spec.get("second_look", {}))
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

    def second_look(self, rgb: RGB, outputs: Sequence[Outputs]) -> list[Feed]:
        """The feeds of the picture turned by 180°, where the first reading is unsure.

        Upside-down lines read as nonsense that the network itself does not believe.
        """
        if not self._turned_below:
            return []
        if self._sureness(self._line(outputs)) >= self._turned_below:
            return []
        return self.inputs(np.ascontiguousarray(rgb[::-1, ::-1]))

    def answer(self, outputs: Sequence[Outputs], second: Sequence[Outputs] = ()) -> Answer:
        """Decode one picture.

        Args:
            outputs: for each feed `log_probs` float32 (1, frames, classes) and `steps` int64 (1,),
                the frames that count.
            second: the same for the picture turned by 180°, if it was looked at; the reading that
                is surer per character counts.

        Returns:
            The text with its calibrated confidence; `details` holds `text` and `characters`, each
            with the (uncalibrated) probability of its best frame, and `turned`, 180, where the
            picture was read upside down.
        """
        line, turned = self._line(outputs), False
        if second:
            other = self._line(second)
            turned = self._sureness(other) > self._sureness(line)
            line = other if turned else line
        reading = self._decode(line, self.charset.characters)
        characters = [
            {"text": char, "confidence": confidence}
            for char, confidence in zip(reading.text, reading.characters, strict=True)
        ]
        return Answer(
            reading.text,
            self.calibration.confidence(reading.score, len(reading.text)),
            {
                "text": reading.text,
                "characters": characters,
                **({"turned": _HALF_TURN} if turned else {}),
            },
        )

    def _line(self, outputs: Sequence[Outputs]) -> LogProbs:
        """The log-probabilities of a whole picture, its windows put together."""
        return stitch(
            [log_probs[0, : int(steps[0])] for log_probs, steps in outputs],
            max_width=self.preparation.max_width,
            overlap=self.preparation.overlap,
            space=self._space,
        )

    def _sureness(self, line: LogProbs) -> float:
        """How sure the network is per character, 0..1: the geometric mean of the raw score.

        The score itself falls with every character of a line. Measured on lines turned by 180°:
        this tells 99 of 100 from upright ones, the score 94. A line without text is 0: nothing
        was read.
        """
        reading = greedy(line, self.charset.characters)
        return float(reading.score ** (1 / len(reading.text))) if reading.text else 0.0


def _turned_below(options: Mapping[str, Any]) -> float:
    below = float(options.get("turned_below", 0.0))
    if options.keys() - {"turned_below"} or not 0 <= below <= 1:
        raise SettingsError(
            f"second_look is {dict(options)}", hint="it knows one key, turned_below, from 0 to 1"
        )
    return below


def _decoder(decoding: Mapping[str, Any]) -> Callable[[LogProbs, str], Reading]:
    method = decoding.get("method", "greedy")
    if method == "greedy":
        return greedy
    if method == "beam":
        return BeamSearch.from_dict({k: v for k, v in decoding.items() if k != "method"}).read
    raise SettingsError(f"decoding.method is {method!r}", hint="methods: greedy, beam")
