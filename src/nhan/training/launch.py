"""One training in several processes of this machine, each a `nhan` command of its own.

What torchrun does for a cluster, without its agent: the places are given by the same variables,
and when one process stops, all do.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from nhan.errors import JobFailed, SettingsError, UserError

_POLL_S = 0.1
# Time to end before a process is killed; one that waits for another that died never ends.
_GRACE_S = 3.0
_TOLD = 2_000  # characters of another process's output that a failure shows
_PR_SET_PDEATHSIG = 1


def launch(words: Sequence[str], processes: int) -> str:
    """Run `nhan WORDS` as so many processes that train together.

    Args:
        words: the command line, the same for all.
        processes: how many; one per device.

    Returns:
        What the first wrote to its standard output; its progress and messages went to ours.

    Raises:
        JobFailed: one stopped; the others were stopped too.
        UserError: the first says that it was called wrongly.
        SettingsError: the machine has fewer GPUs.
    """
    _check(processes)
    port = _free_port()
    others: list[IO[bytes]] = []
    started: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(processes):
            output = tempfile.TemporaryFile() if rank else None  # noqa: SIM115  closed below
            others += [output] if output else []
            started.append(_start(words, rank, processes, port, output))
        return _until_done(started, others)
    finally:
        _stop(started)
        for file in others:
            file.close()


def _check(processes: int) -> None:
    import torch

    there = torch.cuda.device_count()
    if 0 < there < processes:
        raise SettingsError(
            f"machine.devices is {processes} and this machine has {there} GPUs",
            hint=f"--devices {there}, or machine.device = 'cpu'",
        )


def _start(
    words: Sequence[str], rank: int, processes: int, port: int, output: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }
    return subprocess.Popen(  # noqa: S603  this program itself, with words of its own
        [sys.executable, "-m", "nhan", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.PIPE,
        stderr=subprocess.STDOUT if output else None,
        # Killed with us: a training that nobody waits for must not go on beside its resumption.
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _until_done(started: Sequence[subprocess.Popen[bytes]], others: Sequence[IO[bytes]]) -> str:
    while True:
        codes = [process.poll() for process in started]
        if any(codes):
            # The first tells the user itself what is wrong; the others often only miss it then.
            with suppress(subprocess.TimeoutExpired):
                codes[0] = started[0].wait(_GRACE_S)
            rank = next(rank for rank, code in enumerate(codes) if code)
            raise _failure(rank, codes[rank] or 0, len(started), others)
        if all(code == 0 for code in codes):
            assert started[0].stdout is not None
            return started[0].stdout.read().decode()
        time.sleep(_POLL_S)


def _failure(rank: int, code: int, processes: int, others: Sequence[IO[bytes]]) -> Exception:
    what = f"process {rank + 1} of {processes} stopped with exit code {code}"
    if not rank:
        message, hint = f"{what}, and the training with it", "it says above why"
        return UserError(message, hint=hint) if code == UserError.exit_code else JobFailed(message)
    others[rank - 1].seek(0)
    told = others[rank - 1].read().decode(errors="replace").strip()[-_TOLD:]
    return JobFailed(f"{what}: {told or 'it said nothing'}", hint="resume the run when mended")


def _stop(started: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in started:
        if process.poll() is None:
            process.terminate()
    for process in started:
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
