"""The server beside a raw ONNX Runtime loop and the usual ways to serve a model.

Same weights, same pictures, same load tool (`wrk`), all on this machine; rounds are interleaved,
and only ratios to the raw loop of the same round are compared, because machines are noisy. Run:

    python benchmarks/serving.py                      # small
    python benchmarks/serving.py --rounds 5 --seconds 10 --clients 1 8 32
    python benchmarks/serving.py --overload 60        # 256 clients for a minute

The raw loop is two threads, each with its own single-threaded session, that decode, prepare, run
and read the same pictures with nothing around them. For one client the reference is one call at a
time on a session with as many threads as cores.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
PICTURES = 64


@dataclass
class Load:
    """What the load tool saw."""

    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    refused: int


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
        folder = Path(temporary)
        pictures = folder / "pictures"
        _collect_pictures(options.pictures, pictures)
        workspace = options.workspace or _make_workspace(folder / "workspace", pictures)
        bench = Bench(workspace, pictures, folder, options.seconds)
        if options.overload:
            bench.overload(options.overload)
            return
        rows = bench.compare(options.servers, options.clients, options.rounds)
        _print(rows, bench.memory, bench.cold_start)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--servers", nargs="+", default=[name for name in SERVERS if _has(name)])
    parser.add_argument("--pictures", type=Path, help="folder of pictures; drawn otherwise")
    parser.add_argument("--workspace", type=Path, help="with a champion; random CRNN otherwise")
    parser.add_argument("--overload", type=float, help="seconds with 256 clients, our server only")
    return parser.parse_args()


# The contestants: name -> (module that must be there, command line)
SERVERS: dict[str, tuple[str, list[str]]] = {
    "nhan": ("nhan", []),
    "flask": ("flask", ["naive_flask.py"]),
    "fastapi": ("fastapi", ["plain_fastapi.py"]),
    "litserve": ("litserve", ["with_litserve.py"]),
}


def _has(name: str) -> bool:
    return find_spec(SERVERS[name][0]) is not None


class Bench:
    """Starts servers, loads them, keeps score."""

    def __init__(self, workspace: Path, pictures: Path, folder: Path, seconds: float) -> None:
        self.workspace = workspace
        self.pictures = pictures
        self.seconds = seconds
        self.memory: dict[str, float] = {}
        self.cold_start: dict[str, float] = {}
        self.script = folder / "post.lua"
        self.script.write_text(_LUA.replace("PICTURES", str(pictures)))

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
                        self.load(port, max(count, 2), self.seconds / 4)
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

    def overload(self, seconds: float) -> None:
        """256 clients: what share of the maximum is still answered, and how fast is a refusal."""
        with self.running("nhan") as port:
            self.load(port, 8, 2)
            best = self.load(port, 32, max(self.seconds, 5))
            before = self._pss()
            seen = self.load(port, 256, seconds)
            after = self._pss()
        print(f"32 clients   {best.per_s:.1f}/s")
        print(
            f"256 clients  {seen.per_s:.1f}/s  goodput {seen.per_s / best.per_s:.3f}  "
            f"p99 {seen.p99_ms:.0f} ms  refused {seen.refused}  failed {seen.failed}"
        )
        print(f"memory {before:.0f} -> {after:.0f} MiB")

    @contextmanager
    def running(self, name: str) -> Iterator[int]:
        """A server, up and answering; its port."""
        port = _free_port()
        begun = time.perf_counter()
        environment = {
            **os.environ,
            "NHAN_WORKSPACE": str(self.workspace),
            "BENCH_PACKAGE": str(_package(self.workspace)),
            "PORT": str(port),
        }
        command = (
            [sys.executable, "-m", "nhan", "serve", "--port", str(port), "--admin-port", "0"]
            if name == "nhan"
            else [sys.executable, str(PEERS / SERVERS[name][1][0])]
        )
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            picture = next(self.pictures.iterdir()).read_bytes()
            _until(lambda: _answers(port, picture), 60)
            self.cold_start[name] = min(self.cold_start.get(name, 1e9), time.perf_counter() - begun)
            yield port
        finally:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def load(self, port: int, clients: int, seconds: float) -> Load:
        """Load a server with a number of clients that each wait for their answer."""
        ran = subprocess.run(
            [
                "wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "30s",
                "-s", str(self.script), f"http://127.0.0.1:{port}/predict",
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        last = json.loads(ran.stdout.strip().splitlines()[-1])
        return Load(**last)

    def raw(self, clients: int) -> float:
        """Answers per second of the raw loop, or milliseconds of one wide call at a time."""
        mode = "alone" if clients == 1 else "pair"
        ran = subprocess.run(
            [
                sys.executable, str(PEERS / "raw_loop.py"), str(_package(self.workspace)),
                str(self.pictures), mode, str(self.seconds / 2),
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return float(ran.stdout)

    def _measure_memory(self, name: str, clients: int) -> None:
        if clients > 1:
            self.memory[name] = max(self.memory.get(name, 0), self._pss())

    def _pss(self) -> float:
        """Proportional set size of the server and all its descendants, MiB."""
        family = [self._process.pid]
        for pid in family:
            children = Path(f"/proc/{pid}/task").glob("*/children")
            family += [int(child) for file in children for child in file.read_text().split()]
        return sum(_pss_kib(pid) for pid in family) / 1024


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


_LUA = """
local bodies = {}
for name in io.popen('ls "PICTURES"'):lines() do
  local file = io.open("PICTURES/" .. name, "rb")
  bodies[#bodies + 1] = '--b0undary\\r\\nContent-Disposition: form-data; name="file"; ' ..
    'filename="' .. name .. '"\\r\\nContent-Type: image/png\\r\\n\\r\\n' .. file:read("*all") ..
    '\\r\\n--b0undary--\\r\\n'
  file:close()
end
local headers = { ["Content-Type"] = "multipart/form-data; boundary=b0undary" }
local turn = 0
function request()
  turn = turn % #bodies + 1
  return wrk.format("POST", nil, headers, bodies[turn])
end
refused, failed = 0, 0
function response(status)
  if status == 429 then refused = refused + 1 elseif status ~= 200 then failed = failed + 1 end
end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function done(summary, latency)
  local refused, failed = 0, 0
  for _, thread in ipairs(threads) do
    refused = refused + thread:get("refused")
    failed = failed + thread:get("failed")
  end
  failed = failed + summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout
  local good = summary.requests - refused - failed
  print(string.format(
    '{"per_s": %.3f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d, "refused": %d}',
    good / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    failed, refused))
end
"""


def _collect_pictures(source: Path | None, target: Path) -> None:
    target.mkdir()
    if source is not None:
        files = sorted(file for file in source.rglob("*.png"))
        random.Random(0).shuffle(files)
        for number, file in enumerate(files[:PICTURES]):
            (target / f"{number:03d}.png").write_bytes(file.read_bytes())
        return
    for number in range(PICTURES):
        (target / f"{number:03d}.png").write_bytes(_draw_line(number))


def _draw_line(seed: int) -> bytes:
    """A line of letters as a scanner gives it: 28 to 64 px high, 8 to 48 letters, some noise."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    chance = random.Random(seed)
    height = chance.randint(28, 64)
    text = "".join(
        chance.choices("abcdeghiklmnopqrstuvxy ABCDE 0123456789.,", k=chance.randint(8, 48))
    )
    font = ImageFont.load_default(size=height * 0.6)
    image = Image.new("RGB", (int(font.getlength(text)) + height, height), (244, 241, 233))
    ImageDraw.Draw(image).text((height // 3, height // 8), text, fill=(30, 28, 40), font=font)
    noise = np.random.default_rng(seed).normal(0, 5, (height, image.width, 1))
    noisy = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "PNG")
    return buffer.getvalue()


def _make_workspace(root: Path, pictures: Path) -> Path:
    """A champion with the baseline network and random weights: speed does not depend on them."""
    import torch

    from nhan.images import decode
    from nhan.models.package import publish
    from nhan.models.registry import Promotion, Registry
    from nhan.tasks.text.charset import Charset
    from nhan.tasks.text.learner import TextLearner
    from nhan.training.export import to_onnx
    from nhan.workspace import Workspace

    torch.manual_seed(0)
    learner = TextLearner({"charset": Charset().characters}, {"network": "crnn"})
    some = [learner.preparer(decode(file.read_bytes())) for file in sorted(pictures.iterdir())[:2]]
    model = to_onnx(learner, learner.batch(some, ["a", "b"], training=False))
    spec = {
        "task": "text",
        "prepare": learner.preparation(),
        "outputs": learner.outputs(),
        "calibration": {},
    }
    with Workspace.init(root) as workspace:
        files = {"model.onnx": model, "metrics.json": b"{}"}
        publish(workspace.store, "vi-line", files, spec, run="benchmark")
        Registry(workspace.store).record(
            "vi-line", Promotion(action="forced", version=1), expected=0
        )
    return root


def _package(workspace: Path) -> Path:
    return max((workspace / "objects/models").glob("*/*/nhan.json")).parent


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, picture: bytes) -> bool:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict",
        body + picture + b"\r\n--b--\r\n",
        {"Content-Type": "multipart/form-data; boundary=b"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("the server did not answer in time")
        time.sleep(0.01)


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
