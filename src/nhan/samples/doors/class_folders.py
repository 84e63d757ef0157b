"""A folder of class folders: the folder's name is the label of every picture in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from nhan.samples.doors.base import Opened, Reading, split_in
from nhan.samples.media import Media, walk_pictures
from nhan.samples.record import Record, Skip, Vote


class ClassFolders:
    """`daisy/1.jpg`, or with a split above: `train/daisy/1.jpg`.

    A folder called like a split is one where it holds class folders, or where there are no others;
    with pictures in it and `car/` and `plane/` beside it, `train/` is a class.
    """

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
    splits = _splits([path.relative_to(folder).parts for path in paths])
    for path in paths:
        name = path.relative_to(folder).as_posix()
        words = list(Path(name).parts[:-1])
        split = ""
        if words and words[0] in splits:
            split = split_in(f"{words.pop(0)}/x")
        if not words:
            where = f"in {name.partition('/')[0]}/, which is a split, and " if split else ""
            yield Skip(
                name,
                "no_label",
                f"{name} lies {where}in no class folder",
                "move it into a folder that is named after its class",
            )
            continue
        yield Record(
            name=name,
            picture=media.at(path),
            label=Vote(words[0]),
            split=reading.split_of(split),
            source=reading.source_name or folder.name,
            group=reading.group_of(name),
        )


def _splits(paths: list[tuple[str, ...]]) -> set[str]:
    """The folders at the top that are splits, not classes."""
    named = {parts[0] for parts in paths if len(parts) > 1 and split_in(f"{parts[0]}/x")}
    holding_folders = {parts[0] for parts in paths if len(parts) > 2}
    others = any(len(parts) > 1 and parts[0] not in named for parts in paths)
    return named & holding_folders if others else named
