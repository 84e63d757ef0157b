"""Choosing what several people label, unseen by each other."""

from __future__ import annotations

from nhan.catalog import reviews
from nhan.catalog.events import log_event
from nhan.catalog.samples import lock_writers
from nhan.errors import UserError
from nhan.review.queue import choose_task
from nhan.workspace import Workspace

_MOST = 9


def double(
    workspace: Workspace, task: str, *, share: float, opinions: int = 2, dry_run: bool = False
) -> int:
    """Have a share of what waits labelled by several people.

    Which samples is told by the hashes of their pictures: a second call changes nothing, and
    samples that came later fall under the same rule. What somebody has begun is left alone.

    Args:
        workspace: where.
        task: of the samples; '' for the only one that has any.
        share: of the samples, 0..1.
        opinions: how many people, 2 to 9.
        dry_run: count only.

    Returns:
        How many samples were changed.

    Raises:
        UserError: a share or a number of people out of range.
        NotFound, BadRequest: as `nhan.review.queue.next_items`.
    """
    if not 0 <= share <= 1:
        raise UserError(f"share {share:g} is out of range", hint="0 to 1, e.g. 0.1")
    if not 2 <= opinions <= _MOST:
        raise UserError(f"{opinions} opinions", hint=f"2 to {_MOST}")
    task = choose_task(workspace, task)
    with workspace.catalog.write() as connection:
        lock_writers(connection)
        if dry_run:
            return reviews.count_doubled(connection, task, share=share, opinions=opinions)
        count = reviews.want_opinions(connection, task, share=share, opinions=opinions)
        log_event(
            connection, "review.double", task=task, share=share, opinions=opinions, count=count
        )
    return count
