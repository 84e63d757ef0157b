"""The one route table.

POST /predict            one picture, any form        routes/predict.py
GET  /healthz /readyz /ping                           routes/health.py
GET  /                   a page to try it             routes/home.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, FastAPI

from nhan import __version__
from nhan.serving import errors
from nhan.serving.context import Context
from nhan.serving.door import Door, Endpoint
from nhan.serving.routes import health, home, predict

_MAIN = (predict.router, health.router, home.router)
_ADMIN = (health.router,)

# The hottest route goes round FastAPI's routing and parameter handling, which cost about as much
# as everything else that the front process does for a request.
_FAST = {("POST", "/predict"): predict.answer_picture}


def create_app(context: Context) -> Door:
    """The application of the main address."""
    app = FastAPI(
        title="Nhãn",
        version=__version__,
        description="Labelled pictures become a model that answers.",
        redoc_url=None,
    )
    return _furnish(app, context, _MAIN, _FAST)


def create_admin_app(context: Context) -> Door:
    """The application of the admin address."""
    app = FastAPI(title="Nhãn, admin", version=__version__, redoc_url=None)
    return _furnish(app, context, _ADMIN, {})


def _furnish(
    app: FastAPI,
    context: Context,
    routers: Sequence[APIRouter],
    fast: Mapping[tuple[str, str], Endpoint],
) -> Door:
    app.state.context = context
    errors.install(app)
    for router in routers:
        app.include_router(router)
    return Door(app, context, fast=fast)
