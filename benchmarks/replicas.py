"""What a further replica costs: requests to the object store, seconds to a promotion, memory.

Starts moto's S3 server, which logs each request, and 1, 2, 4… servers on one bucket with one
model; first nobody asks anything, then versions are promoted in turn. Run:

    python benchmarks/replicas.py --replicas 1 2 4 --idle 20 --promotions 5
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from nhan.models.bundled import bundled_package
from nhan.models.package import publish
from nhan.models.registry import Promotion, Registry
from nhan.workspace import Workspace

_START_S = 90.0
_REQUEST = re.compile(r'"(\w+) (\S+) HTTP')
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "NHAN_SERVE__BUNDLED": "false",
    "NHAN_SERVE__MODEL": "reader",
    "OMP_NUM_THREADS": "1",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--idle", type=float, default=10.0, help="seconds")
    parser.add_argument("--promotions", type=int, default=3)
    options = parser.parse_args()
    os.environ.update(_ENVIRONMENT)
    with (
        tempfile.TemporaryDirectory() as folder,
        store(Path(folder)) as log,
        Workspace.init(Path(folder, "home"), objects="s3://replicas/shop") as workspace,
    ):
        bundled = bundled_package()
        assert bundled is not None
        files = {name: bundled.read(name) for name in bundled.spec.files}
        for run in ("first", "second"):
            publish(workspace.store, "reader", files, bundled.spec.to_dict(), run=run)
        registry = Registry(workspace.store)
        for count in options.replicas:
            measure(registry, Path(folder), count, log, options.idle, options.promotions)


def measure(
    registry: Registry, folder: Path, count: int, log: Path, idle_s: float, promotions: int
) -> None:
    """One number of replicas; prints a line."""
    turn = promote(registry)
    with replicas(folder, count) as (addresses, processes):
        time.sleep(2)  # what a start reads
        before = log.stat().st_size
        time.sleep(idle_s)
        with log.open(encoding="utf-8") as lines:
            lines.seek(before)
            found = Counter(match[1] for line in lines if (match := _REQUEST.search(line)))
        took = []
        for _ in range(promotions):
            turn = promote(registry)
            began = time.monotonic()
            for address in addresses:
                while version_of(address) != str(turn):
                    time.sleep(0.02)
            took.append(time.monotonic() - began)
        memory = sum(proportional_kb(process.pid) for process in processes) / 1024 / count
    words = ", ".join(f"{number / idle_s / count:.2f} {kind}" for kind, number in found.items())
    print(
        f"{count} replicas: each asks the store {sum(found.values()) / idle_s / count:.2f} times/s "
        f"({words}); a promotion on all after {statistics.median(took):.2f} s "
        f"({max(took):.2f} at most); {memory:.0f} MiB each",
        flush=True,
    )


def promote(registry: Registry) -> int:
    """The other version of the two; its number."""
    log = registry.log("reader")
    version = 1 if log.champion is None else 3 - log.champion
    promotion = Promotion(action="forced", version=version)
    registry.record("reader", promotion, expected=registry.log_number("reader"))
    return version


def version_of(address: str) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 32), "white").save(buffer, "PNG")
    request = urllib.request.Request(f"{address}/predict?model=reader", buffer.getvalue())
    request.add_header("X-Nhan-Collect", "off")
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(response.headers["X-Nhan-Model"]).rpartition("@")[2]


def proportional_kb(leader: int) -> int:
    """Memory of a server's processes, what they share counted once."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == leader:
                found = re.search(r"^Pss: +(\d+)", (folder / "smaps_rollup").read_text(), re.M)
                total += int(found[1]) if found else 0
        except OSError:
            continue
    return total


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def store(folder: Path) -> Iterator[Path]:
    """An S3 server with an empty bucket; yields the log of its requests."""
    import boto3

    port, log = free_port(), folder / "store.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output, stderr=output,
        )  # fmt: skip
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"http://127.0.0.1:{port}/moto-api/")
        boto3.client("s3").create_bucket(Bucket="replicas")
        yield log
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def replicas(folder: Path, count: int) -> Iterator[tuple[list[str], list[subprocess.Popen[bytes]]]]:
    """Servers of one worker each, ready; yields their addresses and processes."""
    addresses, processes = [], []
    try:
        for number in range(count):
            own = folder / f"replica-{number}"
            if not own.exists():
                Workspace.init(own, objects="s3://replicas/shop").close()
            port = free_port()
            command = [sys.executable, "-m", "nhan", "--workspace", str(own), "serve"]
            command += ["--workers", "1", "--port", str(port), "--admin-port", str(free_port())]
            started = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            processes.append(started)
            addresses.append(f"http://127.0.0.1:{port}")
        for address in addresses:
            wait_for(f"{address}/readyz")
        yield addresses, processes
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def wait_for(address: str) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main()
