"""A PostgreSQL of one's own for a benchmark, in a temporary folder, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PROGRAMS = Path("/usr/lib/postgresql")
_START_S = 60.0


def is_installed() -> bool:
    return any(_PROGRAMS.glob("*/bin"))


@contextmanager
def postgres() -> Iterator[str]:
    """Start Debian's PostgreSQL with its default settings; the URL of an empty database."""
    programs = sorted(_PROGRAMS.glob("*/bin"))[-1]
    folder = Path(tempfile.mkdtemp(prefix="nhan-postgres-"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    make = [programs / "initdb", "-D", folder / "data", "-U", "nhan", "-A", "trust", "-E", "UTF8"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    process = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", "-p", str(port), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        **user,
    )
    try:
        _create(port)
        yield f"postgresql://nhan@127.0.0.1:{port}/bench"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _create(port: int) -> None:
    import psycopg

    deadline = time.monotonic() + _START_S
    while True:
        try:
            url = f"postgresql://nhan@127.0.0.1:{port}/postgres"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE bench")
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
