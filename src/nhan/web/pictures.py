"""`GET /pictures/SHA256`: the original bytes of a picture.

For the console's pages, and for Label Studio's, which stand on another site: an address that is
signed (`nhan.review.labelstudio.links`) needs no key and may be shown and read there. Whatever
else asks needs the scope `review`, and no other site's page may show the answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from nhan.catalog.schema import samples
from nhan.errors import NotFound
from nhan.images import EXTENSIONS, decode, encode_png
from nhan.review.labelstudio.links import is_hash, load_signer
from nhan.samples.pictures import picture_path
from nhan.tasks import TASKS
from nhan.web.desk import desk_of
from nhan.workspace import Workspace

router = APIRouter(tags=["pictures"])

_TYPES = {ending: f"image/{form.lower()}" for form, ending in EXTENSIONS.items()}
# The bytes behind a hash never change; but a picture may be erased, and must then be gone soon.
_KEEP = "private, max-age=3600"
# Labellers' pages read the pixels, to draw them enlarged and turned. The signature is the right
# to do so, so it matters little which site the page belongs to.
_SHARED = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


@router.get("/pictures/{sha256}", response_class=Response)
async def picture(
    request: Request,
    sha256: str,
    form: Literal["png"] | None = Query(None, alias="as"),
    expires: str = "",
    signature: str | None = None,
) -> Response:
    """The picture of that SHA-256, as it came; `?as=png`: upright, in a form browsers show."""
    if not is_hash(sha256):
        raise NotFound(f"{sha256[:80]!r} is no SHA-256", hint="64 hexadecimal digits, lower case")
    headers = {"Cache-Control": _KEEP, "ETag": f'"{sha256}{form or ""}"'}
    if signature is not None:
        await desk_of(request).run(_check, sha256, expires, signature)
        headers |= _SHARED
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    data, kind = await desk_of(request).run(_load, sha256, form == "png")
    return Response(data, media_type=kind, headers=headers)


@router.options("/pictures/{sha256}", include_in_schema=False)
async def may_read(sha256: str, signature: str | None = None) -> Response:
    """Browsers ask first where a public site's page shows a picture of a private network."""
    del sha256
    if signature is None:
        return Response(status_code=204)
    allowed = {
        "Access-Control-Allow-Methods": "GET",
        "Access-Control-Allow-Headers": "*",
        "Access-Control-Allow-Private-Network": "true",
        "Access-Control-Max-Age": "3600",
    }
    return Response(status_code=204, headers=_SHARED | allowed)


def read_picture(workspace: Workspace, sha256: str) -> tuple[bytes, str]:
    """A picture's original bytes and its object's path.

    Raises:
        NotFound: no picture of that hash is kept.
    """
    for path in _paths(workspace, sha256):
        try:
            return workspace.store.read(path), path
        except NotFound:
            continue
    raise NotFound(f"no picture {sha256}", hint="it was erased, or never taken in")


def _check(workspace: Workspace, sha256: str, expires: str, signature: str) -> None:
    load_signer(workspace.root).check_picture(sha256, expires, signature, time.time())


def _load(workspace: Workspace, sha256: str, as_png: bool) -> tuple[bytes, str]:
    data, path = read_picture(workspace, sha256)
    if as_png:
        return encode_png(decode(data, workspace.picture_limits)), "image/png"
    return data, _TYPES.get(PurePosixPath(path).suffix.lstrip("."), "application/octet-stream")


def _paths(workspace: Workspace, sha256: str) -> Iterator[str]:
    """Where it may be: as the catalogue says, else (collected, not yet taken in) under any name."""
    query = sa.select(samples.c.path).where(
        samples.c.task.in_(sorted(TASKS)), samples.c.sha256 == sha256
    )
    with workspace.catalog.read() as connection:
        known = connection.scalar(query.limit(1))
    if known is not None:
        yield known
    yield from (picture_path(sha256, ending) for ending in EXTENSIONS.values())
