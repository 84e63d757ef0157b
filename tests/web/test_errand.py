"""Commands that pages ask for: a few at a time, and no endless line behind them."""

from __future__ import annotations

import asyncio

import pytest

from nhan.errors import QueueFull
from nhan.web import errand
from nhan.web.errand import Errands


def test_a_flood_of_pages_leaves_no_hours_of_work(tmp_path, monkeypatch) -> None:
    """Each is a process of a second; whoever asked is long gone when its turn comes."""

    async def scenario() -> tuple[list[object], object]:
        go_on = asyncio.Event()

        async def run(arguments, environment):
            await go_on.wait()
            return 0, b'"done"', b""

        monkeypatch.setattr(errand, "_run", run)
        errands = Errands(tmp_path)
        asked = [asyncio.create_task(errands.run("loop", "list")) for _ in range(500)]
        for _ in range(3):
            await asyncio.sleep(0)
        refused = [one for one in asked if one.done()]
        assert len(asked) - len(refused) < 50
        with pytest.raises(QueueFull):
            await errands.run("promote", "toy@2")
        go_on.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return answers, await errands.run("promote", "toy@2")

    answers, last = asyncio.run(scenario())
    assert {type(one) for one in answers} == {str, QueueFull}
    assert last == "done"
