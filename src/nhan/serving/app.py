"""The one route table.

Main address:

    POST GET /predict                          one picture, any form     routes/predict.py
    POST GET /classify, GET /predict?image_url=                          routes/classify.py
    POST /predictions/NAME[/VERSION]           TorchServe                routes/torchserve.py
    /v1/models/…                               KServe V1                 routes/v1.py
    /v2/…                                      Open Inference (V2)       routes/v2.py
    POST /corrections                          what it should have been  routes/corrections.py
    GET  /healthz /readyz /ping                                          routes/health.py
    GET  /openapi.json
    GET  / /review /data /models /watch /docs  the console               nhan.web.mount

Admin address:

    GET  /metrics, /models…, PUT …/set-default, GET PUT /trials          routes/admin.py
    GET  /healthz /readyz /ping
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from nhan import __version__
from nhan.serving import errors
from nhan.serving.access import Guard
from nhan.serving.context import Context
from nhan.serving.door import Door, Endpoint
from nhan.serving.keys import is_loopback
from nhan.serving.routes import admin, classify, corrections, health, predict, torchserve, v1, v2

_MAIN = (
    predict.router,
    classify.router,
    torchserve.router,
    v1.router,
    v2.router,
    corrections.router,
    health.router,
)
_ADMIN = (admin.router, health.router)

# Adds what stands above this package: the console.
Furnish = Callable[[FastAPI, Context], None]

# The hottest route goes round FastAPI's routing and parameter handling, which cost about as much
# as everything else that the front process does for a request.
_FAST = {("POST", "/predict"): predict.answer_picture}


def create_app(context: Context, furnish: Furnish | None = None) -> ASGIApp:
    """The application of the main address.

    Args:
        context: the server's parts.
        furnish: adds further routes; they win over a route of the same path here.
    """
    settings = context.settings
    app = FastAPI(
        title="Nhãn",
        version=__version__,
        description="Labelled pictures become a model that answers.",
        docs_url=None,  # FastAPI's page loads its scripts from elsewhere; the console has one
        redoc_url=None,
        redirect_slashes=False,
    )
    if furnish is not None:
        furnish(app, context)
    closed = not is_loopback(settings.host)
    guard = Guard(
        context.keyring,
        enforced=lambda: closed or context.settings.require_keys,
        admin=False,
        origins=settings.cors_origins,
    )
    door = _furnish(app, context, guard, _MAIN, _FAST, settings.root_path)
    if not settings.cors_origins:
        return door
    return CORSMiddleware(
        door,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=[
            "authorization",
            "content-type",
            "x-api-key",
            "x-request-id",
            "x-nhan-collect",
            "x-nhan-user",
            "x-nhan-consent",
        ],
        expose_headers=["x-nhan-model", "x-nhan-collected", "x-request-id", "retry-after"],
    )


def create_admin_app(context: Context) -> ASGIApp:
    """The application of the admin address."""
    app = FastAPI(
        title="Nhãn, admin",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    closed = not is_loopback(context.settings.admin_host)
    guard = Guard(
        context.keyring,
        enforced=lambda: closed or context.settings.require_keys,
        admin=True,
    )
    return _furnish(app, context, guard, _ADMIN, {})


def _furnish(
    app: FastAPI,
    context: Context,
    guard: Guard,
    routers: Sequence[APIRouter],
    fast: Mapping[tuple[str, str], Endpoint],
    root_path: str = "",
) -> Door:
    app.state.context = context
    errors.install(app)
    for router in routers:
        app.include_router(router)
    return Door(app, context, guard, fast=fast, root_path=root_path)
