"""What is counted.

Counting happens for every request on the event loop, so it is a list index and an addition; the
Prometheus client's own objects (locks, labels, children) would cost more than parsing the request.
`nhan.serving.exposition` makes them when somebody asks.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter

from nhan.serving.service import Prediction

_STAGE_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
_WIDTH_PX = (64, 128, 256, 512, 768, 1024, 1536, 2048, 4096, 8192)
_HEIGHT_PX = (16, 24, 32, 48, 64, 96, 128, 256, 512, 1024, 4096)
_BRIGHTNESS = tuple(number / 10 for number in range(1, 11))
_ANSWER_LENGTH = (0, 1, 2, 5, 10, 20, 40, 60, 80, 120, 200)


class Histogram:
    """Counts by upper bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts, as Prometheus wants them."""
        names = [str(float(bound)) for bound in self.bounds] + ["+Inf"]
        return list(zip(names, itertools.accumulate(self.counts), strict=True))


class _ModelTally:
    """What one model version's answers look like."""

    __slots__ = ("brightness", "confidence", "height", "length", "width")

    def __init__(self) -> None:
        self.confidence = Histogram(_CONFIDENCE)
        self.width = Histogram(_WIDTH_PX)
        self.height = Histogram(_HEIGHT_PX)
        self.brightness = Histogram(_BRIGHTNESS)
        self.length = Histogram(_ANSWER_LENGTH)


class Metrics:
    """Everything that is counted."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.swaps: Counter[str] = Counter()
        self.models_refused: Counter[str] = Counter()
        self.corrections: Counter[str] = Counter()
        self.workers_lost = 0
        self.duration = Histogram(_STAGE_S)
        self.stages = {name: Histogram(_STAGE_S) for name in ("queue", "decode", "infer", "encode")}
        self.models: dict[str, _ModelTally] = {}

    def answered(self, prediction: Prediction) -> None:
        """Count one prediction."""
        outcome = prediction.outcome
        stages = self.stages
        stages["queue"].observe(prediction.queue_ms / 1e3)
        stages["decode"].observe(outcome.decode_ms / 1e3)
        stages["infer"].observe(outcome.infer_ms / 1e3)
        stages["encode"].observe(outcome.encode_ms / 1e3)
        self.duration.observe(prediction.duration_ms / 1e3)
        key = f"{prediction.model}@{prediction.version}"
        tally = self.models.get(key)
        if tally is None:
            tally = self.models[key] = _ModelTally()
        tally.confidence.observe(outcome.confidence)
        tally.width.observe(outcome.width)
        tally.height.observe(outcome.height)
        tally.brightness.observe(outcome.brightness)
        tally.length.observe(len(outcome.value))

    def refused(self, reason: str) -> None:
        """Count one picture that was not answered."""
        self.refusals[reason] += 1
