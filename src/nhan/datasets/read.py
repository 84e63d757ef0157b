"""Opening frozen datasets: by name (the newest version) or by name and version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nhan.datasets import layout
from nhan.errors import NotFound, UserError
from nhan.storage import NumberedLog, Store

# Rows decoded at once: few enough for phone photographs, many enough for line pictures.
_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Row:
    """One sample of a dataset version.

    Attributes:
        image: the original bytes; empty when read without pictures.
        label: normalised by the task.
        sha256: of the original bytes.
        source: slice of reports.
        group: document or writer; may be ''.
        width, height: upright, px.
        sample: its id in the catalogue it was frozen from.
    """

    image: bytes
    label: str
    sha256: str
    source: str
    group: str
    width: int
    height: int
    sample: int


@dataclass(frozen=True)
class DatasetVersion:
    """A frozen dataset; nothing about it ever changes.

    Attributes:
        version: twelve hexadecimal digits of its content's hash.
        manifest: counts, vocabulary, splits, audit, parents, as written at the freeze.
    """

    store: Store
    name: str
    version: str
    manifest: dict[str, Any]

    @property
    def ref(self) -> str:
        """`NAME@VERSION`."""
        return f"{self.name}@{self.version}"

    @property
    def task(self) -> str:
        """Whose labels they are."""
        return str(self.manifest["task"])

    @property
    def vocabulary(self) -> dict[str, Any]:
        """What the task says a model of these labels must be able to say."""
        vocabulary: dict[str, Any] = self.manifest["vocabulary"]
        return vocabulary

    @cached_property
    def splits(self) -> dict[str, int]:
        """Rows by split; 0 for one that is empty."""
        counts = self.manifest["splits"]
        return {split: int(counts.get(split, 0)) for split in layout.SPLITS}

    def count(self, split: str | None = None) -> int:
        """Rows of a split, or of all.

        Raises:
            UserError: no such split.
        """
        if split is None:
            return sum(self.splits.values())
        if split not in self.splits:
            raise UserError(f"no split {split!r}", hint=f"splits: {', '.join(layout.SPLITS)}")
        return self.splits[split]

    def shards(self, split: str) -> list[str]:
        """Paths of the Parquet files of a split in the store, in order."""
        self.count(split)
        return [
            f"{layout.folder(self.name, self.version)}/{shard['file']}"
            for shard in self.manifest["files"]
            if shard["split"] == split
        ]

    def rows(self, split: str, *, pictures: bool = True) -> Iterator[Row]:
        """The rows of a split, always in the same order; memory holds a few pictures.

        Args:
            split: `train`, `validation` or `test`.
            pictures: False leaves the image column on disk; `Row.image` is then empty.

        Raises:
            UserError: no such split.
            NotFound: a shard is missing from the store.
        """
        columns = [name for name in layout.COLUMNS if name not in ("image", "split")]
        if pictures:
            columns.append("image.bytes")
        for path in self.shards(split):
            # pre_buffer would hold whole files in memory: 420 MiB instead of 190 at 100,000 rows.
            with self.store.open(path) as file, pq.ParquetFile(file, pre_buffer=False) as parquet:
                size = _ROWS_AT_ONCE if pictures else 100 * _ROWS_AT_ONCE
                for batch in parquet.iter_batches(batch_size=size, columns=columns):
                    yield from _rows(batch)

    def labels(self, split: str) -> list[str]:
        """The labels of a split, in the order of `rows`, without touching the pictures."""
        return [row.label for row in self.rows(split, pictures=False)]

    def sizes(self, split: str) -> list[tuple[int, int]]:
        """(width, height) of a split's pictures, px, in the order of `rows`."""
        return [(row.width, row.height) for row in self.rows(split, pictures=False)]


@dataclass(frozen=True)
class DatasetSummary:
    """A dataset's name, its versions from old to new, and the one its bare name means."""

    name: str
    versions: tuple[str, ...]
    latest: str


def open_dataset(store: Store, reference: str) -> DatasetVersion:
    """Open `NAME` (the version frozen last) or `NAME@VERSION` (or a beginning of it).

    Raises:
        NotFound: no such dataset or version; the hint lists those there are.
        UserError: several versions begin like that.
    """
    name, _, wanted = reference.partition("@")
    versions = _versions(store, name)
    if not versions:
        known = ", ".join(summary.name for summary in list_datasets(store))
        raise NotFound(
            f"no dataset {name!r}",
            hint=f"datasets: {known}" if known else f"make one: nhan freeze {name or 'NAME'}",
        )
    if not wanted:
        return _open(store, name, _latest(store, name, versions))
    matching = [version for version in versions if version.startswith(wanted)]
    if not matching:
        raise NotFound(
            f"dataset {name} has no version {wanted!r}", hint=f"versions: {', '.join(versions)}"
        )
    if len(matching) > 1:
        raise UserError(
            f"{len(matching)} versions of {name} begin with {wanted!r}",
            hint=f"one of {', '.join(matching)}",
        )
    return _open(store, name, matching[0])


def list_datasets(store: Store) -> list[DatasetSummary]:
    """All datasets with a visible version, by name."""
    found = []
    for name in store.folders("datasets"):
        if versions := _versions(store, name):
            latest = _latest(store, name, versions)
            found.append(DatasetSummary(name, tuple(versions), latest))
    return found


def _versions(store: Store, name: str) -> list[str]:
    """Versions with a manifest, in the order of their first freeze; those unlogged at the end."""
    if not name or "/" in name:
        return []
    visible = {
        version
        for version in store.folders(f"datasets/{name}")
        if version != "log" and store.exists(layout.manifest_path(name, version))
    }
    logged = [str(entry["version"]) for _, entry in _log(store, name).entries()]
    ordered = [version for version in dict.fromkeys(logged) if version in visible]
    unlogged = [(_created(store, name, version), version) for version in visible - {*ordered}]
    return ordered + [version for _, version in sorted(unlogged)]


def _latest(store: Store, name: str, versions: list[str]) -> str:
    """The version of the last log entry that is visible."""
    for _, entry in reversed(_log(store, name).entries()):
        if entry["version"] in versions:
            return str(entry["version"])
    return versions[-1]


def _log(store: Store, name: str) -> NumberedLog:
    return NumberedLog(store, layout.log_prefix(name))


def _created(store: Store, name: str, version: str) -> str:
    return str(_open(store, name, version).manifest["created"])


def _open(store: Store, name: str, version: str) -> DatasetVersion:
    manifest = json.loads(store.read(layout.manifest_path(name, version)))
    return DatasetVersion(store, name, version, manifest)


def _rows(batch: pa.RecordBatch) -> Iterator[Row]:
    columns = {name: batch.column(name) for name in batch.schema.names}
    images = columns["image"].field("bytes") if "image" in columns else None
    for index in range(batch.num_rows):
        yield Row(
            image=b"" if images is None else images[index].as_py(),
            label=columns["label"][index].as_py(),
            sha256=columns["sha256"][index].as_py(),
            source=columns["source"][index].as_py(),
            group=columns["group"][index].as_py(),
            width=columns["width"][index].as_py(),
            height=columns["height"][index].as_py(),
            sample=columns["sample"][index].as_py(),
        )
