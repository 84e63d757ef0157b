"""The file that answers says what the trained network says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import toy_run
from safetensors.torch import load

from nhan.errors import ExportRefused
from nhan.tasks import get_task
from nhan.tasks.text.learner import TextLearner
from nhan.tasks.text.networks import NETWORKS
from nhan.training import export, produce
from nhan.training.checkpoint import Checkpoint
from nhan.training.export import export_onnx, open_onnx
from nhan.training.quantise import int8_loss
from nhan.training.streamed import InMemory
from nhan.training.train import train
from nhan.workspace import Workspace

SMALL: dict[str, dict[str, Any]] = {
    "crnn": {"height": 32, "inner_dim": 16, "hidden": 12},
    "convgru": toy_run.MODEL["options"],
    "svtr": {"height": 16, "stem": 8, "channels": [16], "blocks": [1],
             "features": 24, "heads": 3, "mixers": 1},
}  # fmt: skip


def learner_for(name: str) -> TextLearner:
    torch.manual_seed(1)
    learner = get_task("text").learner(
        {"charset": toy_run.LETTERS}, {"network": name, "options": SMALL[name]}
    )
    assert isinstance(learner, TextLearner)
    return learner


def samples_for(learner: TextLearner, count: int = 20) -> InMemory:
    stream = toy_run.ToyStream(3)
    return InMemory([(learner.preparer(p), text) for p, text in map(stream.sample, range(count))])


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_exports_and_agrees(name: str) -> None:
    learner = learner_for(name)
    model, agreement = export_onnx(learner, samples_for(learner))
    assert (agreement.samples, agreement.different) == (20, 0)
    assert agreement.max_difference < 1e-4
    session = open_onnx(model)
    described = {entry.name: entry.shape for entry in session.get_inputs()}
    assert described == {
        "image": ["batch", 3, learner.network.height, "width_px"],
        "width": ["batch"],
    }
    image = np.zeros((3, 3, learner.network.height, 200), np.float32)
    log_probs, steps = session.run(None, {"image": image, "width": np.array([200, 40, 90])})
    assert log_probs.shape == (3, learner.network.steps(200), len(toy_run.LETTERS) + 1)
    assert steps.tolist() == [learner.network.steps(width) for width in (200, 40, 90)]


def test_a_model_that_says_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_for("convgru")
    written = export.to_onnx

    def other(given: TextLearner, example: Any) -> bytes:
        model = written(given, example)
        with torch.no_grad():
            given.network.head.bias[3] += 2.0
        return model

    monkeypatch.setattr(export, "to_onnx", other)
    with pytest.raises(ExportRefused, match="scores by up to"):
        export_onnx(learner, samples_for(learner))


def test_an_export_without_samples_is_refused() -> None:
    with pytest.raises(ExportRefused, match="no samples"):
        export_onnx(learner_for("convgru"), InMemory([]))


def test_a_run_becomes_a_package_that_reads(workspace: Workspace) -> None:
    data = toy_run.dataset(96, 24)
    config = toy_run.config(length={"epochs": 60}, optimizer={"lr": 0.01, "ema": 0.9})
    run = train(workspace, data, config, show=False)
    product = produce.produce_run(workspace, run.name, data)
    assert sorted(product.files) == ["metrics.json", "model.onnx", "weights.safetensors"]
    assert product.spec["dataset"] == "toy@0123456789ab"
    assert "weights.fold.weight" in load(product.files["weights.safetensors"])

    from nhan.images import decode
    from nhan.models.package import publish
    from nhan.models.predictor import Predictor

    package = publish(workspace.store, "toy", product.files, product.spec, run=run.name)
    predictor = Predictor.load(package)
    rows = list(data.rows("train"))
    read = [predictor.predict(decode(row.image)).value for row in rows]
    score = get_task("text").score([row.label for row in rows], read)
    assert score["cer"] < 0.3, "what was learned is what answers"


def test_int8_is_smaller_and_its_loss_is_stated() -> None:
    learner = learner_for("svtr")
    best = Checkpoint(
        dict(learner.network.state_dict()),
        {"task": "text", "options": learner.options, "vocabulary": learner.vocabulary,
         "config": {}},
    )  # fmt: skip
    samples = samples_for(learner)
    made = produce.produce(best, samples, int8=True, half=True)
    assert "20 validation samples" in made.spec["about"]["int8"]
    kept = "model.int8.onnx" in made.files
    assert made.spec["serve"] == ("model.int8.onnx" if kept else "model.onnx")
    assert len(made.files["weights.safetensors"]) < 0.8 * len(made.files["model.onnx"])


def test_how_answers_are_found_is_handed_on() -> None:
    learner = learner_for("convgru")
    reading = {"decoding": {"method": "beam"}, "second_look": {"turned_below": 0.9}}
    facts = {"task": "text", "options": learner.options, "vocabulary": learner.vocabulary}
    best = Checkpoint(
        dict(learner.network.state_dict()), {**facts, "config": {}, "reading": reading}
    )
    made = produce.produce(best, samples_for(learner))
    assert made.spec.items() >= reading.items()


def test_int8_that_loses_too_much_is_not_kept() -> None:
    learner = learner_for("convgru")
    samples = samples_for(learner)
    good, _ = export_onnx(learner, samples)
    with torch.no_grad():
        learner.network.head.bias[2] += 50.0
    spoiled, _ = export_onnx(learner, samples)
    loss = int8_loss(learner, get_task("text"), good, spoiled, samples, margin=0.002)
    assert loss.int8 != loss.float32
    assert loss.kept == (loss.int8 - loss.float32 <= 0.002)
    reverse = int8_loss(learner, get_task("text"), spoiled, good, samples, margin=0.002)
    assert {loss.kept, reverse.kept} == {True, False}
