"""Both kinds of Label Studio token: personal access tokens, and the legacy ones.

A personal access token is a refresh token (JWT). It never goes along with a request: it buys an
access token that is good for minutes, and another when that one ends. A legacy token is sent as it
is; organisations have them switched off unless somebody switches them on.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import time
from collections.abc import Generator
from typing import Any

import httpx

from nhan.errors import SettingsError, Unauthorized

VARIABLE = "NHAN_LABELSTUDIO_TOKEN"

# Before an access token ends, so that none ends on its way.
_EARLY_S = 30.0
_MAKE_ONE = (
    f"Label Studio → Account & Settings → Personal Access Token → Create; then export {VARIABLE}=…"
)


def read_token() -> str:
    """The token in the environment; it is never kept in a file of ours.

    Raises:
        SettingsError: there is none, or it is cut off.
    """
    token = os.environ.get(VARIABLE, "").strip()
    if not token:
        raise SettingsError(f"{VARIABLE} holds no token", hint=_MAKE_ONE)
    if any(letter.isspace() or not letter.isprintable() for letter in token):
        raise SettingsError(f"the token in {VARIABLE} has blanks inside", hint="copy it again")
    if token.startswith("eyJ") and token.count(".") != 2:
        raise SettingsError(
            f"the token in {VARIABLE} is only a part of a personal access token",
            hint="the list of tokens shows them cut off; the whole one is shown once, when made",
        )
    return token


class TokenAuth(httpx.Auth):
    """Puts the right header on every request.

    Args:
        token: of either kind.
        server: address of Label Studio.
    """

    requires_response_body = True

    def __init__(self, token: str, server: str) -> None:
        self._token = token
        self._server = server
        claims = _claims(token)
        self.is_personal = bool(claims)
        is_access = claims.get("token_type") == "access"
        self._access = token if is_access else ""
        self._ends = float(claims.get("exp", 0)) if is_access else 0.0
        self._can_refresh = self.is_personal and not is_access

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx: yields what is to be sent, first of all the exchange of a refresh token."""
        if not self.is_personal:
            request.headers["Authorization"] = f"Token {self._token}"
            yield request
            return
        if self._can_refresh and time.time() > self._ends - _EARLY_S:
            self._take((yield self._exchange()))
        request.headers["Authorization"] = f"Bearer {self._access}"
        response = yield request
        if response.status_code == 401 and self._can_refresh:  # e.g. its clock is ahead of ours
            self._take((yield self._exchange()))
            request.headers["Authorization"] = f"Bearer {self._access}"
            yield request

    def _exchange(self) -> httpx.Request:
        return httpx.Request(
            "POST", f"{self._server}/api/token/refresh/", json={"refresh": self._token}
        )

    def _take(self, response: httpx.Response) -> None:
        if response.status_code in (401, 403):
            raise refused(_detail(response))
        response.raise_for_status()
        access = response.json().get("access", "")
        self._access = str(access)
        self._ends = float(_claims(self._access).get("exp", 0))


def refused(detail: str) -> Unauthorized:
    """What Label Studio's 401 means, and what to do."""
    if "legacy" in detail.lower():
        return Unauthorized(
            "Label Studio refuses the legacy token: legacy tokens are switched off there",
            hint=f"{_MAKE_ONE} (or Organization → Settings → Access Token Settings)",
        )
    return Unauthorized(
        f"Label Studio refuses the token in {VARIABLE}: {detail or 'no reason given'}",
        hint=f"was it revoked, or made on another server? {_MAKE_ONE}",
    )


def _detail(response: httpx.Response) -> str:
    try:
        document = response.json()
    except ValueError:
        return ""
    return str(document.get("detail", "")) if isinstance(document, dict) else ""


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says, unchecked; nothing for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(padded))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
