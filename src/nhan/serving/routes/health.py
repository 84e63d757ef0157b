"""Is it alive, can it answer: for people, load balancers and TorchServe's clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nhan.errors import NotReady
from nhan.serving.context import Context, context_of

if TYPE_CHECKING:
    from nhan.serving.live import Refusal

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """200 while the process is alive."""
    return {"status": "alive"}


@router.get("/readyz", response_class=JSONResponse)
async def readyz(request: Request) -> Response:
    """200 while a champion can answer, and the default model where one is named, else 503."""
    context = context_of(request)
    require_ready(context)
    return JSONResponse(
        {"status": "ready", "models": [one.ref for one in context.service.roster.champions]}
    )


@router.get("/ping", response_class=JSONResponse)
async def ping(request: Request) -> Response:
    """TorchServe's health check."""
    ready = context_of(request).service.ready
    status = {"status": "Healthy" if ready else "Unhealthy"}
    return JSONResponse(status, status_code=200 if ready else 503)


def require_ready(context: Context) -> None:
    """Raise what keeps the server from answering, if anything does.

    Raises:
        NotReady: draining, starting, no champion, or none of the default model.
    """
    require_answers(context)
    roster = context.service.roster
    if roster.has_default:
        return
    name = roster.default_model
    refusals = context.live.refusals if context.live else {}
    if name in refusals:
        raise _refused(refusals[name])
    _refuse_in_trouble(context)
    raise NotReady(
        f"no model {name!r} answers here, and serve.model makes it the default",
        hint=f"promote a version of it, or name another in serve.model (--model); {roster.listing}",
    )


def require_answers(context: Context) -> None:
    """Raise what keeps every model from answering, if anything does.

    Raises:
        NotReady: draining, starting, or no champion.
    """
    service = context.service
    if service.answers:
        return
    if service.draining:
        raise NotReady("the server is shutting down", hint="ask another replica")
    if not service.dispatcher.lanes:
        raise NotReady("the workers are starting", hint="try again in a moment")
    refusals = context.live.refusals if context.live else {}
    if refusals:
        raise _refused(next(iter(refusals.values())))
    _refuse_in_trouble(context)
    raise NotReady("no model has a champion yet", hint="nhan promote MODEL@VERSION")


def _refuse_in_trouble(context: Context) -> None:
    if context.live is not None and context.live.trouble:
        raise NotReady(
            f"promotions cannot be followed: {context.live.trouble}",
            hint="it is tried again; `nhan doctor` tries each operation of the store",
        )


def _refused(one: Refusal) -> NotReady:
    return NotReady(f"{one.key} was promoted but cannot answer: {one.reason}")
