"""How long things may take where the machine has other work, or is slower than a usual one.

A promise such as "refused within 0.4 s" is one about a quiet machine with two usual cores. Tests
share theirs with whatever else runs, so the limit grows by how much longer a known bit of work
takes at that very moment, and what is over in milliseconds may be tried again: other work comes
and goes, what is slow by itself stays slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# What the known bit of work takes on a quiet core.
_QUIET_S = 0.026


def slowness(clock: Callable[[], float] = time.perf_counter) -> float:
    """How many times longer a known bit of work takes now than on a quiet machine; at least 1."""
    begun = clock()
    sum(number * number for number in range(500_000))
    return max(1.0, (clock() - begun) / _QUIET_S)


class Stopwatch:
    """Tells whether something took no longer than it may, here and now.

    Made when the clock starts.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._slow = slowness(clock)
        self._begun = clock()

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return self._clock() - self._begun

    def allows(self, limit_s: float, took_s: float | None = None) -> bool:
        """Whether this took no longer than a quiet machine's limit allows here.

        Args:
            limit_s: on a quiet machine.
            took_s: None for the time until now.
        """
        took = self.seconds if took_s is None else took_s
        return took < limit_s * max(self._slow, slowness(self._clock))


def keeps_within(
    limit_s: float,
    work: Callable[[], object],
    *,
    tries: int = 20,
    clock: Callable[[], float] = time.perf_counter,
) -> bool:
    """Whether at least one of several tries of some work takes no longer than it may."""
    for _ in range(tries):
        watch = Stopwatch(clock)
        work()
        if watch.allows(limit_s, watch.seconds):
            return True
    return False
