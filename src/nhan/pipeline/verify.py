"""The step that asks a running server whether it really answers with the new champion."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from nhan.datasets.layout import SPLITS
from nhan.datasets.read import open_dataset
from nhan.errors import JobFailed
from nhan.pipeline.step import Outcome, Work
from nhan.pipeline.step_words import say
from nhan.settings import ServeSettings

_POLL_S = 0.1
_TIMEOUT_S = 10.0
# A server of our own is asked directly: a proxy of the environment is for the outside world.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


@dataclass(frozen=True)
class _Standing:
    """What `/readyz` says: which versions answer, or why none does."""

    models: tuple[str, ...]
    problem: str = ""

    def version_of(self, model: str) -> str:
        return next((one for one in self.models if one.partition("@")[0] == model), "")


def verify_live(work: Work) -> Outcome:
    """Wait until the server answers with the champion that this round promoted."""
    champion = work.output("promote", "champion")
    if not champion:
        return Outcome("skipped", say("nothing_promoted"))
    settings = work.workspace.settings
    server = settings.loop.server.rstrip("/") or server_of(settings.serve)
    if not server:
        return Outcome("skipped", say("verify.no_address"))
    model = champion.partition("@")[0]
    began = time.monotonic()
    while True:
        standing = _ask_standing(server)
        waited = time.monotonic() - began
        if standing is None:
            return Outcome("skipped", say("verify.no_server", server=server))
        if standing.version_of(model) == champion:
            break
        if waited > settings.loop.verify_s:
            return _not_live(server, champion, standing, waited)
        time.sleep(_POLL_S)
    outputs: dict[str, Any] = {"server": server, "live_after_s": round(waited, 2)}
    answered = _ask_picture(work, server, model)
    if answered and answered != champion:
        raise JobFailed(
            f"{server} says it serves {champion}, but {answered} answered a picture",
            hint="is a canary or another server behind this address?",
        )
    code = "verify.answers" if answered else "verify.says_so"
    because = say(code, champion=champion, server=server, waited=waited)
    return Outcome("ran", because, {**outputs, "asked": bool(answered)})


def server_of(serve: ServeSettings) -> str:
    """The main address as the settings give it; empty where the port is chosen at the start."""
    if not serve.port:
        return ""
    host = _ANYWHERE.get(serve.host, serve.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{serve.port}{serve.root_path}"


def _not_live(server: str, champion: str, standing: _Standing, waited: float) -> Outcome:
    model = champion.partition("@")[0]
    serving = standing.version_of(model)
    if not serving and not standing.problem:
        others = ", ".join(standing.models)
        because = say("verify.serves_others", server=server, others=others, model=model)
        return Outcome("skipped", because)
    raise JobFailed(
        f"{champion} was promoted but does not answer at {server} after {waited:.0f} s: "
        + (f"{serving} does" if serving else standing.problem),
        hint="its log says why; `nhan rollback` brings the version before back",
    )


def _ask_standing(server: str) -> _Standing | None:
    """What the server says of itself; None where there is none."""
    try:
        with _OPENER.open(f"{server}/readyz", timeout=_TIMEOUT_S) as reply:
            said = json.load(reply)
        return _Standing(tuple(str(one) for one in said.get("models", ())))
    except urllib.error.HTTPError as error:
        return _Standing((), _reason(error))
    except (OSError, ValueError, AttributeError):
        return None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code}"


def _ask_picture(work: Work, server: str, model: str) -> str:
    """The version that answers a picture of the dataset; empty where a key would be needed.

    Raises:
        JobFailed: the server fails on it.
    """
    picture = _a_picture(work)
    if not picture:
        return ""
    headers = {"Content-Type": "application/octet-stream", "X-Nhan-Collect": "off"}
    if key := os.environ.get("NHAN_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(  # noqa: S310  the setting takes http(s) only
        f"{server}/predict?model={model}", data=picture, headers=headers
    )
    try:
        with _OPENER.open(request, timeout=_TIMEOUT_S) as reply:
            return str(reply.headers["X-Nhan-Model"])
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return ""
        raise JobFailed(f"{server} fails on a picture: {_reason(error)}") from error
    except OSError as error:
        raise JobFailed(f"{server} went away: {error}") from error


def _a_picture(work: Work) -> bytes:
    dataset = open_dataset(work.workspace.store, work.output("freeze", "dataset"))
    for split in reversed(SPLITS):
        for row in dataset.rows(split):
            return row.image
    return b""
