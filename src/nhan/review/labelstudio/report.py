"""What a push and a pull did: every task and sample they looked at is in exactly one count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nhan.samples.record import Skip


@dataclass
class PushReport:
    """What a push did, or would do.

    Attributes:
        project: the connection's key.
        pushed: tasks made.
        suggested: of them with a pre-annotation.
        there: tasks that were in the project already; counted by the survey.
        adopted: of them that a killed push had left unrecorded.
        refreshed: pre-annotations brought to the champion.
        relinked: pictures' addresses signed anew.
        gone: tasks that we know and the project lost; `pull` settles them.
        waiting: samples that wait and were not sent, for --limit.
        withheld: new samples that stay here, because whoever sent them did not consent.
        claimed: samples that another push is about to send, or was when it was killed; claims
            end after three minutes.
        skipped: samples not sent or sent without what they should carry, each with its reason.
    """

    project: str
    dry_run: bool
    model: str = ""
    pushed: int = 0
    suggested: int = 0
    there: int = 0
    adopted: int = 0
    refreshed: int = 0
    relinked: int = 0
    gone: int = 0
    waiting: int = 0
    withheld: int = 0
    claimed: int = 0
    skipped: list[Skip] = field(default_factory=list)

    @property
    def reasons(self) -> Counter[str]:
        """How many were skipped for which reason."""
        return Counter(one.code for one in self.skipped)

    @property
    def changed(self) -> bool:
        """Whether it did anything."""
        return bool(self.pushed or self.adopted or self.refreshed or self.relinked)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            **{name: value for name, value in vars(self).items() if name != "skipped"},
            "skipped": len(self.skipped),
            "skipped_by_reason": dict(self.reasons),
            "skipped_items": [one.to_json() for one in self.skipped],
        }


@dataclass
class PullReport:
    """What a pull did, or would do.

    `read == unchanged + outcomes + skipped`: every task that was read is in exactly one of them.

    Attributes:
        project: the connection's key.
        read: tasks that were read.
        unchanged: of them without news for us.
        outcomes: of them by what happened to the sample; see `standing.Effect`.
        skipped: of them not taken, each with its reason.
        begun, dropped: drafts that began, and that ended without an annotation.
        deleted: tasks that are gone; `unlabelled` of them had no label.
        erased: tasks deleted over there, because their samples were erased here.
        changes: what changed, `NAME: before → after`, for people; at most a few hundred.
        swept: whether every task was looked at.
    """

    project: str
    dry_run: bool
    read: int = 0
    unchanged: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    skipped: list[Skip] = field(default_factory=list)
    begun: int = 0
    dropped: int = 0
    deleted: int = 0
    unlabelled: int = 0
    erased: int = 0
    changes: list[str] = field(default_factory=list)
    swept: bool = False

    @property
    def labels(self) -> int:
        """Samples whose standing label is new or another one."""
        return self.outcomes["labelled"] + self.outcomes["relabelled"]

    @property
    def changed(self) -> bool:
        """Whether it did anything."""
        counts = (self.begun, self.dropped, self.deleted, self.erased)
        return bool(self.outcomes.total() or any(counts))

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            **{name: value for name, value in vars(self).items() if name != "skipped"},
            "labels": self.labels,
            "outcomes": dict(self.outcomes),
            "skipped": len(self.skipped),
            "skipped_by_reason": dict(Counter(one.code for one in self.skipped)),
            "skipped_items": [one.to_json() for one in self.skipped],
        }
