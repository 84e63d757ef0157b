"""Errors as HTTP: one JSON shape everywhere, and the shapes that other systems' clients expect.

The class of an error carries status and code; this table only gives it its form. It serves the
routes, unknown routes, wrong methods and failed validation alike.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from nhan.errors import NhanError, NotReady, QueueFull, Unauthorized
from nhan.serving import access

log = logging.getLogger("nhan.serving")

Shape = Callable[[NhanError], Any]
# Shows an error to a person; the console sets one as `app.state.error_page`.
Page = Callable[[Scope, NhanError], Response]

# Of a name that a client chose, in a message.
_MAX_WORD = 80

_CODES = {404: "not_found", 405: "method_not_allowed", 406: "not_acceptable"}


def ours(error: NhanError) -> Any:
    """`{"error": {"code": …, "message": …, "hint": …}}`."""
    return error.to_json()


def open_inference(error: NhanError) -> Any:
    """V1 and V2: `{"error": "…"}`."""
    return {"error": f"{error.message}; {error.hint}" if error.hint else error.message}


def torchserve(error: NhanError) -> Any:
    """TorchServe's `code`, `type` and `message`, beside ours."""
    kind = _TORCHSERVE_TYPES.get(error.status, "InternalServerException")
    return {**error.to_json(), "code": error.status, "type": kind, "message": error.message}


_TORCHSERVE_TYPES = {
    400: "BadRequestException",
    401: "InvalidKeyException",
    403: "ForbiddenException",
    404: "ModelNotFoundException",
    405: "MethodNotAllowedException",
    409: "ConflictStatusException",
    413: "RequestEntityTooLargeException",
    415: "BadRequestException",
    429: "ServiceUnavailableException",
    503: "ServiceUnavailableException",
    504: "RequestTimeoutException",
}

# Routes that speak another system's protocol, by the beginning of their path.
_SHAPES: dict[str, Shape] = {
    "/v1": open_inference,
    "/v2": open_inference,
    "/predictions": torchserve,
    "/models": torchserve,
}


def respond(error: NhanError, path: str = "") -> Response:
    """The response that tells this error in the protocol of that path."""
    shape = _SHAPES.get("/" + path.lstrip("/").partition("/")[0], ours)
    body = json.dumps(shape(error), ensure_ascii=False).encode("utf-8", "replace")
    response = Response(body, status_code=error.status, media_type="application/json")
    if isinstance(error, QueueFull | NotReady):
        response.headers["retry-after"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, Unauthorized):
        response.headers["www-authenticate"] = "Bearer"
    return response


def show(app: FastAPI, scope: Scope, error: NhanError) -> Response:
    """The response that tells an error to whoever asked: a person's browser gets a page."""
    if access.wants_page(scope):
        if (login := access.login_page(scope, error)) is not None:
            return login
        page: Page | None = getattr(app.state, "error_page", None)
        if page is not None:
            return page(scope, error)
    return respond(error, scope["path"])


def unexpected(error: Exception, path: str) -> NhanError:
    """Log what nobody foresaw in full; what the client is told, plainly and nothing else."""
    log.error("unexpected %s on %s", type(error).__name__, path, exc_info=error)
    return NhanError("something went wrong here", hint="the server's log has it")


class HttpProblem(NhanError):
    """What the HTTP layer itself refuses: an unknown route, a wrong method."""

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = _CODES.get(status, "bad_request" if status < 500 else "internal_error")


def install(app: FastAPI) -> None:
    """Make every error of an app take its form here."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, NhanError)
        return show(app, request.scope, error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        problem = HttpProblem(error.status_code, _sentence(request, error), hint=_guide(app))
        response = show(app, request.scope, problem)
        response.headers.update(error.headers or {})
        return response

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0] if error.errors() else {"loc": ("request",), "msg": "is invalid"}
        where = ".".join(str(part)[:_MAX_WORD] for part in first["loc"])
        problem = HttpProblem(400, f"{where}: {first['msg']}", hint=_guide(app))
        return show(app, request.scope, problem)

    async def unforeseen(request: Request, error: Exception) -> Response:
        return show(app, request.scope, unexpected(error, request.url.path))

    app.add_exception_handler(NhanError, known)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unforeseen)


def _guide(app: FastAPI) -> str:
    """Where the routes are described: the page is one of the console's, which admin has none of."""
    return "see /docs" if hasattr(app.state, "error_page") else "see /openapi.json"


def _sentence(request: Request, error: HTTPException) -> str:
    if error.status_code == 404:
        return f"there is no route {request.url.path}"
    if error.status_code == 405:
        return f"{request.url.path} does not take {request.method}"
    return str(error.detail)
