"""A compact character n-gram model: how likely a character is after the ones before it.

Interpolated Witten-Bell smoothing (Witten and Bell 1991), written in back-off form as ARPA files
are: one number for each n-gram seen, one for each context. All digits count as one, because a
number says nothing about the next digit. Kept as an `.npz` without pickles.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import numpy as np

from nhan.errors import SettingsError

# Symbols are numbered from 1 and packed one byte each, so an n-gram is one number of 64 bits.
_MOST_SYMBOLS = 255
_LONGEST = 7

# Log-probabilities are kept in steps of a sixteenth of a nat in one byte: 0 to -15.9.
_STEP = 1 / 16

_DIGITS = "0123456789"
_TEN = math.log(10)

_UNREADABLE = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error)

# Steps kept by each model, under 4 MB.
_REMEMBERED = 16_384

# Stands for the beginning and the end of a line.
_EDGE = "\n"


@dataclass(frozen=True)
class CharacterModel:
    """P(character | the characters before it).

    Attributes:
        order: the longest n-gram; a context has `order - 1` characters.
        symbols: the characters it knows; the rest share one small probability.
        table: for each packed n-gram its natural log-probability.
        backoff: for each packed context the natural log of what is left for shorter contexts.
    """

    order: int
    symbols: str
    table: dict[int, float] = field(repr=False)
    backoff: dict[int, float] = field(repr=False)

    def start(self) -> int:
        """The context at the beginning of a line."""
        return self._numbers[_EDGE]

    def step(self, context: int, char: str) -> tuple[float, int]:
        """Read one more character.

        Args:
            context: from `start` or an earlier step.
            char: the next character; `end` for the end of the line.

        Returns:
            Its natural log-probability and the next context.
        """
        known = self._steps.get((context, char))
        if known is not None:
            return known
        digit = char in _DIGITS
        number = self._numbers.get(_DIGITS[0] if digit else char, 0)
        # Only what is known can be looked up; an unknown character starts from nothing.
        following = ((context << 8) | number) & self._mask if number else 0
        score = self._score(context, number) if number else self._unknown
        if len(self._steps) >= _REMEMBERED:
            self._steps.clear()
        taken = self._steps[context, char] = (score - _TEN if digit else score), following
        return taken

    def end(self, context: int) -> float:
        """The natural log-probability that the line ends here."""
        return self._score(context, self._numbers[_EDGE])

    def score(self, text: str) -> float:
        """The natural log-probability of a whole line, its end included."""
        total, context = 0.0, self.start()
        for char in text:
            gained, context = self.step(context, char)
            total += gained
        return total + self.end(context)

    def to_bytes(self) -> bytes:
        """The model as a compressed `.npz`."""
        keys = np.array(sorted(self.table), np.uint64)
        contexts = np.array(sorted(self.backoff), np.uint64)
        arrays: dict[str, Any] = {
            "order": np.array(self.order),
            "symbols": np.frombuffer(self.symbols.encode("utf-32-le"), np.uint32),
            # Differences of sorted numbers are small and repeat, so they compress well.
            "keys": np.diff(keys, prepend=np.uint64(0)),
            "scores": _to_steps([self.table[int(key)] for key in keys]),
            "contexts": np.diff(contexts, prepend=np.uint64(0)),
            "backoffs": _to_steps([self.backoff[int(key)] for key in contexts]),
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> CharacterModel:
        """Read what `to_bytes` wrote.

        Raises:
            SettingsError: the bytes are no such model.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                keys = np.cumsum(arrays["keys"], dtype=np.uint64).tolist()
                contexts = np.cumsum(arrays["contexts"], dtype=np.uint64).tolist()
                scores = (arrays["scores"] * -_STEP).tolist()
                backoffs = (arrays["backoffs"] * -_STEP).tolist()
                symbols = arrays["symbols"].astype("<u4").tobytes().decode("utf-32-le")
                order = int(arrays["order"])
        except _UNREADABLE as error:
            raise SettingsError(
                "the language model's file cannot be read", hint="build it again"
            ) from error
        return cls(
            order,
            symbols,
            dict(zip(keys, scores, strict=True)),
            dict(zip(contexts, backoffs, strict=True)),
        )

    def _score(self, context: int, number: int) -> float:
        left = 0.0
        while True:
            found = self.table.get((context << 8) | number)
            if found is not None:
                return left + found
            if not context:
                return left + self._unknown
            left += self.backoff.get(context, 0.0)
            # Drop the oldest character of the context.
            context &= (1 << (8 * ((context.bit_length() - 1) // 8))) - 1

    @cached_property
    def _steps(self) -> dict[tuple[int, str], tuple[float, int]]:
        """Steps that were taken: lines share most of what is tried in them."""
        return {}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {char: number for number, char in enumerate(self.symbols, start=1)}

    @cached_property
    def _mask(self) -> int:
        return (1 << (8 * (self.order - 1))) - 1

    @property
    def _unknown(self) -> float:
        return -255 * _STEP


@cache
def shipped(name: str) -> CharacterModel:
    """A model that comes with the package, read once.

    Raises:
        SettingsError: there is none of that name; the hint lists those there are.
    """
    known = {
        entry.name.removesuffix(".npz"): entry
        for entry in (files("nhan.tasks.text") / "data").iterdir()
        if entry.name.endswith(".npz")
    }
    if name not in known:
        raise SettingsError(
            f"no language model {name!r} comes with nhan", hint=f"there are: {', '.join(known)}"
        )
    return CharacterModel.from_bytes(known[name].read_bytes())


def build(texts: Iterable[str], *, order: int = 5, min_count: int = 2) -> CharacterModel:
    """Count n-grams and smooth them.

    Args:
        texts: NFC lines, the more like what will be read the better; lines in capitals or without
            marks are only expected if there are some here.
        order: the longest n-gram, 2 to 7.
        min_count: n-grams of three characters or more seen less often are left out.

    Raises:
        SettingsError: the order is out of range, or the texts hold more than 255 characters.
    """
    if not 2 <= order <= _LONGEST:
        raise SettingsError(f"the order is {order}", hint=f"use 2 to {_LONGEST}")
    folded = [_fold(text) for text in texts]
    frequent = Counter(char for text in folded for char in text)
    symbols = _EDGE + "".join(sorted(frequent))
    if len(symbols) > _MOST_SYMBOLS:
        raise SettingsError(
            f"the texts hold {len(symbols)} different characters",
            hint=f"leave out those that the charset lacks; at most {_MOST_SYMBOLS} are possible",
        )
    numbers = {char: number for number, char in enumerate(symbols, start=1)}
    counts = _count([[numbers[char] for char in f"{_EDGE}{text}{_EDGE}"] for text in folded], order)
    return _smooth(counts, symbols, order, min_count)


def _fold(text: str) -> str:
    return "".join(_DIGITS[0] if char in _DIGITS else char for char in text)


def _count(lines: list[list[int]], order: int) -> list[Counter[int]]:
    """For each length 1..order, how often each packed n-gram occurs."""
    counts: list[Counter[int]] = [Counter() for _ in range(order + 1)]
    for line in lines:
        for end in range(1, len(line)):
            gram = 0
            for length in range(1, min(order, end + 1) + 1):
                gram |= line[end - length + 1] << (8 * (length - 1))
                counts[length][gram] += 1
    return counts


def _smooth(counts: list[Counter[int]], symbols: str, order: int, min_count: int) -> CharacterModel:
    total = sum(counts[1].values())
    # Every symbol gets a little, so that no character is impossible.
    unigrams = {
        number: (counts[1][number] + 0.1) / (total + 0.1 * len(symbols))
        for number in range(1, len(symbols) + 1)
    }
    table = {number: math.log(p) for number, p in unigrams.items()}
    backoff: dict[int, float] = {}
    shorter = dict(unigrams)
    for length in range(2, order + 1):
        least = min_count if length > 2 else 1
        followers: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for gram, count in counts[length].items():
            followers[gram >> 8].append((gram, count))
        longer: dict[int, float] = {}
        suffix = (1 << (8 * (length - 1))) - 1
        for context, grams in followers.items():
            kept = [(gram, count) for gram, count in grams if count >= least]
            if not kept:
                continue
            seen = sum(count for _, count in grams)
            share = seen / (seen + len(grams))
            for gram, count in kept:
                longer[gram] = share * count / seen + (1 - share) * _lower(shorter, gram & suffix)
            # What the kept ones leave, spread over the others as the shorter context says.
            left = 1 - sum(longer[gram] for gram, _ in kept)
            rest = 1 - sum(_lower(shorter, gram & suffix) for gram, _ in kept)
            backoff[context] = math.log(max(left, 1e-7) / max(rest, 1e-7))
        table.update((gram, math.log(p)) for gram, p in longer.items())
        shorter = longer
    return CharacterModel(order, symbols, table, backoff)


def _lower(shorter: dict[int, float], gram: int) -> float:
    return shorter.get(gram, 0.0)


def _to_steps(scores: list[float]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.clip(np.rint(np.array(scores) / -_STEP), 0, 255).astype(np.uint8)
