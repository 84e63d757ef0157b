"""Parquet with an image column (bytes, or path) and a label column, as Hugging Face writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nhan.errors import BadSource
from nhan.samples.doors.base import Opened, Reading, beginning, split_in_file_name
from nhan.samples.doors.csv_table import (
    GROUP_COLUMNS,
    LABEL_COLUMNS,
    PICTURE_COLUMNS,
    SOURCE_COLUMNS,
    SPLIT_COLUMNS,
    pick,
)
from nhan.samples.media import Media
from nhan.samples.record import Record, Skip, Unresolved, Vote, said

# Rows held in memory at once: at the largest picture allowed (10 MB) a batch has 640 MB, at the
# usual line picture (20 kB) 1.3 MB.
_ROWS_AT_ONCE = 64


class ParquetFiles:
    """One file or a folder of shards; the file name may tell the split (`train-00000.parquet`)."""

    layout = "Parquet with an image column (bytes or path) and a label column"
    folder_is_label = False

    def claims(self, source: Path) -> bool:
        return bool(_files(source))

    def open(self, source: Path, reading: Reading, media: Media) -> Opened:
        files = _files(source) or [source]
        folder = source if source.is_dir() else source.parent
        try:
            tables = [(path, pq.ParquetFile(path)) for path in files]
        except (pa.ArrowInvalid, OSError) as error:
            raise BadSource(
                f"{source} is not valid Parquet: {error}", hint="write or copy it again, whole"
            ) from error
        total = sum(table.metadata.num_rows for _, table in tables)
        default = folder.resolve().name
        return Opened(
            (
                item
                for path, table in tables
                for item in _Shard(path, table, default, reading, media).items()
            ),
            total,
        )


def _files(source: Path) -> list[Path]:
    if source.is_dir():
        return sorted(path for path in source.rglob("*.parquet") if _is_parquet(path))
    return [source] if _is_parquet(source) else []


def _is_parquet(path: Path) -> bool:
    return beginning(path, 4) == b"PAR1"


@dataclass(frozen=True)
class _Shard:
    path: Path
    table: pq.ParquetFile
    default: str
    reading: Reading
    media: Media

    def items(self) -> Iterator[Record | Skip]:
        names = list(self.table.schema_arrow.names)
        picture = self._column(names, PICTURE_COLUMNS, self.reading.picture_column, "picture")
        label = self._column(names, LABEL_COLUMNS, self.reading.label_column, "label")
        classes = _class_names(self.table.schema_arrow, label)
        extra = {
            what: names[position]
            for what, wanted in (
                ("split", SPLIT_COLUMNS),
                ("source", SOURCE_COLUMNS),
                ("group", GROUP_COLUMNS),
            )
            if (position := pick(names, wanted)) >= 0
        }
        columns = list(dict.fromkeys([picture, label, *extra.values()]))
        number = 0
        for batch in self.table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
            for row in batch.to_pylist():
                number += 1
                value = row[label]
                if isinstance(value, int) and not isinstance(value, bool):
                    value = _class_of(value, classes)
                facts = {what: said(row[column]) for what, column in extra.items()}
                yield self._item(f"{self.path.name} row {number}", row[picture], value, facts)

    def _column(self, names: list[str], wanted: tuple[str, ...], asked: str, what: str) -> str:
        position = pick(names, wanted, asked)
        if position < 0:
            raise BadSource(
                f"{self.path} has no {what} column; it has {', '.join(names)}",
                hint=f"name it with --{what}-column; looked for {', '.join(wanted)}",
            )
        return names[position]

    def _item(self, where: str, image: Any, label: Any, facts: dict[str, str]) -> Record | Skip:
        if isinstance(image, dict):
            name, data = str(image.get("path") or ""), image.get("bytes")
        else:
            name, data = (image, None) if isinstance(image, str) else ("", image)
        if label is None:
            return Skip(name or where, "no_label", f"{where} has no label")
        if not isinstance(label, str):
            return Skip(name or where, "malformed_item", f"{where}: {label!r:.80} is no text")
        if not data and not name:
            return Skip(where, "missing_picture", f"{where} has neither bytes nor a path")
        picture: Callable[[], bytes]
        told = name
        if data:
            content = bytes(data)
            # A whole path is where the file once lay, on whatever machine.
            told = PurePosixPath(name).name if name.startswith("/") else name
            picture = lambda: content  # noqa: E731  a reader, like every other door's
        else:
            try:
                picture = self.media.exact(name)
            except Unresolved as error:
                return error.skip(name)
            told = self.media.within(name, picture)
        reading = self.reading
        return Record(
            name=name or where,
            picture=picture,
            label=Vote(label),
            split=reading.split_of(
                facts.get("split", ""), split_in_file_name(self.path), self.path.parent.name, told
            ),
            source=reading.source_name
            or facts.get("source")
            or reading.source_of(told, self.default),
            group=reading.group_of(name) or facts.get("group", ""),
        )


def _class_of(number: int, classes: list[str]) -> str | None:
    """The name behind a number; without names the number is the label, and -1 says "none"."""
    if not classes:
        return str(number)
    return classes[number] if 0 <= number < len(classes) else None


def _class_names(schema: pa.Schema, column: str) -> list[str]:
    """The names behind a Hugging Face ClassLabel column of numbers; empty for any other."""
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return []
    features = json.loads(metadata).get("info", {}).get("features", {})
    names = features.get(column, {}).get("names", [])
    return [str(name) for name in names] if isinstance(names, list) else []
