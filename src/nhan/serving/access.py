"""Which scope a route needs, and whether a request comes from where it may."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from nhan.errors import Forbidden
from nhan.serving.keys import Keyring

# Probes and the page itself tell nothing and do nothing.
_OPEN = frozenset({"/", "/healthz", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready"})
_SCOPES = {"corrections": "correct", "review": "review"}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Headers = Iterable[tuple[bytes, bytes]]


class Guard:
    """Decides whether one address answers a request at all.

    Args:
        keyring: the keys.
        enforced: whether keys are asked for on this address.
        admin: whether it is the admin address, where everything needs the scope `admin`.
        origins: web origins that may call across sites.
    """

    def __init__(
        self, keyring: Keyring, *, enforced: bool, admin: bool, origins: Iterable[str] = ()
    ) -> None:
        self.keyring = keyring
        self.enforced = enforced
        self._admin = admin
        self._origins = frozenset(origin.encode() for origin in origins)

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Pass, or say why not.

        Raises:
            Unauthorized, Forbidden: the key, or the page that sent the request.
        """
        found = dict(headers)
        if method not in _SAFE_METHODS and found.get(b"sec-fetch-site") == b"cross-site":
            self._check_origin(found.get(b"origin", b""))
        if not self.enforced:
            if self._admin:
                _check_host(found.get(b"host", b""))
            return
        if path not in _OPEN:
            self.keyring.check(_key(found), self._scope(path))

    def _scope(self, path: str) -> str:
        if self._admin:
            return "admin"
        return _SCOPES.get(path.lstrip("/").partition("/")[0], "predict")

    def _check_origin(self, origin: bytes) -> None:
        """A page of another site must not act through its visitor's browser."""
        if origin not in self._origins:
            raise Forbidden(
                "a page of another site may not call this server", hint="serve.cors_origins"
            )


def _key(headers: dict[bytes, bytes]) -> str:
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return given.strip().decode("latin-1")
    return headers.get(b"x-api-key", b"").strip().decode("latin-1")


def _check_host(host: bytes) -> None:
    """An open admin address answers to addresses and local names only.

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
            f"the admin address does not answer to the name {name!r}", hint="use 127.0.0.1"
        ) from error
