"""What a clearing-away found and did, in numbers and names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# kind -> what it is, for people
KINDS = {
    "picture": "pictures that no sample, upload or dataset refers to",
    "dataset": "files of freezes that never ended",
    "aside": "set aside by an earlier call, still not missed",
    "temporary": "half-written files of processes that were killed",
    "run": "runs that died before they could be gone on with",
    "checkpoint": "checkpoints that only resuming a published run would need",
    "cache": "prepared pictures and features that nobody used lately",
    "folder": "empty folders",
    "hold": "holds of review samples that ran out",
}
# These are irreplaceable, or what replaces them is not the same: they are set aside first.
SET_ASIDE = ("picture", "dataset")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Age:
    """From when on things are old.

    Attributes:
        now: UTC.
        before: what was written later is left alone, whatever it is.
        cache_before: caches used later stay.
    """

    now: datetime
    before: datetime
    cache_before: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that can go.

    Attributes:
        kind: one of `KINDS`.
        path: of an object, or of a file below the workspace's folder.
        size: bytes.
    """

    kind: str
    path: str
    size: int


@dataclass
class GcReport:
    """What was found; without `dry_run` it is gone, or set aside.

    Attributes:
        found: everything.
        put_back: objects set aside by an earlier call that something refers to after all.
    """

    found: list[Found] = field(default_factory=list)
    put_back: list[str] = field(default_factory=list)
    dry_run: bool = False

    def count(self, kind: str) -> int:
        """Things of a kind."""
        return sum(one.kind == kind for one in self.found)

    def size(self, kind: str) -> int:
        """Bytes of a kind."""
        return sum(one.size for one in self.found if one.kind == kind)

    @property
    def freed(self) -> int:
        """Bytes that are free now."""
        return sum(self.size(kind) for kind in KINDS if kind not in SET_ASIDE)

    @property
    def aside(self) -> int:
        """Bytes that were set aside, and are free after a further call."""
        return sum(self.size(kind) for kind in SET_ASIDE)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "dry_run": self.dry_run,
            "freed_bytes": self.freed,
            "aside_bytes": self.aside,
            "kinds": {
                kind: {"count": self.count(kind), "bytes": self.size(kind)} for kind in KINDS
            },
            "put_back": self.put_back,
            "found": [
                {"kind": one.kind, "path": one.path, "bytes": one.size} for one in self.found
            ],
        }
