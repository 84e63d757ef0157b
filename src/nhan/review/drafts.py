"""Drafts: what somebody has typed and not yet decided, saved at every pause.

A draft has a revision that grows by one. Whoever saves says which revision they began from, so an
older page cannot overwrite what a newer one saved, and a save that is sent twice counts once.
"""

from __future__ import annotations

from datetime import UTC, datetime

from nhan.catalog import reviews
from nhan.catalog.events import log_event
from nhan.errors import BadRequest, Conflict
from nhan.review.queue import check_reviewer, check_text, hold_until, no_sample
from nhan.workspace import Workspace

# No line of text and no class is longer; a page that sends more has gone wrong.
MAX_CHARACTERS = 20_000


def save_draft(
    workspace: Workspace, sample: int, reviewer: str, value: str, revision: int = 0
) -> int:
    """Keep a draft and hold the sample for its reviewer a while longer.

    Args:
        workspace: where.
        sample: its number.
        reviewer: who types.
        value: as typed; nothing is normalised yet. May be empty.
        revision: the one that this draft was made from; 0 for the first.

    Returns:
        The revision of what is kept now.

    Raises:
        NotFound: no such sample.
        BadRequest: no reviewer, or a value that is no text or beyond all measure.
        Conflict: something newer was saved meanwhile; `details` has both.
    """
    reviewer = check_reviewer(reviewer)
    if len(value) > MAX_CHARACTERS:
        raise BadRequest(
            f"a draft of {len(value):,} characters", hint=f"{MAX_CHARACTERS:,} at most"
        )
    check_text(value)
    now = datetime.now(UTC)
    with workspace.catalog.write() as connection:
        reviews.lock_handout(connection)  # two saves at once of one new draft
        if reviews.read_sample(connection, sample) is None:
            raise no_sample(sample)
        review = reviews.read_review(connection, sample, reviewer)
        kept = review["revision"] if review else 0
        until = hold_until(workspace, now)
        if review is not None and revision != kept:
            if review["draft"] == value:  # our answer to the first try was lost
                return int(kept)
            raise Conflict(
                f"sample {sample}: revision {revision} of the draft is not the newest, "
                f"which is {kept}: {review['draft']!r}",
                hint="look at both, then save with the newest revision",
                details={
                    "yours": {"value": value, "revision": revision},
                    "newest": {"value": review["draft"], "revision": kept},
                },
            )
        begun = {} if review else {"begun_at": now}
        state = {"held_until": until} if review is None or review["state"] == "open" else {}
        reviews.write_review(
            connection, sample, reviewer, draft=value, revision=kept + 1, **begun, **state
        )
        reviews.begin_draft(connection, sample)
        log_event(
            connection,
            "review.draft",
            sample_id=sample,
            given_by=reviewer,
            value=value,
            revision=kept + 1,
        )
    return int(kept) + 1
