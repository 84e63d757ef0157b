"""A third task goes round the whole loop with one folder and one row in a table."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import nhan
from nhan.datasets.audit import audit
from nhan.datasets.freeze import freeze
from nhan.evaluation.evaluate import evaluate
from nhan.evaluation.promotion import promote
from nhan.images import encode_png
from nhan.models.registry import Registry
from nhan.pipeline.make_model import make_model
from nhan.samples.importer import import_samples
from nhan.serving.engine.dispatch import Dispatcher, QueueLimits
from nhan.serving.engine.threads import ThreadLane
from nhan.serving.live import Live
from nhan.serving.roster import Roster
from nhan.serving.service import Prediction, Service
from nhan.tasks import TASKS, get_task
from nhan.training.config import load_config
from nhan.workspace import Workspace

PACKAGE = Path(nhan.__file__).parent


@pytest.fixture(autouse=True)
def _one_row(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All that there is to adding a task, beside its folder."""
    monkeypatch.setitem(TASKS, "count", "toy_count:CountTask")
    yield
    get_task.cache_clear()


def bars(count: int, seed: int) -> bytes:
    """A picture of so many bright bars at random places."""
    rng = np.random.default_rng(seed)
    rgb = np.zeros((40, 160, 3), np.uint8)
    for place in rng.choice(16, count, replace=False):
        # Two of 32 columns each, so that neighbours never touch.
        rgb[:, place * 10 : place * 10 + 5] = 255
    return encode_png(rgb)


def test_a_third_task_goes_round_the_loop(workspace: Workspace, tmp_path: Path) -> None:
    pictures = tmp_path / "bars"
    pictures.mkdir()
    labels = {f"{n:03}.png": str(n % 10) for n in range(240)}
    for number, (name, label) in enumerate(labels.items()):
        (pictures / name).write_bytes(bars(int(label), number))
    (pictures / "labels.json").write_text(json.dumps(labels))

    import_samples(workspace, pictures, task="count")
    assert audit(workspace, "count").errors == 0
    dataset = freeze(workspace, "bars", "count").dataset
    assert dataset.vocabulary == {"most": 9}

    sets = ["track=off", "machine.threads=1", "length.epochs=25", "optimizer.lr=0.03"]
    package = make_model(workspace, dataset.ref, load_config(None, sets), show=False)
    record = evaluate(workspace, package.ref)
    assert (record.task, record.metric) == ("count", "mae")
    assert record.primary.value < 0.5
    assert set(record.slices["bars"]) == {"few", "many"}

    assert promote(workspace, package.ref).promotion.version == 1
    prediction = asyncio.run(_ask(workspace, bars(6, 999)))
    assert (prediction.task, prediction.model) == ("count", "bars")
    assert abs(prediction.to_dict()["count"] - 6) < 1
    assert prediction.value in ("5", "6", "7")


async def _ask(workspace: Workspace, picture: bytes) -> Prediction:
    dispatcher, roster = Dispatcher(QueueLimits()), Roster()
    registry = Registry(workspace.store)
    live = Live(registry, None, dispatcher, roster, cache=workspace.root / "cache", poll_s=1)
    lane = ThreadLane("0", dispatcher, workspace.picture_limits)
    try:
        await live.prepare(lane)
        await live.refresh()
        return await Service(roster, dispatcher).predict(picture)
    finally:
        lane.kill()


def _shared_modules() -> list[Path]:
    """Modules that serve every task."""
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in ("tasks", "synth")
    ]


@pytest.mark.parametrize("path", _shared_modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_shared_code_never_asks_which_task(path: Path) -> None:
    """No comparison with a task's name anywhere, whatever stands on the other side."""
    asked = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            words = [side.value for side in sides if isinstance(side, ast.Constant)]
            others = " ".join(ast.unparse(s) for s in sides if not isinstance(s, ast.Constant))
            if "task" in others and {"text", "classes"} & {w for w in words if isinstance(w, str)}:
                asked.append(f"line {node.lineno}: {ast.unparse(node)}")
    assert not asked
