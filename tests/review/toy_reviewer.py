"""A reviewer in a process of their own: takes what is next and decides, telling what they did.

Run as `python toy_reviewer.py WORKSPACE REVIEWER [SEED]`; prints a line for each decision before it
is sent (`try ID`) and once it is acknowledged (`done ID SAMPLE ACTION VALUE`).
"""

from __future__ import annotations

import random
import sys
import uuid

from nhan.review.decide import Decision, decide
from nhan.review.drafts import save_draft
from nhan.review.queue import next_items
from nhan.review.undo import undo
from nhan.workspace import Workspace


def tell(*words: object) -> None:
    print(*words, flush=True)


def review(root: str, reviewer: str, *, seed: int | None = None) -> None:
    """Without a seed everything is accepted; with one, things of every kind are done."""
    chance = random.Random(seed)
    with Workspace.open(root) as workspace:
        while items := next_items(workspace, "text", reviewer, 2):
            for item in items:
                identity = uuid.uuid4().hex
                value = f"{reviewer} {item.sample}"
                tell("try", identity, item.sample)
                action = "accept"
                if seed is not None:
                    save_draft(workspace, item.sample, reviewer, value, item_revision(item))
                    action = chance.choice(["accept", "accept", "skip", "undo"])
                if action == "undo":
                    decide(workspace, Decision(identity, item.sample, reviewer, "accept", value))
                    tell("done", identity, item.sample, "accept", value)
                    identity = uuid.uuid4().hex
                    tell("try", identity, item.sample)
                    undo(workspace, identity, reviewer, item.sample)
                    tell("done", identity, item.sample, "undo")
                    identity = uuid.uuid4().hex
                    tell("try", identity, item.sample)
                    action = "accept"
                decide(workspace, Decision(identity, item.sample, reviewer, action, value, "why"))
                tell("done", identity, item.sample, action, value)


def item_revision(item) -> int:
    return item.draft[1] if item.draft else 0


if __name__ == "__main__":
    root, reviewer, *rest = sys.argv[1:]
    review(root, reviewer, seed=int(rest[0]) if rest else None)
