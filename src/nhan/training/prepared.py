"""Prepared pictures: decoded and scaled once, then read from a memory map in every epoch.

Decoding files in every epoch costs more than a small network's step. All prepared pictures of a
split lie in one file, mapped into memory and shared with the page cache, so that a set larger
than memory still trains. The folder's name is a hash of what was read (dataset version, split,
preparation, limits), so it is reused exactly when it would come out the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nhan.errors import BadPicture, SettingsError
from nhan.images import PictureLimits, decode
from nhan.tasks.base import RGB

_PIXELS, _INDEX = "pixels.bin", "index.json"
# Raised whenever prepared bytes would come out differently for the same key.
_FORMAT = 1
_AHEAD = 64  # pictures decoded ahead by threads: Pillow works outside the interpreter's lock


class LabelledPicture(Protocol):
    """What is read of a dataset's row."""

    @property
    def image(self) -> bytes: ...

    @property
    def label(self) -> str: ...

    @property
    def sha256(self) -> str: ...


class Prepared:
    """Prepared pictures of one split with random access.

    Attributes:
        labels: in order.
        names: the SHA-256 of each picture's original bytes, in order.
        left_out: pictures that could not be read, as (name, reason).
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        self.labels: list[str] = index["labels"]
        self.names: list[str] = index["names"]
        self.left_out: list[tuple[str, str]] = [tuple(entry) for entry in index["left_out"]]
        self._shapes: list[tuple[int, int]] = [tuple(shape) for shape in index["shapes"]]
        sizes = np.array([height * width * 3 for height, width in self._shapes], np.int64)
        self._starts = np.concatenate(([0], np.cumsum(sizes)))
        size = int(self._starts[-1])
        # An empty file cannot be mapped.
        self._pixels = np.memmap(folder / _PIXELS, np.uint8, "r") if size else np.empty(0, np.uint8)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[RGB, str]:
        height, width = self._shapes[index]
        start, end = self._starts[index], self._starts[index + 1]
        return self._pixels[start:end].reshape(height, width, 3), self.labels[index]

    def width(self, index: int) -> int:
        """Of a prepared picture, pixels."""
        return self._shapes[index][1]


class Chosen:
    """Some of another set's samples.

    Args:
        pictures: the whole set.
        indices: which of them, in order.
    """

    def __init__(self, pictures: Prepared, indices: Sequence[int]) -> None:
        self._pictures = pictures
        self._indices = list(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> tuple[RGB, str]:
        return self._pictures[self._indices[index]]


def prepared(
    rows: Iterable[LabelledPicture],
    *,
    key: Sequence[Any],
    prepare: Callable[[RGB], RGB],
    preparation: dict[str, Any],
    cache: Path,
    limits: PictureLimits | None = None,
    report: Callable[[int], None] | None = None,
) -> Prepared:
    """Prepare a split, or find it prepared.

    Args:
        rows: read only where the pictures are not in the cache.
        key: names the rows' content, e.g. dataset, version and split.
        prepare: brings a decoded picture to what the network takes.
        preparation: its numbers, part of the key.
        cache: a folder for prepared sets.
        limits: what one picture may cost.
        report: called with the number of pictures done so far.
    """
    limits = limits or PictureLimits()
    content = json.dumps([_FORMAT, list(key), preparation, asdict(limits)], sort_keys=True)
    folder = cache / hashlib.sha256(content.encode()).hexdigest()[:20]
    try:
        os.utime(folder)  # the date of its last use: whoever clears the cache goes by it
    except FileNotFoundError:
        building = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        _write(building, _prepare_all(rows, prepare, limits), report)
        try:
            building.rename(folder)
        except OSError:
            # Another process finished the same set first; its content is the same.
            shutil.rmtree(building, ignore_errors=True)
    return Prepared(folder)


def folder_rows(folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes and label of every picture that a folder's `labels.json` lists.

    Raises:
        SettingsError: no such file, or it is not `{file: text}`.
    """
    path = folder / "labels.json"
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
        pairs = sorted(labels.items())
    except (OSError, json.JSONDecodeError, AttributeError) as error:
        raise SettingsError(
            f"cannot read {path}: {error}", hint='write {"file.png": "its text", …}'
        ) from error
    for name, label in pairs:
        yield name, (folder / name).read_bytes(), label


_Item = tuple[str, str, RGB | None, str]


def _prepare_all(
    rows: Iterable[LabelledPicture], prepare: Callable[[RGB], RGB], limits: PictureLimits
) -> Iterator[_Item]:
    def one(name: str, image: bytes, label: str) -> _Item:
        try:
            return name, label, prepare(decode(image, limits)), ""
        except BadPicture as error:
            return name, label, None, error.message

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        waiting: deque[Future[_Item]] = deque()
        for row in rows:
            waiting.append(threads.submit(one, row.sha256, row.image, row.label))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _write(folder: Path, items: Iterable[_Item], report: Callable[[int], None] | None) -> None:
    names: list[str] = []
    labels: list[str] = []
    shapes: list[tuple[int, int]] = []
    left_out: list[tuple[str, str]] = []
    with (folder / _PIXELS).open("wb") as pixels:
        for done, (name, label, picture, reason) in enumerate(items, start=1):
            if picture is None:
                left_out.append((name, reason))
            else:
                pixels.write(np.ascontiguousarray(picture).tobytes())
                names.append(name)
                labels.append(label)
                shapes.append((picture.shape[0], picture.shape[1]))
            if report is not None:
                report(done)
    index = {"names": names, "labels": labels, "shapes": shapes, "left_out": left_out}
    (folder / _INDEX).write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
