"""Which routers the console adds to the main address, in the front process."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from starlette.requests import Request

from nhan.serving.context import Context
from nhan.web.desk import Desk

ROUTERS: tuple[APIRouter, ...] = ()


def furnish(app: FastAPI, context: Context) -> None:
    """Add the console to the application of the main address."""
    app.state.desk = Desk(context.root)
    context.closing.append(app.state.desk.close)
    for router in ROUTERS:
        app.include_router(router)


def desk_of(request: Request) -> Desk:
    """The desk of the server that a request came to."""
    desk: Desk = request.app.state.desk
    return desk
