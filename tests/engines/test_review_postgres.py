"""Reviewing on a real PostgreSQL, where several transactions really run at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest
import sqlalchemy as sa

from nhan.catalog import State
from nhan.catalog.schema import decisions, events, labels, samples
from nhan.errors import Conflict
from nhan.review.decide import Decision, decide
from nhan.review.disputes import agreement, list_disputes
from nhan.review.double import double
from nhan.review.drafts import save_draft
from nhan.review.progress import progress
from nhan.review.queue import next_items, one_more
from nhan.review.undo import undo
from nhan.workspace import Workspace
from review.conftest import make_samples

pytestmark = pytest.mark.engine


@pytest.fixture
def shared(tmp_path: Path, postgres_url: str) -> Iterator[Workspace]:
    with Workspace.init(tmp_path / "workspace", catalog=postgres_url) as workspace:
        yield workspace


def count(workspace: Workspace, table: sa.Table) -> int:
    with workspace.catalog.read() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def states(workspace: Workspace) -> Counter[str]:
    with workspace.catalog.read() as connection:
        return Counter(connection.execute(sa.select(samples.c.state)).scalars())


def test_reviewers_at_once_are_never_handed_the_same(shared: Workspace) -> None:
    make_samples(shared, [0.5] * 60)

    together = threading.Barrier(6)

    def take(reviewer: str) -> list[int]:
        taken = []
        together.wait(120)
        while item := one_more(shared, "text", reviewer):
            taken.append(item.sample)
        return taken

    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(take, [f"person {number}" for number in range(6)]))
    assert sorted(chain.from_iterable(taken)) == list(range(1, 61))
    assert sum(bool(one) for one in taken) > 1


def test_as_many_at_once_as_opinions_are_wanted(shared: Workspace) -> None:
    make_samples(shared, [0.5] * 20, opinions=2)
    with ThreadPoolExecutor(6) as pool:
        given = pool.map(
            lambda who: [item.sample for item in next_items(shared, "text", who, 20)],
            [f"person {number}" for number in range(6)],
        )
        assert set(Counter(chain.from_iterable(given)).values()) == {2}


def test_opinions_given_at_the_same_moment_are_both_heard(shared: Workspace) -> None:
    make_samples(shared, [0.5] * 20, opinions=2)

    def accept(who: str, sample: int) -> None:
        value = "một" if sample % 2 else f"của {who}"
        decide(shared, Decision(f"{who}-{sample}", sample, who, "accept", value))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(accept, ["an", "binh"] * 20, [n // 2 + 1 for n in range(40)]))
    assert states(shared) == {"accepted": 10, "draft": 10}
    assert len(list_disputes(shared, "text")) == 10
    (pair,) = agreement(shared, "text")
    assert pair.figures["same"] == 0.5
    assert count(shared, labels) == count(shared, decisions) == 40


def test_one_decision_sent_by_many_counts_once(shared: Workspace) -> None:
    make_samples(shared, [0.5])
    decision = Decision("d1", 1, "an", "accept", "một")
    with ThreadPoolExecutor(6) as pool:
        answers = set(pool.map(lambda _: decide(shared, decision), range(12)))
    assert len(answers) == 1
    assert count(shared, labels) == count(shared, decisions) == count(shared, events) == 1


def test_of_two_pages_that_save_at_once_one_is_told(shared: Workspace) -> None:
    make_samples(shared, [0.5])

    def save(value: str) -> int | str:
        try:
            return save_draft(shared, 1, "an", value, 0)
        except Conflict as error:
            return str(error.details["newest"]["value"])

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(save, ["một", "hai"])
    assert {first, second} in ({1, "một"}, {1, "hai"})


def test_a_day_of_review(shared: Workspace) -> None:
    make_samples(shared, [0.2, 0.9], state=State.NEW)
    make_samples(shared, [0.4])
    make_samples(shared, [1.9], state=State.LABELLED, label="cũ")
    order = [item.sample for item in next_items(shared, "text", "an", 10)]
    assert order == [4, 3, 2, 1]
    decide(shared, Decision("d1", 4, "an", "accept", "mới"))
    decide(shared, Decision("d2", 3, "an", "skip", reason="cut off"))
    assert undo(shared, "u1", "an", 4).label == "cũ"
    assert double(shared, "text", share=1.0) == 2
    found = progress(shared, "text", "an")
    assert (found.waiting, found.done_by_me, found.skipped) == (3, 1, 1)


def test_the_head_of_the_queue_is_read_through_the_index(shared: Workspace) -> None:
    make_samples(shared, [0.5] * 300)
    query = (
        "EXPLAIN SELECT id FROM samples WHERE task = 'text' AND state = 'queued' "
        "ORDER BY priority DESC, id LIMIT 3"
    )
    with shared.catalog.write() as connection:
        connection.exec_driver_sql("ANALYZE")
        plan = str(connection.exec_driver_sql(query).all())
    assert "ix_samples_queue" in plan
    assert "Sort" not in plan
