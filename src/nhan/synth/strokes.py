"""The pen's path inside a glyph: outlines thinned to one pixel and traced.

A font gives shapes of one thickness and one slant; its centre lines can be written again with any
pen, shaken, leaned and joined. Method: Zhang and Suen 1984 (thinning), then a walk from the ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nhan.synth.fonts import cache_folder, load

Stroke = NDArray[np.float32]

_SIZE = (
    64  # pixels per em while tracing: strokes are 3 to 8 pixels thick, thinning takes few rounds
)
_STEP = 3  # keep every third pixel of a path, and smooth the rest away
_SPUR = 0.07  # ems; shorter side branches come from corners of the outline, not from a pen
_CHARS = "".join(map(chr, range(33, 127))) + "°"
_VERSION = 3  # of the tracing: part of the cache's key
_CRUMBS = 7  # strokes a letter on average; joined school hands have up to 6
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


@dataclass(frozen=True)
class GlyphPath:
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
    """Paths of pixels (y, x) through thin lines, cut at junctions; loops end where they began."""
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
        # One at a time: a walk may use up the links that the next would start with.
        for after in links[start]:
            if frozenset((start, after)) not in used:
                paths.append(walk(start, after))  # noqa: PERF401
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


def _traced(font: str, char: str) -> tuple[Stroke, ...]:
    face = load(font, _SIZE)
    left, top, _, _ = (int(v) for v in face.getbbox(char, anchor="ls"))
    core = face.getmask(char, mode="L")
    width, height = core.size
    mask = np.zeros((height + 2, width + 2), np.uint8)
    mask[1:-1, 1:-1] = np.frombuffer(bytes(core), np.uint8).reshape(height, width) > 110
    if not mask.any():
        return ()
    offset = np.array([left - 1, top - 1], np.float32)
    return tuple((_smooth(p) + offset) / np.float32(_SIZE) for p in trace(thin(mask)))


def _cache_file(font: str) -> Path:
    at = Path(font)
    stamp = f"{_VERSION} {font} {at.stat().st_size} {at.stat().st_mtime_ns}"
    return cache_folder() / "strokes" / f"{hashlib.sha256(stamp.encode()).hexdigest()[:24]}.npz"


def _pack(glyphs: list[tuple[Stroke, ...]]) -> tuple[NDArray[np.float32], ...]:
    strokes = [stroke for glyph in glyphs for stroke in glyph]
    return (
        np.concatenate([*strokes, np.zeros((0, 2), np.float32)]),
        np.array([len(stroke) for stroke in strokes], np.float32),
        np.array([len(glyph) for glyph in glyphs], np.float32),
    )


def _unpack(arrays: dict[str, NDArray[np.float32]]) -> list[tuple[Stroke, ...]]:
    cuts = np.cumsum(arrays["lengths"]).astype(int)[:-1]
    strokes = iter(np.split(arrays["points"], cuts))
    return [tuple(next(strokes) for _ in range(int(n))) for n in arrays["counts"]]


@lru_cache(maxsize=256)
def paths(font: str) -> Mapping[str, GlyphPath]:
    """The pen's path for visible ASCII and the degree sign of a font file.

    Tracing a face takes a quarter of a second, so the paths are kept in the user's cache folder.
    """
    cache = _cache_file(font)
    if cache.is_file():
        with np.load(cache, allow_pickle=False) as stored:
            glyphs, advances = _unpack(dict(stored)), stored["advances"]
    else:
        glyphs = [_traced(font, char) for char in _CHARS]
        face = load(font, _SIZE)
        advances = np.array([face.getlength(char) / _SIZE for char in _CHARS], np.float32)
        with contextlib.suppress(OSError):  # a read-only home costs the tracing again, no more
            cache.parent.mkdir(parents=True, exist_ok=True)
            partial = cache.with_suffix(f".{os.getpid()}.npz")
            points, lengths, counts = _pack(glyphs)
            np.savez(partial, advances=advances, points=points, lengths=lengths, counts=counts)
            partial.replace(cache)
    return {
        char: _whole(strokes, float(advance))
        for char, strokes, advance in zip(_CHARS, glyphs, advances, strict=True)
    }


@lru_cache(maxsize=512)
def is_clean(font: str) -> bool:
    """Whether the centre lines are a pen's: rough brushes and outlines fall into many crumbs."""
    letters = [path for char, path in paths(font).items() if char.isalpha()]
    return sum(len(path.strokes) for path in letters) <= _CRUMBS * len(letters)


def _whole(strokes: tuple[Stroke, ...], advance: float) -> GlyphPath:
    if not strokes:
        return GlyphPath((), advance, (0.0, 0.0, advance, 0.0))
    points = np.concatenate(strokes)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return GlyphPath(strokes, advance, (float(x0), float(y0), float(x1), float(y1)))


def keeping(path: GlyphPath, strokes: tuple[Stroke, ...]) -> GlyphPath:
    """The path with only some of its strokes."""
    return _whole(strokes, path.advance)


def scaled(path: GlyphPath, factor: float) -> GlyphPath:
    """The path in another size."""
    if abs(factor - 1) < 0.01:
        return path
    strokes = tuple(stroke * np.float32(factor) for stroke in path.strokes)
    return _whole(strokes, path.advance * factor)
