"""The review page's API: `/review/api/…`.

    GET  next           what to review, held for the reviewer
    POST draft          keep what was typed
    POST decide         accept, skip, reject, undo; gives the next sample along
    GET  progress       how far, and how fast
    GET  disagreements  samples on which opinions differ, and how far any two people agree
    POST adjudicate     settle one of them

Where the server asks for keys, the reviewer is whoever the key belongs to.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from nhan.errors import BadRequest
from nhan.names import one_spelling
from nhan.review.decide import Decided, Decision, decide
from nhan.review.disputes import agreement, list_disputes
from nhan.review.drafts import save_draft
from nhan.review.progress import progress
from nhan.review.queue import MAX_COUNT, held_item, next_items, one_more
from nhan.review.undo import undo
from nhan.serving.access import holder
from nhan.serving.body import SmallJson
from nhan.web.desk import Desk, desk_of
from nhan.workspace import Workspace

router = APIRouter(prefix="/review/api", tags=["review"], route_class=SmallJson)


# What a catalogue can number.
SampleNumber = Annotated[int, Field(ge=1, lt=2**63)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DraftBody(_Body):
    """What was typed; `revision` is the one it was made from, 0 for the first."""

    sample: SampleNumber
    reviewer: str = ""
    value: str
    revision: int = Field(0, ge=0, lt=2**31)


class DecideBody(_Body):
    """A decision; `id` is new for each and makes sending it twice harmless."""

    id: str
    sample: SampleNumber | None = None
    reviewer: str = ""
    action: Literal["accept", "skip", "reject", "undo"]
    value: str | None = None
    reason: str = ""


class AdjudicateBody(_Body):
    """The end of a dispute: a label, or none and a reason."""

    id: str
    sample: SampleNumber
    reviewer: str = ""
    value: str | None = None
    reason: str = ""


@router.get("/next")
async def give_next(
    request: Request,
    desk: Annotated[Desk, Depends(desk_of)],
    task: str = "",
    reviewer: str = "",
    count: int = 3,
) -> dict[str, Any]:
    """What the reviewer holds, and then the most useful samples that wait."""
    who = reviewer_of(request, reviewer)
    items = await desk.run(next_items, task, who, min(count, MAX_COUNT))
    return {"reviewer": who, "items": [item.to_json() for item in items]}


@router.post("/draft")
async def keep_draft(
    request: Request, body: DraftBody, desk: Annotated[Desk, Depends(desk_of)]
) -> dict[str, int]:
    """Keep a draft; 409 with both where a newer one is kept."""
    who = reviewer_of(request, body.reviewer)
    return {"revision": await desk.run(save_draft, body.sample, who, body.value, body.revision)}


@router.post("/decide")
async def take_decision(
    request: Request, body: DecideBody, desk: Annotated[Desk, Depends(desk_of)]
) -> dict[str, Any]:
    """Carry a decision out; `next` is one more sample, or the one whose decision was undone."""
    who = reviewer_of(request, body.reviewer)
    return await desk.run(_decide_and_go_on, who, body)


@router.get("/progress")
async def tell_progress(
    request: Request,
    desk: Annotated[Desk, Depends(desk_of)],
    task: str = "",
    reviewer: str = "",
) -> dict[str, Any]:
    """How far the reviewing is."""
    holds = holder(request)
    who = holds.name if holds else reviewer
    return (await desk.run(progress, task, who)).to_json()


@router.get("/disagreements")
async def list_disagreements(
    desk: Annotated[Desk, Depends(desk_of)], task: str = ""
) -> dict[str, Any]:
    """What must be settled, and how far any two people agree."""
    disputes = await desk.run(list_disputes, task)
    pairs = await desk.run(agreement, task)
    return {
        "disagreements": [dispute.to_json() for dispute in disputes],
        "agreement": [pair.to_json() for pair in pairs],
    }


@router.post("/adjudicate")
async def settle_dispute(
    request: Request, body: AdjudicateBody, desk: Annotated[Desk, Depends(desk_of)]
) -> dict[str, Any]:
    """Settle a dispute, or overrule any answer."""
    who = reviewer_of(request, body.reviewer)
    decision = Decision(body.id, body.sample, who, "adjudicate", body.value, body.reason)
    return (await desk.run(decide, decision)).to_json()


def reviewer_of(request: Request, given: str) -> str:
    """Who reviews: the key's owner, or the name that was sent where keys are off."""
    holds = holder(request)
    return holds.name if holds else one_spelling(given)


def _decide_and_go_on(workspace: Workspace, reviewer: str, body: DecideBody) -> dict[str, Any]:
    if body.action == "undo":
        undone = undo(workspace, body.id, reviewer, body.sample)
        return {**undone.to_json(), "next": held_item(workspace, undone.sample, reviewer).to_json()}
    decided = _decide(workspace, reviewer, body)
    item = held_item(workspace, decided.sample, reviewer)
    following = one_more(workspace, item.task, reviewer)
    return {**decided.to_json(), "next": following.to_json() if following else None}


def _decide(workspace: Workspace, reviewer: str, body: DecideBody) -> Decided:
    assert body.action != "undo"
    if body.sample is None:
        raise BadRequest("no sample to decide on", hint='"sample": its number')
    return decide(
        workspace,
        Decision(body.id, body.sample, reviewer, body.action, body.value, body.reason),
    )
