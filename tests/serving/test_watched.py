"""What was measured of live answers, as Prometheus is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from nhan.errors import StorageError
from nhan.serving.exposition import _watched
from nhan.serving.roster import Deployment, Roster
from nhan.serving.watched import Watched
from nhan.storage import Store, open_store

DRIFT = {"features": {"brightness": {"psi": 1.5, "luck": 0.1, "drifted": True}}}
QUALITY = {
    "versions": [
        {"version": "2", "samples": 40, "value": 0.03, "low": 0.01, "high": 0.06},
        {"version": "3", "samples": 0, "value": None, "low": None, "high": None},
    ]
}
BUDGET = {"gain": {"labels": 100, "value": 0.004, "low": 0.001, "high": 0.01}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "objects")


@pytest.fixture
def roster() -> Roster:
    found = Roster("")
    found.crown(Deployment("reader", "3", "text", "model.onnx", False))
    return found


def told(watched: Watched) -> dict[tuple[str, ...], float]:
    asyncio.run(watched.refresh())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in _watched(watched.documents)
        for sample in metric.samples
    }


def test_measurements_of_who_answers_are_gauges(store: Store, roster: Roster) -> None:
    for name, document in (("drift", DRIFT), ("quality", QUALITY), ("budget", BUDGET)):
        store.put(f"watching/reader/{name}.json", json.dumps(document).encode())
        store.put(f"watching/other/{name}.json", json.dumps(document).encode())
    found = told(Watched(store, roster))
    assert found == {
        ("nhan_drift_psi", "reader", "brightness"): 1.5,
        ("nhan_drift_luck_psi", "reader", "brightness"): 0.1,
        ("nhan_drifted", "reader", "brightness"): 1,
        ("nhan_live_error_rate", "reader", "2", "value"): 0.03,
        ("nhan_live_error_rate", "reader", "2", "low"): 0.01,
        ("nhan_live_error_rate", "reader", "2", "high"): 0.06,
        ("nhan_live_reviewed_samples", "reader", "2"): 40,
        ("nhan_live_reviewed_samples", "reader", "3"): 0,
        ("nhan_label_gain", "reader"): 0.004,
    }


def test_nothing_measured_is_no_gauge(store: Store, roster: Roster) -> None:
    store.put("watching/reader/drift.json", b"{half a docum")
    assert told(Watched(store, roster)) == {}


def test_what_was_read_stays_while_the_store_is_away(
    store: Store, roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("watching/reader/budget.json", json.dumps(BUDGET).encode())
    watched = Watched(store, roster)
    before = told(watched)

    def away(path: str) -> bytes:
        raise StorageError(f"cannot read {path}")

    monkeypatch.setattr(store, "read", away)
    assert told(watched) == before != {}
