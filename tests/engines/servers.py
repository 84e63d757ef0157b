"""`nhan serve` as a process of its own, for tests that ask it from outside."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A minute where nothing else runs; who waits for a process that ended is told at once.
START_S = 300.0
# Below those that the kernel gives to outgoing connections: one of these would take a port between
# our finding it free and its server's listening there, or while a server is away for a moment.
_PORTS = range(20_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on now, and that was given to nobody else in this process."""
    dice = random.SystemRandom()
    while True:
        port = dice.choice(_PORTS)
        if port in _given:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port


def wait_for_port(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until something listens on a port; fail at once where the process has ended."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise AssertionError(f"{process.args!r} ended with exit code {process.returncode}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port} after {START_S:g} s")


def end(process: subprocess.Popen[Any], *, sign: int = signal.SIGTERM, group: bool = False) -> None:
    """End a process that a test started, whatever state it is in; kill it if it does not go.

    Args:
        process: which.
        sign: what it is asked with.
        group: it leads a group, whose processes all end.
    """

    def send(number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number) if group else process.send_signal(number)

    send(sign)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        send(signal.SIGKILL)
        process.wait(60)


@dataclass
class Server:
    """A running server.

    Attributes:
        main, admin: addresses, `http://HOST:PORT`.
        process: its supervisor, the leader of a process group.
        log: the file of its output.
    """

    main: str
    admin: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """kill -9 of all its processes."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(300)


def start_server(
    folder: Path,
    *arguments: str,
    workspace: Path | None = None,
    environment: Mapping[str, str] | None = None,
    workers: int = 1,
    wait: str = "/healthz",
) -> Server:
    """Start a server and wait until it is alive, or ready.

    Args:
        folder: for its log.
        arguments: further ones of `nhan serve`.
        workspace: that it serves; None for the bundled reader alone.
        environment: further variables.
        workers: inference workers.
        wait: the route that must answer 200.
    """
    port, admin_port = free_port(), free_port()
    log = folder / f"serve-{port}.log"
    command = [sys.executable, "-m", "nhan", "serve", "--port", str(port)]
    command += ["--admin-port", str(admin_port), "--workers", str(workers), *arguments]
    variables = {**os.environ, **(environment or {})}
    if workspace is not None:
        variables["NHAN_WORKSPACE"] = str(workspace)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=variables, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}", process, log)
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(f"{server.main}{wait}", timeout=10).close()
            return server
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if process.poll() is not None or time.monotonic() > deadline:
                server.kill() if process.poll() is None else None
                raise AssertionError(f"no server: {log.read_text()[-3000:]}") from None
            time.sleep(0.05)


@contextmanager
def serving_at(folder: Path, *arguments: str, **options: object) -> Iterator[Server]:
    """A server that is stopped in the end."""
    server = start_server(folder, *arguments, **options)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()
