"""The Open Inference Protocol (V2): JSON with base64, or the binary extension.

One input, `image`, type BYTES, shape [N]: N encoded pictures. Two outputs, `label` (BYTES) and
`confidence` (FP32), each [N], in the order of the pictures.

Source: kserve/open-inference-protocol, inference_rest.md, and Triton's binary tensor extension.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nhan import __version__
from nhan.errors import BadRequest
from nhan.serving.answering import Answers, answer
from nhan.serving.body import FEWER, decode_base64, read_body
from nhan.serving.context import Context, context_of
from nhan.serving.json_body import parse_json
from nhan.serving.routes.health import require_answers, require_ready

router = APIRouter(tags=["V2 protocol"])

_HEADER = "Inference-Header-Content-Length"
_LENGTH = struct.Struct("<I")
_MAX_DIGITS = 12  # of a body's length
_SHOWN = 40  # characters of what a client sent, in a message
_SEE = "see GET /v2/models/NAME"
_PACKED = "each picture follows its length, four bytes, the lowest first"
_INPUT = {"name": "image", "datatype": "BYTES", "shape": [-1]}
_OUTPUTS = (
    {"name": "label", "datatype": "BYTES", "shape": [-1]},
    {"name": "confidence", "datatype": "FP32", "shape": [-1]},
)


@router.get("/v2")
async def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of the server."""
    return {"name": "nhan", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/v2/health/live")
async def live() -> dict[str, bool]:
    """200 while the process is alive."""
    return {"live": True}


@router.get("/v2/health/ready")
async def ready(request: Request) -> dict[str, bool]:
    """200 while a champion can answer, else 503."""
    require_ready(context_of(request))
    return {"ready": True}


@router.get("/v2/models/{name}")
@router.get("/v2/models/{name}/versions/{version}")
async def model_metadata(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """Inputs and outputs of a model, and its versions that answer."""
    roster = context_of(request).service.roster
    found = roster.find(name, version)
    versions = [found.version, *(one.version for one in roster.others if one.name == name)]
    return {
        "name": found.name,
        "versions": list(dict.fromkeys(versions)),
        "platform": "onnxruntime_onnx",
        "inputs": [_INPUT],
        "outputs": list(_OUTPUTS),
        "properties": {"task": found.task, "file": found.file},
    }


@router.get("/v2/models/{name}/ready")
@router.get("/v2/models/{name}/versions/{version}/ready")
async def model_ready(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """200 while this model can answer."""
    context = context_of(request)
    found = context.service.roster.find(name, version)
    require_answers(context)
    return {"name": found.name, "ready": True, "last_answer": found.last_answer or None}


@router.post("/v2/models/{name}/infer", response_class=JSONResponse)
@router.post("/v2/models/{name}/versions/{version}/infer", response_class=JSONResponse)
async def infer(request: Request, name: str, version: str = "") -> Response:
    """Answer N pictures, in order."""
    context = context_of(request)
    body = await read_body(request, context.settings.max_body_bytes, hint=FEWER)
    asked = await _parse(body, request.headers.get(_HEADER, ""), context)
    # Before they are answered: a version that is replaced meanwhile still answers this request.
    found = context.service.roster.find(name, version)
    answers = await answer(request, context, asked.pictures, model=name, version=version)
    answered = answers.predictions[0] if answers.predictions else found
    return _respond(asked, found.name, answered.version, answers)


@dataclass(frozen=True)
class _Asked:
    id: str
    pictures: list[bytes]
    outputs: dict[str, bool]  # name -> whether as binary


async def _parse(body: bytes, header_length: str, context: Context) -> _Asked:
    binary = b""
    if header_length:
        plain = header_length.isdecimal() and len(header_length) <= _MAX_DIGITS
        if not plain or int(header_length) > len(body):
            shown = header_length[: 2 * _MAX_DIGITS]
            raise BadRequest(
                f"{_HEADER} is {shown!r}; the body has {len(body)} bytes",
                hint="the length of the JSON in bytes; what follows it is binary",
            )
        body, binary = body[: int(header_length)], body[int(header_length) :]
    document = await parse_json(body)
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise BadRequest("the body has no list of inputs", hint=_SEE)
    inputs = document["inputs"]
    if len(inputs) != 1 or not isinstance(inputs[0], dict) or inputs[0].get("name") != "image":
        raise BadRequest("there must be exactly one input, named 'image'", hint=_SEE)
    identifier = document.get("id", "")
    if not isinstance(identifier, str):
        raise BadRequest(
            f"id is {type(identifier).__name__}, not a text", hint="leave it out, or send a text"
        )
    return _Asked(identifier, await _pictures(inputs[0], binary, context), _wanted(document))


async def _pictures(tensor: dict[str, Any], binary: bytes, context: Context) -> list[bytes]:
    datatype = tensor.get("datatype")
    if datatype != "BYTES":
        raise BadRequest(
            f"the input's datatype is {_shown(datatype)}, not 'BYTES'",
            hint="send pictures as BYTES: base64, or binary",
        )
    count = _count(tensor.get("shape"))
    context.require_few(count)
    size = _parameters(tensor).get("binary_data_size")
    if size is not None:
        if not isinstance(size, int) or isinstance(size, bool) or size != len(binary):
            raise BadRequest(
                f"binary_data_size is {_shown(size)}; {len(binary)} bytes follow the JSON",
                hint="the length in bytes of what follows the JSON",
            )
        return _unpack(binary, count)
    data = tensor.get("data")
    if not isinstance(data, list):
        raise BadRequest(
            "the input has neither data nor binary_data_size",
            hint='"data": ["<base64>"], or binary data after the JSON',
        )
    items = _flatten(data)
    context.require_few(len(items))
    _require_count(count, len(items))
    pictures = []
    for item in items:
        pictures.append(decode_base64(item, context.limits.max_bytes))
        await asyncio.sleep(0)  # others have their turn
    return pictures


def _count(shape: Any) -> int:
    whole = isinstance(shape, list) and all(type(number) is int and number >= 0 for number in shape)
    if not whole or not 1 <= len(shape) <= 2 or (len(shape) == 2 and shape[1] != 1):
        raise BadRequest(
            f"the input's shape is {_shown(shape)}, not [N]", hint="[1] for one picture"
        )
    return math.prod(shape)


def _require_count(announced: int, held: int | str) -> None:
    if announced != held:
        raise BadRequest(
            f"the shape says {announced} pictures, the data holds {held}",
            hint="shape is [N] for N pictures",
        )


def _unpack(binary: bytes, count: int) -> list[bytes]:
    pictures: list[bytes] = []
    position = 0
    while position < len(binary):
        if len(pictures) == count:
            _require_count(count, "more")
        end = position + _LENGTH.size
        if end > len(binary):
            raise BadRequest("the binary data ends within a length", hint=_PACKED)
        (length,) = _LENGTH.unpack_from(binary, position)
        if end + length > len(binary):
            raise BadRequest("the binary data ends within a picture", hint=_PACKED)
        pictures.append(binary[end : end + length])
        position = end + length
    _require_count(count, len(pictures))
    return pictures


def _shown(value: Any) -> str:
    """The beginning of a value, however long a client made it."""
    if isinstance(value, str | list | dict) and len(value) > _SHOWN:
        return f"{type(value).__name__} of length {len(value)}"
    shown = repr(value)
    return shown if len(shown) <= 2 * _SHOWN else shown[: 2 * _SHOWN] + "…"


def _flatten(data: list[Any]) -> list[Any]:
    flat: list[Any] = []
    for item in data:
        flat.extend(item if isinstance(item, list) else [item])
    return flat


def _parameters(holder: dict[str, Any]) -> dict[str, Any]:
    parameters = holder.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequest(
            f"parameters is {type(parameters).__name__}, not an object",
            hint="leave it out, or send {}",
        )
    return parameters


def _wanted(document: dict[str, Any]) -> dict[str, bool]:
    """Which outputs, and each in which form."""
    names = [str(output["name"]) for output in _OUTPUTS]
    default = bool(_parameters(document).get("binary_data_output"))
    outputs = document.get("outputs")
    if not outputs:
        return dict.fromkeys(names, default)
    wanted: dict[str, bool] = {}
    for output in outputs if isinstance(outputs, list) else [outputs]:
        if not isinstance(output, dict) or output.get("name") not in names:
            raise BadRequest("an output asked for does not exist", hint=f"outputs: {names}")
        wanted[output["name"]] = bool(_parameters(output).get("binary_data", default))
    return wanted


def _respond(asked: _Asked, name: str, version: str, answers: Answers) -> Response:
    predictions = answers.predictions
    columns: dict[str, tuple[str, list[Any], bytes]] = {
        "label": (
            "BYTES",
            [one.value for one in predictions],
            b"".join(_with_length(one.value.encode()) for one in predictions),
        ),
        "confidence": (
            "FP32",
            [one.confidence for one in predictions],
            struct.pack(f"<{len(predictions)}f", *(one.confidence for one in predictions)),
        ),
    }
    outputs, tail = [], b""
    for output, as_binary in asked.outputs.items():
        datatype, values, packed = columns[output]
        tensor: dict[str, Any] = {
            "name": output, "datatype": datatype, "shape": [len(predictions)]
        }  # fmt: skip
        if as_binary:
            tensor["parameters"] = {"binary_data_size": len(packed)}
            tail += packed
        else:
            tensor["data"] = values
        outputs.append(tensor)
    document = {
        "model_name": name,
        "model_version": version,
        "outputs": outputs,
        **({"id": asked.id} if asked.id else {}),
    }
    head = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    headers = answers.headers
    if tail:
        headers[_HEADER] = str(len(head))
        return Response(head + tail, media_type="application/octet-stream", headers=headers)
    return Response(head, media_type="application/json", headers=headers)


def _with_length(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data
