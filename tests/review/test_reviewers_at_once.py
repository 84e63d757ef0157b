"""Several reviewers at once, and reviewers who are killed: nothing is lost, nothing is torn."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest
import sqlalchemy as sa

from nhan.catalog.schema import reviews
from nhan.errors import Conflict
from nhan.review.decide import Decision, decide
from nhan.review.drafts import save_draft
from nhan.review.queue import next_items, one_more

REVIEWER = Path(__file__).parent / "toy_reviewer.py"


def start(workspace, reviewer: str, *rest: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, REVIEWER, workspace.root, reviewer, *rest],
        stdout=subprocess.PIPE,
        text=True,
    )


def told(output: str, word: str) -> list[list[str]]:
    """The complete lines that begin with this word, without it."""
    lines = output.splitlines(keepends=True)
    return [line.split()[1:] for line in lines if line.endswith("\n") and line.startswith(word)]


def test_threads_are_never_handed_the_same(workspace, add_samples) -> None:
    add_samples([0.5] * 40)

    def take(reviewer: str) -> list[int]:
        taken = []
        while item := one_more(workspace, "text", reviewer):
            taken.append(item.sample)
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(take, ["an", "bình", "chi", "dung"]))
    assert sorted(chain.from_iterable(taken)) == list(range(1, 41))


def test_processes_finish_a_queue_together_and_each_sample_once(
    workspace, add_samples, rows
) -> None:
    add_samples([0.5] * 40)
    running = [start(workspace, name) for name in ("an", "bình")]
    outputs = [process.communicate(timeout=600)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    done = [int(line[1]) for output in outputs for line in told(output, "done")]
    assert sorted(done) == list(range(1, 41))
    assert {sample["state"] for sample in rows("samples")} == {"accepted"}
    assert len(rows("labels")) == len(rows("decisions")) == 40


def test_two_who_decide_on_one_sample_at_the_same_moment_both_keep_their_label(
    workspace, add_samples, rows
) -> None:
    add_samples([0.5] * 10)

    def accept(who: str, sample: int) -> None:
        decide(workspace, Decision(f"{who}-{sample}", sample, who, "accept", f"{who} {sample}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(accept, ["an", "binh"] * 10, [n // 2 + 1 for n in range(20)]))
    assert len(rows("labels")) == len(rows("decisions")) == 20
    assert Counter(sample["state"] for sample in rows("samples")) == {"draft": 10}


def test_one_decision_sent_by_many_threads_counts_once(workspace, add_samples, rows) -> None:
    add_samples([0.5])
    decision = Decision("d1", 1, "an", "accept", "một")
    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(lambda _: decide(workspace, decision), range(8)))
    assert len(answers) == 1
    assert len(rows("labels")) == len(rows("decisions")) == len(rows("events")) == 1


def test_of_two_pages_that_save_a_draft_at_once_one_is_told(workspace, add_samples) -> None:
    add_samples([0.5])

    def save(value: str) -> int | str:
        try:
            return save_draft(workspace, 1, "an", value, 0)
        except Conflict as error:
            return error.details["newest"]["value"]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(save, ["một", "hai"])
    assert {first, second} in ({1, "một"}, {1, "hai"})


def check_everything_fits(rows) -> None:
    """Labels, decisions, events, reviews and samples tell one story."""
    labels = {label["id"]: label for label in rows("labels")}
    given = [one for one in rows("decisions") if one["label_id"] is not None]
    assert sorted(labels) == [one["label_id"] for one in given]
    kinds = [f"review.{one['action']}" for one in rows("decisions")]
    told_of = [event["kind"] for event in rows("events") if event["kind"] != "review.draft"]
    assert told_of == kinds
    last = {one["sample_id"]: one for one in rows("decisions")}
    expected = {"accept": "accepted", "skip": "skipped", "undo": "draft"}
    for sample in rows("samples"):
        if one := last.get(sample["id"]):
            assert sample["state"] == expected[one["action"]]
            assert sample["label_id"] == one["label_id"]
        else:
            assert sample["state"] in ("queued", "draft")
            assert sample["label_id"] is None


def kill_and_check(workspace, rows, rounds: int, samples: int) -> None:
    chance = random.Random(7)
    acknowledged: dict[str, str] = {}
    killed = 0
    for turn in range(rounds):
        process = start(workspace, "an", str(turn))
        assert process.stdout is not None
        first = process.stdout.readline()  # it is at work
        time.sleep(chance.uniform(0, 0.15))
        process.kill()
        output = first + process.communicate(timeout=600)[0]
        killed += process.returncode != 0
        acknowledged |= {line[0]: line[2] for line in told(output, "done")}
        kept = {one["id"]: one["action"] for one in rows("decisions")}
        assert acknowledged.items() <= kept.items()  # what was acknowledged is there
        assert len(kept) <= len(acknowledged) + turn + 1  # and hardly more: one of each kill
        check_everything_fits(rows)
        with workspace.catalog.write() as connection:  # the next one need not wait for the holds
            connection.execute(reviews.update().values(held_until=None))
    assert killed == rounds
    start(workspace, "an").communicate(timeout=600)
    with workspace.catalog.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        waiting = connection.scalar(
            sa.text("SELECT count(*) FROM samples WHERE state IN ('queued', 'draft')")
        )
    assert waiting == 0
    assert next_items(workspace, "text", "bình") == []
    assert len(rows("samples")) == samples


def test_a_reviewer_killed_while_deciding_leaves_all_or_nothing(
    workspace, add_samples, rows
) -> None:
    add_samples([0.5] * 300)
    kill_and_check(workspace, rows, rounds=3, samples=300)


@pytest.mark.slow
def test_a_reviewer_killed_thirty_times_leaves_all_or_nothing(workspace, add_samples, rows) -> None:
    add_samples([0.5] * 3000)
    kill_and_check(workspace, rows, rounds=30, samples=3000)
