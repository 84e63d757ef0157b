"""What the routes share: built once when the server starts, found on the app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request

from nhan.errors import BadRequest
from nhan.images import PictureLimits
from nhan.serving.examine import Examiner
from nhan.serving.fetch import Fetcher
from nhan.serving.keys import Keyring
from nhan.serving.metrics import Metrics
from nhan.serving.service import Service
from nhan.settings import ServeSettings

if TYPE_CHECKING:
    from nhan.serving.live import Live
    from nhan.serving.watched import Watched
    from nhan.uploads.collect import Collector
    from nhan.uploads.corrections import CorrectionDesk


@dataclass
class Context:
    """The server's parts.

    Attributes:
        service: answers pictures.
        settings: the `[serve]` table; replaced as a whole when settings are reloaded.
        limits: what a picture may cost.
        live: follows promotions; None where the models are fixed.
        root: the workspace; None where there is none.
        collector: keeps answered pictures; None without a workspace.
        corrections: takes what answers should have been; None without a workspace.
        metrics: what is counted.
        watched: what was measured of live answers; None without a workspace.
        examiner: refuses pictures before they wait.
        fetcher: gets pictures by URL.
        keyring: who may do what.
        promoting: held while the gate weighs a version that was asked for over HTTP.
        closing: called in the end, after the last answer.
    """

    service: Service
    settings: ServeSettings = field(default_factory=ServeSettings)
    limits: PictureLimits = field(default_factory=PictureLimits)
    live: Live | None = None
    root: Path | None = None
    collector: Collector | None = None
    corrections: CorrectionDesk | None = None
    metrics: Metrics = field(default_factory=Metrics)
    watched: Watched | None = None
    examiner: Examiner = field(default_factory=Examiner)
    fetcher: Fetcher = field(default_factory=Fetcher)
    keyring: Keyring = field(default_factory=Keyring)
    promoting: asyncio.Lock = field(default_factory=asyncio.Lock)
    closing: list[Callable[[], None]] = field(default_factory=list)

    def require_few(self, count: int) -> None:
        """Refuse a request with too many pictures.

        Raises:
            BadRequest: more than `serve.max_pictures`.
        """
        if count > self.settings.max_pictures:
            raise BadRequest(
                f"the request has {count} pictures; the limit is {self.settings.max_pictures}",
                hint="send several requests, or raise serve.max_pictures",
            )


def context_of(request: Request) -> Context:
    """The parts of the server that a request came to."""
    context: Context = request.app.state.context
    return context
