"""Ending under load: what is lost at a shutdown, and when a worker is killed?

Shutdowns: the server is started, loaded and sent SIGTERM, again and again. Half of the clients
keep their connection, half open one for every request. A request is accepted once it was sent on
an open connection; it is lost if no answer comes. Kills: one server, under load, of which one
worker after the other is killed with signal 9. Run:

    python benchmarks/faults.py                             # small
    python benchmarks/faults.py --shutdowns 50 --kills 50
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from stage import Stage, collect_pictures, make_workspace


@dataclass
class Clients:
    """Each asks until it is refused or told to stop.

    Attributes:
        outcomes: how many were `answered`, answered otherwise, or `lost`.
        last: when the latest answer came.
        gap_s: the longest time between two answers of all clients together.
    """

    port: int
    picture: bytes
    outcomes: Counter[str] = field(default_factory=Counter)
    last: float = 0.0
    gap_s: float = 0.0
    stopping: bool = False

    def start(self, count: int) -> list[asyncio.Task[None]]:
        """Begin to ask; every other client keeps its connection."""
        return [asyncio.create_task(self._ask(keep=bool(n % 2))) for n in range(count)]

    async def _ask(self, *, keep: bool) -> None:
        body = self.picture
        request = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body)
        reader: asyncio.StreamReader | None = None
        fresh = True
        while not self.stopping:
            try:
                if reader is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    fresh = True
                writer.write(request + body)
            except OSError:
                return  # the door is shut
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.outcomes[f"lost {type(error).__name__} {fresh=} {keep=}"] += 1
                return
            fresh = False
            status = head[9:12].decode()
            self.outcomes["answered" if status == "200" else status] += 1
            now = time.perf_counter()
            self.gap_s = max(self.gap_s, now - (self.last or now))
            self.last = now
            if not keep or b"connection: close" in head.lower():
                writer.close()
                reader = None


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
        folder = Path(temporary)
        collect_pictures(None, folder / "pictures")
        stage = Stage(
            make_workspace(folder / "workspace", folder / "pictures"),
            folder / "pictures",
            folder,
        )
        body = next((folder / "pictures").iterdir()).read_bytes()
        asyncio.run(_shut_down(stage, body, options.shutdowns, options.clients))
        asyncio.run(_kill(stage, body, options.kills, options.clients))


async def _shut_down(stage: Stage, body: bytes, times: int, count: int) -> None:
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for _ in range(times):
        with stage.running("nhan") as port:
            clients = Clients(port, body)
            asking = clients.start(count)
            await asyncio.sleep(1)
            begun = time.perf_counter()
            stage.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*asking)
            code = await asyncio.to_thread(stage.process.wait, 60)
            slowest = max(slowest, time.perf_counter() - begun)
            outcomes += clients.outcomes
            outcomes[f"exit code {code}"] += 1
    print(f"{times} shutdowns under load: {_told(outcomes)}; gone after {slowest:.1f} s")


async def _kill(stage: Stage, body: bytes, times: int, count: int) -> None:
    slowest, unhurt = 0.0, True
    with stage.running("nhan") as port:
        clients = Clients(port, body)
        asking = clients.start(count)
        await asyncio.sleep(2)
        for number in range(times):
            front, *workers = _children(stage)
            victim = workers[number % len(workers)]
            begun = time.perf_counter()
            os.kill(victim, signal.SIGKILL)
            while victim in _children(stage) or len(_children(stage)) <= len(workers):
                await asyncio.sleep(0.01)
            slowest = max(slowest, time.perf_counter() - begun)
            others = {front, *workers} - {victim}
            await asyncio.sleep(0.7)
            unhurt = unhurt and others <= set(_children(stage))
        clients.stopping = True
        await asyncio.gather(*asking)
    print(
        f"{times} workers killed under load: {_told(clients.outcomes)}; longest time without any "
        f"answer {clients.gap_s:.2f} s, another worker after {slowest:.2f} s, "
        f"the others {'unhurt' if unhurt else 'HURT'}"
    )


def _children(stage: Stage) -> list[int]:
    pid = stage.process.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _told(outcomes: Counter[str]) -> str:
    outcomes.setdefault("lost", 0)
    return ", ".join(f"{name} {number:,}" for name, number in sorted(outcomes.items()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shutdowns", type=int, default=5)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main()
