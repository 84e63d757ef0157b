"""Labels as they are given: woken by webhooks, and by the clock where none come.

Label Studio sends a webhook once, waits a second, and never tries again; the server's route only
notes in the catalogue that something happened. Whoever watches sees the note within a second and
pulls what changed. A webhook that was lost costs no more than one turn of the clock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nhan.catalog import State
from nhan.catalog.labelstudio import newest_note
from nhan.errors import NhanError, UserError
from nhan.review.labelstudio.client import LabelStudio
from nhan.review.labelstudio.connection import Connection
from nhan.review.labelstudio.links import Links
from nhan.review.labelstudio.pull import pull
from nhan.review.labelstudio.push import WAITING, push
from nhan.review.labelstudio.report import PullReport, PushReport
from nhan.review.labelstudio.suggest import Suggester, find_package, open_suggester
from nhan.workspace import Workspace

# Notes are looked for so often; an indexed query.
_LOOK_S = 0.5
# Annotators submit one after the other: what comes within this is pulled together.
_GATHER_S = 0.2
_MAX_PAUSE_S = 300.0
_SWEEP_S = 3600.0

log = logging.getLogger("nhan.labelstudio")

Report = PullReport | PushReport


class Stopped(Exception):
    """Somebody asked the watch to end; what was read is kept."""


@dataclass
class Watch:
    """Keeps a project and a workspace in step until `stop` is set.

    Attributes:
        client: Label Studio.
        links: make the pictures' addresses.
        poll_s: how long to wait where no webhook comes.
        pushes: also send what waits.
        suggests: fill tasks in with what the champion reads.
        stop: ends it, at the next page.
        tell: called with every report that says something.
        complain: called when Label Studio or the store goes away, once, and when it is back
            (None).
    """

    workspace: Workspace
    client: LabelStudio
    connection: Connection
    links: Links
    poll_s: float
    stop: threading.Event
    tell: Callable[[Report], None]
    complain: Callable[[NhanError | None], None]
    pushes: bool = True
    suggests: bool = True
    model: str = ""
    states: Sequence[State] = WAITING

    def __post_init__(self) -> None:
        self._suggester: Suggester | None = None
        self._swept = float("-inf")
        self._noted = 0

    def run(self) -> None:
        """Watch until `stop` is set.

        Raises:
            UserError: what waiting cannot mend: the token was revoked, the project deleted.
        """
        failures = 0
        while not self.stop.is_set():
            try:
                self._turn()
            except Stopped:
                return
            except UserError:
                raise
            except NhanError as error:
                if not failures:
                    self.complain(error)
                failures += 1
                log.info("try %d: %s", failures, error.message)
                self.stop.wait(min(self.poll_s * 2 ** min(failures, 10), _MAX_PAUSE_S))
                continue
            if failures:
                self.complain(None)
            failures = 0
            self._sleep()

    def _turn(self) -> None:
        self._noted = self._newest_note()
        due = time.monotonic() - self._swept > _SWEEP_S
        report = pull(
            self.workspace, self.client, self.connection, full=due, progress=self._between
        )
        if report.changed:
            self.tell(report)
        if self.pushes:
            self._push(survey=due)
        if due:
            self._swept = time.monotonic()

    def _push(self, *, survey: bool) -> None:
        renewed = self.suggests and self._renew_suggester()
        report = push(
            self.workspace,
            self.client,
            self.connection,
            self.links,
            suggester=self._suggester,
            states=self.states,
            survey=survey or renewed,
            progress=self._between,
        )
        if report.changed:
            self.tell(report)

    def _renew_suggester(self) -> bool:
        """Let the present champion answer; whether it is another one than before."""
        package = find_package(self.workspace, self.connection.task, self.model)
        before = self._suggester.ref if self._suggester else ""
        if package is None:
            self._suggester = None
        elif package.ref != before:
            self._suggester = open_suggester(self.workspace, package)
        return package is not None and package.ref != before

    def _between(self, _done: int, _total: int | None) -> None:
        if self.stop.is_set():
            raise Stopped

    def _sleep(self) -> None:
        """Until the clock's turn, or a webhook's note."""
        ends = time.monotonic() + self.poll_s
        while time.monotonic() < ends and not self.stop.wait(_LOOK_S):
            if self._newest_note() != self._noted:
                self.stop.wait(_GATHER_S)
                return

    def _newest_note(self) -> int:
        with self.workspace.catalog.read() as connection:
            return newest_note(connection)
