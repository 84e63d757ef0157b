"""One page of the console: its template, its language, and the policy that guards it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from nhan import __version__
from nhan.errors import NhanError, Unauthorized
from nhan.serving import sessions
from nhan.serving.keys import SCOPES, Key, Keyring

if TYPE_CHECKING:
    from jinja2 import Environment

LANGUAGES = ("vi", "en")
LANGUAGE_COOKIE = "nhan_language"
THEME_COOKIE = "nhan_theme"

# No inline script or style anywhere: what a user sent can never become code. `blob:` and `data:`
# show the pictures a visitor has just chosen.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

_VIETNAMESE_MARKS = str.maketrans(",.", ".,")
_YEAR_S = 365 * 24 * 3600

# What a person may do with a key, by the widest of its scopes.
_ROLES = dict(zip(SCOPES, ("viewer", "labeller", "reviewer", "admin"), strict=True))


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page, and how.

    Attributes:
        language: `vi` or `en`.
        theme: `light`, `dark`, or empty for what the system prefers.
        name: whose key it is; empty where the server asks for none.
        scopes: what they may do; everything where the server asks for no key.
        logged_in: by a session that can be ended.
    """

    language: str = "vi"
    theme: str = ""
    name: str = ""
    scopes: tuple[str, ...] = SCOPES
    logged_in: bool = False

    def may(self, scope: str) -> bool:
        """Whether they may do that."""
        return scope in self.scopes

    @property
    def role(self) -> str:
        """viewer, labeller, reviewer or admin."""
        held = [scope for scope in SCOPES if scope in self.scopes]
        return _ROLES[held[-1]] if held else ""


def visitor_of(scope: Scope) -> Visitor:
    """The visitor behind a request."""
    request = Request(scope)
    key: Key | None = scope.get("nhan.key")
    theme = request.cookies.get(THEME_COOKIE, "")
    visitor = Visitor(_language(request), theme if theme in ("light", "dark") else "")
    if key is None:
        return visitor
    return Visitor(visitor.language, visitor.theme, key.name, key.scopes, logged_in=True)


def show(
    scope: Scope, template: str, facts: Mapping[str, Any] | None = None, *, status: int = 200
) -> Response:
    """Fill a template.

    Args:
        scope: of the request.
        template: its file's name in `templates`, without `.html.j2`.
        facts: what it shows.
        status: of the response.
    """
    visitor = visitor_of(scope)
    speak = {"vi": _vietnamese, "en": _english}[visitor.language]
    html = (
        _environment()
        .get_template(f"{template}.html.j2")
        .render(
            t=speak,
            n=partial(_number, visitor.language),
            me=visitor,
            root=scope.get("root_path", ""),
            page=template,
            path=scope["path"],
            version=__version__,
            static=scope.get("root_path", "") + f"/static/{stamp()}",
            **(facts or {}),
        )
    )
    headers = {"content-security-policy": POLICY, "vary": "accept-language, cookie"}
    response = HTMLResponse(html, status_code=status, headers=headers)
    if Request(scope).query_params.get("language") == visitor.language:
        root = scope.get("root_path", "") or "/"
        response.set_cookie(
            LANGUAGE_COOKIE, visitor.language, max_age=_YEAR_S, path=root, samesite="lax"
        )
    return response


def show_error(scope: Scope, error: NhanError, *, keyring: Keyring) -> Response:
    """An error as a page.

    Args:
        scope: of the request; one that was turned away at the door does not hold its key yet.
        error: what it tells.
        keyring: whose keys open sessions here.
    """
    if "nhan.key" not in scope:
        cookies = dict(scope["headers"]).get(b"cookie", b"")
        # Whoever may not see a page is still offered the pages that they may see.
        with suppress(Unauthorized):
            scope["nhan.key"] = sessions.key_of(keyring, sessions.session_of(cookies))
    return show(scope, "error", {"error": error}, status=error.status)


def static_file(path: str) -> bytes | None:
    """A file of the console's own; None where there is none of that name."""
    folder = files("nhan.web").joinpath("static")
    for part in path.split("/"):
        if not part or part.startswith("."):
            return None
        folder = folder.joinpath(part)
    try:
        return folder.read_bytes() if folder.is_file() else None
    except OSError:  # a name longer than files have
        return None


@cache
def stamp() -> str:
    """Changes with any script or style, so that browsers may keep them for good."""
    digest = hashlib.sha256(__version__.encode())
    for file in sorted(files("nhan.web").joinpath("static").iterdir(), key=lambda file: file.name):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:10]


@cache
def _environment() -> Environment:
    # Here, because a server whose console nobody opens need not load it.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nhan.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # A server shows the pages it was started with, even while a new release is installed.
        auto_reload=False,
        undefined=StrictUndefined,
    )
    # Names in JSON blocks stay readable; the encoder escapes what could end the block.
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return environment


def _language(request: Request) -> str:
    """What is chosen now, or was before, else what the browser asks for first, else Vietnamese."""
    for chosen in (request.query_params.get("language"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in LANGUAGES:
            return chosen
    for wanted in request.headers.get("accept-language", "").lower().split(","):
        language = wanted.strip()[:2]
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]


def _english(english: str, vietnamese: str) -> str:
    del vietnamese
    return english


def _vietnamese(english: str, vietnamese: str) -> str:
    del english
    return vietnamese


def _number(language: str, value: float, digits: int = 0) -> str:
    """1,234.5 in English and 1.234,5 in Vietnamese."""
    text = f"{value:,.{digits}f}"
    return text if language == "en" else text.translate(_VIETNAMESE_MARKS)
