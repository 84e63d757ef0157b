"""How long a reviewer waits: the review queue with very many samples, on SQLite and PostgreSQL.

The catalogue is filled with samples that wait (a tenth of them needs two opinions), samples with
labels, some under suspicion, the server's answers and the suggestions of a ranking. The first
person has answered many of those that need a second opinion, which is the hard case: their queue
begins with samples that are not for them. Then reviewers at once take what is next, save drafts and
decide. Run:

    python benchmarks/review_queue.py --samples 100000 --on sqlite postgres
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from postgres import is_installed, postgres

from nhan.catalog.schema import labels, predictions, reviews, samples, suggestions
from nhan.review.decide import Decision, decide
from nhan.review.disputes import list_disputes
from nhan.review.drafts import save_draft
from nhan.review.progress import progress
from nhan.review.queue import next_items, one_more
from nhan.review.undo import undo
from nhan.workspace import Workspace

T = TypeVar("T")

TASK = "text"
_AT_ONCE = 2000


def fill(workspace: Workspace, count: int, answered: int) -> None:
    """Put samples, labels, predictions and suggestions into an empty catalogue."""
    chance = random.Random(1)
    now = datetime.now(UTC)
    for start in range(1, count + 1, _AT_ONCE):
        rows = defaultdict(list)
        for number in range(start, min(start + _AT_ONCE, count + 1)):
            sample = _sample(number, chance, now)
            rows["samples"].append(sample)
            said = {
                "sample_id": number,
                "model": "vi-line",
                "version": "1",
                "value": f"dòng số {number}",
                "confidence": chance.random(),
                "details": {"text": "", "characters": [{"text": "d", "confidence": 0.9}] * 12},
                "at": now,
            }
            rows["suggestions"].append({**said, "why": "low confidence"})
            rows["predictions"].append(
                {**said, "id": uuid.uuid4().hex, "user": "", "consent": None, "sampled": ""}
            )
            if sample["state"] == "labelled":
                rows["labels"].append(
                    {
                        "sample_id": number, "value": f"dòng {number}", "given": None,
                        "origin": "import", "given_by": "", "external_id": "", "given_at": now,
                    }
                )  # fmt: skip
        with workspace.catalog.write() as connection:
            for table in (samples, suggestions, predictions, labels):
                connection.execute(table.insert(), rows[table.name])
            connection.execute(
                samples.update()
                .where(samples.c.state == "labelled", samples.c.label_id.is_(None))
                .values(
                    label_id=sa.select(labels.c.id)
                    .where(labels.c.sample_id == samples.c.id)
                    .scalar_subquery()
                )
            )
    _answer(workspace, answered, now)


def _sample(number: int, chance: random.Random, now: datetime) -> dict[str, object]:
    state = chance.choices(["new", "queued", "labelled"], [50, 20, 30])[0]
    priority = 1.9 if state == "labelled" and chance.random() < 0.001 else chance.random()
    doubled = state != "labelled" and chance.random() < 0.1
    return {
        "id": number,
        "task": TASK,
        "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "path": f"images/{number}.png",
        "bytes": 9000,
        "width": 600,
        "height": 48,
        "phash": f"{chance.getrandbits(64):016x}",
        "thumbnail": chance.randbytes(512),
        "name": f"{number}.png",
        "source": "uploads",
        "group": "",
        "split_asked": "",
        "split": "",
        "state": state,
        "reason": "",
        "label_id": None,
        "priority": priority if state != "labelled" or priority > 1 else 0.0,
        "opinions": 2 if doubled else 1,
        "may_train": True,
        "created_at": now,
    }


def _answer(workspace: Workspace, count: int, now: datetime) -> None:
    """The first reviewer has answered the head of what needs two opinions."""
    with workspace.catalog.write() as connection:
        query = (
            sa.select(samples.c.id)
            .where(samples.c.opinions == 2)
            .order_by(samples.c.priority.desc())
            .limit(count)
        )
        numbers = list(connection.execute(query).scalars())
        if numbers:
            connection.execute(
                reviews.insert(),
                [
                    {
                        "sample_id": number, "reviewer": "person 0", "state": "skipped",
                        "draft": None, "revision": 0, "reason": "cut", "label_id": None,
                        "held_until": None, "begun_at": now - timedelta(days=1), "ended_at": now,
                    }
                    for number in numbers
                ],
            )  # fmt: skip
            connection.execute(
                samples.update().where(samples.c.id.in_(numbers)).values(state="draft")
            )


class Stopwatch:
    """Times of calls, by name; used by several threads."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)

    def time(self, name: str, call: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = call()
        self.times[name].append((time.perf_counter() - began) * 1e3)
        return result

    def print(self) -> None:
        for name, times in self.times.items():
            ordered = sorted(times)
            p50, p95 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95))
            print(
                f"  {name:34} p50 {p50:7.1f} ms   p95 {p95:7.1f} ms   "
                f"max {ordered[-1]:7.1f} ms   ({len(ordered)})",
                flush=True,
            )


def review(workspace: Workspace, watch: Stopwatch, reviewer: str, turns: int) -> None:
    """One person at work."""
    for turn in range(turns):
        items = watch.time("next_items(3)", lambda: next_items(workspace, TASK, reviewer, 3))
        number, draft = items[0].sample, items[0].draft[1] if items[0].draft else 0
        typed = (workspace, number, reviewer, "dòng", draft)
        watch.time("save_draft", partial(save_draft, *typed))
        decision = Decision(uuid.uuid4().hex, number, reviewer, "accept", f"dòng {turn}")
        watch.time("decide", partial(decide, workspace, decision))
        watch.time("one_more", lambda: one_more(workspace, TASK, reviewer))
        if turn % 10 == 9:
            watch.time("undo", lambda: undo(workspace, uuid.uuid4().hex, reviewer))
            watch.time("progress", lambda: progress(workspace, TASK, reviewer))
            watch.time("disagreements", lambda: list_disputes(workspace, TASK))


def measure(workspace: Workspace, *, people: int, turns: int) -> None:
    watch = Stopwatch()
    review(workspace, watch, "person 0", 2)  # connections and caches
    watch.times.clear()
    print(f" 1 reviewer, {turns} samples", flush=True)
    review(workspace, watch, "person 0", turns)
    watch.print()
    watch = Stopwatch()
    print(f" {people} reviewers at once, without a pause", flush=True)
    began = time.perf_counter()
    running = [
        threading.Thread(target=review, args=(workspace, watch, f"person {n}", turns // 2))
        for n in range(people)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    took = time.perf_counter() - began
    watch.print()
    print(f"  together {len(watch.times['decide']) / took:.0f} decisions/s", flush=True)


@contextmanager
def catalogue(engine: str) -> Iterator[str | None]:
    with postgres() if engine == "postgres" else nullcontext(None) as url:
        yield url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--answered", type=int, default=5_000, help="by the first, of two opinions")
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--on", nargs="+", choices=["sqlite", "postgres"], default=["sqlite"])
    options = parser.parse_args()
    for engine in options.on:
        if engine == "postgres" and not is_installed():
            print("left out: apt-get install postgresql")
            continue
        with (
            tempfile.TemporaryDirectory() as folder,
            catalogue(engine) as url,
            Workspace.init(Path(folder) / "workspace", catalog=url) as workspace,
        ):
            began = time.perf_counter()
            fill(workspace, options.samples, options.answered)
            if engine == "postgres":  # as its autovacuum does; SQLite gathers no such numbers
                with workspace.catalog.write() as connection:
                    connection.exec_driver_sql("ANALYZE")
            took = time.perf_counter() - began
            print(f"{engine}: {options.samples:,} samples, filled in {took:.0f} s", flush=True)
            measure(workspace, people=options.people, turns=options.turns)


if __name__ == "__main__":
    main()
