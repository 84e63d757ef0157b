"""Which routers the console adds to the main address, in the front process."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from nhan.serving.context import Context
from nhan.web import console, label_studio, pages, pictures, review_api
from nhan.web.desk import Desk

ROUTERS: tuple[APIRouter, ...] = (
    console.router,
    review_api.router,
    pictures.router,
    label_studio.router,
)


def furnish(app: FastAPI, context: Context) -> None:
    """Add the console to the application of the main address."""
    app.state.desk = Desk(context.root)
    app.state.error_page = pages.show_error
    context.closing.append(app.state.desk.close)
    for router in ROUTERS:
        app.include_router(router)
