"""Review: one picture at a time, by keyboard. Its script talks to `nhan.web.review_api`."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from nhan.serving.context import context_of
from nhan.web import pages
from nhan.web.desk import desk_of
from nhan.workspace import Workspace

router = APIRouter(include_in_schema=False)


@router.get("/review")
async def review(request: Request) -> Response:
    """The page."""
    if context_of(request).root is None:
        return pages.show(request.scope, "no-workspace", {"name": "review"})
    return pages.show(request.scope, "review", {"tasks": await desk_of(request).run(_tasks)})


def _tasks(workspace: Workspace) -> list[str]:
    """The tasks that have samples, those with the most first."""
    import sqlalchemy as sa

    from nhan.catalog.schema import samples

    counted = sa.select(samples.c.task).group_by(samples.c.task).order_by(sa.func.count().desc())
    with workspace.catalog.read() as connection:
        return [str(task) for task in connection.scalars(counted)]
