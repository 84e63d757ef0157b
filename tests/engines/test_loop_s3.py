"""S3 end to end on moto and on SeaweedFS: import, train from it, publish, serve, collect, promote.

Every command is a process of its own that finds the store by the usual variables; no picture,
dataset or model is kept on this machine's disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from seaweed import make_bucket, run_seaweed, told_to_processes
from servers import serving_at

from nhan.storage import NumberedLog, open_store

pytestmark = pytest.mark.engine

_LINES = 60
_SPAWN = get_context("spawn")


@dataclass
class Shop:
    """A workspace whose objects are in a bucket."""

    root: Path
    url: str
    environment: dict[str, str]

    def nhan(self, *words: str, exit_code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "nhan", *words],
            env=self.environment, capture_output=True, text=True, timeout=1800, check=False,
        )  # fmt: skip
        assert done.returncode == exit_code, f"nhan {words}: {done.stdout} {done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.nhan(*words, "--json"))


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_seaweed(tmp_path_factory.mktemp("seaweed")) as endpoint:
        yield endpoint


@pytest.fixture(params=["moto", "seaweedfs"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    server = "s3_endpoint" if request.param == "moto" else "seaweed"
    endpoint = request.getfixturevalue(server)
    environment = told_to_processes(endpoint)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, environment[name])
    made = Shop(tmp_path / "shop", f"s3://{make_bucket(endpoint)}/team/shop", environment)
    environment["NHAN_WORKSPACE"] = str(made.root)
    made.nhan("init", str(made.root), "--objects", made.url)
    return made


def test_the_whole_loop_has_its_objects_in_the_bucket(
    shop: Shop, draw_line: Callable[..., bytes], tmp_path: Path
) -> None:
    assert "create-only" in shop.nhan("doctor", "storage", shop.url)
    source = tmp_path / "lines"
    source.mkdir()
    labels = {f"{number}.png": f"so {number * 7919 % 9973}" for number in range(_LINES)}
    for name, text in labels.items():
        (source / name).write_bytes(draw_line(text))
    (source / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    shop.nhan("import", str(source))
    shop.nhan("audit")
    shop.nhan("freeze", "lines")
    for _ in range(2):
        shop.nhan("train", "lines", "--model", "reader",
                  "--set", "length.samples=96", "--set", "track=off")  # fmt: skip
    shop.nhan("evaluate", "reader@1")
    shop.nhan("promote", "reader@1", "--force", "--because", "the first")

    with serving_at(
        tmp_path, workspace=shop.root, wait="/readyz",
        environment={**shop.environment, "NHAN_SERVE__MODEL": "reader"},
    ) as server:  # fmt: skip
        answer, version = ask(f"{server.main}/predict?model=reader", draw_line("so 12"))
        assert version == "reader@1"
        shop.nhan("promote", "reader@2", "--force", "--because", "the second")
        deadline = time.monotonic() + 300  # 5 s where nothing else runs
        while ask(f"{server.main}/predict?model=reader", draw_line("so 12"))[1] != "reader@2":
            assert time.monotonic() < deadline, "the promotion is not live"
            time.sleep(0.2)
        correction = json.dumps({"prediction": answer["id"], "label": "so 12"}).encode()
        ask(f"{server.main}/corrections", correction, "application/json")
        deadline = time.monotonic() + 600  # on a busy machine a command takes seconds
        while answer["id"] not in shop.nhan("uploads", "list", "--limit", "1000", "--json"):
            assert time.monotonic() < deadline, "what was collected has not come in"
            shop.nhan("uploads", "intake")
            time.sleep(0.5)
    shop.nhan("rollback", "reader", "--because", "a test")

    store = open_store(shop.url)
    log = [entry for _, entry in NumberedLog(store, "models/reader/log").entries()]
    assert [entry["version"] for entry in log] == [1, 2, 1]
    for prefix in ("images", "datasets/lines", "runs", "models/reader/2", "uploads/corrections"):
        assert list(store.list(prefix)), prefix
    kept = {path.suffix for path in shop.root.rglob("*") if path.is_file()}
    # Prepared pictures and checkpoints stay as a cache; both are made again where they are gone.
    assert not kept & {".png", ".parquet", ".onnx"}, kept


def ask(address: str, data: bytes, kind: str = "image/png") -> tuple[Any, str]:
    request = urllib.request.Request(address, data, {"Content-Type": kind})
    deadline = time.monotonic() + 300
    while True:
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response), response.headers.get("X-Nhan-Model", "")
        except urllib.error.HTTPError as error:
            with error:  # a correction may come before what it corrects was shipped
                if error.code != 404 or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def _append(url: str, environment: dict[str, str], writer: int) -> list[int]:
    os.environ.update(environment)
    log = NumberedLog(open_store(url), "models/contested/log")
    return [log.append({"writer": writer, "turn": turn}) for turn in range(10)]


def test_of_four_processes_that_append_each_number_has_one_winner(shop: Shop) -> None:
    with ProcessPoolExecutor(4, mp_context=_SPAWN) as pool:
        parts = list(pool.map(_append, [shop.url] * 4, [shop.environment] * 4, range(4)))
    assert sorted(number for part in parts for number in part) == list(range(1, 41))
    entries = NumberedLog(open_store(shop.url), "models/contested/log").entries()
    assert len({(entry["writer"], entry["turn"]) for _, entry in entries}) == 40
