"""Data: what there is to learn from, what the label doctor says of it, what changed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from nhan.errors import NotFound
from nhan.serving.body import SmallJson
from nhan.serving.context import context_of
from nhan.tasks import TASKS
from nhan.web import pages
from nhan.web.desk import desk_of
from nhan.web.errand import errands_of
from nhan.web.telling import tell_finding, tell_kind
from nhan.workspace import Workspace

router = APIRouter(include_in_schema=False, route_class=SmallJson)

# So many are looked over without asking: it takes seconds.
_LOOKED_OVER_AT_ONCE = 5000
# Changes of one kind that a page can show; the command line lists all.
_SHOWN = 48
_STATES = ("new", "queued", "draft", "labelled", "accepted", "rejected", "skipped")


class Audit(BaseModel):
    """Whose labels the label doctor shall look over."""

    model_config = ConfigDict(extra="forbid")

    task: str


@router.get("/data")
async def data(request: Request) -> Response:
    """The page."""
    if context_of(request).root is None:
        return pages.show(request.scope, "no-workspace", {"name": "data"})
    language = pages.visitor_of(request.scope).language
    return pages.show(request.scope, "data", await desk_of(request).run(_overview, language))


@router.post("/data/api/audit")
async def audit(request: Request, wanted: Audit) -> dict[str, Any]:
    """Run the label doctor; it speaks the visitor's language.

    Examples come with the hash of their picture.

    Raises:
        NotFound: no such task.
    """
    if wanted.task not in TASKS:  # nothing else may become a word of a command
        raise NotFound(f"no task {wanted.task!r}", hint=f"tasks: {', '.join(sorted(TASKS))}")
    found = await errands_of(request).run("audit", "--task", wanted.task, "--json")
    numbers = {
        example["sample"] for finding in found["findings"] for example in finding["examples"]
    }
    hashes = await desk_of(request).run(_hashes, sorted(numbers - {None}))
    language = pages.visitor_of(request.scope).language
    told = [tell_finding(finding, language) for finding in found["findings"]]
    for finding in told:
        for example in finding["examples"]:
            example["sha256"] = hashes.get(example["sample"], "")
    return {**found, "findings": told}


@router.get("/data/api/diff")
async def diff(request: Request, before: str, after: str) -> dict[str, Any]:
    """What changed between two versions; of each kind of change the first few."""
    # After "--" nothing is an option, whatever a name begins with.
    found = await errands_of(request).run("diff", "--json", "--", before, after)
    found["changes"] = {kind: members[:_SHOWN] for kind, members in found["changes"].items()}
    return dict(found)


def _overview(workspace: Workspace, language: str) -> dict[str, Any]:
    from nhan.datasets.read import list_datasets, open_dataset

    states = _count_states(workspace)
    datasets = []
    for found in list_datasets(workspace.store):
        versions = [
            {
                "latest": version == found.latest,
                **_version(open_dataset(workspace.store, ref), language),
            }
            for version in reversed(found.versions)
            for ref in (f"{found.name}@{version}",)
        ]
        datasets.append({"name": found.name, "versions": versions})
    return {
        "tasks": {
            task: {
                "states": {state: counts[state] for state in _STATES if counts.get(state)},
                "total": sum(counts.values()),
                "at_once": sum(counts.values()) <= _LOOKED_OVER_AT_ONCE,
            }
            for task, counts in states.items()
        },
        "datasets": datasets,
    }


def _version(dataset: Any, language: str) -> dict[str, Any]:
    manifest = dataset.manifest
    vocabulary = next(iter(dataset.vocabulary.values()), ())
    return {
        "ref": dataset.ref,
        "version": dataset.version,
        "task": dataset.task,
        "created": manifest["created"],
        "rows": dataset.count(),
        "splits": dataset.splits,
        "sources": {name: sum(splits.values()) for name, splits in manifest["sources"].items()},
        "held_out": manifest.get("held_out", 0),
        "warnings": {
            tell_kind(code, language): count
            for severity in ("errors", "warnings")
            for code, count in manifest["audit"].get(severity, {}).items()
        },
        "vocabulary": len(vocabulary),
        "parents": manifest.get("parents", []),
    }  # fmt: skip


def _count_states(workspace: Workspace) -> dict[str, dict[str, int]]:
    import sqlalchemy as sa

    from nhan.catalog.schema import samples

    query = sa.select(samples.c.task, samples.c.state, sa.func.count()).group_by(
        samples.c.task, samples.c.state
    )
    counts: dict[str, dict[str, int]] = {}
    with workspace.catalog.read() as connection:
        for task, state, count in connection.execute(query):
            counts.setdefault(str(task), {})[str(state)] = int(count)
    return {task: counts[task] for task in (*TASKS, *counts) if task in counts}


def _hashes(workspace: Workspace, numbers: list[int]) -> dict[int, str]:
    """The pictures of samples; a finding has few examples, so they fit into one query."""
    import sqlalchemy as sa

    from nhan.catalog.schema import samples

    query = sa.select(samples.c.id, samples.c.sha256).where(samples.c.id.in_(numbers))
    with workspace.catalog.read() as connection:
        return {int(number): str(sha256) for number, sha256 in connection.execute(query)}
