"""A toy reader whose every answer is known: it turns bands of brightness into letters."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from nhan.images import PictureLimits
from nhan.models.package import Package, publish, write_package
from nhan.models.registry import Promotion, Registry
from nhan.serving.app import create_app
from nhan.serving.context import Context
from nhan.serving.engine.dispatch import Dispatcher, QueueLimits
from nhan.serving.engine.threads import ThreadLane
from nhan.serving.live import Live
from nhan.serving.metrics import Metrics
from nhan.serving.roster import Roster
from nhan.serving.service import Service
from nhan.settings import ServeSettings, UploadSettings
from nhan.storage import Store, open_store
from nhan.uploads.collect import Collector
from nhan.uploads.corrections import CorrectionDesk
from nhan.workspace import Workspace

LETTERS = "đăâêôơưé"
OTHER_LETTERS = "ĐĂÂÊÔƠƯÉ"
BAND = 16  # pixels; two steps of the toy network, with a dark band between letters
HEIGHT = 64


def toy_network(classes: int) -> bytes:
    """Mean brightness of 8-pixel columns chooses the class; black is the blank."""
    centres = np.linspace(0, 1, classes, dtype=np.float32).reshape(1, 1, classes)
    constants = {
        "centres": centres,
        "sharpness": np.array(-4000, np.float32),
        "eight": np.array([8], np.int64),
        "axes": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["grey"], keepdims=1),
        helper.make_node(
            "AveragePool", ["grey"], ["columns"], kernel_shape=[HEIGHT, 8], strides=[HEIGHT, 8]
        ),
        helper.make_node("Squeeze", ["columns", "axes"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["steps_first"], perm=[0, 2, 1]),
        helper.make_node("Sub", ["steps_first", "centres"], ["distance"]),
        helper.make_node("Mul", ["distance", "distance"], ["squared"]),
        helper.make_node("Mul", ["squared", "sharpness"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["log_probs"], axis=2),
        helper.make_node("Div", ["width", "eight"], ["steps"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, HEIGHT, "W"]),
            helper.make_tensor_value_info("width", TensorProto.INT64, ["N"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["N", "T", classes]),
            helper.make_tensor_value_info("steps", TensorProto.INT64, ["N"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def make_toy_spec(letters: str = LETTERS) -> dict[str, object]:
    return {
        "task": "text",
        "prepare": {"height": HEIGHT, "min_width": 16},
        "outputs": {"charset": letters, "blank": 0},
        "calibration": {},
    }


@pytest.fixture(scope="session")
def toy_spec() -> Callable[..., dict[str, object]]:
    """The toy's part of nhan.json, for any eight letters."""
    return make_toy_spec


@pytest.fixture(scope="session")
def toy_words() -> list[str]:
    return [first + second for first in LETTERS for second in LETTERS if first != second]


@pytest.fixture(scope="session")
def toy_files() -> dict[str, bytes]:
    return {"model.onnx": toy_network(len(LETTERS) + 1), "metrics.json": b"{}"}


@pytest.fixture(scope="session")
def toy_package(tmp_path_factory: pytest.TempPathFactory, toy_files: dict[str, bytes]) -> Package:
    folder = tmp_path_factory.mktemp("toy")
    return write_package(folder, toy_files, make_toy_spec(), name="toy", version=1)


COLOURS = ("đỏ", "lá", "lam")  # red, green and blue, which is also their order by code point


@pytest.fixture
def colours_registry(workspace: Workspace) -> Registry:
    """A registry whose champion `colours` tells which of three colours a picture has most of."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    spec = {
        "task": "classes",
        "prepare": {"size": 8},
        "outputs": {"classes": list(COLOURS)},
        "calibration": {"method": "temperature", "temperature": 0.5},
    }
    files = {"model.onnx": model.SerializeToString(), "metrics.json": b"{}"}
    publish(workspace.store, "colours", files, spec, run="1")
    made = Registry(workspace.store)
    made.record("colours", Promotion(action="forced", version=1), expected=0)
    return made


def toy_rgb(text: str, letters: str = LETTERS) -> np.ndarray:
    """The picture that the toy reads as this text: a grey band and a black one for each letter."""
    rgb = np.zeros((HEIGHT, max(BAND * len(text), BAND), 3), np.uint8)
    for number, letter in enumerate(text):
        grey = round(255 * (letters.index(letter) + 1) / len(letters))
        rgb[:, number * BAND : number * BAND + BAND // 2] = grey
    return rgb


@pytest.fixture(scope="session")
def toy_picture() -> Callable[..., bytes]:
    def make(text: str, form: str = "PNG", **options: object) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(toy_rgb(text)).save(buffer, form, **options)
        return buffer.getvalue()

    return make


@dataclass
class Running:
    """A server in this process, called without sockets."""

    context: Context
    client: httpx.AsyncClient
    lanes: list[ThreadLane]

    async def ask(self, picture: bytes, **query: str) -> httpx.Response:
        return await self.client.post("/predict", content=picture, params=query)

    async def shipped(self, count: int = 1) -> None:
        """Wait until so many uploads are in the object store."""
        async with asyncio.timeout(120):
            while self.context.collector.report().shipped < count:
                await asyncio.sleep(0.01)


@pytest.fixture
def serving(toy_package: Package, tmp_path: Path) -> Callable[..., object]:
    """Starts a server with thread lanes: `async with serving() as running: …`."""

    @asynccontextmanager
    async def start(
        *,
        package: Package | None = toy_package,
        registry: object = None,
        lanes: int = 2,
        queue: QueueLimits | None = None,
        limits: PictureLimits | None = None,
        settings: ServeSettings | None = None,
        factory: Callable[[Context], object] = create_app,
        **parts: object,
    ) -> AsyncIterator[Running]:
        metrics = Metrics()
        # Patient, because a test must not fail where the machine has other things to do.
        limits_of_queue = queue or QueueLimits(deadline_s=120, work_s=120)
        dispatcher = Dispatcher(limits_of_queue, on_refused=metrics.refused)
        roster = Roster()
        service = Service(roster, dispatcher, watch=metrics.answered)
        live = Live(
            registry,
            package,
            dispatcher,
            roster,
            cache=tmp_path / "cache",
            poll_s=0.02,
            trials=service.trials,
        )
        limits = limits or PictureLimits()
        made = [
            ThreadLane(str(number), dispatcher, limits, wide_threads=2 if number == 0 else 0)
            for number in range(lanes)
        ]
        for lane in made:
            await live.prepare(lane)
        await live.refresh()
        context = Context(
            service, settings or ServeSettings(), limits, live, metrics=metrics, **parts
        )
        transport = httpx.ASGITransport(factory(context), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://nhan") as client:
            yield Running(context, client, made)
        for lane in made:
            lane.kill()

    return start


@pytest.fixture
def collecting(serving: Callable[..., Any], tmp_path: Path) -> Callable[..., object]:
    """A server that collects: `async with collecting() as (running, store): …`."""

    @asynccontextmanager
    async def start(
        *,
        settings: UploadSettings | None = None,
        serve: ServeSettings | None = None,
        **options: Any,
    ) -> AsyncIterator[tuple[Running, Store]]:
        settings = settings or UploadSettings(ship_after_s=0.05, free_megabytes=0)
        store = open_store(tmp_path / "objects")
        collector = Collector(tmp_path / "spool", store, settings)
        desk = CorrectionDesk(collector, store)
        try:
            async with serving(
                collector=collector, corrections=desk, settings=serve, **options
            ) as running:
                running.context.service._differs = collector.disagreed
                yield running, store
        finally:
            desk.close()
            await asyncio.to_thread(collector.close)

    return start


@pytest.fixture(scope="session")
def error_of() -> Callable[[httpx.Response], dict[str, str]]:
    """The error of a response, which must have exactly our shape."""

    def read(response: httpx.Response) -> dict[str, str]:
        document = json.loads(response.content)
        assert set(document) == {"error"}, document
        assert set(document["error"]) == {"code", "message", "hint"}
        assert response.headers["content-type"] == "application/json"
        return document["error"]

    return read
