"""Which routes the console adds to the main address, in the front process."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, FastAPI

from nhan.serving.context import Context
from nhan.web import console, data_page, models_page, pages, review_page, watch_page
from nhan.web.desk import Desk
from nhan.web.errand import Errands
from nhan.web.late import LateRoutes
from nhan.web.pulse import Pulse

# The pages; none imports the catalogue.
ROUTERS: tuple[APIRouter, ...] = (
    console.router,
    data_page.router,
    models_page.router,
    review_page.router,
    watch_page.router,
)
# What stands on the catalogue, imported when it is first asked for.
LATE = {
    "/review/api": "nhan.web.review_api",
    "/pictures": "nhan.web.pictures",
    "/label-studio": "nhan.web.label_studio",
}


def furnish(app: FastAPI, context: Context) -> None:
    """Add the console to the application of the main address."""
    app.state.desk = Desk(context.root)
    app.state.errands = Errands(context.root)
    app.state.pulse = Pulse(context)
    app.state.error_page = partial(pages.show_error, keyring=context.keyring)
    context.closing.append(app.state.desk.close)
    context.closing.append(app.state.pulse.stop)
    for router in ROUTERS:
        app.include_router(router)
    LateRoutes(app, LATE, describing=("/openapi.json", "/docs"))
