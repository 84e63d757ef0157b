"""The admin address: metrics, models, trials. TorchServe's management routes, in our terms."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from nhan.errors import Conflict, Forbidden, GateRefused, NotFound
from nhan.serving.body import SmallJson
from nhan.serving.context import Context, context_of
from nhan.serving.exposition import exposition
from nhan.serving.roster import Deployment

router = APIRouter(tags=["admin"], route_class=SmallJson)

_PROMOTION_S = 1800.0  # a gate measures two models on a test set


class TrialSettings(BaseModel):
    """Which candidates are tried, and how."""

    model_config = ConfigDict(extra="forbid")

    canary: dict[str, float] = Field({}, description="NAME@VERSION: share of requests, 0 to 1")
    shadow: list[str] = Field([], description="NAME@VERSION that answer silently")


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """What Prometheus scrapes."""
    return Response(
        exposition(context_of(request)), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


@router.get("/models")
async def models(request: Request, limit: int = 100, next_page_token: int = 0) -> dict[str, Any]:
    """The models that answer, as TorchServe lists them."""
    roster = context_of(request).service.roster
    start, size = max(0, next_page_token), max(1, min(limit, 1000))
    page = roster.champions[start : start + size]
    listing: dict[str, Any] = {
        "models": [
            {"modelName": one.name, "modelUrl": f"models/{one.name}/{one.version}"} for one in page
        ]
    }
    if start + size < len(roster.champions):
        listing["nextPageToken"] = str(start + size)
    return listing


@router.get("/models/{name}")
@router.get("/models/{name}/{version}")
async def model(request: Request, name: str, version: str = "") -> list[dict[str, Any]]:
    """What answers under a name: its champion, or all versions with `/all`."""
    context = context_of(request)
    roster = context.service.roster
    if version == "all":
        champion = roster.find(name)
        found = [champion, *(one for one in roster.others if one.name == name)]
    else:
        found = [roster.find(name, version)]
    return [_describe(context, one) for one in found]


@router.put("/models/{name}/{version}/set-default")
async def set_default(request: Request, name: str, version: str) -> dict[str, str]:
    """Promote a version, through the gate; it answers within seconds."""
    context = context_of(request)
    if context.live is None or context.root is None:
        raise NotFound("there is no workspace to promote in", hint="nhan serve in a workspace")
    if not (version.isascii() and version.isdecimal()):
        raise NotFound(f"{name} has no version {version!r}", hint="versions are numbers")
    if context.service.roster.find(name).version == version:
        raise Conflict(
            f"{name}@{version} is the champion already",
            hint="nothing to do; GET /models/NAME says which version answers",
        )
    if context.promoting.locked():  # the gate takes a processor and much memory
        raise Conflict("another promotion is under way", hint="ask again when it has ended")
    async with context.promoting:
        await _promote(context, f"{name}@{version}")
    await context.live.refresh()
    return {"status": f'Default version successfully updated for model "{name}" to "{version}"'}


@router.post("/models")
async def register() -> None:
    """Refused: models come from the registry."""
    raise Forbidden(
        "models are never loaded from an address: they come from the registry, checked by hash",
        hint="train or register a version, then promote it: nhan promote MODEL@VERSION",
    )


@router.put("/models/{name}")
@router.delete("/models/{name}")
@router.delete("/models/{name}/{version}")
async def manage(name: str, version: str = "") -> None:
    """Refused: workers are a setting of the server, and versions are kept."""
    del version
    raise Forbidden(
        f"{name} cannot be scaled or removed from here",
        hint="workers: serve.workers in nhan.toml; another champion: nhan promote or rollback",
    )


@router.get("/trials")
async def trials(request: Request) -> dict[str, Any]:
    """Candidates on trial, how they did, and where they last differed from the champion."""
    return context_of(request).service.trials.report()


@router.put("/trials")
async def set_trials(request: Request, wanted: TrialSettings) -> dict[str, Any]:
    """Replace the trials; `{}` ends all."""
    context = context_of(request)
    context.service.trials.want(wanted.canary, wanted.shadow)
    if context.live is not None:
        await context.live.refresh()
    return context.service.trials.report()


async def _promote(context: Context, ref: str) -> None:
    """Run the promotion in a process of its own: it needs the catalogue, data and memory."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nhan", "promote", ref, "--because", "set-default (admin address)",
        env={**os.environ, "NHAN_WORKSPACE": str(context.root)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_PROMOTION_S):
            _, stderr = await process.communicate()
    except BaseException:
        process.kill()
        raise
    if process.returncode == 0:
        return
    lines = stderr.decode("utf-8", "replace").splitlines()
    said = {
        line.partition(": ")[0]: line.partition(": ")[2]
        for line in lines
        if line.startswith(("error: ", "hint: "))
    }
    kind = NotFound if process.returncode == 2 else GateRefused
    raise kind(said.get("error", f"promoting {ref} failed"), hint=said.get("hint", ""))


def _describe(context: Context, one: Deployment) -> dict[str, Any]:
    started = datetime.fromtimestamp(one.since, UTC).isoformat(timespec="milliseconds")
    dispatcher = context.service.dispatcher
    return {
        "modelName": one.name,
        "modelVersion": one.version,
        "modelUrl": f"models/{one.name}/{one.version}",
        "task": one.task,
        "file": one.file,
        "runtime": "onnxruntime",
        "minWorkers": len(dispatcher.lanes),
        "maxWorkers": len(dispatcher.lanes),
        "batchSize": 1,
        "maxBatchDelay": 0,
        "loadedAtStartup": False,
        "answered": one.answered,
        "inFlight": one.in_flight,
        "workers": [
            {"id": lane.name, "startTime": started, "status": "READY", "gpu": False}
            for lane in dispatcher.lanes
        ],
        "jobQueueStatus": {
            "remainingCapacity": dispatcher.limits.pictures - dispatcher.waiting,
            "pendingRequests": dispatcher.waiting,
        },
    }
