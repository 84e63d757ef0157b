"""Routes whose modules are imported when somebody first asks for one of them.

The review API, the pictures and Label Studio's routes need the catalogue, whose library takes half
a second and 25 MB. A server that only answers pictures starts without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from importlib import import_module

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send


class LateRoutes(BaseRoute):
    """Stands in for the routers of some modules until one of them is asked.

    Args:
        app: where the routers go.
        modules: the module, with its `router`, by the beginning of its routes' paths.
        describing: paths that tell of all routes, so that all modules must be there.
    """

    def __init__(
        self, app: FastAPI, modules: Mapping[str, str], *, describing: Collection[str] = ()
    ) -> None:
        self._app = app
        self._modules = dict(modules)
        self._waiting = list(modules)
        self._describing = frozenset(describing)
        app.router.routes.insert(0, self)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a path needs a module that is still to be imported."""
        found = scope["type"] == "http" and bool(self._needed(scope["path"]))
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Import what is needed, and let its own routes answer."""
        for prefix in self._needed(scope["path"]):
            module = await asyncio.to_thread(import_module, self._modules[prefix])
            if prefix in self._waiting:  # else another request was quicker
                self._waiting.remove(prefix)
                self._app.include_router(module.router)
        if not self._waiting and self in self._app.router.routes:
            self._app.router.routes.remove(self)
        await self._app.router(scope, receive, send)

    def _needed(self, path: str) -> list[str]:
        if path in self._describing:
            return list(self._waiting)
        return [one for one in self._waiting if path == one or path.startswith(one + "/")]
