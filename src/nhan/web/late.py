"""Routes whose modules are imported when somebody first asks for one of them.

The review API, the pictures and Label Studio's routes need the catalogue, whose library takes half
a second and 25 MB. A server that only answers pictures starts without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send


class LateRoutes(BaseRoute):
    """Stands in for the routers of some modules until one of them is asked.

    Args:
        app: where the routers go.
        modules: the module, with its `router`, by the beginning of its routes' paths.
    """

    def __init__(self, app: FastAPI, modules: Mapping[str, str]) -> None:
        self._app = app
        self._waiting = dict(modules)
        self._describe = app.openapi
        app.openapi = self._openapi  # type: ignore[method-assign]
        app.router.routes.append(self)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a path belongs to a module that is still to be imported."""
        found = scope["type"] == "http" and self._module(scope["path"]) is not None
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Import the module, and let its own routes answer."""
        prefix = self._module(scope["path"])
        if prefix is not None:
            await asyncio.to_thread(import_module, self._waiting[prefix])
            self._include(prefix)
        await self._app.router(scope, receive, send)

    def _module(self, path: str) -> str | None:
        for prefix in self._waiting:
            if path == prefix or path.startswith(prefix + "/"):
                return prefix
        return None

    def _include(self, prefix: str) -> None:
        module = self._waiting.pop(prefix, None)  # None: another request was quicker
        if module is not None:
            self._app.include_router(import_module(module).router)
            self._app.openapi_schema = None

    def _openapi(self) -> dict[str, Any]:
        for prefix in list(self._waiting):
            self._include(prefix)
        return self._describe()
