"""Which pictures are nearly the same: candidates by hash, confirmed by thumbnail and label.

Two pictures are near-duplicates when their 64-bit hashes differ in at most `bits` bits, they have
about the same shape, their thumbnails correlate, and their labels agree. The label is part of it
because lines of a form ("Số 123, đường …" and "Số 124, …") look alike at any thumbnail's size:
of 242,556 pairs of drawn lines with different texts, 28,491 were within 3 bits and 27,796 of those
correlated above 0.9. The same picture re-encoded or resized correlates above 0.92 (110 real lines
as JPEG of quality 25 to 60, at 2/3 and 3/2 of their size).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_MIN_CORRELATION = 0.9
# Re-encoding keeps the shape; a crop by a few pixels changes it a little.
_MAX_SHAPE_RATIO = 1.12
# 4 million pairs take about 64 MB while they are compared.
_PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture looks, as the catalogue keeps it."""

    phash: int
    thumbnail: bytes
    width: int
    height: int
    label: str


def near_clusters(looks: Sequence[Look], *, bits: int) -> list[int]:
    """Group near-duplicates.

    Candidates are found by banding: of `bits + 1` slices of the hash at least one is equal, so
    only pictures that share a slice are compared, not all pairs.

    Args:
        looks: one per picture; the result does not depend on their order, but for the numbers.
        bits: how many of the 64 bits may differ.

    Returns:
        For each picture the lowest index of its cluster; a picture without near-duplicates is its
        own cluster.
    """
    parents = list(range(len(looks)))
    if len(looks) < 2:
        return parents
    pictures = _Pictures.of(looks)
    for band in _bands(pictures.hashes, bits + 1):
        for members in _equal(band, pictures.labels):
            _link(members, pictures, bits, parents)
    return [_root(parents, index) for index in range(len(looks))]


@dataclass(frozen=True)
class _Pictures:
    hashes: NDArray[np.uint64]
    labels: NDArray[np.int64]
    shapes: NDArray[np.float32]
    cells: NDArray[np.float32]

    @classmethod
    def of(cls, looks: Sequence[Look]) -> _Pictures:
        numbers: dict[str, int] = {}
        labels = [numbers.setdefault(look.label, len(numbers)) for look in looks]
        shapes = [np.log(max(look.width, 1) / max(look.height, 1)) for look in looks]
        cells = np.frombuffer(b"".join(look.thumbnail for look in looks), dtype=np.uint8)
        return cls(
            np.array([look.phash for look in looks], dtype=np.uint64),
            np.array(labels, dtype=np.int64),
            np.array(shapes, dtype=np.float32),
            _standardised(cells.reshape(len(looks), -1)),
        )


def _standardised(cells: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rows of mean 0 and length 1, so that their products are correlations.

    A blank picture (no contrast) becomes a row of equal values: it correlates with blank ones
    only.
    """
    values = cells.astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    blank = lengths[:, 0] < cells.shape[1] ** 0.5  # a standard deviation below one grey level
    values[blank] = 1.0
    lengths[blank] = cells.shape[1] ** 0.5
    values /= lengths
    return values


def _bands(hashes: NDArray[np.uint64], count: int) -> list[NDArray[np.uint64]]:
    edges = np.linspace(0, 64, count + 1).round().astype(int)
    return [
        (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        for low, high in pairwise(edges)
    ]


def _equal(band: NDArray[np.uint64], labels: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Indices with the same label and the same value in a band, two or more."""
    order = np.lexsort((labels, band))
    new = np.flatnonzero(
        (band[order][1:] != band[order][:-1]) | (labels[order][1:] != labels[order][:-1])
    )
    return [members for members in np.split(order, new + 1) if len(members) > 1]


def _link(members: NDArray[np.intp], pictures: _Pictures, bits: int, parents: list[int]) -> None:
    """Join the near-duplicates among pictures that share a label and a slice of their hashes.

    Compared in blocks: thousands of blank-looking pictures may share a slice, and their pairs
    would neither fit in memory nor be done in time one by one.
    """
    roots = np.arange(len(members))
    rows = max(1, _PAIRS_AT_ONCE // len(members))
    for start in range(0, len(members), rows):
        block = members[start : start + rows]
        near = _near(block, members[start:], pictures, bits)
        for row in np.flatnonzero(near.sum(axis=1) > 1):  # each picture is near itself
            linked = roots[start:][near[row]]
            if linked.min() != linked.max():
                roots[np.isin(roots, linked)] = linked.min()
    for position, root in enumerate(roots):
        if root != position:
            _join(parents, int(members[root]), int(members[position]))


def _near(
    block: NDArray[np.intp], others: NDArray[np.intp], pictures: _Pictures, bits: int
) -> NDArray[np.bool_]:
    """Which of the others are near each picture of a block: bool, shape (block, others)."""
    distance = np.bitwise_count(pictures.hashes[block][:, None] ^ pictures.hashes[others])
    shape = np.abs(pictures.shapes[block][:, None] - pictures.shapes[others])
    near: NDArray[np.bool_] = (distance <= bits) & (shape < np.log(_MAX_SHAPE_RATIO))
    if near.sum() > len(block):
        near &= pictures.cells[block] @ pictures.cells[others].T >= _MIN_CORRELATION
    return near


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


def _join(parents: list[int], a: int, b: int) -> None:
    first, second = sorted((_root(parents, a), _root(parents, b)))
    parents[second] = first
