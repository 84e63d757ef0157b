"""The last hour of a server, a point every ten seconds: answers, refusals, waiting times.

The metrics only ever count upward; the console wants to see what happened when. A point is the
difference of two looks at them, so it costs nothing while pictures are answered.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from nhan.serving.context import Context
from nhan.serving.metrics import Histogram

_EVERY_S = 10.0
_KEPT = 360


@dataclass(frozen=True)
class Point:
    """What happened between two looks.

    Attributes:
        at: its end, seconds since the epoch.
        seconds: how long it was.
        answered: pictures answered.
        refused: pictures refused, for whatever reason.
        p50_ms, p95_ms: from a picture's arrival to its answer; None where none was answered.
        waiting: pictures that waited at its end.
    """

    at: float
    seconds: float
    answered: int
    refused: int
    p50_ms: float | None
    p95_ms: float | None
    waiting: int


class Pulse:
    """Takes a point every ten seconds, for as long as the server runs.

    Args:
        context: whose metrics.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._points: deque[Point] = deque(maxlen=_KEPT)
        self._counts = [0] * len(context.metrics.duration.counts)
        self._refused = 0
        self._at = time.time()
        self._stopped = False
        # An application that is built before its server runs has no loop yet, and takes no points.
        with suppress(RuntimeError):
            asyncio.get_running_loop().call_later(_EVERY_S, self._beat)

    def points(self) -> list[dict[str, Any]]:
        """The last hour, oldest first; the running moment is its last point."""
        return [asdict(point) for point in (*self._points, self._look())]

    def stop(self) -> None:
        """Take no more points; may be called from another thread."""
        self._stopped = True

    def _beat(self) -> None:
        if self._stopped:
            return
        self._points.append(self._look())
        metrics = self._context.metrics
        self._counts = list(metrics.duration.counts)
        self._refused = metrics.refusals.total()
        self._at = time.time()
        asyncio.get_running_loop().call_later(_EVERY_S, self._beat)

    def _look(self) -> Point:
        metrics, now = self._context.metrics, time.time()
        new = [
            count - before
            for count, before in zip(metrics.duration.counts, self._counts, strict=True)
        ]
        bounds = metrics.duration.bounds
        return Point(
            now,
            max(now - self._at, 0.001),
            sum(new),
            metrics.refusals.total() - self._refused,
            quantile(bounds, new, 0.5),
            quantile(bounds, new, 0.95),
            self._context.service.dispatcher.waiting,
        )


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """A quantile of a histogram of seconds, in milliseconds; straight within a bucket.

    Args:
        bounds: upper bounds, ascending.
        counts: one for each bound, and one for what is above.
        share: 0..1.

    Returns:
        None where nothing was counted.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, seen, low = share * total, 0, 0.0
    for bound, count in zip((*bounds, bounds[-1]), counts, strict=True):
        if count and seen + count >= wanted:
            return 1e3 * (low + (bound - low) * (wanted - seen) / count)
        seen, low = seen + count, bound
    return 1e3 * low


def shares(histogram: Histogram) -> list[dict[str, float]]:
    """A histogram as bars: `from`, `to` and the share of all."""
    total = sum(histogram.counts)
    bars, low = [], 0.0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        bars.append({"from": low, "to": bound, "y": count / total if total else 0.0})
        low = bound
    return bars
