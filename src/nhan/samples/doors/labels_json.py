"""A folder with `labels.json` = {file: label}, or the file alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nhan.errors import BadSource
from nhan.samples.doors.base import (
    Opened,
    Reading,
    not_utf8,
    text_beginning,
    unlabelled,
)
from nhan.samples.media import FilePicture, Media
from nhan.samples.record import Record, Skip, Unresolved, Vote

FILE_NAME = "labels.json"


class LabelsJson:
    """Pairs of file and label. Sub-folders may hold a `labels.json` of their own (train/, val/)."""

    layout = "a folder with labels.json {file: label}"
    folder_is_label = False

    def claims(self, source: Path) -> bool:
        if source.is_dir():
            return bool(_files(source))
        return text_beginning(source).lstrip().startswith("{")

    def open(self, source: Path, reading: Reading, media: Media) -> Opened:
        files = _files(source) if source.is_dir() else [source]
        if not files:
            raise BadSource(f"no {FILE_NAME} in {source}", hint=self.layout)
        pairs = [(file, name, label) for file in files for name, label in _load(file)]
        return Opened(_items(source, pairs, reading, media), len(pairs))


def _files(folder: Path) -> list[Path]:
    if (folder / FILE_NAME).is_file():
        return [folder / FILE_NAME]
    return sorted(folder.glob(f"*/{FILE_NAME}"))


def _load(file: Path) -> list[tuple[str, Any]]:
    """The pairs in order; a key that stands twice is kept twice, so that a conflict is seen."""
    try:
        pairs = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=list)
    except UnicodeDecodeError as error:
        raise not_utf8(file, error) from error
    except json.JSONDecodeError as error:
        raise BadSource(
            f"{file} is not valid JSON: {error}",
            hint='it holds {"picture.png": "text", …}, in UTF-8',
        ) from error
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise BadSource(f"{file} is not an object of file and label", hint='{"a.png": "text", …}')
    return pairs


def _items(
    source: Path, pairs: list[tuple[Path, str, Any]], reading: Reading, media: Media
) -> Iterator[Record | Skip]:
    folder = source if source.is_dir() else source.parent
    seen: set[str] = set()
    for file, key, label in pairs:
        below = file.parent.relative_to(folder).as_posix()
        name = key if below == "." else f"{below}/{key}"
        if not key or not isinstance(label, str):
            yield Skip(name, "malformed_item", f"{key!r}: {label!r:.80} is no pair of two texts")
            continue
        try:
            picture = _find(media, below, key)
        except Unresolved as error:
            yield error.skip(name)
            continue
        seen.add(str(picture.path))
        told = media.within(key, picture)
        told = name if told == key else told
        yield Record(
            name=name,
            picture=picture,
            label=Vote(label),
            split=reading.split_of(told),
            source=reading.source_of(told, folder.resolve().name),
            group=reading.group_of(name),
        )
    if source.is_dir():
        yield from unlabelled(source, seen, FILE_NAME)


def _find(media: Media, below: str, key: str) -> FilePicture:
    """Keys are relative to their labels.json, or to `images/` beside it."""
    if below == ".":
        return media.exact(key)
    try:
        return media.exact(f"{below}/{key}")
    except Unresolved:
        return media.exact(f"{below}/images/{key}")
