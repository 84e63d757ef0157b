"""`nhan serve` as a process of its own, for tests that ask it from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S = 60.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Wait until something listens on a port."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port} after {START_S:g} s")


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
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


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
            urllib.request.urlopen(f"{server.main}{wait}", timeout=2).close()
            return server
        except (urllib.error.URLError, OSError):
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
