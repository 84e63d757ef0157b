"""A folder of class folders: the folder's name is the label of every picture in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nhan.samples.doors.base import Opened, Reading, split_in
from nhan.samples.media import Media, walk_pictures
from nhan.samples.record import Record, Skip, Vote


class ClassFolders:
    """`daisy/1.jpg`, or with a split above: `train/daisy/1.jpg`."""

    layout = "a folder of class folders with pictures"
    folder_is_label = True

    def claims(self, source: Path) -> bool:
        if not source.is_dir():
            return False
        return any(path.parent != source.resolve() for path in islice(walk_pictures(source), 1000))

    def open(self, source: Path, reading: Reading, media: Media) -> Opened:
        paths = list(walk_pictures(source))
        return Opened(_items(source.resolve(), paths, reading, media), len(paths))


def _items(
    folder: Path, paths: list[Path], reading: Reading, media: Media
) -> Iterator[Record | Skip]:
    for path in paths:
        name = path.relative_to(folder).as_posix()
        words = list(Path(name).parts[:-1])
        split = split_in(f"{words[0]}/x") if words else ""
        if split:
            words = words[1:]
        if not words:
            yield Skip(name, "no_label", f"{name} lies in no class folder", "move it into one")
            continue
        yield Record(
            name=name,
            picture=media.at(path),
            label=Vote(words[0]),
            split=reading.split_of(split),
            source=reading.source_name or folder.name,
            group=reading.group_of(name),
        )
