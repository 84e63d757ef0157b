"""A real server with real content, and Chromium with every way out of this machine closed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import sqlalchemy as sa
from servers import Server, serving_at

from nhan.catalog.schema import corrections, labels, predictions
from nhan.datasets.freeze import freeze
from nhan.datasets.read import open_dataset
from nhan.models.bundled import bundled_package
from nhan.models.package import publish
from nhan.models.registry import Promotion, Registry
from nhan.uploads.intake import take_in
from nhan.workspace import Workspace

if TYPE_CHECKING:  # a run without the engines has no Playwright, and must still collect
    from console_stage import Open
    from playwright.sync_api import Browser

AXE = Path(__file__).parents[3] / ".engines/axe/node_modules/axe-core/axe.min.js"
# Whatever is not this machine cannot be reached, not even by name.
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]  # fmt: skip
_LINES, _LEARNT = 250, 70
# For what takes a second or two where nothing else runs.
_PATIENCE_S = 300


@dataclass
class Shop:
    """A workspace with data, models and uploads, and the server on it.

    Attributes:
        lines: text by picture file of pictures that nobody has uploaded or labelled yet.
    """

    root: Path
    server: Server
    lines: dict[Path, str]

    @property
    def registry(self) -> Registry:
        return Registry(Workspace.open(self.root).store)

    def answer(self, name: str, version: int) -> None:
        """Let another version answer, as a promotion does."""
        state = self.registry.log(name)
        entry = Promotion(action="forced", version=version, previous=state.champion, because="test")
        self.registry.record(name, entry, expected=state.number)

    def upload(self, count: int) -> None:
        """Send pictures to the server, and wait until the catalogue has them."""
        sent = set()
        for file in [*self.lines][:count]:
            answer = httpx.post(
                f"{self.server.main}/predict", files={"file": file.read_bytes()}, timeout=120
            )
            assert answer.headers["x-nhan-collected"] == "yes"
            sent.add(answer.json()["id"])
            self.lines.pop(file)
        deadline = time.monotonic() + _PATIENCE_S
        while sent - self._predictions():  # what other tests sent comes in along with it
            assert time.monotonic() < deadline, "uploads never reached the catalogue"
            time.sleep(0.5)
            self.take_in()

    def _predictions(self) -> set[str]:
        with Workspace.open(self.root) as workspace, workspace.catalog.read() as connection:
            return set(connection.scalars(sa.select(predictions.c.id)))

    def wait_for_correction(self, value: str) -> None:
        """Take in what came until the catalogue has this correction, and its label."""
        query = sa.select(corrections.c.value, labels.c.value, labels.c.origin).join(
            labels, labels.c.id == corrections.c.label_id
        )
        deadline = time.monotonic() + _PATIENCE_S
        rows: list[tuple[str, ...]] = []
        while (value, value, "correction") not in rows:
            assert time.monotonic() < deadline, rows
            time.sleep(0.5)  # what the server keeps locally goes to the store in batches
            self.take_in()
            with Workspace.open(self.root) as workspace, workspace.catalog.read() as connection:
                rows = [tuple(row) for row in connection.execute(query)]

    def take_in(self) -> None:
        with Workspace.open(self.root) as workspace:
            take_in(workspace)


def run(*arguments: str | Path, root: Path | None = None) -> str:
    command = [sys.executable, "-m", "nhan", *map(str, arguments)]
    if root is not None:
        command += ["--workspace", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def publish_bundled(registry: Registry, run_id: str, dataset: str) -> None:
    package = bundled_package()
    assert package is not None
    spec = package.spec.to_dict()
    files = {name: package.read(name) for name in spec["files"]}
    kept = {key: value for key, value in spec.items() if key not in ("name", "version", "files")}
    publish(registry.store, "vi-line", files, {**kept, "dataset": dataset}, run=run_id)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("console")
    run("synth", folder / "lines", "--lines", str(_LINES), "--seed", "11")
    labels = json.loads((folder / "lines/labels.json").read_text())
    names = sorted(labels)
    _write_folder(folder / "first", folder / "lines", {n: labels[n] for n in names[:60]})
    second = {n: labels[n] for n in names[60:_LEARNT]}
    second[names[60]] += " Ω"  # something for the label doctor
    _write_folder(folder / "second", folder / "lines", second)
    root = folder / "shop"
    Workspace.init(root).close()
    for part in ("first", "second"):
        run("import", folder / part, root=root)
        with Workspace.open(root) as workspace:
            freeze(workspace, "lines")
    with Workspace.open(root) as workspace:
        registry = Registry(workspace.store)
        for run_id in ("run-a", "run-b"):
            publish_bundled(registry, run_id, open_dataset(workspace.store, "lines").ref)
        registry.record("vi-line", Promotion(action="promote", version=1, by="an"), expected=0)
    run("evaluate", "vi-line@1", "lines", root=root)
    run("evaluate", "vi-line@2", "lines", root=root)
    waiting = {folder / "lines" / name: labels[name] for name in names[_LEARNT:]}
    with serving_at(folder, workspace=root, wait="/readyz") as server:
        shop = Shop(root, server, waiting)
        shop.upload(140)
        yield shop


def _write_folder(target: Path, source: Path, labels: dict[str, str]) -> None:
    for name in labels:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, target / name)
    (target / "labels.json").write_text(json.dumps(labels, ensure_ascii=False))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium")
    if found is None:
        pytest.fail("Chromium is not installed; run tests/engines/install")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, shop: Shop) -> Iterator[Open]:
    """Open a page: `visit("/review", language="en", width=390)`; nothing on it may go wrong."""
    from console_stage import opening

    with opening(chromium, shop.server.main) as open_page:
        yield open_page


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.exists():
        pytest.fail("axe-core is not installed; run tests/engines/install")
    return AXE.read_text(encoding="utf-8")
