"""The population stability index (PSI): how far two samples of one quantity lie apart.

PSI = Σ (p − q) · ln(p / q) over bins, p and q the shares of reference and recent. Below 0.1 is
usually called stable, above 0.25 shifted. Small samples differ by luck alone, so every index comes
with the one that luck reaches in 1 of 100 draws from the reference itself.

Source: Siddiqi 2006, Credit Risk Scorecards; its sampling distribution: Yurdakul 2018.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BINS = 10
# Symbols that are compared one by one; the rest are one bin.
_SYMBOLS = 60
# Added to every bin, so that an empty one gives a large number and no infinite one.
_PRIOR = 0.5
_DRAWS = 200
_LUCK = 99.0
_SEED = 20240229

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """One bin with its shares.

    Attributes:
        name: `0.2 to 0.4`, or a symbol.
        reference, recent: shares, 0..1.
    """

    name: str
    reference: float
    recent: float


@dataclass(frozen=True)
class Stability:
    """How far apart.

    Attributes:
        psi: the index, 0 for none.
        luck: what it reaches by luck in 1 of 100 samples of this size.
        bins: in order; symbols by how much they contribute.
        members: per recent item, the bins (by index) that it falls in.
    """

    psi: float
    luck: float
    bins: tuple[Bin, ...]
    members: tuple[frozenset[int], ...]

    def strangest(self, count: int) -> list[int]:
        """Indices of the recent items that fall most into bins which have grown."""
        growth = [
            (one.recent - one.reference)
            * float(np.log((one.recent + 1e-9) / (one.reference + 1e-9)))
            if one.recent > one.reference
            else 0.0
            for one in self.bins
        ]
        scores = [max((growth[number] for number in found), default=0.0) for found in self.members]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        return [index for index in order if scores[index] > 0][:count]


def compare_numbers(reference: Sequence[float], recent: Sequence[float]) -> Stability | None:
    """Of a quantity; bins are tenths of the reference.

    Args:
        reference: values, none of them NaN.
        recent: values.

    Returns:
        None where either is empty or the reference is one value only and nothing differs from it.
    """
    if not reference or not recent:
        return None
    known = np.asarray(reference, np.float64)
    edges = _edges(known)
    if len(np.unique(np.concatenate((known, np.asarray(recent, np.float64))))) == 1:
        return None
    names = [_range(edges, index) for index in range(len(edges) + 1)]
    return _compare(_one_hot(known, edges), _one_hot(np.asarray(recent, np.float64), edges), names)


def compare_symbols(
    reference: Sequence[Sequence[str]], recent: Sequence[Sequence[str]]
) -> Stability | None:
    """Of a mix: characters of texts, or classes.

    Args:
        reference: the symbols of each item.
        recent: the same.

    Returns:
        None where either is empty, or nothing but one symbol occurs.
    """
    counted = Counter(symbol for item in (*reference, *recent) for symbol in item)
    if not reference or not recent or len(counted) < 2:
        return None
    named = [symbol for symbol, _ in counted.most_common(_SYMBOLS)]
    places = {symbol: index for index, symbol in enumerate(named)}
    names = [*named, "others"] if len(counted) > len(named) else named
    return _compare(
        _counts(reference, places, len(names)), _counts(recent, places, len(names)), names
    )


def _compare(reference: Counts, recent: Counts, names: Sequence[str]) -> Stability:
    p, q = _shares(reference.sum(0)), _shares(recent.sum(0))
    # Whole items are drawn, because the characters of one text belong together.
    dice = np.random.default_rng(_SEED)
    draws = dice.integers(0, len(reference), (_DRAWS, len(recent)))
    by_luck = [_psi(p, _shares(reference[rows].sum(0))) for rows in draws]
    return Stability(
        psi=_psi(p, q),
        luck=float(np.percentile(by_luck, _LUCK)),
        bins=tuple(Bin(name, float(a), float(b)) for name, a, b in zip(names, p, q, strict=True)),
        members=tuple(frozenset(map(int, np.flatnonzero(row))) for row in recent),
    )


def _psi(p: Counts, q: Counts) -> float:
    return float(((p - q) * np.log(p / q)).sum())


def _shares(counts: Counts) -> Counts:
    smooth = counts + _PRIOR
    shares: Counts = smooth / smooth.sum()
    return shares


def _edges(known: Counts) -> Counts:
    """Tenths; a value that fills more than one of them gets a bin of its own."""
    tenths, times = np.unique(
        np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]), return_counts=True
    )
    edges: Counts = np.union1d(tenths, np.nextafter(tenths[times > 1], np.inf))
    return edges


def _one_hot(values: Counts, edges: Counts) -> Counts:
    found = np.searchsorted(edges, values, side="right")
    return np.eye(len(edges) + 1)[found]


def _counts(items: Sequence[Sequence[str]], places: dict[str, int], size: int) -> Counts:
    table = np.zeros((len(items), size))
    for row, item in zip(table, items, strict=True):
        for symbol in item:
            row[places.get(symbol, size - 1)] += 1
    return table


def _range(edges: Counts, index: int) -> str:
    if index == 0:
        return f"below {edges[0]:.4g}"
    if index == len(edges):
        return f"{edges[-1]:.4g} and above"
    if np.nextafter(edges[index - 1], np.inf) == edges[index]:
        return f"{edges[index]:.4g}"
    return f"{edges[index - 1]:.4g} to {edges[index]:.4g}"
