"""Models in memory, one picture at a time: the part that runs inside a worker.

It knows neither queue nor HTTP. Process workers and thread workers both hold one.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nhan.errors import JobFailed, NotFound
from nhan.images import PictureLimits, decode
from nhan.inference.session import open_for
from nhan.serving.engine.outcome import Outcome
from nhan.tasks import get_task
from nhan.tasks.base import RGB, Feed, Outputs, Reader, look

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Pictures that a model must answer before it may go live, as (width, height): a usual line, a
# very narrow one and one that is read in several windows by readers that do so.
_WARM_UP_SIZES = ((320, 48), (3, 40), (24, 96))
_BRIGHTNESS_SAMPLES = 4096
# A package may hold pictures with the answers it gave when it was made:
# [{"picture": base64 of an encoded picture, "value": the answer}, …]
PROBES = "probes.json"


@dataclass(frozen=True, slots=True)
class _Loaded:
    reader: Reader
    narrow: InferenceSession
    wide: InferenceSession | None


class Runner:
    """Holds loaded models by key (`NAME@VERSION`) and answers pictures with them.

    Args:
        limits: what a picture may cost.
        wide_threads: threads of the session for a lone request; below 2 there is none.
    """

    def __init__(self, limits: PictureLimits, *, wide_threads: int = 0) -> None:
        self.limits = limits
        self.wide_threads = wide_threads
        self._models: dict[str, _Loaded] = {}

    def load(self, key: str, folder: Path) -> None:
        """Load a model package, run it on a few pictures, and make it ready to answer.

        Raises:
            NhanError: the package is incomplete or of a task we do not know.
            JobFailed: ONNX Runtime cannot load it, its answers are not numbers, or it answers its
                own probe pictures otherwise than when it was made.
        """
        spec: dict[str, Any] = json.loads((folder / "nhan.json").read_text(encoding="utf-8"))
        reader = get_task(spec["task"]).reader(spec)
        file = folder / spec.get("serve", "model.onnx")
        try:
            model = file.read_bytes()
            narrow, wide = open_for(reader, model), None
            if self.wide_threads > 1:
                wide = open_for(reader, model, threads=self.wide_threads)
        except Exception as error:  # onnxruntime raises its own unrelated classes
            raise JobFailed(f"{key} cannot be loaded: {_first_line(error)}") from error
        loaded = _Loaded(reader, narrow, wide)
        _warm_up(key, loaded)
        _check_probes(key, loaded, folder / PROBES, self.limits)
        self._models[key] = loaded

    def unload(self, key: str) -> None:
        """Forget a model; a picture that is being answered with it still is."""
        self._models.pop(key, None)

    def run(self, key: str, picture: bytes, *, wide: bool = False) -> Outcome:
        """Answer one picture.

        Args:
            key: `NAME@VERSION` of a loaded model.
            picture: an encoded picture.
            wide: use all threads, because nobody else is waiting.

        Raises:
            NotFound: no such model is loaded.
            BadPicture, PictureTooLarge, UnsupportedPicture: the picture's fault.
        """
        loaded = self._models.get(key)
        if loaded is None:
            raise NotFound(f"{key} is not loaded")
        begin = time.perf_counter()
        rgb = decode(picture, self.limits)
        decoded = time.perf_counter()
        session = loaded.wide if wide and loaded.wide is not None else loaded.narrow
        looks = _look(session, loaded.reader, rgb)
        inferred = time.perf_counter()
        answer = loaded.reader.answer(*looks)
        details = _members(answer.details)
        encoded = time.perf_counter()
        return Outcome(
            answer.value,
            answer.confidence,
            details,
            (decoded - begin) * 1e3,
            (inferred - decoded) * 1e3,
            (encoded - inferred) * 1e3,
            rgb.shape[1],
            rgb.shape[0],
            _brightness(rgb),
        )


def _look(session: InferenceSession, reader: Reader, rgb: RGB) -> list[list[Outputs]]:
    def forward(feeds: list[Feed]) -> list[Outputs]:
        return [session.run(None, feed) for feed in feeds]

    return look(reader, rgb, forward)


def _warm_up(key: str, loaded: _Loaded) -> None:
    for width, height in _WARM_UP_SIZES:
        rgb = np.full((height, width, 3), 255, np.uint8)
        rgb[height // 3 : height // 2, width // 4 : width // 2] = 0
        for session in filter(None, (loaded.narrow, loaded.wide)):
            try:
                looks = _look(session, loaded.reader, rgb)
                answer = loaded.reader.answer(*looks)
            except Exception as error:
                raise JobFailed(
                    f"{key} fails on a {width} × {height} picture: {_first_line(error)}"
                ) from error
            parts = (part for outputs in looks for output in outputs for part in output)
            numbers = [part for part in parts if part.dtype.kind == "f"]
            if any(np.isnan(part).any() for part in numbers) or not 0 <= answer.confidence <= 1:
                raise JobFailed(f"{key} answers with numbers that are none")


def _check_probes(key: str, loaded: _Loaded, file: Path, limits: PictureLimits) -> None:
    if not file.exists():
        return
    for number, probe in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        rgb = decode(base64.b64decode(probe["picture"]), limits)
        for session in filter(None, (loaded.narrow, loaded.wide)):
            value = loaded.reader.answer(*_look(session, loaded.reader, rgb)).value
            if value != probe["value"]:
                raise JobFailed(
                    f"{key} answers {value!r} to its probe picture {number}, "
                    f"not {probe['value']!r} as when it was made",
                    hint="another version of onnxruntime or Pillow? make the model again here",
                )


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _members(details: Mapping[str, Any]) -> bytes:
    return _to_json(_rounded(dict(details))).encode()[1:-1]


def _rounded(value: Any) -> Any:
    """Four digits: what one and several threads add up differently never reaches a client.

    By exact type, because this runs for every character of every answer.
    """
    kind = type(value)
    if kind is float:
        return round(value, 4)
    if kind is str:
        return value
    if kind is dict:
        return {key: _rounded(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_rounded(item) for item in value]
    return value


def _brightness(rgb: RGB) -> float:
    flat = rgb.reshape(-1)
    return float(flat[:: max(1, flat.size // _BRIGHTNESS_SAMPLES)].mean()) / 255


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
