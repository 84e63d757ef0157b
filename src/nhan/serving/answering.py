"""What every route that answers pictures does: ask, keep what may be kept, name who answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.requests import Request

from nhan.errors import BadPicture, BadRequest, NhanError
from nhan.names import one_spelling
from nhan.serving.context import Context
from nhan.serving.service import Prediction
from nhan.uploads.collect import Answered, Collector
from nhan.uploads.record import MAX_USER

# While pictures wait for a worker, no worker is idle for an answer that waits for others to share
# an fsync with: nobody loses throughput, and every answer in the queue takes longer than this.
_GATHER_S = 0.02
_YES = frozenset({"yes", "true", "1", "on"})


@dataclass(frozen=True, slots=True)
class Answers:
    """Predictions in the order of the pictures, and the headers that go with them."""

    predictions: list[Prediction]
    headers: dict[str, str]


async def answer(
    request: Request,
    context: Context,
    pictures: Sequence[bytes],
    *,
    model: str = "",
    version: str = "",
) -> Answers:
    """Answer a request's pictures and keep them, unless whoever sent them does not want that.

    What a file betrays undecoded is refused here, before it could wait behind others' pictures.

    Raises:
        BadRequest: `X-Nhan-User` is no name.
        NhanError: see `Service.predict`.
        SpoolFull: they cannot be kept, and the settings say not to answer then.
    """
    with _counted(context):
        await context.examiner.examine(pictures, context.limits)
    collector = context.collector
    keeping = collector is not None and collector.on and wants_keeping(request)
    user = ""
    if collector is not None and keeping:
        user = user_of(request)
        collector.require_room()
    service, left = context.service, gone(request)
    with _counted(context):
        if len(pictures) == 1:
            only = await service.predict(pictures[0], model=model, version=version, gone=left)
            predictions = [only]
        else:
            predictions = await service.predict_many(
                pictures, model=model, version=version, gone=left
            )
    headers = model_header(predictions)
    kept = False
    if collector is not None and keeping and predictions:
        gather_s = _GATHER_S if service.dispatcher.waiting else 0.0
        kept = await _keep(request, collector, predictions, pictures, user, gather_s)
    headers["X-Nhan-Collected"] = "yes" if kept else "no"
    return Answers(predictions, headers)


@contextmanager
def _counted(context: Context) -> Iterator[None]:
    """Count the pictures that are refused; the queue counts what it turns away itself."""
    try:
        yield
    except BadPicture as error:
        context.metrics.refused(error.code)
        raise


def model_header(predictions: Sequence[Prediction]) -> dict[str, str]:
    """The header that names who answered; empty when nobody had to."""
    names = {f"{one.model}@{one.version}": None for one in predictions}
    return {"X-Nhan-Model": ", ".join(names)} if names else {}


def gone(request: Request) -> Callable[[], bool] | None:
    """Tells whether the client has hung up, without waiting; None where nobody knows."""
    exchange = request.scope.get("nhan.exchange")
    return None if exchange is None else lambda: bool(exchange.disconnected)


def wants_keeping(request: Request) -> bool:
    """Whether the request leaves `X-Nhan-Collect` on; a word we do not know counts as off."""
    value = request.headers.get("x-nhan-collect")
    return value is None or value.strip().lower() in _YES


def consent_of(request: Request) -> bool | None:
    """`X-Nhan-Consent`: None where it is not said; a word we do not know is no consent."""
    value = request.headers.get("x-nhan-consent")
    return None if value is None else value.strip().lower() in _YES


def user_of(request: Request) -> str:
    """`X-Nhan-User`, UTF-8 or percent-encoded; '' where it is not said.

    Raises:
        BadRequest: too long, or not a name.
    """
    value = request.headers.get("x-nhan-user")
    if not value:
        return ""
    user = one_spelling(unquote(value.encode("latin-1").decode("utf-8", "replace")).strip())
    if len(user) > MAX_USER or not user.isprintable():
        raise BadRequest(
            f"X-Nhan-User is {user[:40]!r}…, {len(user)} characters",
            hint=f"a name or number of at most {MAX_USER} printable characters",
        )
    return user


async def _keep(
    request: Request,
    collector: Collector,
    predictions: Sequence[Prediction],
    pictures: Sequence[bytes],
    user: str,
    gather_s: float,
) -> bool:
    """Hand the answers over and wait until they are safe; whether all of them are kept."""
    consent = consent_of(request)
    request_id = request.scope.get("nhan.request_id", b"").decode("latin-1")
    waiting = [
        asyncio.wrap_future(
            collector.keep(
                Answered(
                    id=one.id,
                    task=one.task,
                    model=one.model,
                    version=one.version,
                    value=one.value,
                    confidence=one.confidence,
                    details=one.outcome.details,
                    picture=picture,
                    width=one.outcome.width,
                    height=one.outcome.height,
                    brightness=one.outcome.brightness,
                    duration_ms=one.duration_ms,
                    request_id=request_id,
                    user=user,
                    consent=consent,
                ),
                gather_s=gather_s,
            )
        )
        for one, picture in zip(predictions, pictures, strict=True)
    ]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and (
            collector.settings.when_full == "refuse" or not isinstance(result, NhanError)
        ):
            raise result
    return all(result is True for result in results)
