"""What the console costs a server: its start, its memory, and the time of each page.

python benchmarks/console.py [--lines 300] [--turns 20]

The times are the server's own, over a connection that stays open; how long a browser takes until a
page can be used, and a reviewer until the next picture stands there, `make test-engines` prints.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGES = ("/", "/review", "/data", "/models", "/watch", "/docs")
APIS = ("/review/api/next?reviewer=an", "/review/api/progress?reviewer=an", "/watch/api/now")


def run(root: Path, *arguments: str) -> None:
    environment = {**os.environ, "NHAN_WORKSPACE": str(root)}
    subprocess.run([sys.executable, "-m", "nhan", *arguments], check=True, env=environment,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def front_of(supervisor: int) -> int:
    """The front process: the supervisor's first child."""
    return int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0])


def own_mib(pid: int) -> float:
    """Memory of a process that nobody shares, and its part of what is shared."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found.group(1)) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "shop"
        lines = str(Path(folder) / "lines")
        subprocess.run([sys.executable, "-m", "nhan", "init", str(root)], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        run(root, "synth", lines, "--lines", str(options.lines), "--seed", "3")
        run(root, "import", lines)
        run(root, "freeze", "lines")
        measure(root, options.turns)


def measure(root: Path, turns: int) -> None:
    environment = {
        **os.environ, "NHAN_WORKSPACE": str(root), "NHAN_SERVE__PORT": "0",
        "NHAN_SERVE__ADMIN_PORT": "0", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    begun = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "nhan", "serve", "--workers", "1"],
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stderr is not None
        port = 0
        for line in server.stderr:
            found = re.search(r"answers at http://127\.0\.0\.1:(\d+)", line)
            port = int(found.group(1)) if found else port
            if "answers now" in line:
                break
        print(f"start to ready: {time.perf_counter() - begun:.2f} s")
        front = front_of(server.pid)
        print(f"front process, no page opened: {own_mib(front):.0f} MiB")
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for path in (*PAGES, *APIS):
            times = []
            for _ in range(turns):
                begun = time.perf_counter()
                connection.request("GET", path, headers={"accept": "text/html"})
                response = connection.getresponse()
                response.read()
                times.append(1e3 * (time.perf_counter() - begun))
                assert response.status == 200, (path, response.status)
            first, rest = times[0], sorted(times[1:])
            p95 = rest[int(0.95 * len(rest)) - 1]
            print(f"{path:34} first {first:6.0f} ms, then median {statistics.median(rest):5.1f}, "
                  f"p95 {p95:5.1f}")  # fmt: skip
        print(f"front process, all pages opened: {own_mib(front):.0f} MiB")
    finally:
        server.terminate()
        server.wait(60)


if __name__ == "__main__":
    main()
