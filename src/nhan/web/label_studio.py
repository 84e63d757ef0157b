"""Label Studio asks us: live suggestions for a task that is opened, and word of what happened.

The routes are those of its "machine learning backend": `GET health`, `POST setup`, `POST predict`,
`POST webhook`, `GET versions`, below `/label-studio`. Who asks shows a secret made for the purpose,
which `nhan labelstudio setup` gave to Label Studio.

A picture is read from our own store, by the hash that its task or its address names; no other
address is fetched, unless `serve.url_hosts` allows it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from nhan.catalog.events import log_event
from nhan.catalog.labelstudio import NOTE
from nhan.errors import BadPicture, BadRequest, NhanError, NotReady, Unauthorized
from nhan.review.labelstudio.config import Fields, is_chosen
from nhan.review.labelstudio.links import (
    BACKEND_PURPOSE,
    WEBHOOK_PURPOSE,
    hash_in,
    is_hash,
    load_signer,
)
from nhan.serving.answering import gone
from nhan.serving.body import FEWER, decode_base64, read_json
from nhan.serving.context import Context, context_of
from nhan.serving.keys import is_loopback
from nhan.serving.roster import Deployment
from nhan.web.desk import desk_of
from nhan.web.pictures import read_picture
from nhan.workspace import Workspace

router = APIRouter(prefix="/label-studio", tags=["label studio"])

Json = dict[str, Any]

# Pictures of one request under way at once; users' own should not queue behind a labeller's.
_AT_ONCE = 4
# It asks for a page of tasks at most; each of them is looked up, and may be fetched.
_MAX_TASKS = 1000
# A labelling interface, or what happened to some tasks.
_MAX_NOTE_BYTES = 1_000_000
# Of what a client chose and the log keeps.
_MAX_WORD = 80


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """Whether suggestions can be asked for."""
    await _require_backend(request)
    return JSONResponse({"status": "UP", "model_class": "Nhãn"})


@router.post("/setup")
async def setup(request: Request) -> JSONResponse:
    """Label Studio tells its labelling interface, and is told which version answers.

    It also sends its user's token, which is neither kept nor used.
    """
    await _require_backend(request)
    asked = await _document(request, _MAX_NOTE_BYTES)
    chosen = _choose(context_of(request), _fields(asked.get("schema")))
    return JSONResponse({"model_version": chosen.ref})


@router.get("/versions")
async def versions(request: Request) -> JSONResponse:
    """The versions that answer."""
    await _require_backend(request)
    found = [one.ref for one in context_of(request).service.roster.champions]
    return JSONResponse({"versions": found})


@router.post("/predict")
async def predict(request: Request) -> JSONResponse:
    """A suggestion for each task, in order; an empty one where its picture cannot be had."""
    await _require_backend(request)
    context = context_of(request)
    asked = await _document(request, context.settings.max_body_bytes)
    tasks = asked.get("tasks")
    if not isinstance(tasks, list):
        raise BadRequest("the request has no list of tasks", hint='{"tasks": [{"data": …}], …}')
    if len(tasks) > _MAX_TASKS:
        raise BadRequest(
            f"the request has {len(tasks):,} tasks; the limit is {_MAX_TASKS:,}",
            hint="ask for fewer tasks at once",
        )
    fields = _fields(asked.get("label_config"))
    chosen = _choose(context, fields)
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(task: Any) -> Json:
        async with slots:
            return await _suggest(request, context, chosen, fields, task)

    results = await asyncio.gather(*(one(task) for task in tasks))
    return JSONResponse({"results": results}, headers={"X-Nhan-Model": chosen.ref})


@router.post("/webhook", status_code=201)
async def webhook(request: Request) -> JSONResponse:
    """Note that something happened; whoever watches then asks what, with a token of their own."""
    shown = request.headers.get("authorization", "")
    if not await desk_of(request).run(_is_webhook, shown):
        await _require_backend(request, always=True)
    said = await _document(request, _MAX_NOTE_BYTES)
    action = str(said.get("action", ""))[:_MAX_WORD]
    task = request.query_params.get("task", "")[:_MAX_WORD]
    await desk_of(request).run(_note, action, task)
    return JSONResponse({"status": "ok", "result": "noted"}, status_code=201)


async def _suggest(
    request: Request, context: Context, chosen: Deployment, fields: Fields, task: Any
) -> Json:
    empty: Json = {"model_version": chosen.ref, "score": 0.0, "result": []}
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        return empty
    try:
        picture = await _picture(request, context, data, fields)
        said = await context.service.predict(picture, model=chosen.name, gone=gone(request))
    except NotReady:
        raise
    except NhanError as error:
        # One picture's trouble must not take the other tasks' suggestions away.
        return {**empty, "error": error.message}
    if not said.value.strip() or not fields.holds(said.value):
        return empty
    return {
        "model_version": f"{said.model}@{said.version}",
        "score": round(said.confidence, 4),
        "result": fields.result(said.value),
    }


async def _picture(request: Request, context: Context, data: Json, fields: Fields) -> bytes:
    """A task's picture.

    Raises:
        NhanError: it is not kept here, and may not or cannot be fetched.
    """
    link = data.get(fields.picture)
    link = link if isinstance(link, str) else ""
    sha256 = data.get("sha256")
    sha256 = sha256 if isinstance(sha256, str) and is_hash(sha256) else hash_in(link)
    if sha256:
        picture, _ = await desk_of(request).run(read_picture, sha256)
        return picture
    if link.startswith("data:"):
        return decode_base64(link, context.limits.max_bytes)
    if not link:
        raise BadPicture(
            f"the task has no picture under {fields.picture!r}",
            hint="name the task's picture as the labelling interface does",
        )
    return await context.fetcher.fetch(link)


def _choose(context: Context, fields: Fields) -> Deployment:
    """The model that answers what the interface asks for.

    Raises:
        NotReady: none does.
        BadRequest: several do.
    """
    roster = context.service.roster
    fitting = [one for one in roster.champions if is_chosen(one.task) == fields.is_choice]
    own = [one for one in fitting if not one.bundled] or fitting
    if len(own) > 1:
        own = [one for one in own if one.name == roster.default_model] or own
    if not own:
        kind = "choices" if fields.is_choice else "texts"
        raise NotReady(f"no model here answers in {kind}", hint="promote one: nhan promote")
    if len(own) > 1:
        names = ", ".join(one.name for one in own)
        raise BadRequest(f"several models fit the interface: {names}", hint="set serve.model")
    return own[0]


def _fields(config: Any) -> Fields:
    if not isinstance(config, str):
        raise BadRequest(
            "the request has no labelling interface", hint="send label_config, as Label Studio does"
        )
    return Fields.of(config)


async def _document(request: Request, max_bytes: int) -> Json:
    document = await read_json(request, max_bytes, hint=FEWER)
    if not isinstance(document, dict):
        raise BadRequest(
            "the body is no JSON object", hint="send what Label Studio's ML backend protocol says"
        )
    return document


async def _require_backend(request: Request, *, always: bool = False) -> None:
    """Pass who shows the secret of the connection; on an open server, anybody who may ask it.

    Raises:
        Unauthorized: another secret, or none.
    """
    context = context_of(request)
    settings = context.settings
    open_here = not settings.require_keys and is_loopback(settings.host)
    shown = request.headers.get("authorization", "")
    if open_here and not always:
        return
    if not await desk_of(request).run(_is_backend, shown):
        raise Unauthorized(
            "these routes are for Label Studio, and this is not its secret",
            hint="`nhan labelstudio setup` gives it the present one",
        )


def _is_backend(workspace: Workspace, shown: str) -> bool:
    """Basic authentication with the backend's secret, under any name."""
    scheme, _, encoded = shown.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        said = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    wanted = load_signer(workspace.root).secret_of(BACKEND_PURPOSE)
    return hmac.compare_digest(said.partition(b":")[2], wanted.encode())


def _is_webhook(workspace: Workspace, shown: str) -> bool:
    wanted = load_signer(workspace.root).secret_of(WEBHOOK_PURPOSE)
    return hmac.compare_digest(shown.encode(), f"Bearer {wanted}".encode())


def _note(workspace: Workspace, action: str, task: str) -> None:
    with workspace.catalog.write() as connection:
        log_event(connection, NOTE, action=action, task=task)
