"""Which scope a route needs, whose key a request shows, and whether it comes from where it may.

A program sends its key with each request. A person shows it once, on the login page, and their
browser then sends a session (`nhan.serving.sessions`); since browsers also send cookies where
another site makes them ask, a session may only change anything from our own pages.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable
from urllib.parse import quote, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from nhan.errors import BadRequest, Forbidden, NhanError, Unauthorized
from nhan.serving import sessions
from nhan.serving.keys import Key, Keyring

# Probes, and what a browser needs to show the login page; they tell nothing and do nothing.
_OPEN = frozenset(
    {"/healthz", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready", "/login", "/logout"}
)
_OPEN_FOLDER = "/static/"
# Label Studio shows secrets of its own; those routes look at them.
_OWN_FOLDER = "/label-studio/"
# By the first part of the path; what is not here needs `predict`.
_SCOPES = {"corrections": "correct", "review": "review", "pictures": "review", "data": "review"}
# Where reading needs no more than `predict`, and changing anything is the administrator's.
_READ_ONLY = frozenset({"models", "watch"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Headers = Collection[tuple[bytes, bytes]]


class Guard:
    """Decides whether one address answers a request at all.

    Args:
        keyring: the keys.
        enforced: tells whether keys are asked for on this address; settings may be read again.
        admin: whether it is the admin address, where everything needs the scope `admin`.
        origins: web origins that may call across sites.
    """

    def __init__(
        self,
        keyring: Keyring,
        *,
        enforced: Callable[[], bool],
        admin: bool,
        origins: Iterable[str] = (),
    ) -> None:
        self.keyring = keyring
        self._enforced = enforced
        self._admin = admin
        self._origins = frozenset(origin.encode() for origin in origins)

    def check(self, method: str, path: str, headers: Headers, query: bytes = b"") -> Key | None:
        """Pass, or say why not.

        Returns:
            The key that was shown; None where none is asked for.

        Raises:
            Unauthorized, Forbidden: the key, or the page that sent the request.
            BadRequest: it names several hosts, of which a proxy may have looked at another one.
        """
        found = dict(headers)
        if len(found) < len(headers) and sum(name == b"host" for name, _ in headers) > 1:
            raise BadRequest("the request names several hosts", hint="send one Host header")
        changes = method not in _SAFE_METHODS
        # `same-site` is another server too: on another port, or a neighbour of our domain.
        if changes and found.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            self._check_origin(found.get(b"origin", b""))
        needed = self._scope(path, changes=changes)
        if not self._enforced():
            if self._admin or (changes and needed == "admin"):
                _check_host(found.get(b"host", b""))
            return None
        if path in _OPEN or path.startswith((_OPEN_FOLDER, _OWN_FOLDER)) or _is_signed(path, query):
            return None
        given = _key(found)
        session = "" if given else sessions.session_of(found.get(b"cookie", b""))
        if not session:
            return self.keyring.check(given, needed)
        key = sessions.key_of(self.keyring, session)
        if changes:
            check_same_site(found)
        return self.keyring.allow(key, needed)

    def _scope(self, path: str, *, changes: bool) -> str:
        if self._admin:
            return "admin"
        first = path.lstrip("/").partition("/")[0]
        return "admin" if changes and first in _READ_ONLY else _SCOPES.get(first, "predict")

    def _check_origin(self, origin: bytes) -> None:
        """A page of another site must not act through its visitor's browser."""
        if origin not in self._origins:
            raise Forbidden(
                "a page of another site may not call this server", hint="serve.cors_origins"
            )


def check_same_site(headers: dict[bytes, bytes]) -> None:
    """Pass what a page of ours sent.

    Browsers say so in `Sec-Fetch-Site`, but only to HTTPS and to their own machine; elsewhere the
    `Origin`, which they send with every POST, must be the host that was asked.

    Raises:
        Forbidden: another site's page sent it, or nobody can tell.
    """
    if headers.get(b"sec-fetch-site") == b"same-origin":
        return
    origin = headers.get(b"origin", b"").decode("latin-1")
    host = headers.get(b"host", b"").decode("latin-1")
    try:
        ours = host != "" and urlsplit(origin).netloc == host
    except ValueError:  # `http://[`
        ours = False
    if b"sec-fetch-site" in headers or not ours:
        raise Forbidden(
            "only the pages of this server may do that with a login",
            hint="programs send their key: Authorization: Bearer KEY",
        )


def holder(request: Request) -> Key | None:
    """The key that a request showed; None where the server asks for none."""
    key: Key | None = request.scope.get("nhan.key")
    return key


def login_page(scope: Scope, error: NhanError) -> Response | None:
    """Where to send a person whose browser asks for a page without a session; else None."""
    if not isinstance(error, Unauthorized) or not wants_page(scope):
        return None
    root = scope.get("root_path", "")
    query = scope["query_string"].decode("latin-1")
    wanted = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"{root}/login?next={quote(wanted, safe='')}", status_code=303)


def wants_page(scope: Scope) -> bool:
    """Whether a browser asks, for something to show."""
    accepted = dict(scope["headers"]).get(b"accept", b"")
    return bool(scope["method"] == "GET" and accepted.startswith(b"text/html"))


def _is_signed(path: str, query: bytes) -> bool:
    """A picture's address that carries its own right; the route checks it.

    Read as the route reads it: what were a signature here alone would open every picture.
    """
    return path.startswith("/pictures/") and "signature" in QueryParams(query)


def _key(headers: dict[bytes, bytes]) -> str:
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return given.strip().decode("latin-1")
    return headers.get(b"x-api-key", b"").strip().decode("latin-1")


def _check_host(host: bytes) -> None:
    """What administers an open server answers to addresses and local names only.

    A public name that was made to point at 127.0.0.1 (DNS rebinding) would let a web page in.
    """
    name = host.decode("latin-1").rpartition(":")[0] or host.decode("latin-1")
    name = name.strip("[]")
    if "." not in name and ":" not in name:
        return
    try:
        ipaddress.ip_address(name)
    except ValueError as error:
        raise Forbidden(
            f"this server is not administered under the name {name!r}",
            hint="use 127.0.0.1, or keys: serve.require_keys",
        ) from error
