"""Watch: what comes in, how fast and how sure the answers are, whether they are still right."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from nhan.serving.context import Context, context_of
from nhan.serving.roster import Deployment
from nhan.web import pages
from nhan.web.desk import desk_of
from nhan.web.errand import errands_of
from nhan.web.pulse import Pulse, shares
from nhan.web.telling import tell_steps
from nhan.workspace import Workspace

router = APIRouter(include_in_schema=False)

_ROUNDS = 12
_DAYS = 30


@router.get("/watch")
async def watch(request: Request) -> Response:
    """The page; its script asks for the figures."""
    context = context_of(request)
    names = [one.name for one in context.service.roster.champions]
    return pages.show(
        request.scope, "watch", {"models": names, "has_workspace": context.root is not None}
    )


@router.get("/watch/api/now")
async def now(request: Request) -> dict[str, Any]:
    """The last hour of this server, and what its answers are like since it started."""
    context = context_of(request)
    pulse: Pulse = request.app.state.pulse
    return {
        "points": pulse.points(),
        "waiting": context.service.dispatcher.waiting,
        "workers": len(context.service.dispatcher.lanes),
        "refusals": dict(context.metrics.refusals),
        "models": [_answers(context, one) for one in context.service.roster.champions],
    }


@router.get("/watch/api/kept")
async def kept(request: Request, model: str) -> dict[str, Any]:
    """What was measured of a model's uploads: by day, live quality, drift, worth of labels."""
    return await desk_of(request).run(_kept, model)


@router.get("/watch/api/rounds")
async def rounds(request: Request) -> dict[str, Any]:
    """The newest rounds, and why each of their steps ran or was skipped."""
    found = await errands_of(request).run("loop", "list", "--json", "--limit", str(_ROUNDS))
    language = pages.visitor_of(request.scope).language
    return {"rounds": [tell_steps(one, language) for one in found]}


def _answers(context: Context, one: Deployment) -> dict[str, Any]:
    key = f"{one.name}@{one.version}"
    tally = context.metrics.models.get(key)
    if tally is None:
        return {"key": key, "answered": 0, "confidence": []}
    return {
        "key": key,
        "answered": sum(tally.confidence.counts),
        "confidence": shares(tally.confidence),
    }


def _kept(workspace: Workspace, model: str) -> dict[str, Any]:
    from nhan.models.package import check_name
    from nhan.watching.place import read_watch

    check_name(model)
    written = {
        name: read_watch(workspace.store, model, f"{name}.json")
        for name in ("quality", "drift", "budget")
    }
    return {"days": _days(workspace, model), **written}


def _days(workspace: Workspace, model: str) -> list[dict[str, Any]]:
    """Pictures kept by day: how many, how sure the answers were, how many were corrected."""
    import sqlalchemy as sa

    from nhan.catalog.schema import corrections, predictions

    day = sa.func.date(predictions.c.at).label("day")
    corrected = sa.select(corrections.c.prediction_id).distinct().subquery()
    query = (
        sa.select(
            day,
            sa.func.count(),
            sa.func.avg(predictions.c.confidence),
            sa.func.count(corrected.c.prediction_id),
        )
        .outerjoin(corrected, corrected.c.prediction_id == predictions.c.id)
        .where(predictions.c.model == model)
        .group_by(day)
        .order_by(day.desc())
        .limit(_DAYS)
    )
    with workspace.catalog.read() as connection:
        rows = connection.execute(query).all()
    return [
        {"day": str(at), "count": count, "confidence": sure, "corrected": fixed}
        for at, count, sure, fixed in reversed(rows)
    ]
