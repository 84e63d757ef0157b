"""Which pictures something refers to: samples, uploads wherever they are, dataset versions.

The order of the looks matters. An upload that leaves the inbox is in the catalogue by then, so the
inbox is read first and the catalogue last: nothing slips through between the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import sqlalchemy as sa

from nhan.catalog.schema import samples
from nhan.catalog.uploads import known_predictions
from nhan.datasets.read import list_datasets, open_dataset
from nhan.errors import NotFound
from nhan.uploads import record as layout
from nhan.workspace import Workspace

_AT_ONCE = 500
# Whatever a record looks like, also one that nobody can read any more: its hashes count.
_HASH = re.compile(rb"[0-9a-f]{64}")


class References:
    """Says which pictures are referred to, as of the moment it is asked.

    Args:
        workspace: where.
        pool: reads objects.
    """

    def __init__(self, workspace: Workspace, pool: ThreadPoolExecutor) -> None:
        self._workspace = workspace
        self._store = workspace.store
        self._pool = pool
        self._records: dict[str, frozenset[str]] = {}

    def among(self, hashes: Iterable[str]) -> set[str]:
        """Those of the SHA-256 that something refers to."""
        asked = set(hashes)
        found = self.samples(asked)
        if left := asked - found:
            found |= left & self._waiting_uploads()
            found |= left & self._uploads_without_a_row
            found |= {one for one in left if _short(one) in self._frozen}
            found |= self.samples(left - found)
        return found

    def samples(self, hashes: Iterable[str]) -> set[str]:
        """Those of the SHA-256 that a sample has, of whatever task."""
        found: set[str] = set()
        wanted = sorted(set(hashes))
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            query = sa.select(samples.c.sha256).where(samples.c.sha256.in_(some))
            with self._workspace.catalog.read() as connection:
                found |= set(connection.scalars(query))
        return found

    def _waiting_uploads(self) -> set[str]:
        """Of uploads that are not taken in, or were refused; each is read once."""
        paths = [
            path
            for prefix in (layout.INBOX, layout.REFUSED)
            for path in self._store.list(prefix)
            if "-" not in path.rpartition("/")[2]  # what is said of an upload names no picture
        ]
        new = [path for path in paths if path not in self._records]
        self._records |= zip(new, self._pool.map(self._read, new), strict=True)
        return set().union(*(self._records[path] for path in paths))

    @cached_property
    def _uploads_without_a_row(self) -> set[str]:
        """Of uploads that were taken into a catalogue that has lost them."""
        found: set[str] = set()
        for day in self._store.folders(layout.TAKEN):
            paths = {
                path.rpartition("/")[2].removesuffix(".json"): path
                for path in self._store.list(f"{layout.TAKEN}/{day}")
            }
            with self._workspace.catalog.read() as connection:
                lost = paths.keys() - known_predictions(connection, paths)
            found |= set().union(*self._pool.map(self._read, [paths[one] for one in lost]))
        return found

    @cached_property
    def _frozen(self) -> set[int]:
        """Of every dataset version; what is frozen later has a sample."""
        found: set[int] = set()
        for summary in list_datasets(self._store):
            for version in summary.versions:
                dataset = open_dataset(self._store, f"{summary.name}@{version}")
                for split in dataset.splits:
                    found |= {_short(row.sha256) for row in dataset.rows(split, pictures=False)}
        return found

    def _read(self, path: str) -> frozenset[str]:
        try:
            data = self._store.read(path)
        except NotFound:  # taken in meanwhile
            return frozenset()
        return frozenset(one.decode() for one in _HASH.findall(data))


def _short(sha256: str) -> int:
    """64 bits of a hash: where two pictures share them, one too many is kept."""
    return int(sha256[:16], 16)
