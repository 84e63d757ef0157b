"""Which uploads people should look at, chosen as they are answered, with a quota for each day.

The policies are asked in this order, and the first that wants an upload has it:

    random          a share of all, whatever they are: the only unbiased view of how good the live
                    model is, so no other policy can take its place
    new_content     the answer has a character, or is a class, hardly ever answered before
    novelty         size, brightness or detail far from the usual, in standard deviations
    low_confidence  the model was not sure
    disagreement    a candidate that answers silently says otherwise; known a moment later

Counts begin anew at midnight UTC and belong to one server; with replicas, each has the quota.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nhan.settings import UploadSettings
from nhan.tasks import get_task

RANDOM = "random"
LOW_CONFIDENCE = "low_confidence"
DISAGREEMENT = "disagreement"
NEW_CONTENT = "new_content"
NOVELTY = "novelty"

# What being chosen is worth at least, so that a sure answer on a strange picture is looked at
# before an unsure one on a picture like all others.
_FLOOR = {RANDOM: 0.5, LOW_CONFIDENCE: 0.3, DISAGREEMENT: 0.8, NEW_CONTENT: 0.7, NOVELTY: 0.6}
# Before so many answers nothing is usual, so nothing is new or strange.
_WARM_UP = 200
# How many pictures the moving mean looks back on: a shift becomes usual within a day or so.
_MEMORY = 5000
# Deviations that count as wholly novel, and the least deviation of a statistic (a camera that
# always sends one size must not make one pixel a novelty).
_WHOLLY_NOVEL = 8.0
_LEAST_DEVIATION = 0.05


def usefulness(confidence: float, novelty: float, sampled: str) -> float:
    """How much is learned by looking at an upload, 0..1: uncertainty times novelty.

    Args:
        confidence: calibrated, 0..1.
        novelty: how unlike earlier pictures, 0..1.
        sampled: the policy that chose it, '' for none; it sets a least value.
    """
    return max((1 - confidence) * (0.5 + 0.5 * novelty), _FLOOR.get(sampled, 0.0))


@dataclass(frozen=True, slots=True)
class Look:
    """What a policy sees of an answered picture.

    Attributes:
        value: the text or class answered.
        confidence: calibrated, 0..1.
        width, height: upright, px.
        brightness: 0..1.
        size_bytes: of the encoded picture.
    """

    task: str
    value: str
    confidence: float
    width: int
    height: int
    brightness: float
    size_bytes: int

    @property
    def statistics(self) -> tuple[float, ...]:
        """Comparable numbers: size on a scale of doublings, brightness, detail (bits a pixel)."""
        pixels = max(1, self.width * self.height)
        return (
            math.log2(max(1, self.width)),
            math.log2(max(1, self.height)),
            4 * self.brightness,
            math.log2(max(1e-3, 8 * self.size_bytes / pixels)),
        )


@dataclass
class _Usual:
    """Moving means and variances of a task's pictures, and how often each part was answered."""

    count: int = 0
    means: list[float] = field(default_factory=lambda: [0.0] * 4)
    variances: list[float] = field(default_factory=lambda: [0.0] * 4)
    parts: Counter[str] = field(default_factory=Counter)

    def deviation(self, statistics: tuple[float, ...]) -> float:
        """The largest distance from the mean, in standard deviations; 0 before the warm-up."""
        if self.count < _WARM_UP:
            return 0.0
        return max(
            abs(value - mean) / max(_LEAST_DEVIATION, math.sqrt(variance))
            for value, mean, variance in zip(statistics, self.means, self.variances, strict=True)
        )

    def learn(self, statistics: tuple[float, ...], parts: frozenset[str]) -> None:
        self.count += 1
        weight = 1 / min(self.count, _MEMORY)
        for number, value in enumerate(statistics):
            distance = value - self.means[number]
            self.means[number] += weight * distance
            spread = distance * distance * (1 - weight)
            self.variances[number] += weight * (spread - self.variances[number])
        self.parts.update(parts)


class Sampler:
    """The policies with their counts; used by one thread.

    Args:
        settings: shares, thresholds and quotas; may be replaced at any time.
        state: what `to_json` gave in an earlier process.
        chance: for the random share.
    """

    def __init__(
        self,
        settings: UploadSettings,
        state: dict[str, Any] | None = None,
        *,
        chance: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self.chosen: Counter[str] = Counter()
        self._chance = chance or random.Random()
        self._day = ""
        self._today: Counter[str] = Counter()
        self._usual: dict[str, _Usual] = {}
        self._restore(state or {})

    def choose(self, look: Look, at: datetime) -> tuple[str, float]:
        """The policy that wants an upload, '' for none; and its novelty, 0..1."""
        usual = self._usual.setdefault(look.task, _Usual())
        statistics = look.statistics
        parts = get_task(look.task).parts(look.value)
        deviation = usual.deviation(statistics)
        wanted = self._wanted(look, usual, parts, deviation)
        usual.learn(statistics, parts)
        policy = next((one for one in wanted if self.take(one, at)), "")
        return policy, round(min(1.0, deviation / _WHOLLY_NOVEL), 3)

    def take(self, policy: str, at: datetime) -> bool:
        """Use up one of a policy's quota; False when there is none left today."""
        day = at.date().isoformat()
        if day != self._day:
            self._day = day
            self._today.clear()
        if self._today[policy] >= getattr(self.settings, f"{policy}_a_day"):
            return False
        self._today[policy] += 1
        self.chosen[policy] += 1
        return True

    def to_json(self) -> dict[str, Any]:
        """What a restart must not forget."""
        return {
            "day": self._day,
            "today": dict(self._today),
            "usual": {
                task: {
                    "count": usual.count,
                    "means": usual.means,
                    "variances": usual.variances,
                    "parts": dict(usual.parts),
                }
                for task, usual in self._usual.items()
            },
        }

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            self._day = str(state.get("day", ""))
            self._today = Counter({str(k): int(v) for k, v in state.get("today", {}).items()})
            for task, kept in state.get("usual", {}).items():
                usual = _Usual(int(kept["count"]), parts=Counter(kept["parts"]))
                usual.means = [float(value) for value in kept["means"]]
                usual.variances = [float(value) for value in kept["variances"]]
                self._usual[task] = usual
        except (AttributeError, KeyError, TypeError, ValueError):
            self._today, self._usual = Counter(), {}  # damaged: begin anew

    def _wanted(
        self, look: Look, usual: _Usual, parts: frozenset[str], deviation: float
    ) -> list[str]:
        settings = self.settings
        rare = usual.count >= _WARM_UP and any(
            usual.parts[part] < settings.rare_below for part in parts
        )
        policies = {
            RANDOM: self._chance.random() < settings.random_share,
            NEW_CONTENT: rare,
            NOVELTY: deviation > settings.novelty,
            LOW_CONFIDENCE: look.confidence < settings.low_confidence,
        }
        return [policy for policy, wants in policies.items() if wants]
