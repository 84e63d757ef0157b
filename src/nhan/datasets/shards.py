"""Writing the rows of a version as Parquet files that can be streamed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nhan.catalog.samples import SampleRow
from nhan.datasets import layout
from nhan.errors import JobFailed, NotFound
from nhan.images import content_hash
from nhan.storage import Store

# What a file of a dataset should have at most: quick to copy, few enough to list.
SHARD_BYTES = 256_000_000
# A reader holds one group of rows in memory.
GROUP_BYTES = 8_000_000
GROUP_ROWS = 500
# Pictures read ahead; on S3 each costs a round trip.
_READ_AHEAD = 32
_THREADS = 8

Progress = Callable[[int, int | None], None]


def write_shards(
    store: Store,
    name: str,
    version: str,
    rows: Sequence[SampleRow],
    *,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Write all rows, each split into its own files; memory holds one group of rows.

    Args:
        store: where the pictures are and the files go.
        name: of the dataset.
        version: its content's id.
        rows: sorted by split.
        progress: called with the rows written and their number.

    Returns:
        One entry a file: `file`, `split`, `rows`, `bytes`, `sha256`.

    Raises:
        JobFailed: a picture is missing or damaged.
    """
    files: list[dict[str, Any]] = []
    done = 0
    with ThreadPoolExecutor(_THREADS) as pool, tempfile.TemporaryDirectory() as scratch:
        for split, members in groupby(rows, key=lambda row: row.split):
            numbered = _Files(store, name, version, split, Path(scratch), files)
            group = _Group()
            for row, data in _with_pictures(store, members, pool):
                group.add(row, data)
                if group.full:
                    numbered.write(group)
                    done += len(group.rows)
                    group = _Group()
                    if progress is not None:
                        progress(done, len(rows))
            numbered.write(group)
            done += len(group.rows)
            numbered.close()
            if progress is not None:
                progress(done, len(rows))
    written = sum(entry["rows"] for entry in files)
    assert written == len(rows), f"{len(rows)} rows to write, {written} written"
    return files


@dataclass
class _Group:
    """Rows that are written together."""

    rows: list[SampleRow] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, row: SampleRow, picture: bytes) -> None:
        self.rows.append(row)
        self.pictures.append(picture)
        self.size += len(picture)

    @property
    def full(self) -> bool:
        return self.size >= GROUP_BYTES or len(self.rows) >= GROUP_ROWS

    def table(self) -> pa.Table:
        images = [
            {"bytes": picture, "path": PurePosixPath(row.path).name}
            for row, picture in zip(self.rows, self.pictures, strict=True)
        ]
        columns: dict[str, list[Any]] = {
            "image": images,
            "label": [row.label for row in self.rows],
            "split": [row.split for row in self.rows],
            "sha256": [row.sha256 for row in self.rows],
            "source": [row.source for row in self.rows],
            "group": [row.group for row in self.rows],
            "width": [row.width for row in self.rows],
            "height": [row.height for row in self.rows],
            "sample": [row.id for row in self.rows],
        }
        return pa.table(columns, schema=layout.SCHEMA)


class _Files:
    """The numbered files of one split; each is made locally and put into the store whole."""

    def __init__(
        self,
        store: Store,
        name: str,
        version: str,
        split: str,
        scratch: Path,
        entries: list[dict[str, Any]],
    ) -> None:
        self._store = store
        self._place = (name, version, split)
        self._split = split
        self._local = scratch / f"{split}.parquet"
        self._entries = entries
        self._writer: pq.ParquetWriter | None = None
        self._number = 0
        self._rows = 0
        self._size = 0

    def write(self, group: _Group) -> None:
        if not group.rows:
            return
        if self._writer is None:
            # Pictures are compressed already; dictionaries pay where values repeat.
            self._writer = pq.ParquetWriter(
                self._local,
                layout.SCHEMA,
                compression={"image.bytes": "NONE", "label": "ZSTD", "sha256": "NONE"},
                use_dictionary=["split", "source", "group"],
            )
        self._writer.write_table(group.table())
        self._rows += len(group.rows)
        self._size += group.size
        if self._size >= SHARD_BYTES:
            self.close()

    def close(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        path = layout.shard_path(*self._place, self._number)
        self._store.put_file(path, self._local)
        with self._local.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._entries.append(
            {
                "file": PurePosixPath(path).name,
                "split": self._split,
                "rows": self._rows,
                "bytes": self._local.stat().st_size,
                "sha256": digest,
            }
        )
        self._local.unlink()
        self._writer = None
        self._number += 1
        self._rows = self._size = 0


def _with_pictures(
    store: Store, rows: Iterator[SampleRow], pool: ThreadPoolExecutor
) -> Iterator[tuple[SampleRow, bytes]]:
    def load(row: SampleRow) -> bytes:
        try:
            data = store.read(row.path)
        except NotFound as error:
            raise _damaged(row, "is missing from the store") from error
        if content_hash(data) != row.sha256:
            raise _damaged(row, "no longer holds the bytes it is named by")
        return data

    while some := list(islice(rows, _READ_AHEAD)):
        yield from zip(some, pool.map(load, some), strict=True)


def _damaged(row: SampleRow, what: str) -> JobFailed:
    return JobFailed(
        f"sample {row.id} ({row.name}): {row.path} {what}",
        hint="`nhan audit` lists all such pictures; import their source again, or reject them",
    )
