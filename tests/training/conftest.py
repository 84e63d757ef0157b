from __future__ import annotations

import pytest

from nhan.training import stream


@pytest.fixture(autouse=True)
def _toy_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made samples that need no fonts and no corpus."""
    monkeypatch.setitem(stream.STREAMS, "toy", "toy_stream:ToyStream")
