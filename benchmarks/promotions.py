"""Promotions under full load: does a swap cost a request, a wrong answer, or time?

Starts `nhan serve` on a workspace with two versions of one model, keeps a number of clients
asking, and promotes the versions in turn, each as soon as the one before answers. An answer is
wrong when it was asked for after the new version had first answered and comes from another. Run:

    python benchmarks/promotions.py                                        # small
    python benchmarks/promotions.py --promotions 200 --clients 32

Time is compared with the same clients on the same server between the promotions: a quiet stretch
before, one in the middle and one after.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stage import Stage, collect_pictures, make_workspace

from nhan.models.registry import Promotion, Registry
from nhan.workspace import Workspace

_PATIENCE_S = 30.0


@dataclass
class Answer:
    """One request: when it was sent, when its answer had arrived, and what that said."""

    sent: float
    received: float
    status: int
    version: str

    @property
    def ms(self) -> float:
        return (self.received - self.sent) * 1e3


@dataclass
class Clients:
    """Asks over a number of connections until told to stop."""

    port: int
    pictures: Sequence[bytes]
    answers: list[Answer] = field(default_factory=list)
    stopping: bool = False
    version: str = ""

    async def run(self, count: int) -> None:
        await asyncio.gather(*(self._ask(number) for number in range(count)))

    async def _ask(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        turn = number
        while not self.stopping:
            picture = self.pictures[turn % len(self.pictures)]
            turn += 1
            sent = time.perf_counter()
            writer.write(
                b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: image/png\r\n"
                b"content-length: %d\r\n\r\n" % len(picture)
            )
            writer.write(picture)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(_header(head, b"content-length"))
            await reader.readexactly(length)
            version = _header(head, b"x-nhan-model").decode().rpartition("@")[2]
            self.answers.append(Answer(sent, time.perf_counter(), int(head[9:12]), version))
            self.version = version or self.version
        writer.close()


def _header(head: bytes, name: bytes) -> bytes:
    at = head.find(b"\r\n" + name + b": ")
    return head[at + len(name) + 4 :].partition(b"\r\n")[0] if at >= 0 else b""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
        folder = Path(temporary)
        pictures = folder / "pictures"
        collect_pictures(options.pictures, pictures)
        root = make_workspace(folder / "workspace", pictures, versions=2)
        stage = Stage(root, pictures, folder)
        with stage.running("nhan") as port:
            stage.load(port, options.clients, 2)
            before = stage.memory_mib()
            bodies = [file.read_bytes() for file in sorted(pictures.iterdir())]
            clients = Clients(port, bodies)
            swaps, quiet = asyncio.run(_promote(options, root, clients))
            after = stage.memory_mib()
    _print(clients.answers, swaps, quiet)
    print(f"memory {before:.0f} -> {after:.0f} MiB")


@dataclass
class Swap:
    """One promotion: when it was recorded, when it first answered, and when the next came."""

    version: str
    asked: float
    live: float
    over: float = 0.0


async def _promote(
    options: argparse.Namespace, root: Path, clients: Clients
) -> tuple[list[Swap], list[tuple[float, float]]]:
    """Promote under load; returns the swaps and the quiet stretches."""
    loading = asyncio.create_task(clients.run(options.clients))
    swaps: list[Swap] = []
    quiet: list[tuple[float, float]] = []
    with Workspace.open(root) as workspace:
        registry = Registry(workspace.store)
        for half in (options.promotions // 2, options.promotions - options.promotions // 2, 0):
            begun = time.perf_counter()
            await asyncio.sleep(options.quiet)
            quiet.append((begun, time.perf_counter()))
            swaps += [await _swap(registry, clients) for _ in range(half)]
    clients.stopping = True
    await loading
    return swaps, quiet


async def _swap(registry: Registry, clients: Clients) -> Swap:
    state = await asyncio.to_thread(registry.log, "vi-line")
    version = 2 if state.champion == 1 else 1
    asked = time.perf_counter()
    promotion = Promotion(action="forced", version=version)
    await asyncio.to_thread(registry.record, "vi-line", promotion, expected=state.number)
    while clients.version != str(version):
        if time.perf_counter() - asked > _PATIENCE_S:
            raise SystemExit(f"promotion {state.number + 1} did not answer in {_PATIENCE_S:g} s")
        await asyncio.sleep(0.002)
    live = time.perf_counter()
    await asyncio.sleep(0.1)
    return Swap(str(version), asked, live, time.perf_counter())


def _print(answers: list[Answer], swaps: list[Swap], quiet: list[tuple[float, float]]) -> None:
    def within(stretches: Sequence[tuple[float, float]]) -> list[Answer]:
        return [
            answer
            for answer in answers
            if any(begin <= answer.sent and answer.received <= end for begin, end in stretches)
        ]

    wrong = sum(
        answer.version != swap.version
        for swap in swaps
        for answer in answers
        if swap.live < answer.sent and answer.received < swap.over
    )
    failed = sum(answer.status != 200 for answer in answers)
    took = sorted(swap.live - swap.asked for swap in swaps)
    print(
        f"{len(swaps)} promotions, {len(answers):,} answers, {failed} failed, {wrong} wrong after "
        f"the swap; live after {statistics.median(took):.2f} s (slowest {took[-1]:.2f} s)"
    )
    calm, busy = within(quiet), within([(swap.asked, swap.over) for swap in swaps])
    print("| | answers/s | p50 ms | p99 ms |")
    print("|---|---:|---:|---:|")
    lengths = {
        "between promotions": sum(end - begin for begin, end in quiet),
        "during promotions": sum(swap.over - swap.asked for swap in swaps),
    }
    for (name, seconds), some in zip(lengths.items(), (calm, busy), strict=True):
        times = sorted(answer.ms for answer in some)
        p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        print(f"| {name} | {len(times) / seconds:.1f} | {p50:.1f} | {p99:.1f} |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--promotions", type=int, default=10)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--quiet", type=float, default=5, help="seconds between the promotions")
    parser.add_argument("--pictures", type=Path, help="folder of pictures; drawn otherwise")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
