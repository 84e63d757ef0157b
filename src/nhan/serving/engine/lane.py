"""A lane: something that answers one picture at a time. Worker processes and threads are lanes."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from nhan.errors import NhanError
from nhan.serving.engine.outcome import Outcome


class LaneOwner(Protocol):
    """Who is told what a lane did; always called on the event loop's thread."""

    def lane_done(self, lane: Lane, ticket: int, outcome: Outcome | NhanError) -> None:
        """A submitted picture was answered, or refused."""

    def lane_lost(self, lane: Lane, reason: str) -> None:
        """The lane died with whatever it had been given; it will not come back."""


class Lane(Protocol):
    """Answers pictures one after the other, in the order given.

    Attributes:
        name: for logs and metrics.
        can_go_wide: whether it has a session that uses every core.
        lost: whether it has died; nothing given to it now would ever come back.
    """

    name: str
    can_go_wide: bool
    lost: bool

    def submit(self, ticket: int, key: str, picture: bytes, *, wide: bool) -> None:
        """Give it a picture; `lane_done` follows. Never blocks."""

    async def load(self, key: str, folder: Path) -> None:
        """Load and warm a model beside those there are; answering goes on meanwhile.

        Raises:
            NhanError: the package was refused; the lane is as it was.
        """

    def unload(self, key: str) -> None:
        """Forget a model."""

    def kill(self) -> None:
        """Stop it at once, whatever it is doing; `lane_lost` follows if it can be stopped."""
