"""Splits: stable, leak-safe, the same in any order."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nhan.datasets.split import Candidate, SplitPlan, plan_splits
from nhan.settings import SplitSettings

TENTH = SplitSettings(validation=0.1, test=0.1)


def many(count: int, **known: object) -> list[Candidate]:
    return [Candidate(f"{n:064x}", "", n, **known) for n in range(count)]  # type: ignore[arg-type]


def after(candidates: list[Candidate], plan: SplitPlan) -> list[Candidate]:
    """The same samples at the next freeze."""
    return [
        Candidate(c.key, c.group, c.cluster, c.asked, plan.splits.get(c.key, ""))
        for c in candidates
    ]


def test_the_first_freeze_gives_each_split_its_share() -> None:
    assert plan_splits(many(1000), TENTH).counts() == {"train": 800, "validation": 100, "test": 100}


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {"train": 1}),
        (2, {"train": 1, "validation": 1}),
        (3, {"train": 1, "validation": 1, "test": 1}),
        (4, {"train": 2, "validation": 1, "test": 1}),
        (10, {"train": 8, "validation": 1, "test": 1}),
        (25, {"train": 21, "validation": 2, "test": 2}),
    ],
)
def test_small_data_still_has_validation_and_test(count: int, expected: dict[str, int]) -> None:
    assert plan_splits(many(count), TENTH).counts() == expected


def test_the_order_of_samples_does_not_matter() -> None:
    candidates = [
        Candidate(f"{n:064x}", f"doc{n % 7}" if n % 3 else "", n // 2) for n in range(200)
    ]
    plan = plan_splits(candidates, TENTH)
    for seed in range(5):
        shuffled = random.Random(seed).sample(candidates, len(candidates))
        again = plan_splits(shuffled, TENTH)
        assert (again.splits, again.held_out) == (plan.splits, plan.held_out)


def test_nothing_moves_when_samples_are_added() -> None:
    first = many(300)
    plan = plan_splits(first, TENTH)
    bigger = plan_splits(after(first, plan) + many(1000)[300:], TENTH)
    assert all(bigger.splits[key] == split for key, split in plan.splits.items())
    new = Counter(bigger.splits[c.key] for c in many(1000)[300:])
    assert 40 <= new["test"] <= 100
    assert 40 <= new["validation"] <= 100


def test_the_salt_changes_which_samples_fall_where() -> None:
    one = plan_splits(many(200), TENTH).splits
    other = plan_splits(many(200), SplitSettings(validation=0.1, test=0.1, salt="x")).splits
    assert one != other


def test_a_document_stays_together() -> None:
    candidates = [Candidate(f"{n:064x}", f"doc{n // 10}", n) for n in range(500)]
    plan = plan_splits(candidates, TENTH)
    for document in range(50):
        members = candidates[document * 10 : document * 10 + 10]
        assert len({plan.splits[c.key] for c in members}) == 1
    assert plan.counts() == {"train": 400, "validation": 50, "test": 50}


def test_a_new_page_takes_its_documents_split() -> None:
    old = [Candidate(f"{n:064x}", f"doc{n}", n) for n in range(20)]
    plan = plan_splits(old, TENTH)
    new = [Candidate(f"{n + 100:064x}", f"doc{n}", n + 100) for n in range(20)]
    bigger = plan_splits(after(old, plan) + new, TENTH)
    for was, now in zip(old, new, strict=True):
        assert bigger.splits[now.key] == plan.splits[was.key]


def test_near_duplicates_stay_together_also_across_documents() -> None:
    a, b = Candidate("a" * 64, "doc1", 0), Candidate("b" * 64, "doc2", 0)
    rest = [Candidate(f"{n:064x}", "", n + 10) for n in range(50)]
    plan = plan_splits([a, b, *rest], TENTH)
    assert plan.splits[a.key] == plan.splits[b.key]


def test_a_bridge_is_held_out_and_its_document_is_not() -> None:
    train = Candidate("1" * 64, "old", 0, fixed="train")
    test = Candidate("2" * 64, "", 1, fixed="test")
    bridge = Candidate("3" * 64, "old", 1)  # of the train document, nearly the test picture
    page = Candidate("4" * 64, "old", 2)
    plan = plan_splits([train, test, bridge, page], TENTH)
    assert [(one.key, one.reason) for one in plan.held_out] == [
        (bridge.key, "it belongs with samples of test and train")
    ]
    assert plan.splits == {train.key: "train", test.key: "test", page.key: "train"}


def test_a_picture_near_two_splits_is_held_out() -> None:
    fixed = [Candidate("1" * 64, "", 0, fixed="train"), Candidate("2" * 64, "", 0, fixed="test")]
    plan = plan_splits([*fixed, Candidate("3" * 64, "", 0)], TENTH)
    assert [one.key for one in plan.held_out] == ["3" * 64]


def test_new_documents_that_chain_two_splits_are_held_out() -> None:
    candidates = [
        Candidate("1" * 64, "a", 0, fixed="train"),
        Candidate("2" * 64, "b", 1, fixed="test"),
        Candidate("3" * 64, "a", 2),
        Candidate("4" * 64, "new", 2),
        Candidate("5" * 64, "new", 3),
        Candidate("6" * 64, "b", 3),
    ]
    plan = plan_splits(candidates, TENTH)
    assert {one.key for one in plan.held_out} == {c.key for c in candidates[2:]}


def test_what_the_source_asks_for_is_given() -> None:
    asked = [
        Candidate(f"{n:064x}", "", n, asked=("train", "validation", "test")[n % 3])
        for n in range(30)
    ]
    plan = plan_splits(asked, TENTH)
    assert all(plan.splits[c.key] == c.asked for c in asked)
    only_train = plan_splits(many(50, asked="train"), TENTH)
    assert only_train.counts() == {"train": 50}


def test_of_near_duplicates_that_ask_differently_the_test_one_stays() -> None:
    a = Candidate("a" * 64, "", 0, asked="train")
    b = Candidate("b" * 64, "", 0, asked="test")
    plan = plan_splits([a, b], TENTH)
    assert plan.splits == {b.key: "test"}
    assert [one.key for one in plan.held_out] == [a.key]
    assert "asks for train" in plan.held_out[0].reason


def test_a_wish_never_moves_what_is_fixed() -> None:
    plan = plan_splits([Candidate("a" * 64, "", 0, asked="train", fixed="test")], TENTH)
    assert plan.splits == {"a" * 64: "test"}


def test_one_giant_document_does_not_become_the_test_split() -> None:
    candidates = [Candidate(f"{n:064x}", "giant", n) for n in range(90)]
    candidates += [Candidate(f"{n:064x}", "", n) for n in range(90, 100)]
    for salt in "abcdef":
        plan = plan_splits(candidates, SplitSettings(validation=0.1, test=0.1, salt=salt))
        assert plan.counts()["train"] >= 90
        assert plan.counts()["test"] > 0
        assert plan.counts()["validation"] > 0


def test_shares_of_nought_are_obeyed() -> None:
    plan = plan_splits(many(100), SplitSettings(validation=0, test=0))
    assert plan.counts() == {"train": 100}


def test_a_test_split_that_fell_behind_is_filled_by_new_samples() -> None:
    old = many(100, fixed="train")
    plan = plan_splits(old + many(160)[100:], TENTH)
    assert plan.counts()["test"] >= 8
    assert plan.counts()["validation"] >= 8


candidate_sets = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["", "", "a", "b", "c"]),
        st.sampled_from(["", "", "", "train", "validation", "test"]),
        st.sampled_from(["", "", "", "train", "validation", "test"]),
    ),
    max_size=30,
)


@given(candidate_sets)
@settings(max_examples=300, deadline=None)
def test_no_plan_leaks_or_moves_anything(drawn: list[tuple[int, str, str, str]]) -> None:
    candidates = [
        Candidate(f"{n:064x}", group, cluster, asked, fixed)
        for n, (cluster, group, asked, fixed) in enumerate(drawn)
    ]
    plan = plan_splits(candidates, TENTH)
    held_out = {one.key for one in plan.held_out}
    assert held_out | set(plan.splits) == {c.key for c in candidates}
    assert not held_out & set(plan.splits)
    for one in candidates:
        if one.fixed:
            assert plan.splits[one.key] == one.fixed
        elif one.key in plan.splits:
            for other in candidates:
                tied = other.cluster == one.cluster or (one.group and other.group == one.group)
                if tied and other.key in plan.splits:
                    assert plan.splits[other.key] == plan.splits[one.key]
            if one.asked:
                assert plan.splits[one.key] == one.asked
