"""Long work for a page: a command of ours in a process of its own, out of the server's way.

The front process answers pictures; an audit of a hundred thousand samples, or the gate's two
measurements, would hold its interpreter up and stay in its memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request

from nhan.errors import (
    BadRequest,
    Conflict,
    DeadlinePassed,
    GateRefused,
    JobFailed,
    NhanError,
    NotFound,
    QueueFull,
)

# A gate measures two models on a test set.
_LONGEST_S = 1800.0
_AT_ONCE = 2
# More have no people behind them, and a second of work each; it would go on when they are gone.
_MAX_WAITING = 32


class Errands:
    """Runs commands of ours, few at a time: more wait in a line, and behind it they are refused.

    Args:
        root: the workspace; None where the server has none.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._asked = 0

    async def run(self, *arguments: str, who: str = "") -> Any:
        """Run `nhan ARGUMENTS` and give the JSON it prints; None if it prints none.

        Args:
            arguments: the command line.
            who: in whose name; empty for the server's own user.

        Raises:
            NotFound: there is no workspace, or what the command names does not exist.
            BadRequest: a zero byte, which no command line can carry.
            GateRefused, Conflict, JobFailed: what the command refused, in its words.
            QueueFull: too many wait already.
            DeadlinePassed: it took half an hour.
        """
        if self._root is None:
            raise NotFound("this server has no workspace", hint="nhan serve --workspace DIR")
        if any("\0" in word for word in (*arguments, who)):
            raise BadRequest("a zero byte is no text", hint="send UTF-8")
        environment = {**os.environ, "NHAN_WORKSPACE": str(self._root)}
        if who:
            environment["LOGNAME"] = who  # where the promotion log gets its name from
        if self._asked >= _AT_ONCE + _MAX_WAITING:
            raise QueueFull(f"{self._asked} commands wait already", hint="try again in a moment")
        self._asked += 1
        try:
            async with self._places:
                code, printed, said = await _run(arguments, environment)
        finally:
            self._asked -= 1
        document = _parse(printed)
        # An audit that finds faults prints them, and ends with 1.
        told = document.get("error") if isinstance(document, dict) else None
        if code and (document is None or told):
            raise _refusal(arguments[0], code, said.decode("utf-8", "replace"), told or {})
        return document


def errands_of(request: Request) -> Errands:
    """The errands of the server that a request came to."""
    errands: Errands = request.app.state.errands
    return errands


async def _run(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> tuple[int, bytes, bytes]:
    # Behind whatever answers pictures.
    politely = ("nice", "-n", "10") if shutil.which("nice") else ()
    process = await asyncio.create_subprocess_exec(
        *politely, sys.executable, "-m", "nhan", *arguments,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_LONGEST_S):
            printed, said = await process.communicate()
    except TimeoutError as error:
        process.kill()
        raise DeadlinePassed(
            f"nhan {arguments[0]} took over {_LONGEST_S:g} s",
            hint="run it at a terminal, where it may take its time",
        ) from error
    except BaseException:
        process.kill()
        raise
    return process.returncode or 0, printed, said


def _parse(printed: bytes) -> Any:
    try:
        return json.loads(printed)
    except ValueError:
        return None


def _refusal(command: str, code: int, said: str, error: Mapping[str, Any]) -> NhanError:
    """What a command said on its way out: its two lines for people, and its JSON if any."""
    told = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    message, hint = told.get("error", f"nhan {command} failed"), told.get("hint", "")
    if code == 2:
        kind: type[NhanError] = Conflict if "already" in message else NotFound
    else:
        kind = GateRefused if command == "promote" else JobFailed
    return kind(message, hint=hint, details=error.get("details"))
