"""VietOCR and PaddleOCR recognition lists: `path<TAB>text`, one line each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nhan.errors import BadSource
from nhan.samples.doors.base import (
    Opened,
    Reading,
    encoding_of,
    not_utf8,
    split_in_file_name,
    text_beginning,
)
from nhan.samples.media import PICTURE_ENDINGS, Media
from nhan.samples.record import Record, Skip, Unresolved, Vote


class TabList:
    """Lists as `train_annotation.txt`; a folder may hold several, the file name tells the split."""

    layout = "a tab list (path<TAB>text), as VietOCR and PaddleOCR use, or a folder with such .txt"
    folder_is_label = False

    def claims(self, source: Path) -> bool:
        return bool(_lists(source))

    def open(self, source: Path, reading: Reading, media: Media) -> Opened:
        lists = _lists(source) or [source]
        total = 0
        for path in lists:
            with path.open("rb") as file:
                total += sum(1 for line in file if line.strip())
        return Opened(
            (item for path in lists for item in _items(path, source, reading, media)), total
        )


def _lists(source: Path) -> list[Path]:
    if source.is_dir():
        return sorted(path for path in source.glob("*.txt") if _is_list(path))
    return [source] if _is_list(source) else []


def _is_list(path: Path) -> bool:
    """Its first line is a picture's name, a tab and something."""
    lines = text_beginning(path).splitlines()
    first = next((line for line in lines if line.strip()), "")
    name, tab, _ = first.partition("\t")
    return bool(tab) and Path(name.strip()).suffix.lower() in PICTURE_ENDINGS


def _items(path: Path, source: Path, reading: Reading, media: Media) -> Iterator[Record | Skip]:
    default = (source if source.is_dir() else path.parent).resolve().name
    listed_split = split_in_file_name(path)
    with path.open(encoding=encoding_of(path), newline="") as file:
        try:
            for number, raw in enumerate(file, start=1):
                line = raw.rstrip("\r\n")
                if line.strip():
                    where = f"{path.name}:{number}"
                    yield _item(line, where, default, listed_split, reading, media)
        except UnicodeDecodeError as error:
            raise not_utf8(path, error) from error


def _item(
    line: str, where: str, default: str, listed_split: str, reading: Reading, media: Media
) -> Record | Skip:
    name, tab, text = line.partition("\t")
    name = name.strip()
    if not tab or not name:
        return Skip(where, "malformed_item", f"no tab between path and text: {line!r:.80}")
    if text.lstrip().startswith(('[{"transcription"', "[{'transcription'")):
        raise BadSource(
            f"{where} lists text regions of whole pages (PaddleOCR detection), not lines",
            hint="cut the regions out first and import the recognition list (rec_gt.txt)",
        )
    try:
        picture = media.exact(name)
    except Unresolved as error:
        return error.skip(name)
    told = media.within(name, picture)
    return Record(
        name=name,
        picture=picture,
        label=Vote(text),
        split=reading.split_of(listed_split, told),
        source=reading.source_of(told, default),
        group=reading.group_of(name),
    )
