"""What was measured of live answers, read from the object store for the metrics.

Drift and live quality are measured elsewhere (`nhan loop watch` and rounds), from the catalogue;
the server, which knows objects only, shows what was written last.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from nhan.errors import NhanError, NotFound
from nhan.serving.roster import Roster
from nhan.storage import Store

log = logging.getLogger("nhan.serving")

READ_EVERY_S = 60.0
_FIRST_S = 1.0  # until somebody answers whose documents there may be
_NAMES = ("drift", "quality", "budget")


class Watched:
    """The newest documents of the models that answer.

    Args:
        store: the workspace's objects.
        roster: who answers.

    Attributes:
        documents: `drift.json`, `quality.json`, `budget.json` by model and by name without ending.
    """

    def __init__(self, store: Store, roster: Roster) -> None:
        self.documents: dict[str, dict[str, dict[str, Any]]] = {}
        self._store = store
        self._roster = roster

    async def run(self) -> None:
        """Read again and again, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(READ_EVERY_S if self.documents else _FIRST_S)

    async def refresh(self) -> None:
        """Read once; where the store is away, what was read before stays."""
        names = [one.name for one in self._roster.champions]
        try:
            self.documents = await asyncio.to_thread(self._read, names)
        except NhanError as error:
            log.warning("what is watched cannot be read: %s", error.message)

    def _read(self, models: list[str]) -> dict[str, dict[str, dict[str, Any]]]:
        return {model: {name: self._document(model, name) for name in _NAMES} for model in models}

    def _document(self, model: str, name: str) -> dict[str, Any]:
        try:
            document = json.loads(self._store.read(f"watching/{model}/{name}.json"))
        except (NotFound, ValueError):
            return {}
        return document if isinstance(document, dict) else {}
