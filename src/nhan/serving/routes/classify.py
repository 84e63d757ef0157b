"""Pictures by URL, and `/classify` with the shape of the service it replaces."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from nhan.errors import BadRequest
from nhan.serving.body import FIELDS, find_picture, parse_multipart, read_body
from nhan.serving.context import Context, context_of
from nhan.serving.routes.predict import PICTURE_BODY, gone, respond
from nhan.serving.routes.v1 import model_header
from nhan.serving.service import Prediction

router = APIRouter(tags=["predictions"])


@router.get("/predict", response_class=Response)
async def predict_url(request: Request, image_url: str = "", model: str = "") -> Response:
    """Answer the picture at a URL, where that is allowed."""
    context = context_of(request)
    picture = await _fetch(context, image_url)
    prediction = await context.service.predict(picture, model=model, gone=gone(request))
    return respond(request, context, prediction)


@router.get("/classify", response_class=Response)
async def classify_url(request: Request, image_url: str = "", model: str = "") -> Response:
    """As `POST /classify`, for the picture at a URL."""
    context = context_of(request)
    picture = await _fetch(context, image_url)
    name = unquote(urlsplit(image_url).path.rpartition("/")[2])
    return await _classify(request, picture, name, model)


@router.post("/classify", openapi_extra=PICTURE_BODY, response_class=Response)
async def classify(request: Request, model: str = "") -> Response:
    """A prediction and the name of the file that was sent."""
    context = context_of(request)
    kind = request.headers.get("content-type", "")
    limit = context.limits.max_bytes * 4 // 3 + 65536
    body = await read_body(request, limit)
    name = ""
    if kind.startswith("multipart/form-data"):
        parts = parse_multipart(body, kind)
        name = next((file for field, file, _ in parts if field in FIELDS), "")
    return await _classify(request, find_picture(body, kind), name, model)


async def _classify(request: Request, picture: bytes, filename: str, model: str) -> Response:
    service = context_of(request).service
    if not model and not service.roster.default_model:
        model = service.roster.only_of_task("classes")
    prediction = await service.predict(picture, model=model, gone=gone(request))
    return Response(
        _with_filename(prediction, filename),
        media_type="application/json",
        headers=model_header([prediction]),
    )


def _with_filename(prediction: Prediction, filename: str) -> bytes:
    name = json.dumps(filename, ensure_ascii=False).encode("utf-8", "replace")
    return prediction.to_bytes()[:-1] + b',"filename":' + name + b"}"


async def _fetch(context: Context, url: str) -> bytes:
    if not url:
        raise BadRequest(
            "the request has no picture", hint="POST one, or name it as ?image_url=https://…"
        )
    return await context.fetcher.fetch(url)
