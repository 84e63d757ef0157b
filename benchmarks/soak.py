"""Many requests to a running server: does the time of an answer or the memory grow?

Starts `nhan serve` on a workspace with a champion, times the first answer after the server is
ready, then sends pictures one after the other over one connection. Run:

    python benchmarks/soak.py WORKSPACE PICTURES --requests 20000
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ENDINGS = {".png", ".jpg", ".jpeg", ".webp"}


def main() -> None:
    options = _options()
    files = sorted(path for path in options.pictures.rglob("*") if path.suffix in ENDINGS)
    pictures = [path.read_bytes() for path in files[:: max(1, len(files) // 64)]]
    ports = [str(_free_port()) for _ in range(2)]
    command = [sys.executable, "-m", "nhan", "serve", "--workspace", str(options.workspace)]
    started = time.perf_counter()
    server = subprocess.Popen([*command, "--port", ports[0], "--admin-port", ports[1]])
    try:
        connection = _ready(int(ports[0]), server)
        ready = time.perf_counter()
        first = _ask(connection, pictures[0])
        print(f"ready after {ready - started:.2f} s, first answer {1e3 * first:.0f} ms")
        print("| requests | median ms | 99 % ms | memory, MiB |")
        print("|---:|---:|---:|---:|")
        part = max(1, options.requests // 10)
        for done in range(0, options.requests, part):
            times = [
                _ask(connection, pictures[n % len(pictures)]) for n in range(done, done + part)
            ]
            times.sort()
            print(
                f"| {done + part} | {1e3 * statistics.median(times):.2f} "
                f"| {1e3 * times[int(len(times) * 0.99)]:.2f} | {_memory_mib(server.pid):.1f} |",
                flush=True,
            )
    finally:
        server.terminate()
        server.wait(30)


def _ask(connection: http.client.HTTPConnection, picture: bytes) -> float:
    started = time.perf_counter()
    connection.request("POST", "/predict", body=picture, headers={"Content-Type": "image/png"})
    response = connection.getresponse()
    body = response.read()
    took = time.perf_counter() - started
    if response.status != 200:
        raise SystemExit(f"{response.status}: {body[:300]!r}")
    json.loads(body)
    return took


def _ready(port: int, server: subprocess.Popen[bytes]) -> http.client.HTTPConnection:
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit(f"the server left with {server.returncode}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/readyz")
            if connection.getresponse().read() and _is_ready(connection):
                return connection
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit("the server was not ready in 30 s")


def _is_ready(connection: http.client.HTTPConnection) -> bool:
    connection.request("GET", "/readyz")
    response = connection.getresponse()
    response.read()
    return response.status == 200


def _memory_mib(pid: int) -> float:
    """Proportional memory of a process and its children: what they would free if they ended."""
    total = 0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            children = Path(f"/proc/{one}/task/{one}/children").read_text()
        except OSError:
            continue
        total += int(
            next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1]
        )
        waiting += [int(child) for child in children.split()]
    return total / 1024


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("pictures", type=Path, help="a folder of pictures")
    parser.add_argument("--requests", type=int, default=20_000)
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
