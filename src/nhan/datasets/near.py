"""Which pictures are nearly the same: candidates by hash, confirmed by thumbnail and label.

Two pictures are near-duplicates when their 64-bit hashes differ in at most `bits` bits, they have
about the same shape, and their thumbnails agree. How closely they must agree depends on the label:

- With the same label they must correlate. The same picture at another size correlates above 0.9,
  and if two pictures of one text look that much alike, it is wise to keep them together.
- With different labels no cell may differ by much. Lines of a form ("Số 123, đường …", "Số 124,
  đường …") have near hashes and correlate above 0.98, yet are different lines; but a digit
  changes some cell by more than a standard deviation (of 28,491 such pairs, 99.9 % by 0.97 or
  more), and saving a picture again changes none by so much (110 real lines as JPEG of quality 60:
  at most 0.48).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# Same label: at 2/3 and 3/2 of their size and as JPEG of quality 25, real lines stay above 0.9.
_MIN_CORRELATION = 0.9
# Different labels: the largest difference of a cell, in standard deviations of the picture.
_MAX_CELL_DIFFERENCE = 0.5
# Re-encoding keeps the shape; a crop by a few pixels changes it a little.
_MAX_SHAPE_RATIO = 1.12
# What is compared at once: 4 million pairs of hashes take 64 MB, 8,000 pairs of thumbnails 33 MB.
_PAIRS_AT_ONCE = 4_000_000
_THUMBNAILS_AT_ONCE = 8_000
# From so many near pairs a picture on, one matrix product tells sooner which correlate.
_CROWD = 4


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture looks, as the catalogue keeps it; sizes in px.

    Attributes:
        label: what it is said to show; '' where nobody has said.
    """

    phash: int
    thumbnail: bytes
    width: int
    height: int
    label: str = ""


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
    pictures = _Pictures(looks)
    for band in _bands(pictures.hashes, bits + 1):
        for members in _equal(band):
            _link(members, pictures, bits, parents)
    return [_root(parents, index) for index in range(len(looks))]


class _Pictures:
    """The looks as arrays."""

    def __init__(self, looks: Sequence[Look]) -> None:
        numbers: dict[str, int] = {}
        labels = [numbers.setdefault(look.label, len(numbers)) for look in looks]
        shapes = [np.log(max(look.width, 1) / max(look.height, 1)) for look in looks]
        cells = np.frombuffer(b"".join(look.thumbnail for look in looks), dtype=np.uint8)
        self.hashes = np.array([look.phash for look in looks], dtype=np.uint64)
        self.labels = np.array(labels, dtype=np.int64)
        self.shapes = np.array(shapes, dtype=np.float32)
        self._cells = cells.reshape(len(looks), -1)
        self.size = self._cells.shape[1]

    def cells(self, indices: NDArray[np.intp]) -> NDArray[np.float32]:
        """Thumbnails with mean 0 and standard deviation 1, shape (n, 512).

        One without contrast becomes equal cells of 1: it correlates with others like it only.
        """
        values = self._cells[indices].astype(np.float32)
        values -= values.mean(axis=1, keepdims=True)
        deviations = values.std(axis=1, keepdims=True)
        blank = deviations[:, 0] < 1  # one grey level
        values[blank] = 1.0
        deviations[blank] = 1.0
        values /= deviations
        return values


def _bands(hashes: NDArray[np.uint64], count: int) -> list[NDArray[np.uint64]]:
    edges = np.linspace(0, 64, count + 1).round().astype(int)
    return [
        (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        for low, high in pairwise(edges)
    ]


def _equal(band: NDArray[np.uint64]) -> list[NDArray[np.intp]]:
    """Indices with the same value in a band, two or more, ascending."""
    order = np.argsort(band, kind="stable")
    new = np.flatnonzero(band[order][1:] != band[order][:-1])
    return [members for members in np.split(order, new + 1) if len(members) > 1]


def _link(members: NDArray[np.intp], pictures: _Pictures, bits: int, parents: list[int]) -> None:
    """Join the near-duplicates among pictures that share a slice of their hashes.

    Compared in blocks: thousands of blank-looking pictures may share a slice, and their pairs
    would neither fit in memory nor be done in time one by one.
    """
    roots = np.arange(len(members))
    rows = max(1, _PAIRS_AT_ONCE // len(members))
    for start in range(0, len(members), rows):
        block, others = members[start : start + rows], members[start:]
        distance = np.bitwise_count(pictures.hashes[block][:, None] ^ pictures.hashes[others])
        shape = np.abs(pictures.shapes[block][:, None] - pictures.shapes[others])
        near = (distance <= bits) & (shape < np.log(_MAX_SHAPE_RATIO))
        near[np.tril_indices(len(block))] = False  # each pair once, none with itself
        if near.sum() > _CROWD * len(others):
            product = pictures.cells(block) @ pictures.cells(others).T
            near &= product >= _MIN_CORRELATION * pictures.size
        first, second = np.nonzero(near)
        for begin in range(0, len(first), _THUMBNAILS_AT_ONCE):
            pair = slice(begin, begin + _THUMBNAILS_AT_ONCE)
            _confirm(start + first[pair], start + second[pair], members, pictures, roots)
    for position in np.flatnonzero(roots != np.arange(len(members))):
        _join(parents, int(members[roots[position]]), int(members[position]))


def _confirm(
    a: NDArray[np.intp],
    b: NDArray[np.intp],
    members: NDArray[np.intp],
    pictures: _Pictures,
    roots: NDArray[np.intp],
) -> None:
    """Join the pairs of positions whose thumbnails agree; those joined before are passed over."""
    apart = roots[a] != roots[b]
    if not apart.any():
        return
    a, b = a[apart], b[apart]
    one, other = pictures.cells(members[a]), pictures.cells(members[b])
    alike = (one * other).mean(axis=1) >= _MIN_CORRELATION
    close = np.abs(one - other).max(axis=1) <= _MAX_CELL_DIFFERENCE
    agree = np.where(pictures.labels[members[a]] == pictures.labels[members[b]], alike, close)
    a, b = a[agree], b[agree]
    while (unequal := roots[a] != roots[b]).any():
        a, b = a[unequal], b[unequal]
        low, high = np.minimum(roots[a], roots[b]), np.maximum(roots[a], roots[b])
        np.minimum.at(roots, high, low)
        while (roots[roots] != roots).any():
            roots[:] = roots[roots]


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


def _join(parents: list[int], a: int, b: int) -> None:
    first, second = sorted((_root(parents, a), _root(parents, b)))
    parents[second] = first
