"""Once round the loop with classes, by the functions behind the commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from nhan.cli.main import run
from nhan.datasets.audit import audit
from nhan.datasets.freeze import freeze
from nhan.datasets.read import DatasetVersion
from nhan.errors import GateRefused
from nhan.evaluation.evaluate import evaluate
from nhan.evaluation.promotion import promote
from nhan.images import encode_png
from nhan.models.package import Package
from nhan.models.registry import Registry
from nhan.pipeline.make_model import make_model
from nhan.samples.importer import import_samples
from nhan.serving.engine.dispatch import Dispatcher, QueueLimits
from nhan.serving.engine.threads import ThreadLane
from nhan.serving.live import Live
from nhan.serving.roster import Roster
from nhan.serving.service import Service
from nhan.training.config import load_config
from nhan.workspace import Workspace

ALWAYS = ["track=off", "machine.threads=1"]


@dataclass
class Round:
    """A workspace in which classes went once round."""

    workspace: Workspace
    pictures: Path
    dataset: DatasetVersion
    package: Package


def write_digits(folder: Path) -> Path:
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    for number, (grey, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        target = folder / str(label)
        target.mkdir(parents=True, exist_ok=True)
        pixels = (255 - grey * (255 / 16)).round().astype(np.uint8)
        Image.fromarray(pixels).save(target / f"{number:04}.png")
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    """scikit-learn's 1,797 handwritten digits, learned from scratch."""
    folder = tmp_path_factory.mktemp("digits")
    pictures = write_digits(folder / "pictures")
    with Workspace.init(folder / "workspace") as workspace:
        import_samples(workspace, pictures, task="classes")
        dataset = freeze(workspace, "digits", "classes").dataset
        sets = ["model.backbone=small", "model.prepare.size=32", "length.epochs=6", *ALWAYS]
        config = load_config(None, sets)
        package = make_model(workspace, dataset.ref, config, int8=True, show=False)
        yield Round(workspace, pictures, dataset, package)


def test_digits_are_told_from_scratch(digits):
    record = evaluate(digits.workspace, digits.package.ref)
    assert record.metric == "error"
    assert record.metrics["accuracy"].value >= 0.97
    assert record.samples == digits.dataset.splits["test"] > 150
    assert record.metrics["macro_f1"].value > 0.9
    assert all(score.high <= 1 for score in record.metrics.values())
    assert record.metrics["top_3_error"].value <= record.metrics["error"].value
    assert set(record.slices["class"]) <= set("0123456789")
    assert record.calibration.ece < 0.05
    # A class of few test pictures is known less well than the whole, however well it is told.
    recalls = {name: record.metrics[f"recall of {name}"] for name in record.slices["class"]}
    assert sum(recall.samples for recall in recalls.values()) == record.samples
    faultless = [recall for recall in recalls.values() if recall.value == 1]
    assert faultless
    for recall in faultless:
        assert recall.low == pytest.approx(0.025 ** (1 / recall.samples))


def test_the_package_says_all_and_int8_was_judged(digits):
    spec = digits.package.spec.to_dict()
    assert spec["outputs"] == {"classes": list("0123456789")}
    assert spec["prepare"]["size"] == 32
    assert spec["calibration"]["method"] == "temperature"
    assert spec["calibration"]["ece_after"] <= spec["calibration"]["ece_before"]
    assert spec["about"]["export"]["different"] == 0
    assert "int8" in spec["about"]["int8"]
    assert "temperature" in digits.package.card()


def test_promoted_digits_are_served(digits):
    promoted = promote(digits.workspace, digits.package.ref)
    assert promoted.promotion.version == 1
    worse = load_config(
        None, ["model.backbone=small", "model.prepare.size=8", "length.samples=320", *ALWAYS]
    )
    other = make_model(digits.workspace, digits.dataset.ref, worse, show=False)
    with pytest.raises(GateRefused):
        promote(digits.workspace, other.ref)
    row = next(digits.dataset.rows("test"))
    prediction = asyncio.run(_ask(digits.workspace, row.image))
    document = prediction.to_dict()
    assert (document["task"], document["model"], document["version"]) == ("classes", "digits", "1")
    assert document["label"] == prediction.value == next(iter(document["labels"]))
    scores = list(document["labels"].values())
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 10
    assert document["confidence"] == pytest.approx(scores[0], abs=1e-3)


async def _ask(workspace: Workspace, picture: bytes):
    dispatcher, roster = Dispatcher(QueueLimits()), Roster()
    service = Service(roster, dispatcher)
    registry = Registry(workspace.store)
    live = Live(registry, None, dispatcher, roster, cache=workspace.root / "cache", poll_s=1)
    lane = ThreadLane("0", dispatcher, workspace.picture_limits)
    try:
        await live.prepare(lane)
        await live.refresh()
        return await service.predict(picture, model="digits")
    finally:
        lane.kill()


def test_predict_prints_classes_high_to_low(digits, capsys, monkeypatch):
    monkeypatch.setenv("NHAN_WORKSPACE", str(digits.workspace.root))
    pictures = [str(path) for path in sorted((digits.pictures / "3").iterdir())[:2]]
    with pytest.raises(SystemExit) as left:
        run(["predict", "--model", "digits@1", pictures[0]])
    assert left.value.code == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][1] == "3"
    scores = [float(score) for score, _ in lines]
    assert scores == sorted(scores, reverse=True)
    with pytest.raises(SystemExit):
        run(["predict", "--model", "digits@1", "--json", *pictures])
    documents = json.loads(capsys.readouterr().out)
    assert [document["label"] for document in documents] == ["3", "3"]


def test_a_drawn_set_by_transfer_from_a_saved_backbone(workspace, tmp_path, backbone, draw, shapes):
    for number in range(400):
        name = shapes[number % len(shapes)]
        path = tmp_path / "shapes" / name / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(draw(name, number)))
    import_samples(workspace, tmp_path / "shapes", task="classes")
    found = audit(workspace, "classes")
    assert not found.errors
    dataset = freeze(workspace, "shapes", "classes").dataset
    assert dataset.vocabulary == {"classes": sorted(shapes)}
    config = load_config(None, [f"model.backbone={backbone}", "length.epochs=3", *ALWAYS])
    package = make_model(workspace, dataset.ref, config, show=False)
    record = evaluate(workspace, package.ref)
    assert record.metrics["accuracy"].value >= 0.75  # five classes, a trunk that was never trained
    # A second training looks at no picture again.
    kept = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("features/**/*.npz")}
    assert kept
    again = make_model(workspace, dataset.ref, config, show=False)
    after = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("features/**/*.npz")}
    assert after == kept
    assert again.ref == "shapes@2"
