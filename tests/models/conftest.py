"""A registered bars task, and versions of a bars model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import bars
from nhan.models.package import Package, publish
from nhan.storage import Store, open_store
from nhan.tasks import TASKS, get_task


@pytest.fixture(autouse=True)
def _bars_task(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(TASKS, "bars", "bars:BarsTask")
    yield
    get_task.cache_clear()


@pytest.fixture
def store(tmp_path) -> Store:
    return open_store(tmp_path / "objects")


@pytest.fixture
def make_version(store: Store) -> Callable[..., Package]:
    """Publishes the next version of `bars` with a gain."""

    def make(gain: float = 1.0, *, run: str = "", name: str = "bars") -> Package:
        run = run or f"run-{len(store.folders(f'models/{name}'))}"
        return publish(store, name, {"model.onnx": bars.model(gain)}, bars.spec(), run=run)

    return make
