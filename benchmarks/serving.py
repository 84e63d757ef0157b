"""The server beside a raw ONNX Runtime loop and the usual ways to serve a model.

Same weights, same pictures, same load tool (`wrk`), all on this machine; rounds are interleaved,
and only ratios to the raw loop of the same round are compared, because machines are noisy. Run:

    python benchmarks/serving.py                      # small
    python benchmarks/serving.py --rounds 5 --seconds 10 --clients 1 8 32
    python benchmarks/serving.py --int8 convgru svtr  # int8 beside float32
    python benchmarks/serving.py --overload 60        # 256 clients for a minute, then with a
                                                      # short queue and clients that wait when told

The raw loop is two threads, each with its own single-threaded session, that decode, prepare, run
and read the same pictures with nothing around them. For one client the reference is one call at a
time on a session with as many threads as cores. It and every server but ours run the model's file
as it is; ours simplifies the graph when it loads it. `--raw simplified` gives the loop that graph
too, which leaves what the server itself costs.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

from stage import (
    CONTESTANTS,
    PEERS,
    Load,
    Stage,
    collect_pictures,
    installed,
    make_workspace,
    package_folder,
)


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
        folder = Path(temporary)
        pictures = folder / "pictures"
        collect_pictures(options.pictures, pictures)
        workspace = options.workspace or make_workspace(folder / "workspace", pictures)
        bench = Bench(workspace, pictures, folder, options.seconds, graph=options.raw)
        if options.overload:
            bench.overload(options.overload)
            return
        if options.int8:
            for network in options.int8:
                bench.int8(network, options.clients, options.rounds)
            return
        rows = bench.compare(options.servers, options.clients, options.rounds)
        _print(rows, bench.memory, bench.cold_start)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--servers", nargs="+", default=installed())
    parser.add_argument("--pictures", type=Path, help="folder of pictures; drawn otherwise")
    parser.add_argument("--workspace", type=Path, help="with a champion; random CRNN otherwise")
    parser.add_argument("--int8", nargs="+", metavar="NETWORK", help="int8 beside float32, ours")
    parser.add_argument("--raw", choices=["file", "simplified"], default="file", help="its graph")
    parser.add_argument("--overload", type=float, help="seconds with 256 clients, our server only")
    return parser.parse_args()


class Bench(Stage):
    """Compares servers and keeps score."""

    def __init__(
        self, workspace: Path, pictures: Path, folder: Path, seconds: float, *, graph: str = "file"
    ) -> None:
        super().__init__(workspace, pictures, folder)
        self.seconds = seconds
        self.graph = graph
        self.memory: dict[str, float] = {}

    def compare(
        self, servers: list[str], clients: list[int], rounds: int
    ) -> dict[tuple[str, int], list[tuple[Load, float]]]:
        """Ratios of every server to the raw loop of the same round.

        For several clients the ratio is of answers per second, for one of the median time.
        """
        rows: dict[tuple[str, int], list[tuple[Load, float]]] = defaultdict(list)
        for number in range(rounds):
            order = servers if number % 2 == 0 else servers[::-1]
            for count in clients:
                for name in order:
                    # One server at a time: each peer holds memory and some spin when idle.
                    with self.running(name) as port:
                        warm_s = max(self.seconds / 4, CONTESTANTS[name].warm_s)
                        self.load(port, max(count, 2), warm_s)
                        before = self.raw(count)
                        seen = self.load(port, count, self.seconds)
                        after = self.raw(count)
                        self._measure_memory(name, count)
                    reference = (before + after) / 2
                    ratio = seen.p50_ms / reference if count == 1 else seen.per_s / reference
                    rows[name, count].append((seen, ratio))
                    print(
                        f"round {number + 1}  {name:9} {count:3} clients  {seen.per_s:7.1f}/s  "
                        f"p50 {seen.p50_ms:6.1f}  p99 {seen.p99_ms:6.1f} ms  "
                        f"raw {reference:6.1f}  ratio {ratio:.3f}  failed {seen.failed}",
                        file=sys.stderr,
                    )
        return rows

    def int8(self, network: str, clients: list[int], rounds: int) -> None:
        """Answers a second with int8 over those with float32, in turns."""
        stages = []
        for int8 in (False, True):
            folder = self.workspace.parent / f"{network}-{int8}"
            folder.mkdir()
            root = make_workspace(folder / "workspace", self.pictures, network=network, int8=int8)
            stages.append(Stage(root, self.pictures, folder))
        ratios: dict[int, list[float]] = defaultdict(list)
        for _ in range(rounds):
            speeds = []
            for stage in stages:
                with stage.running("nhan") as port:
                    stage.load(port, 8, 1)
                    speeds.append([stage.load(port, n, self.seconds).per_s for n in clients])
            for count, slow, fast in zip(clients, *speeds, strict=True):
                ratios[count].append(fast / slow)
                print(f"{network} {count} clients: {slow:.0f} -> {fast:.0f}/s", file=sys.stderr)
        for count, seen in ratios.items():
            print(
                f"{network}, {count} clients: int8 over float32 {statistics.median(seen):.2f} "
                f"({min(seen):.2f}–{max(seen):.2f})"
            )

    def overload(self, seconds: float) -> None:
        """256 clients: what share of the maximum is still answered, and how fast is a refusal."""
        for queue, pause_s in ((512, 0.0), (64, 1.0)):
            with self.running("nhan", NHAN_SERVE__QUEUE=str(queue)) as port:
                self.load(port, 8, 2)
                best = self.load(port, 32, max(self.seconds, 5))
                self.load(port, 256, 5, pause_s=pause_s)
                before = self.memory_mib()
                refusals = threading.Thread(target=self._ask_slowly, args=(port, seconds))
                refusals.start()
                seen = self.load(port, 256, seconds, pause_s=pause_s)
                after = self.memory_mib()
                refusals.join()
            print(
                f"queue of {queue}: 32 clients {best.per_s:.1f}/s, 256 clients {seen.per_s:.1f}/s, "
                f"goodput {seen.per_s / best.per_s:.3f}, p99 {seen.p99_ms:.0f} ms, "
                f"refused {seen.refused}, failed {seen.failed}, "
                f"memory {before:.0f} -> {after:.0f} MiB"
            )
            for status, times in sorted(self.waited.items()):
                print(f"  one more client, {len(times)} times {status}: {_spread(times)}")

    def _ask_slowly(self, port: int, seconds: float) -> None:
        """One more client, five times a second: how long it waits, by status."""
        self.waited: dict[int, list[float]] = defaultdict(list)
        picture = next(self.pictures.iterdir()).read_bytes()
        end = time.perf_counter() + seconds - 2
        while (begun := time.perf_counter()) < end:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", "/predict", picture)
            status = connection.getresponse().status
            self.waited[status].append((time.perf_counter() - begun) * 1e3)
            connection.close()
            time.sleep(0.2)

    def raw(self, clients: int) -> float:
        """Answers per second of the raw loop, or milliseconds of one wide call at a time."""
        mode = "alone" if clients == 1 else "pair"
        ran = subprocess.run(
            [
                sys.executable, str(PEERS / "raw_loop.py"), str(package_folder(self.workspace)),
                str(self.pictures), mode, str(self.seconds / 2), self.graph,
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return float(ran.stdout)

    def _measure_memory(self, name: str, clients: int) -> None:
        if clients > 1:
            self.memory[name] = max(self.memory.get(name, 0), self.memory_mib())


def _spread(times: list[float]) -> str:
    ranked = sorted(times)
    return f"median {ranked[len(ranked) // 2]:.1f} ms, slowest {ranked[-1]:.1f} ms"


def _print(
    rows: dict[tuple[str, int], list[tuple[Load, float]]],
    memory: dict[str, float],
    cold_start: dict[str, float],
) -> None:
    print("| server | clients | answers/s | p50 ms | p99 ms | p99/p50 | ratio to raw (spread) |")
    print("|---|---|---|---|---|---|---|")
    for (name, clients), seen in sorted(rows.items(), key=lambda row: (row[0][1], row[0][0])):
        ratios = sorted(ratio for _, ratio in seen)
        middle = [statistics.median(getattr(load, key) for load, _ in seen)
                  for key in ("per_s", "p50_ms", "p99_ms")]  # fmt: skip
        tail = statistics.median(load.p99_ms / load.p50_ms for load, _ in seen)
        print(
            f"| {name} | {clients} | {middle[0]:.1f} | {middle[1]:.1f} | {middle[2]:.1f} | "
            f"{tail:.2f} | {statistics.median(ratios):.3f} ({ratios[0]:.3f}–{ratios[-1]:.3f}) |"
        )
    print()
    print("| server | memory under load, MiB (PSS) | start to first answer, s |")
    print("|---|---|---|")
    for name in cold_start:
        print(f"| {name} | {memory.get(name, 0):.0f} | {cold_start[name]:.2f} |")


if __name__ == "__main__":
    main()
