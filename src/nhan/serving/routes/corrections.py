"""`POST /corrections`: what an answer should have been."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nhan.errors import BadRequest, Conflict, NotFound
from nhan.serving.access import holder
from nhan.serving.answering import user_of
from nhan.serving.body import read_json
from nhan.serving.context import context_of

router = APIRouter(tags=["corrections"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "prediction": {"type": "string", "description": "the answer's id"},
                        "label": {"type": "string", "description": "the right text or class"},
                        "replaces": {
                            "type": "string",
                            "description": "id of a correction that this one takes back",
                        },
                    },
                    "required": ["prediction", "label"],
                }
            }
        },
    }
}


@router.post("/corrections", status_code=201, openapi_extra=_BODY, response_class=JSONResponse)
async def correct(request: Request) -> Response:
    """Say what an answer should have been; it is safe before this answers.

    201 for a new correction, 200 for one that was given before (with the same id), 404 for a
    prediction that was not kept, 409 where somebody else said otherwise.
    """
    context = context_of(request)
    if context.corrections is None:
        raise NotFound(
            "this server has no workspace, so no prediction is kept",
            hint="nhan init DIR, then nhan serve --workspace DIR",
        )
    document = await read_json(request, hint="a correction is an id and a label")
    if not isinstance(document, dict):
        raise BadRequest(
            f"the body is {type(document).__name__}, not an object",
            hint='{"prediction": "…", "label": "…"}',
        )
    key = holder(request)
    counts = context.metrics.corrections
    try:
        given = await context.corrections.give(
            _text(document, "prediction"),
            _text(document, "label"),
            by=user_of(request) or (key.name if key else ""),
            replaces=_text(document, "replaces", needed=False),
            trusted=key is not None and "review" in key.scopes,
        )
    except Conflict:
        counts["conflict"] += 1
        raise
    counts["new" if given.created else "known"] += 1
    record = given.record
    return JSONResponse(
        {"id": record.id, "prediction": record.prediction, "label": record.label},
        status_code=201 if given.created else 200,
    )


def _text(document: dict[str, Any], field: str, *, needed: bool = True) -> str:
    value = document.get(field)
    if value is None and not needed:
        return ""
    if not isinstance(value, str):
        raise BadRequest(
            f"{field} is {'missing' if value is None else type(value).__name__}, not a text",
            hint='{"prediction": "…", "label": "…"}',
        )
    return value
