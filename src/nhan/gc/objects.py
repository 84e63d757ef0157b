"""Objects that nothing refers to: set aside first, gone for good with a later call.

Whoever writes a picture writes its reference a moment later, and may find that the same picture was
there already, long forgotten. So an old picture that comes in again gets a new date
(`nhan.samples.pictures.keep`), dates and references are looked at again just before it is moved,
and once more after. What a kill, or a reference that came at that very moment, leaves in the wrong
place is put back by the next call; only what nobody missed for as long as the age that is asked for
is removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePosixPath

from nhan.datasets import layout as datasets
from nhan.gc.references import References
from nhan.gc.report import Age, Found, GcReport
from nhan.samples.pictures import ASIDE, origin_of
from nhan.storage import Entry, Store

_BATCH = 500
_PICTURE = re.compile(r"images/[0-9a-f]{2}/([0-9a-f]{64})\.[a-z0-9]+")
_SHARD = re.compile(r"datasets/([^/]+)/([^/]+)/[^/]+")
_STAMP = "%Y%m%dT%H%M%SZ"


class Objects:
    """Clears an object store.

    Args:
        store: the workspace's objects.
        references: asked before and after anything is moved.
        pool: moves objects.
        age: what is old.
        report: what was found is added to it.
    """

    def __init__(
        self,
        store: Store,
        references: References,
        pool: ThreadPoolExecutor,
        age: Age,
        report: GcReport,
    ) -> None:
        self._store = store
        self._references = references
        self._pool = pool
        self._age = age
        self._report = report
        self._aside = f"{ASIDE}/{age.now.strftime(_STAMP)}"

    def finish_earlier(self) -> None:
        """Put back what is missed of what earlier calls set aside; remove what is not."""
        for batch in _batches(self._store.entries(ASIDE)):
            origins = {one.path: origin_of(one.path) for one in batch}
            missed = self._missed(origins.values())
            back = [path for path, origin in origins.items() if origin in missed]
            gone = [
                one
                for one in batch
                if origins[one.path] not in missed and _set_aside_at(one.path) < self._age.before
            ]
            self._report.put_back += [origins[path] for path in back]
            self._report.found += [Found("aside", one.path, one.size) for one in gone]
            if not self._report.dry_run:
                list(self._pool.map(self._put_back, back))
                list(self._pool.map(self._store.delete, [one.path for one in gone]))

    def pictures(self) -> None:
        """Set pictures aside that nothing refers to."""
        old = (
            one
            for one in self._store.entries("images")
            if one.modified < self._age.before and _PICTURE.fullmatch(one.path)
        )
        for batch in _batches(self._without_a_sample(old)):
            self._set_aside("picture", batch)

    def _without_a_sample(self, pictures: Iterator[Entry]) -> Iterator[Entry]:
        """A first look that is enough for nearly all of them."""
        for batch in _batches(pictures):
            hashes = [PurePosixPath(one.path).stem for one in batch]
            known = self._references.samples(hashes)
            yield from (
                one for one, sha256 in zip(batch, hashes, strict=True) if sha256 not in known
            )

    def datasets(self) -> None:
        """Set the files of freezes aside that were killed, or of which the last try is long ago."""
        for name in self._store.folders("datasets"):
            for version in self._store.folders(f"datasets/{name}"):
                if version == "log":
                    continue
                files = list(self._store.entries(datasets.folder(name, version)))
                if all(one.modified < self._age.before for one in files):
                    self._set_aside("dataset", files)

    def doctors(self) -> None:
        """Remove what a `nhan doctor` that was killed tried the store with."""
        for one in list(self._store.entries("doctor")):
            if one.modified < self._age.before:
                self._report.found.append(Found("temporary", one.path, one.size))
                if not self._report.dry_run:
                    self._store.delete(one.path)

    def _set_aside(self, kind: str, entries: list[Entry]) -> None:
        missed = self._missed(one.path for one in entries)
        going = [one for one in entries if one.path not in missed]
        if self._report.dry_run:
            self._report.found += [Found(kind, one.path, one.size) for one in going]
            return
        moved = [one for one in self._pool.map(self._move, going) if one is not None]
        again = self._missed(one.path for one in moved)
        for one in moved:
            if one.path in again:
                self._put_back(f"{self._aside}/{one.path}")
            else:
                self._report.found.append(Found(kind, one.path, one.size))

    def _move(self, entry: Entry) -> Entry | None:
        now = self._store.look(entry.path)
        if now is None or now.modified >= self._age.before:
            return None
        return entry if self._store.move(entry.path, f"{self._aside}/{entry.path}") else None

    def _put_back(self, path: str) -> None:
        """Under its own name again, unless somebody wrote it anew."""
        origin = origin_of(path)
        aside = self._store.look(path)
        if aside is not None and self._store.size(origin) == aside.size:
            self._store.delete(path)
        else:
            self._store.move(path, origin)

    def _missed(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths that something refers to."""
        pictures: dict[str, list[str]] = {}
        found: set[str] = set()
        visible: dict[tuple[str, str], bool] = {}
        for path in paths:
            if match := _PICTURE.fullmatch(path):
                pictures.setdefault(match[1], []).append(path)
            elif match := _SHARD.fullmatch(path):
                version = (match[1], match[2])
                if version not in visible:
                    visible[version] = self._store.exists(datasets.manifest_path(*version))
                found |= {path} if visible[version] else set()
        for sha256 in self._references.among(pictures):
            found.update(pictures[sha256])
        return found


def _set_aside_at(path: str) -> datetime:
    stamp = path.removeprefix(f"{ASIDE}/").partition("/")[0]
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:  # somebody's own
        return datetime.max.replace(tzinfo=UTC)


def _batches(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    while batch := list(islice(entries, _BATCH)):
        yield batch
