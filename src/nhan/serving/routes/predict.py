"""`POST /predict`: one picture in any form, one prediction."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from nhan.serving.answering import Answers, answer
from nhan.serving.body import read_picture
from nhan.serving.context import context_of

router = APIRouter(tags=["predictions"])

PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One picture: PNG, JPEG, WebP, BMP, TIFF or GIF.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"image": {"type": "string", "contentEncoding": "base64"}},
                    "required": ["image"],
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post("/predict", openapi_extra=PICTURE_BODY, response_class=Response)
async def predict(request: Request, model: str = "") -> Response:
    """Read or classify one picture.

    Send it as the multipart field `file` (or `image`, `body`), as the raw body, or as JSON
    `{"image": "<base64>"}`. With `Accept: text/plain` the answer is just the text or class.
    """
    return await answer_picture(request, model)


async def answer_picture(request: Request, model: str = "") -> Response:
    """Answer the picture in a request's body."""
    context = context_of(request)
    picture = await read_picture(request, context.limits.max_bytes)
    return respond(request, await answer(request, context, [picture], model=model))


def respond(request: Request, answers: Answers) -> Response:
    """The prediction as JSON, or as plain text to those who accept nothing else first."""
    (prediction,) = answers.predictions
    if request.headers.get("accept", "").startswith("text/plain"):
        body, media_type = prediction.value.encode(), "text/plain; charset=utf-8"
    else:
        body, media_type = prediction.to_bytes(), "application/json"
    return Response(body, media_type=media_type, headers=answers.headers)
