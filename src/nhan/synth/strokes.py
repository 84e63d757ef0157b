"""The pen's path inside a glyph: outlines thinned to one pixel and traced.

A font gives shapes of one thickness and one slant; its centre lines can be written again with any
pen, shaken, leaned and joined. Method: Zhang and Suen 1984 (thinning), then a walk from the ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from nhan.synth.fonts import load

Stroke = NDArray[np.float32]

_SIZE = (
    64  # pixels per em while tracing: strokes are 3 to 8 pixels thick, thinning takes few rounds
)
_STEP = 3  # keep every third pixel of a path, and smooth the rest away
_SPUR = 0.07  # ems; shorter side branches come from corners of the outline, not from a pen
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


@dataclass(frozen=True)
class Path:
    """The centre lines of one glyph.

    Attributes:
        strokes: float32, shape (n, 2) each, x to the right and y down, ems, baseline at y = 0.
        advance: width, ems.
        box: left, top, right, bottom of all strokes, ems.
    """

    strokes: tuple[Stroke, ...]
    advance: float
    box: tuple[float, float, float, float]


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """For each pattern of the eight neighbours: keep (1) or delete (0), in the two half rounds."""
    keep = np.ones((2, 256), np.uint8)
    for code in range(256):
        ring = [(code >> bit) & 1 for bit in range(8)]  # north, then clockwise
        turns = sum(ring[i] == 0 and ring[(i + 1) % 8] == 1 for i in range(8))
        if 2 <= sum(ring) <= 6 and turns == 1:
            north, east, south, west = ring[0], ring[2], ring[4], ring[6]
            if not (north and east and south) and not (east and south and west):
                keep[0, code] = 0
            if not (north and east and west) and not (north and south and west):
                keep[1, code] = 0
    return keep[0], keep[1]


_KEEP = _tables()
# Correlation with this kernel numbers the neighbours as `_tables` does.
_CODES = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)


def thin(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce a shape of ones to lines one pixel wide.

    Args:
        mask: uint8 of 0 and 1, its border 0.

    Returns:
        The same shape, thinned.
    """
    mask = mask.copy()
    while True:
        before = int(mask.sum())
        for keep in _KEEP:
            codes = cv2.filter2D(mask, cv2.CV_8U, _CODES, borderType=cv2.BORDER_CONSTANT)
            mask &= keep[codes]
        if int(mask.sum()) == before:
            return mask


def trace(mask: NDArray[np.uint8]) -> list[list[tuple[int, int]]]:
    """Paths of pixels (y, x) through thin lines, cut at junctions; closed loops end where they began."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}

    def beside(at: tuple[int, int]) -> list[tuple[int, int]]:
        around = [(at[0] + dy, at[1] + dx) for dy, dx in _AROUND]
        straight = [p for p in around[::2] if p in left]
        # A diagonal step past a straight neighbour would count one corner twice.
        return straight + [
            p
            for p in around[1::2]
            if p in left and (p[0], at[1]) not in left and (at[0], p[1]) not in left
        ]

    links = {at: beside(at) for at in left}
    paths: list[list[tuple[int, int]]] = []
    used: set[frozenset[tuple[int, int]]] = set()

    def walk(start: tuple[int, int], after: tuple[int, int]) -> list[tuple[int, int]]:
        path = [start, after]
        used.add(frozenset(path))
        while len(links[path[-1]]) == 2:
            onward = [p for p in links[path[-1]] if frozenset((path[-1], p)) not in used]
            if not onward:
                break
            used.add(frozenset((path[-1], onward[0])))
            path.append(onward[0])
        return path

    for start in sorted(left, key=lambda at: (len(links[at]) == 2, at[1], at[0])):
        if not links[start]:
            paths.append([start])
        for after in links[start]:
            if frozenset((start, after)) not in used:
                paths.append(walk(start, after))
    return [p for p in paths if not _is_spur(p, links)] or paths


def _is_spur(
    path: list[tuple[int, int]], links: dict[tuple[int, int], list[tuple[int, int]]]
) -> bool:
    ends = sorted((len(links[path[0]]), len(links[path[-1]])))
    return ends[0] == 1 and ends[1] > 2 and len(path) < _SPUR * _SIZE


def _smooth(path: list[tuple[int, int]]) -> NDArray[np.float32]:
    points = np.array(path, np.float32)[:, ::-1]
    if len(points) == 1:
        return np.repeat(points, 2, axis=0) + np.array([[0, -0.5], [0, 0.5]], np.float32)
    if len(points) > 4:
        padded = np.concatenate([points[:1], points[:1], points, points[-1:], points[-1:]])
        inner = (padded[:-4] + padded[1:-3] + padded[2:-2] + padded[3:-1] + padded[4:]) / 5
        inner[0], inner[-1] = points[0], points[-1]
        points = np.concatenate([inner[:-1:_STEP], inner[-1:]])
    return points


@lru_cache(maxsize=20000)
def path_of(font: str, char: str) -> Path:
    """The pen's path for one character of a font file; no strokes for a space."""
    face = load(font, _SIZE)
    advance = float(face.getlength(char)) / _SIZE
    left, top, right, bottom = (int(v) for v in face.getbbox(char, anchor="ls"))
    width, height = right - left, bottom - top
    if char == " " or width <= 0 or height <= 0:
        return Path((), advance, (0.0, 0.0, advance, 0.0))
    ink = np.frombuffer(bytes(face.getmask(char, mode="L")), np.uint8)
    shape = face.getmask(char, mode="L").size[::-1]
    mask = np.zeros((shape[0] + 2, shape[1] + 2), np.uint8)
    mask[1:-1, 1:-1] = ink.reshape(shape) > 110
    if not mask.any():
        return Path((), advance, (0.0, 0.0, advance, 0.0))
    offset = np.array([left - 1, top - 1], np.float32)
    paths = trace(thin(mask)) or [[(mask.shape[0] // 2, mask.shape[1] // 2)]]
    strokes = tuple((_smooth(p) + offset) / np.float32(_SIZE) for p in paths)
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return Path(strokes, advance, box)
