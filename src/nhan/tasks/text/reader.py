"""What serving runs for a text model: prepare, and decode what the network says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nhan.errors import SettingsError
from nhan.tasks.base import RGB, Answer, Feed, Outputs
from nhan.tasks.calibration import Calibration
from nhan.tasks.text.beam import BeamSearch
from nhan.tasks.text.charset import Charset
from nhan.tasks.text.decode import BLANK, LogProbs, Reading, greedy
from nhan.tasks.text.prepare import Preparation
from nhan.tasks.text.stitch import stitch

_HALF_TURN = 180  # degrees

# The middle of a line that is turned first, in heights, and how many times longer a line must be
# for its middle alone to be worth while.
_MIDDLE = 4
_LONG = 1.5

# What the characters that are cut at the ends of a middle may take off its sureness.
_CUT = 0.9


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

    width_input = "width"

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
        return self._feeds(self.preparation.to_input(self.preparation.prepare(rgb)))

    def another_look(self, feeds: Sequence[Feed], looks: Sequence[Sequence[Outputs]]) -> list[Feed]:
        """The feeds of the picture turned by 180°, where the first reading is unsure.

        Upside-down lines read as nonsense that the network itself does not believe. Of a long line
        only the middle is turned first: most lines that are hard to read hang the right way up,
        and need not be read a second time.
        """
        if not self._turned_below or len(looks) > 2:
            return []
        line = self._line(looks[0])
        if self._sureness(line) >= self._turned_below:
            return []
        if len(looks) > 1 and not self._promising(line, self._line(looks[-1])):
            return []
        turned = self._planes(feeds)[:, ::-1, ::-1]
        width, middle = turned.shape[2], _MIDDLE * self.preparation.height
        if len(looks) == 1 and width > _LONG * middle:
            start = (width - middle) // 2
            turned = turned[:, :, start : start + middle]
        return self._feeds(turned)

    def answer(self, outputs: Sequence[Outputs], *more: Sequence[Outputs]) -> Answer:
        """Decode one picture.

        Args:
            outputs: for each feed `log_probs` float32 (1, frames, classes) and `steps` int64 (1,),
                the frames that count.
            more: the same for the picture turned by 180°, or its middle, if it was looked at; the
                reading of the whole picture that is surer per character counts.

        Returns:
            The text with its calibrated confidence; `details` holds `text` and `characters`, each
            with the (uncalibrated) probability of its best frame, and `turned`, 180, where the
            picture was read upside down.
        """
        line, turned = self._line(outputs), False
        if more and not _is_part(other := self._line(more[-1]), line):
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

    def _feeds(self, planes: NDArray[np.float32]) -> list[Feed]:
        return [
            {
                "image": np.ascontiguousarray(planes[None, :, :, start:end]),
                "width": np.array([end - start], np.int64),
            }
            for start, end in self.preparation.windows(planes.shape[2])
        ]

    def _planes(self, feeds: Sequence[Feed]) -> NDArray[np.float32]:
        """The whole prepared picture again, float32 (3, height, width), from its windows."""
        first, *more = (feed["image"][0] for feed in feeds)
        return np.concatenate(
            [first, *(part[:, :, self.preparation.overlap :] for part in more)], 2
        )

    def _promising(self, line: LogProbs, middle: LogProbs) -> bool:
        """Whether the whole picture is worth turning, given the reading of its turned middle.

        Compared with the same part of the upright reading. Where that holds no text, nobody can
        tell; what was no middle but the whole picture is not looked at again.
        """
        if not _is_part(middle, line):
            return False
        start = (len(line) - len(middle)) // 2
        upright = self._sureness(line[start : start + len(middle)])
        return not upright or self._sureness(middle) > _CUT * upright

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


def _is_part(some: LogProbs, line: LogProbs) -> bool:
    """Whether these frames are of a picture's middle: of a whole one, turned, there are as many."""
    return 4 * len(some) < 3 * len(line)


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
