"""Models: versions with their scores, who answers and why, and the way to change that."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from nhan.errors import GateRefused, NotFound
from nhan.models.registry import parse_ref
from nhan.serving.access import holder
from nhan.serving.body import SmallJson
from nhan.serving.context import Context, context_of
from nhan.web import pages
from nhan.web.desk import desk_of
from nhan.web.errand import errands_of
from nhan.web.telling import tell_verdict
from nhan.workspace import Workspace

router = APIRouter(include_in_schema=False, route_class=SmallJson)

# A report carries its own style and pictures in one file, and no script.
_REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
)
# Test sets whose scores a chart can tell apart.
_SETS = 4


class Change(BaseModel):
    """A promotion or a rollback that a person asks for."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="NAME@VERSION, or NAME to roll back")
    because: str = Field("", max_length=500)


@router.get("/models")
async def models(request: Request) -> Response:
    """The page."""
    context = context_of(request)
    found = (
        [] if context.root is None else await desk_of(request).run(_inventory, _language(request))
    )
    facts = {
        "models": found,
        "bundled": [one for one in context.service.roster.champions if one.bundled],
        "live": _live(context),
        "has_workspace": context.root is not None,
    }
    return pages.show(request.scope, "models", facts)


@router.get("/models/api/live")
async def live(request: Request) -> dict[str, Any]:
    """What answers now, and what was promoted and cannot."""
    return _live(context_of(request))


@router.get("/models/api/curve")
async def curve(request: Request, run: str) -> dict[str, Any]:
    """A run's validations in order."""
    return {"points": await desk_of(request).run(_curve, run)}


@router.post("/models/api/promote")
async def promote(request: Request, change: Change) -> dict[str, Any]:
    """Promote a version, through the gate; it answers within seconds.

    Raises:
        GateRefused: the gate's verdict; `details.told` says it in the visitor's language.
        Conflict: it is the champion already.
    """
    _require_version(change.model)
    because = ["--because", change.because] if change.because else []
    try:
        entry = await errands_of(request).run(
            "promote", change.model, "--json", *because, who=_who(request)
        )
    except GateRefused as refusal:
        told = tell_verdict(refusal.details.get("verdict"), _language(request))
        raise GateRefused(refusal.message, hint=refusal.hint, details={"told": told}) from refusal
    return await _carried_out(request, entry)


@router.post("/models/api/rollback")
async def rollback(request: Request, change: Change) -> dict[str, Any]:
    """Bring the champion before this one back.

    Raises:
        Conflict: there is none before it.
    """
    name, _ = parse_ref(change.model)
    entry = await desk_of(request).run(_rollback, name, change.because, _who(request))
    return await _carried_out(request, entry)


@router.get("/models/report", response_class=HTMLResponse)
async def report(request: Request, model: str, dataset: str, split: str = "test") -> Response:
    """The evaluation report of a version: one page that says how it does, and where it fails."""
    _require_version(model)
    await desk_of(request).run(_require_record, model, dataset, split)
    with tempfile.TemporaryDirectory(prefix="nhan-report-") as folder:
        file = Path(folder) / "report.html"
        await errands_of(request).run(
            "evaluate", "--report", str(file), "--split", split, "--", model, dataset,
        )  # fmt: skip
        html = file.read_bytes()
    return HTMLResponse(html, headers={"content-security-policy": _REPORT_POLICY})


def _inventory(workspace: Workspace, language: str) -> list[dict[str, Any]]:
    from nhan.evaluation.inventory import inventory
    from nhan.evaluation.words import both

    found = [entry.to_dict() for entry in inventory(workspace.store)]
    for entry in found:
        entry["versions"].reverse()
        entry["log"].reverse()
        for change in entry["log"]:
            change["told"] = tell_verdict(change["verdict"], language)
            change["round"] = _round_of(change["by"])
        for version in entry["versions"]:
            version["scores"].sort(key=lambda score: score["split"] != "test")
            for score in version["scores"]:
                score["words"] = both(score["metric"])
        entry["comparison"] = _comparison(entry["versions"])
    return found


def _round_of(by: str) -> str:
    """The number of the round that made a change; empty where a person did."""
    word, _, number = by.partition(" ")
    return number if word == "round" and number.isdigit() else ""


def _comparison(versions: list[dict[str, Any]]) -> dict[str, Any]:
    """Scores that can be compared: of two versions or more on one test set, the newest sets."""
    by_set: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for version in reversed(versions):
        for score in version["scores"]:
            if score["split"] == "test":
                kept = {key: score[key] for key in ("value", "low", "high")}
                members = by_set.setdefault((score["dataset"], score["metric"]), [])
                members.append({"version": version["version"], **kept})
    sets: list[dict[str, Any]] = [
        {"dataset": dataset, "scores": members}
        for (dataset, _), members in by_set.items()
        if len(members) > 1
    ][-_SETS:]
    shown = {score["version"] for one in sets for score in one["scores"]}
    return {"versions": sorted(shown), "sets": sets}


def _curve(workspace: Workspace, run: str) -> list[dict[str, Any]]:
    from nhan.evaluation.report import read_curve

    if not run.replace("-", "").replace("_", "").replace(".", "").isalnum() or ".." in run:
        raise NotFound(f"no run {run[:100]!r}", hint="a version names its run: nhan models --json")
    return read_curve(workspace.store, run)


def _rollback(workspace: Workspace, name: str, because: str, who: str) -> dict[str, Any]:
    from nhan.models.registry import Registry

    return Registry(workspace.store).rollback(name, because=because, by=who).model_dump()


async def _carried_out(request: Request, entry: dict[str, Any]) -> dict[str, Any]:
    """Let the server look at once, so that the page can say what answers now."""
    context = context_of(request)
    if context.live is not None:
        await context.live.refresh()
    told = tell_verdict(entry.get("verdict"), _language(request))
    return {"entry": entry, "told": told, **_live(context)}


def _live(context: Context) -> dict[str, Any]:
    refusals = context.live.refusals if context.live else {}
    return {
        "answering": [one.key for one in context.service.roster.champions],
        "refused": {one.key: one.reason for one in refusals.values()},
    }


def _require_version(ref: str) -> None:
    """A command line must not take what a page sends for anything else than a version."""
    name, version = parse_ref(ref)
    if version is None:
        raise NotFound(f"{name} without a version", hint=f"{name}@1")


def _require_record(workspace: Workspace, ref: str, dataset: str, split: str) -> None:
    """A report tells what was measured before; a page must not begin to measure."""
    from nhan.evaluation.kept import stored
    from nhan.models.registry import Registry

    name, version = parse_ref(ref)
    package = Registry(workspace.store).open(name, version or 0)
    if (dataset, split) not in {
        (one.dataset, one.split) for one in stored(workspace.store, package)
    }:
        raise NotFound(f"{ref} was not evaluated on {dataset} {split}", hint=f"nhan evaluate {ref}")


def _language(request: Request) -> str:
    return pages.visitor_of(request.scope).language


def _who(request: Request) -> str:
    key = holder(request)
    return key.name if key else ""
