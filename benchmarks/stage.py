"""What the serving benchmarks share: pictures, a workspace, a server under a load tool.

Every contestant has the same weights, pictures and load tool (`wrk`), on this machine.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / "peers"
PICTURES = 64


@dataclass
class Load:
    """What the load tool saw.

    Attributes:
        per_s: answers of status 200, a second.
        p50_ms: half of all responses took no longer.
        p99_ms: 99 % took no longer.
        failed: connections refused, cut or silent.
        refused: responses of another status.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    refused: int


@dataclass(frozen=True)
class Contestant:
    """A server that can be put on the stage.

    Attributes:
        module: the Python package it needs.
        script: of the peers' folder; empty for our own.
        arguments: of the script.
        path: where it takes pictures.
        ready_s: how long it may take to answer for the first time.
        warm_s: how long it is loaded at least before anything is measured.
    """

    module: str
    script: str = ""
    arguments: tuple[str, ...] = ()
    path: str = "/predict"
    ready_s: float = 60
    warm_s: float = 0

    @property
    def python(self) -> str:
        """The interpreter that has it: this one, or that of its own environment."""
        if find_spec(self.module) is not None:
            return sys.executable
        own = ROOT / ".engines" / self.module / "bin/python"
        return str(own) if own.exists() else ""


CONTESTANTS = {
    "nhan": Contestant("nhan"),
    "flask": Contestant("flask", "naive_flask.py"),
    "pytorch": Contestant("flask", "flask_pytorch.py"),
    "fastapi": Contestant("fastapi", "plain_fastapi.py"),
    "litserve": Contestant("litserve", "with_litserve.py"),
    **{
        # Java compiles what it sees to be hot.
        name: Contestant(
            "torchserve", "with_torchserve.py", (handler,), "/predictions/line", 120, 8
        )
        for name, handler in (
            ("torchserve", "torchserve_handler.py"),
            ("torchserve_pytorch", "torchserve_pytorch_handler.py"),
        )
    },
}


def installed() -> list[str]:
    """The contestants that can be started here."""
    return [name for name, contestant in CONTESTANTS.items() if contestant.python]


class Stage:
    """Starts servers and loads them.

    Args:
        workspace: with a champion.
        pictures: a folder of pictures to ask about.
        folder: for scripts.
    """

    def __init__(self, workspace: Path, pictures: Path, folder: Path) -> None:
        self.workspace = workspace
        self.pictures = pictures
        self.cold_start: dict[str, float] = {}
        self._path = ""
        self._script = folder / "post.lua"
        self._script.write_text(_LUA.replace("PICTURES", str(pictures)))

    @contextmanager
    def running(self, name: str, **variables: str) -> Iterator[int]:
        """A server, up and answering; its port.

        Args:
            name: of a contestant.
            variables: for its environment.
        """
        contestant, port = CONTESTANTS[name], free_port()
        self._path = contestant.path
        begun = time.perf_counter()
        environment = {
            **os.environ,
            "NHAN_WORKSPACE": str(self.workspace),
            "BENCH_PACKAGE": str(package_folder(self.workspace)),
            "PORT": str(port),
            "PYTHONPATH": str(ROOT / "src"),
            **variables,
        }
        command = (
            ["-m", "nhan", "serve", "--port", str(port), "--admin-port", "0"]
            if name == "nhan"
            else [str(PEERS / contestant.script), *contestant.arguments]
        )
        self.process = subprocess.Popen(
            [contestant.python, *command],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            picture = next(self.pictures.iterdir()).read_bytes()
            _until(lambda: _answers(port, self._path, picture), contestant.ready_s)
            self.cold_start[name] = min(self.cold_start.get(name, 1e9), time.perf_counter() - begun)
            yield port
        finally:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
            # LitServe's processes outlive the one that was started, and take turns with the next.
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def load(self, port: int, clients: int, seconds: float, *, pause_s: float = 0) -> Load:
        """Load a server with a number of clients that each wait for their answer.

        Args:
            port: of the server.
            clients: connections.
            seconds: how long.
            pause_s: what a client waits after it was refused, if it does.
        """
        ran = subprocess.run(
            [
                "wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "30s",
                "-s", str(self._script), f"http://127.0.0.1:{port}{self._path}",
                "--", str(round(pause_s * 1000)),
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        last = json.loads(ran.stdout.strip().splitlines()[-1])
        return Load(**last)

    def memory_mib(self, kind: str = "Pss") -> float:
        """Memory of the server and all its descendants, MiB.

        Args:
            kind: `Pss`, in which a page that several share counts once, or `Rss`.
        """
        family = [self.process.pid]
        for pid in family:
            children = Path(f"/proc/{pid}/task").glob("*/children")
            family += [int(child) for file in children for child in file.read_text().split()]
        return sum(_memory_kib(pid, kind) for pid in family) / 1024


def _memory_kib(pid: int, kind: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1])
    return 0


# Requests are built once: building one for every turn costs as much as our HTTP parser.
_LUA = """
local requests = {}
local headers = { ["Content-Type"] = "multipart/form-data; boundary=b0undary" }
local pause = 0
function init(arguments)
  pause = tonumber(arguments[1] or "0")
  if pause == 0 then
    response = nil  -- wrk parses headers and bodies only for who wants them
    delay = nil
  end
  for name in io.popen('ls "PICTURES"'):lines() do
    local file = io.open("PICTURES/" .. name, "rb")
    local body = '--b0undary\\r\\nContent-Disposition: form-data; name="file"; ' ..
      'filename="' .. name .. '"\\r\\nContent-Type: image/png\\r\\n\\r\\n' ..
      file:read("*all") .. '\\r\\n--b0undary--\\r\\n'
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
    file:close()
  end
end
local refused = 0
function response(status)
  if status == 429 then refused = refused + 1 end
end
function delay()
  if refused == 0 then return 0 end
  refused = refused - 1
  return pause
end
local turn = 0
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  local good = summary.requests - errors.status - failed
  print(string.format(
    '{"per_s": %.3f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d, "refused": %d}',
    good / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    failed, errors.status))
end
"""


def collect_pictures(source: Path | None, target: Path) -> None:
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


def make_workspace(
    root: Path,
    pictures: Path,
    *,
    versions: int = 1,
    network: str = "crnn",
    options: dict[str, object] | None = None,
    int8: bool = False,
) -> Path:
    """A champion with random weights: speed does not depend on them.

    Args:
        root: the new workspace.
        pictures: the export is compared with the network on two of them.
        versions: how many, with different weights; the first is the champion.
        network: of the text task; the baseline by default.
        options: the network's own.
        int8: let int8 answer, with ranges seen on the pictures.
    """
    import torch

    from nhan.images import decode
    from nhan.models.package import publish
    from nhan.models.registry import Promotion, Registry
    from nhan.tasks.text.charset import Charset
    from nhan.tasks.text.learner import TextLearner
    from nhan.training.checkpoint import Checkpoint, to_bytes
    from nhan.training.export import to_onnx
    from nhan.training.produce import MODEL, MODEL_INT8, WEIGHTS
    from nhan.training.quantise import to_int8
    from nhan.training.streamed import InMemory
    from nhan.workspace import Workspace

    with Workspace.init(root) as workspace:
        for number in range(versions):
            torch.manual_seed(number)
            facts = {
                "task": "text",
                "vocabulary": {"charset": Charset().characters},
                "options": {"network": network, "options": options or {}},
            }
            learner = TextLearner(facts["vocabulary"], facts["options"])
            files = sorted(pictures.iterdir())[:2]
            some = [learner.preparer(decode(file.read_bytes())) for file in files]
            model = to_onnx(learner, learner.batch(some, ["a", "b"], training=False))
            spec = {
                "task": "text",
                "prepare": learner.preparation(),
                "outputs": learner.outputs(),
                "calibration": {},
            }
            weights = to_bytes(Checkpoint(learner.network.state_dict(), facts))
            package = {MODEL: model, "metrics.json": b"{}", WEIGHTS: weights}
            if int8:
                every = sorted(pictures.iterdir())
                seen = InMemory(
                    [(learner.preparer(decode(file.read_bytes())), "a") for file in every]
                )
                package[MODEL_INT8] = to_int8(learner, model, seen)
                spec["serve"] = MODEL_INT8
            publish(workspace.store, "vi-line", package, spec, run=f"benchmark {number}")
        Registry(workspace.store).record(
            "vi-line", Promotion(action="forced", version=1), expected=0
        )
    return root


def package_folder(workspace: Path) -> Path:
    return max((workspace / "objects/models").glob("*/*/nhan.json")).parent


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, path: str, picture: bytes) -> bool:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
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
