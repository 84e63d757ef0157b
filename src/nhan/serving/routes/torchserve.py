"""TorchServe's inference routes, so that its clients need only another address."""

from __future__ import annotations

import re

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from nhan.errors import BadRequest
from nhan.serving.answering import answer
from nhan.serving.body import decode_base64, read_picture
from nhan.serving.context import context_of
from nhan.serving.routes.predict import PICTURE_BODY

router = APIRouter(tags=["TorchServe"])

# No picture format begins with so many letters of base64.
_BASE64_BEGINNING = re.compile(rb"\s*[A-Za-z0-9+/]{16}")


# `curl -T picture` sends PUT, and TorchServe's documentation shows it so.
@router.post("/predictions/{name}", openapi_extra=PICTURE_BODY, response_class=Response)
@router.post("/predictions/{name}/{version}", openapi_extra=PICTURE_BODY, response_class=Response)
@router.put("/predictions/{name}", include_in_schema=False)
@router.put("/predictions/{name}/{version}", include_in_schema=False)
async def predictions(request: Request, name: str, version: str = "") -> Response:
    """The text as plain text, or the scores of the classes from high to low."""
    context = context_of(request)
    max_bytes = context.limits.max_bytes
    picture = _without_base64(await read_picture(request, max_bytes * 4 // 3), max_bytes)
    answers = await answer(request, context, [picture], model=name, version=version)
    (prediction,) = answers.predictions
    labels = prediction.details.get("labels")
    if labels is not None:
        return JSONResponse(labels, headers=answers.headers)
    return PlainTextResponse(prediction.value, headers=answers.headers)


def _without_base64(body: bytes, max_bytes: int) -> bytes:
    if not _BASE64_BEGINNING.match(body):
        return body
    try:
        return decode_base64(body.decode("ascii"), max_bytes)
    except (BadRequest, UnicodeDecodeError):
        return body
