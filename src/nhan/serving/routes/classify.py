"""Pictures by URL, and `/classify` with the shape of the service it replaces."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from nhan.errors import BadRequest
from nhan.serving.answering import answer
from nhan.serving.body import read_file
from nhan.serving.context import Context, context_of
from nhan.serving.routes.predict import PICTURE_BODY, respond
from nhan.serving.service import Prediction

router = APIRouter(tags=["predictions"])


@router.get("/predict", response_class=Response)
async def predict_url(request: Request, image_url: str = "", model: str = "") -> Response:
    """Answer the picture at a URL, where that is allowed."""
    context = context_of(request)
    picture = await _fetch(context, image_url)
    return respond(request, await answer(request, context, [picture], model=model))


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
    picture, name = await read_file(request, context.limits.max_bytes)
    return await _classify(request, picture, name, model)


async def _classify(request: Request, picture: bytes, filename: str, model: str) -> Response:
    context = context_of(request)
    # Whoever asks here wants a class, also where the default model reads text.
    model = model or context.service.roster.only_of_task("classes")
    answers = await answer(request, context, [picture], model=model)
    return Response(
        _with_filename(answers.predictions[0], filename),
        media_type="application/json",
        headers=answers.headers,
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
