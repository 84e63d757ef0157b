"""CSV with a picture and a label column; delimiter, mark and header are found out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
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

# Names of columns, by what they hold; the first that is present is taken.
PICTURE_COLUMNS = (
    "picture",
    "file",
    "image",
    "file_name",
    "filename",
    "path",
    "image_path",
    "picture_path",
    "img",
    "image_name",
)
LABEL_COLUMNS = (
    "label",
    "text",
    "transcription",
    "caption",
    "class",
    "words",
    "ground_truth",
    "gt",
    "value",
)
SPLIT_COLUMNS = ("split", "subset", "set")
SOURCE_COLUMNS = ("source",)
GROUP_COLUMNS = ("group", "document", "writer")
_DELIMITERS = ",;\t|"
_ENDINGS = (".csv", ".tsv")


class CsvTable:
    """Comma, semicolon, tab or bar; quoted as spreadsheets do; with or without a header."""

    layout = "a CSV with a picture and a label column, or a folder with one"
    folder_is_label = False

    def claims(self, source: Path) -> bool:
        return bool(_tables(source))

    def claims_at_last(self, source: Path) -> bool:
        """Whether it has a table with a header in words of its own, above names of pictures.

        Asked when no door claims the source: beside class folders such a table is something else.
        """
        return bool(_other_tables(source))

    def open(self, source: Path, reading: Reading, media: Media) -> Opened:
        tables = _tables(source) or _other_tables(source) or [source]
        total = sum(_count(path) for path in tables)
        folder = source if source.is_dir() else source.parent
        default = folder.resolve().name
        return Opened(
            (item for path in tables for item in _Table(path, default, reading, media).items()),
            total,
        )


@dataclass(frozen=True)
class _Columns:
    """Positions; -1 for a column that is not there."""

    picture: int
    label: int
    split: int = -1
    source: int = -1
    group: int = -1


def pick(names: Sequence[str], wanted: Sequence[str], asked: str = "") -> int:
    """The position of the asked column, else of the first wanted one that is there, else -1.

    Raises:
        BadSource: the asked column is not there.
    """
    folded = [name.strip().lower() for name in names]
    if asked:
        if asked.strip().lower() not in folded:
            raise BadSource(f"no column {asked!r}", hint=f"columns: {', '.join(names)}")
        return folded.index(asked.strip().lower())
    return next((folded.index(name) for name in wanted if name in folded), -1)


def _tables(source: Path) -> list[Path]:
    if source.is_dir():
        candidates = sorted(path for path in source.iterdir() if path.suffix.lower() in _ENDINGS)
        return [path for path in candidates if _looks_right(path)]
    return [source] if source.suffix.lower() in _ENDINGS or _looks_right(source) else []


def _other_tables(source: Path) -> list[Path]:
    paths = sorted(source.iterdir()) if source.is_dir() else [source]
    return [path for path in paths if path.suffix.lower() in _ENDINGS and _names_pictures(path)]


def _names_pictures(path: Path) -> bool:
    rows = list(csv.reader(io.StringIO(text_beginning(path)), _dialect(path)))
    return len(rows) > 1 and len(rows[0]) > 1 and any(map(_names_picture, rows[1]))


def _looks_right(path: Path) -> bool:
    rows = list(csv.reader(io.StringIO(text_beginning(path)), _dialect(path)))
    if not rows or len(rows[0]) < 2:
        return False
    has_header = pick(rows[0], PICTURE_COLUMNS) >= 0 and pick(rows[0], LABEL_COLUMNS) >= 0
    return has_header or _names_picture(rows[0][0])


def _names_picture(cell: str) -> bool:
    return Path(cell.strip()).suffix.lower() in PICTURE_ENDINGS


def _dialect(path: Path) -> type[csv.Dialect]:
    """The delimiter that occurs most in the first line, with the quoting of spreadsheets.

    csv.Sniffer guesses from letter statistics and takes a letter for the delimiter of short
    files; the first line is a header or a path, which tells more.
    """
    first = text_beginning(path).partition("\n")[0]

    class Found(csv.excel):
        delimiter = max(_DELIMITERS, key=first.count)

    return Found


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(encoding=encoding_of(path), newline="") as file:
        try:
            for row in csv.reader(file, _dialect(path)):
                if any(cell.strip() for cell in row):
                    yield row
        except UnicodeDecodeError as error:
            raise not_utf8(path, error) from error
        except csv.Error as error:
            raise BadSource(
                f"{path} is not valid CSV: {error}", hint="save it again as CSV, in UTF-8"
            ) from error


def _count(path: Path) -> int:
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        return 0
    return sum(1 for _ in rows) + (0 if _has_header(first) else 1)


def _has_header(first: list[str]) -> bool:
    """No cell of a header is a picture's name."""
    return not any(_names_picture(cell) for cell in first)


def _columns(path: Path, first: list[str], reading: Reading) -> _Columns:
    if not _has_header(first):
        if len(first) < 2:
            raise BadSource(f"{path} has one column", hint="picture and label are needed")
        return _Columns(0, 1)
    found = _Columns(
        pick(first, PICTURE_COLUMNS, reading.picture_column),
        pick(first, LABEL_COLUMNS, reading.label_column),
        pick(first, SPLIT_COLUMNS),
        pick(first, SOURCE_COLUMNS),
        pick(first, GROUP_COLUMNS),
    )
    for position, what, names in (
        (found.picture, "picture", PICTURE_COLUMNS),
        (found.label, "label", LABEL_COLUMNS),
    ):
        if position < 0:
            raise BadSource(
                f"{path} has no {what} column; it has {', '.join(first)}",
                hint=f"name it with --{what}-column; looked for {', '.join(names)}",
            )
    return found


@dataclass(frozen=True)
class _Table:
    """One file's rows as records."""

    path: Path
    default: str
    reading: Reading
    media: Media

    def items(self) -> Iterator[Record | Skip]:
        rows = _rows(self.path)
        first = next(rows, None)
        if first is None:
            return
        columns = _columns(self.path, first, self.reading)
        data = rows if _has_header(first) else chain([first], rows)
        for number, row in enumerate(data, start=1):
            yield self._item(row, f"{self.path.name} row {number}", columns)

    def _item(self, row: list[str], where: str, columns: _Columns) -> Record | Skip:
        def cell(position: int) -> str:
            return row[position].strip() if 0 <= position < len(row) else ""

        name = cell(columns.picture)
        if not name or columns.label >= len(row):
            return Skip(where, "malformed_item", f"no picture or no label: {row!r:.80}")
        try:
            picture = self.media.exact(name)
        except Unresolved as error:
            return error.skip(name)
        reading, told = self.reading, self.media.within(name, picture)
        return Record(
            name=name,
            picture=picture,
            label=Vote(row[columns.label]),
            split=reading.split_of(cell(columns.split), split_in_file_name(self.path), told),
            source=reading.source_name
            or cell(columns.source)
            or reading.source_of(told, self.default),
            group=reading.group_of(name) or cell(columns.group),
        )
