"""From an answer to pixels and people, and from a sample back to answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from small_rounds import numbers

from nhan.catalog.schema import corrections, labels, predictions, samples
from nhan.datasets.freeze import freeze
from nhan.errors import NotFound
from nhan.models.package import publish
from nhan.models.registry import Promotion, Registry
from nhan.pipeline.trace import trace
from nhan.uploads.record import UploadRecord, inbox_path
from nhan.workspace import Workspace

NOW = datetime.now(UTC)
PREDICTION = "f" * 28


@pytest.fixture
def traced(loop: Workspace, add_lines: Callable[..., None]) -> Workspace:
    """A version trained on imported lines and one correction, which then answered."""
    add_lines(numbers(0, 30))
    first = freeze(loop, "lines").dataset.ref
    with loop.catalog.write() as connection:
        sample = connection.scalar(samples.select().where(samples.c.split == "train"))
        connection.execute(predictions.insert(), [_answer("a" * 28, sample, "1")])
        label = connection.execute(
            labels.insert().values(
                sample_id=sample, value="đã sửa", origin="correction", given_by="binh",
                external_id="c1", given_at=NOW,
            )
        ).inserted_primary_key[0]  # fmt: skip
        connection.execute(
            corrections.insert().values(
                id="c1", prediction_id="a" * 28, label_id=label, value="đã sửa", given_by="binh",
                at=NOW,
            )
        )  # fmt: skip
        connection.execute(samples.update().where(samples.c.id == sample).values(label_id=label))
    second = freeze(loop, "lines").dataset.ref
    assert first != second
    for dataset, run in ((first, "by-hand"), (second, "loop-1")):
        spec = {"task": "text", "dataset": dataset, "serve": "model.onnx"}
        publish(loop.store, "reader", {"model.onnx": b"not asked here"}, spec, run=run)
    facts = {"started": "2026-01-02", "start_from": "reader@1", "environment": {"commit": "abc"}}
    loop.store.put("runs/loop-1/run.json", json.dumps(facts).encode())
    Registry(loop.store).record(
        "reader", Promotion(action="promote", version=2, by="round 1", because="a test"), expected=0
    )
    with loop.catalog.write() as connection:
        other = connection.scalar(samples.select().where(samples.c.split == "test"))
        connection.execute(predictions.insert(), [_answer(PREDICTION, other, "2")])
    return loop


def _answer(number: str, sample: int, version: str) -> dict[str, object]:
    return {
        "id": number, "sample_id": sample, "model": "reader", "version": version, "value": "so 1",
        "confidence": 0.9, "details": {}, "user": "an", "consent": None, "sampled": "", "at": NOW,
    }  # fmt: skip


def test_an_answer_is_traced_to_who_taught_it(traced: Workspace) -> None:
    found = trace(traced, PREDICTION)
    assert found["prediction"]["value"] == "so 1"
    assert found["model"]["ref"] == "reader@2"
    assert found["model"]["promotions"][0]["by"] == "round 1"
    assert found["run"] == {
        "run": "loop-1", "started": "2026-01-02", "from": "reader@1", "commit": "abc",
        "config": "runs/loop-1/config.json",
    }  # fmt: skip
    dataset = found["dataset"]
    assert dataset["ref"] == Registry(traced.store).open("reader", 2).spec.dataset
    assert dataset["new"] == 1
    assert dataset["labels"]["correction by binh"] == 1
    (example,) = dataset["examples"]
    assert example["corrections"][0]["by"] == "binh"
    assert example["label"]["value"] == "đã sửa"
    assert traced.store.exists(example["object"])
    assert json.dumps(found, default=None)


def test_a_correction_is_traced_to_the_models_that_learned_it(traced: Workspace) -> None:
    label = trace(traced, PREDICTION)["dataset"]["examples"][0]["label"]["id"]
    found = trace(traced, f"label:{label}")
    assert [one["label"] for one in found["datasets"]][1:] == ["đã sửa"]
    assert [one["ref"] for one in found["models"]] == ["reader@1", "reader@2"]
    assert [one["id"] for one in found["predictions"]] == ["a" * 28]
    sample = found["sample"]
    assert trace(traced, f"sample:{sample['id']}") == trace(traced, sample["sha256"]) == found


def test_what_intake_has_not_seen_yet_is_found_in_the_inbox(traced: Workspace) -> None:
    number = f"{int(NOW.timestamp() * 1e3):012x}{7:016x}"
    record = UploadRecord(
        id=number, at=NOW, task="text", model="reader", version="2", value="so 7", confidence=0.5,
        details={}, sha256="0" * 64, path="images/00/0.png", size_bytes=1, format="png",
    )  # fmt: skip
    traced.store.put(inbox_path(number), record.to_bytes())
    found = trace(traced, number)
    assert found["model"]["ref"] == "reader@2"
    assert "sample" not in found


@pytest.mark.parametrize(
    "what",
    ["nothing", "sample:999", "label:x", "f" * 64, "0" * 9 + "1" * 19, "sample:" + "9" * 19,
     "label:" + "9" * 19],
)  # fmt: skip
def test_what_does_not_exist_is_said(traced: Workspace, what: str) -> None:
    with pytest.raises(NotFound):
        trace(traced, what)


def test_an_answer_of_a_version_that_is_gone_says_so(traced: Workspace) -> None:
    with traced.catalog.write() as connection:
        connection.execute(predictions.insert(), [_answer("b" * 28, 1, "77")])
    assert "model" not in trace(traced, "b" * 28)
