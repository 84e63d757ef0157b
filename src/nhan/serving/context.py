"""What the routes share: built once when the server starts, found on the app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request

from nhan.images import PictureLimits
from nhan.serving.service import Service
from nhan.settings import ServeSettings

if TYPE_CHECKING:
    from nhan.serving.live import Live


@dataclass
class Context:
    """The server's parts.

    Attributes:
        service: answers pictures.
        settings: the `[serve]` table; replaced as a whole when settings are reloaded.
        limits: what a picture may cost.
        live: follows promotions; None where the models are fixed.
    """

    service: Service
    settings: ServeSettings = field(default_factory=ServeSettings)
    limits: PictureLimits = field(default_factory=PictureLimits)
    live: Live | None = None


def context_of(request: Request) -> Context:
    """The parts of the server that a request came to."""
    context: Context = request.app.state.context
    return context
