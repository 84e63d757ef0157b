"""The one source of chance for a line: fast, and the same for a (seed, index) everywhere."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice(random.Random):
    """Python's generator for single numbers (five times faster), numpy's for whole fields.

    Two lines never share a state: the seed and the index are mixed into one integer, so lines can
    be made in any order and by any process.
    """

    @classmethod
    def of(cls, seed: int, index: int) -> Dice:
        """The dice of one line.

        Args:
            seed: of the whole stream; any integer.
            index: of the line, 0 or more.
        """
        return cls((seed << 64) ^ (index * 0x9E3779B97F4A7C15 + 1))

    @cached_property
    def fields(self) -> np.random.Generator:
        """A numpy generator seeded from this one, for arrays."""
        return np.random.Generator(np.random.SFC64(self.getrandbits(64)))

    def chance(self, share: float) -> bool:
        """True with probability `share`."""
        return self.random() < share

    def weighted(self, shares: Mapping[str, float]) -> str:
        """A key, drawn by its share of the total; keys of share 0 never come."""
        point = self.random() * sum(shares.values())
        name = ""
        for name, share in shares.items():
            point -= share
            if point < 0:
                return name
        return name

    def pick(self, items: Sequence[T]) -> T:
        """One of the items; cheaper than `choice`."""
        return items[int(self.random() * len(items))]

    def around(self, middle: float, spread: float) -> float:
        """Normal, but never further off than twice the spread."""
        return middle + spread * max(-2.0, min(2.0, self.gauss(0.0, 1.0)))
