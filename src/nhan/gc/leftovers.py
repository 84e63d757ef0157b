"""What processes that were killed, and trainings that are over, left on this machine's disk."""

from __future__ import annotations

import math
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nhan.gc.report import Age, Found, GcReport
from nhan.models.registry import Registry
from nhan.uploads import journal
from nhan.workspace import Workspace

# As every writer here calls a file or folder until it is whole: `.NAME.PROCESS`.
_TEMPORARY = re.compile(r"\..+\.[0-9]+(\.[0-9a-f]{8})?(\.npz)?")
# A workspace may be a folder where people keep other things: only what we write is ours to remove.
_OWN = re.compile(r"\.(nhan\.toml|keys\.json|signing\.key)\.[0-9]+(\.[0-9a-f]{8})?")
_CACHED = re.compile(r"[0-9a-f]{20}")
_SHORT_TRAINING = re.compile(r"budget-[0-9a-f]+-[0-9]+")
_FACTS, _RESULT = "run.json", "result.json"
_RESUMED_FROM = ("last.safetensors", "start.safetensors")
# What a run's folder may hold before `run.json` makes it one that can be gone on with.
_BEGUN = ("config.json", "start.safetensors")
# As the object store calls a file in a folder until it is whole; no object can be called so.
_STAGED = re.compile(r".+#[0-9]+")
_OBJECTS = ("images", "datasets", "runs", "models", "rounds", "uploads", "watching", "labelstudio",
            "gc", "doctor")  # fmt: skip
# Of these the last object of a folder goes in the course of things.
_EMPTIED = ("images", "datasets", "uploads", "gc", "doctor")


@dataclass(frozen=True)
class Leftovers:
    """Clears a workspace's folder.

    Attributes:
        age: what is old.
        report: what was found is added to it.
    """

    workspace: Workspace
    age: Age
    report: GcReport
    _gone: set[Path] = field(default_factory=set)

    def temporaries(self) -> None:
        """Files and folders that were never finished; renews the dates of where they were."""
        root = self.workspace.root
        spool = root / self.workspace.settings.uploads.spool
        for path in _entries(root):
            if _OWN.fullmatch(path.name):
                self._remove("temporary", path)
        cache = root / "cache"
        places = [spool, *root.glob("runs/*"), cache, *cache.glob("*"), *cache.glob("features/*")]
        for place in places:
            for path in _entries(place):
                if _TEMPORARY.fullmatch(path.name):
                    self._remove("temporary", path)
        for path in spool.glob(f".*{journal.SUFFIX}"):
            self._remove("temporary", path, _remove_segment)
        for folder, _, names in self._walk(_OBJECTS):
            for name in names:
                if _STAGED.fullmatch(name):
                    self._remove("temporary", Path(folder) / name)

    def runs(self, *, checkpoints: bool) -> None:
        """Runs that cannot be gone on with; on request, checkpoints of those that need not be.

        Args:
            checkpoints: also what resuming a run would begin with whose model is published.
        """
        published = _published_runs(self.workspace) if checkpoints else set()
        for run in _entries(self.workspace.root / "runs"):
            if run.is_dir() and not (run / _FACTS).exists():
                names = [path.name for path in _entries(run)]
                if all(name in _BEGUN or _TEMPORARY.fullmatch(name) for name in names):
                    self._remove("run", run)
            elif run.name in published and _is_old(run / _RESULT, self.age.before.timestamp()):
                for name in _RESUMED_FROM:
                    self._remove("checkpoint", run / name)

    def caches(self) -> None:
        """What is quick to make again and was not used lately."""
        cache = self.workspace.root / "cache"
        for place, name in (
            (cache / "prepared", _CACHED),
            (cache / "features", _CACHED),
            (cache, _SHORT_TRAINING),
        ):
            for path in _entries(place):
                if name.fullmatch(path.name):
                    self._remove("cache", path, before=self.age.cache_before.timestamp())

    def folders(self) -> None:
        """Folders of the object store whose last object is gone, such as a day's inbox."""
        found = [Path(place) for place, _, _ in self._walk(_EMPTIED)]
        # Before any goes: that gives the folder above it a new date.
        old = {path for path in found if _written(path) < self.age.before.timestamp()}
        for path in found:
            if path not in old or not all(one in self._gone for one in _entries(path)):
                continue
            if not self.report.dry_run:
                try:
                    path.rmdir()
                except OSError:  # somebody put something into it
                    continue
            self._gone.add(path)
            self.report.found.append(Found("folder", self._name(path), 0))

    def _walk(self, tops: Sequence[str]) -> Iterator[tuple[str, list[str], list[str]]]:
        folder = self.workspace.store.folder
        if folder is not None:
            for top in tops:
                yield from os.walk(folder / top, topdown=False)

    def _remove(
        self,
        kind: str,
        path: Path,
        removal: Callable[[Path], None] | None = None,
        *,
        before: float | None = None,
    ) -> None:
        """Remove a file or folder if everything in it is old, whatever else goes on meanwhile."""
        before = self.age.before.timestamp() if before is None else before
        if not self._gone.isdisjoint(path.parents) or not _is_old(path, before):
            return
        found = Found(kind, self._name(path), _size(path))
        if not self.report.dry_run:
            try:
                (removal or _remove_whole)(path)
            except OSError:  # somebody uses it, or was quicker
                return
        self._gone.add(path)
        self.report.found.append(found)

    def _name(self, path: Path) -> str:
        root = self.workspace.root
        return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _published_runs(workspace: Workspace) -> set[str]:
    registry = Registry(workspace.store)
    return {
        registry.open(name, version).spec.run
        for name in registry.models()
        for version in registry.versions(name)
    }


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from sorted(folder.iterdir())


def _written(folder: Path) -> float:
    """When something was last put into or taken out of a folder; never, if it is gone."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _is_old(path: Path, before: float) -> bool:
    """Whether neither it nor anything in it was written, or used, since then; not if it is gone."""
    try:
        times = [one.lstat().st_mtime for one in (path, *path.rglob("*"))]
    except FileNotFoundError:
        return False
    return max(times) < before


def _size(path: Path) -> int:
    total = 0
    for one in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            facts = one.lstat()
            total += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return total


def _remove_whole(path: Path) -> None:
    """Under another name first: nobody finds half a folder, and a kill leaves a temporary one."""
    if not path.is_dir() or path.is_symlink():
        path.unlink()
        return
    if not _TEMPORARY.fullmatch(path.name):
        path = path.rename(path.with_name(f".{path.name}.{os.getpid()}"))
    shutil.rmtree(path)


def _remove_segment(path: Path) -> None:
    claimed = journal.claim(path)
    if claimed is None:
        raise BlockingIOError(f"{path} is somebody's")
    claimed.remove()
    claimed.close()
