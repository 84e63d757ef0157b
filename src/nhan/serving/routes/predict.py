"""`POST /predict`: one picture in any form, one prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from nhan.serving.body import read_picture
from nhan.serving.context import Context, context_of
from nhan.serving.service import Prediction

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
    prediction = await context.service.predict(picture, model=model, gone=gone(request))
    return respond(request, context, prediction)


def respond(request: Request, context: Context, prediction: Prediction) -> Response:
    """The prediction as JSON, or as plain text to those who accept nothing else first."""
    del context
    if request.headers.get("accept", "").startswith("text/plain"):
        body, media_type = prediction.value.encode(), "text/plain; charset=utf-8"
    else:
        body, media_type = prediction.to_bytes(), "application/json"
    return Response(
        body,
        media_type=media_type,
        headers={"X-Nhan-Model": f"{prediction.model}@{prediction.version}"},
    )


def gone(request: Request) -> Callable[[], bool] | None:
    """Tells whether the client has hung up, without waiting; None where nobody knows."""
    exchange = request.scope.get("nhan.exchange")
    return None if exchange is None else lambda: bool(exchange.disconnected)
