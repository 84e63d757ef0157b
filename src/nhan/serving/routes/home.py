"""`GET /`: a small page to try the reader; everything it needs is in the package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)

# The page's script and style stand in it, so nothing is fetched from anywhere. Inline code is
# allowed by this page alone; what users sent is only ever set as text, never as markup.
_POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@cache
def _page() -> bytes:
    return files("nhan.serving").joinpath("pages/try.html").read_bytes()


@router.get("/")
async def home() -> Response:
    """The page."""
    return HTMLResponse(_page(), headers={"Content-Security-Policy": _POLICY})
