"""KServe's V1 protocol: `{"instances": […]}` in, `{"predictions": […]}` out, in the same order."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nhan.errors import BadRequest
from nhan.serving.answering import answer
from nhan.serving.body import FEWER, decode_base64, read_json
from nhan.serving.context import context_of
from nhan.serving.routes.health import require_answers

router = APIRouter(tags=["V1 protocol"])


@router.get("/v1/models")
async def models(request: Request) -> dict[str, list[str]]:
    """Names of the models that answer."""
    return {"models": [one.name for one in context_of(request).service.roster.champions]}


@router.get("/v1/models/{name}")
async def model(request: Request, name: str) -> dict[str, Any]:
    """200 while a model can answer, else 404 or 503."""
    context = context_of(request)
    found = context.service.roster.find(name)
    require_answers(context)
    return {"name": found.name, "ready": True}


@router.post("/v1/models/{name}:predict", response_class=JSONResponse)
async def predict(request: Request, name: str) -> Response:
    """Answer `{"instances": [{"image": {"b64": "…"}}, …]}`."""
    context = context_of(request)
    document = await read_json(request, context.settings.max_body_bytes, hint=FEWER)
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list):
        raise BadRequest(
            "the body has no list of instances", hint='{"instances": [{"image": {"b64": "…"}}]}'
        )
    context.require_few(len(instances))
    pictures = []
    for instance in instances:
        pictures.append(_picture(instance, context.limits.max_bytes))
        await asyncio.sleep(0)  # others have their turn
    answers = await answer(request, context, pictures, model=name)
    bodies = (one.to_bytes() for one in answers.predictions)
    body = b'{"predictions":[' + b",".join(bodies) + b"]}"
    return Response(body, media_type="application/json", headers=answers.headers)


def _picture(instance: Any, max_bytes: int) -> bytes:
    for field in ("image", "image_bytes", "data", "body"):
        if isinstance(instance, dict) and field in instance:
            instance = instance[field]
            break
    if isinstance(instance, dict):
        instance = instance.get("b64")
    return decode_base64(instance, max_bytes)
