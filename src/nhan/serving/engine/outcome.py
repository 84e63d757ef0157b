"""What a lane says of one picture, and how it travels between processes."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from nhan import errors
from nhan.errors import NhanError

_FACTS = struct.Struct("<dfffIIfI")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answered picture, without the names of model and request.

    Attributes:
        value: the text or the class.
        confidence: calibrated, 0..1.
        details: what the task adds to the prediction, as the members of a JSON object in UTF-8
            without the braces (`"text":"…","characters":[…]`). It is built once, in the worker,
            and copied into the answer: the front process never parses it.
        decode_ms: from file bytes to RGB.
        infer_ms: preparing and running the network.
        encode_ms: from the network's outputs to the answer.
        width: pixels of the upright picture.
        height: pixels of the upright picture.
        brightness: mean of a sample of the pixels, 0..1.
    """

    value: str
    confidence: float
    details: bytes
    decode_ms: float
    infer_ms: float
    encode_ms: float
    width: int
    height: int
    brightness: float

    def pack(self) -> bytes:
        """The outcome as bytes."""
        value = self.value.encode()
        facts = _FACTS.pack(
            self.confidence,
            self.decode_ms,
            self.infer_ms,
            self.encode_ms,
            self.width,
            self.height,
            self.brightness,
            len(value),
        )
        return facts + value + self.details

    @classmethod
    def unpack(cls, data: bytes) -> Outcome:
        """The outcome that `pack` wrote."""
        confidence, decode_ms, infer_ms, encode_ms, width, height, brightness, length = (
            _FACTS.unpack_from(data)
        )
        start = _FACTS.size
        return cls(
            data[start : start + length].decode(),
            confidence,
            data[start + length :],
            decode_ms,
            infer_ms,
            encode_ms,
            width,
            height,
            brightness,
        )


def pack_error(error: BaseException) -> bytes:
    """An error as bytes; one of ours keeps its class, any other becomes an internal error."""
    known = isinstance(error, NhanError)
    return json.dumps(
        {
            "class": type(error).__name__ if known else "NhanError",
            "message": error.message
            if isinstance(error, NhanError)
            else f"{type(error).__name__}: {error}",
            "hint": error.hint if isinstance(error, NhanError) else "",
        }
    ).encode()


def unpack_error(data: bytes) -> NhanError:
    """The error that `pack_error` wrote."""
    record = json.loads(data)
    kind = getattr(errors, record["class"], NhanError)
    return_type: type[NhanError] = kind if issubclass(kind, NhanError) else NhanError
    return return_type(record["message"], hint=record["hint"])
