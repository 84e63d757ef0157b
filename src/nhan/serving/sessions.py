"""Sessions of people who showed their key on the login page: a signed cookie, nothing kept.

The cookie names a key and an end, and is signed with the key's hash, which only the key's file
holds. So it needs no secret of its own, every replica that reads the same keys understands it, and
revoking the key ends its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import time

from nhan.errors import Unauthorized
from nhan.serving.keys import Key, Keyring

COOKIE = "nhan_session"

# A working day; then the key is asked for again.
LIFETIME_S = 12 * 3600


def open_session(key: Key, *, now: float | None = None) -> str:
    """The cookie's value for whoever showed a key."""
    end = int((time.time() if now is None else now) + LIFETIME_S)
    return f"{key.id}.{end}.{_sign(key, end)}"


def key_of(keyring: Keyring, session: str, *, now: float | None = None) -> Key:
    """The key behind a session.

    Raises:
        Unauthorized: it ended, was tampered with, or its key is gone.
    """
    key_id, _, rest = session.partition(".")
    end, _, signature = rest.partition(".")
    key = keyring.find(key_id)
    if key is not None and end.isascii() and end.isdigit() and len(end) < 12:
        fits = hmac.compare_digest(_sign(key, int(end)).encode(), signature.encode())
        if fits and (time.time() if now is None else now) < int(end):
            return key
    raise Unauthorized("the login has ended", hint="log in again")


def session_of(cookies: bytes) -> str:
    """The session in a `Cookie` header; empty where there is none."""
    for pair in cookies.decode("latin-1").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def _sign(key: Key, end: int) -> str:
    said = f"nhan-session {key.id} {end}".encode()
    return hmac.new(bytes.fromhex(key.hash), said, hashlib.sha256).hexdigest()
