"""The console's pages that need no workspace, its files, its language, and its login."""

from __future__ import annotations

import mimetypes
from urllib.parse import parse_qsl

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from nhan.errors import BadRequest, NhanError, NotFound
from nhan.serving import sessions
from nhan.serving.access import check_same_site
from nhan.serving.body import read_body
from nhan.serving.context import context_of
from nhan.serving.keys import SCOPES, Keyring
from nhan.web import pages

router = APIRouter(include_in_schema=False)

_YEAR_S = 365 * 24 * 3600
_FORM_BYTES = 4096
# The widest first: what a key may do is tried in this order.
_SCOPES = tuple(reversed(SCOPES))


@router.get("/")
async def read(request: Request) -> Response:
    """Read: pictures in, their text or class out, corrected in place."""
    context = context_of(request)
    return pages.show(
        request.scope,
        "read",
        {"has_workspace": context.root is not None, "max_bytes": context.limits.max_bytes},
    )


@router.get("/docs")
async def docs(request: Request) -> Response:
    """What programs may call, from the application's own description."""
    routes: dict[str, list[dict[str, str]]] = {}
    for path, methods in request.app.openapi()["paths"].items():
        for method, told in methods.items():
            group = (told.get("tags") or [""])[0]
            text = (told.get("description") or told.get("summary", "")).partition("\n\n")[0]
            routes.setdefault(group, []).append(
                {"method": method.upper(), "path": path, "text": text}
            )
    base = str(request.base_url).rstrip("/")
    return pages.show(request.scope, "docs", {"routes": routes, "base": base})


@router.get("/static/{stamp}/{path:path}")
async def static(stamp: str, path: str) -> Response:
    """A script, a style, a font or a picture of the console's own.

    The stamp changes with the files, and scripts name each other relative to their own address, so
    a browser may keep them all for good and never mixes two releases.
    """
    data = pages.static_file(path)
    if data is None:
        raise NotFound(f"there is no file {path!r} of the console", hint="reload the page")
    kind = "text/javascript" if path.endswith(".js") else mimetypes.guess_type(path)[0]
    keep = f"public, max-age={_YEAR_S}, immutable" if stamp == pages.stamp() else "no-store"
    headers = {"cache-control": keep}
    return Response(data, media_type=kind or "application/octet-stream", headers=headers)


@router.get("/login")
async def login_form(request: Request, next: str = "/") -> Response:  # noqa: A002  in addresses
    """Ask for a key."""
    return pages.show(request.scope, "login", {"next": _own_page(next), "refused": None})


@router.post("/login")
async def login(request: Request) -> Response:
    """Take a key and answer with a session.

    Raises:
        Forbidden: another site's page sent the form.
    """
    check_same_site(dict(request.scope["headers"]))
    form = dict(parse_qsl((await read_body(request, _FORM_BYTES)).decode("utf-8", "replace")))
    target = _own_page(form.get("next", "/"))
    keyring = context_of(request).keyring
    try:
        session = _session_for(keyring, form.get("key", "").strip())
    except NhanError as error:
        facts = {"next": target, "refused": error}
        return pages.show(request.scope, "login", facts, status=error.status)
    response = RedirectResponse(request.scope.get("root_path", "") + target, status_code=303)
    response.set_cookie(
        sessions.COOKIE,
        session,
        max_age=sessions.LIFETIME_S,
        path=request.scope.get("root_path", "") or "/",
        httponly=True,
        samesite="strict",
        secure=_is_encrypted(request),
    )
    return response


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End the session in this browser."""
    check_same_site(dict(request.scope["headers"]))
    root = request.scope.get("root_path", "")
    response = RedirectResponse(f"{root}/login", status_code=303)
    response.delete_cookie(sessions.COOKIE, path=root or "/")
    return response


def _session_for(keyring: Keyring, given: str) -> str:
    if not given:
        raise BadRequest("no key was given", hint="nhan keys add NAME makes one")
    refusal: NhanError | None = None
    for scope in _SCOPES:
        try:
            return sessions.open_session(keyring.check(given, scope))
        except NhanError as error:
            refusal = error
    assert refusal is not None, "there are scopes"
    raise refusal


def _own_page(address: str) -> str:
    """The page to go to after the login; another site's address leads to the first page."""
    fits = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if fits and address.isprintable() else "/"


def _is_encrypted(request: Request) -> bool:
    """Whether the browser came by HTTPS; a proxy says so."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
