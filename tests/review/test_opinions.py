"""Double-blind labelling: which opinion stands, what is disputed, how far two people agree."""

from __future__ import annotations

import pytest

from nhan.catalog import State
from nhan.catalog.reviews import update_sample
from nhan.review.disputes import agreement, list_disputes
from nhan.review.opinions import Opinion, apart, standing
from nhan.review.queue import next_items
from nhan.review.undo import undo
from nhan.tasks import get_task
from toy_count import CountTask

TEXT = get_task("text")


def accepted(*values: str) -> list[Opinion]:
    return [
        Opinion(f"r{number}", State.ACCEPTED, value, number) for number, value in enumerate(values)
    ]


def test_equal_labels_agree_and_the_first_stands() -> None:
    opinions = accepted("một", "một")
    assert standing(TEXT, opinions) is opinions[0]


def test_different_labels_do_not_agree_unless_the_tolerance_allows() -> None:
    opinions = accepted("mười hai", "mười hat")  # one character of eight: CER 0.125
    assert standing(TEXT, opinions) is None
    assert standing(TEXT, opinions, tolerance=0.12) is None
    assert standing(TEXT, opinions, tolerance=0.125) is opinions[0]


def test_of_close_labels_the_one_in_the_middle_stands() -> None:
    opinions = accepted("abcdefgX", "abcdefgh", "Ybcdefgh")
    assert standing(TEXT, opinions, tolerance=0.25) is opinions[1]


def test_a_label_and_a_skip_do_not_agree_but_two_skips_do() -> None:
    skips = [Opinion("a", State.SKIPPED, reason="cut"), Opinion("b", State.SKIPPED, reason="dark")]
    assert standing(TEXT, skips) is skips[0]
    assert standing(TEXT, [*skips, *accepted("một")]) is None


def test_the_final_opinion_outweighs_all() -> None:
    final = Opinion("c", State.ACCEPTED, "ba", 9, final=True)
    assert standing(TEXT, [*accepted("một", "hai"), final]) is final


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("abcd", "abcd", 0.0), ("abcd", "abce", 0.25), ("ab", "abcd", 1.0), ("a", "", 1.0)],
)
def test_how_far_two_texts_are_apart_does_not_depend_on_their_order(one, other, distance) -> None:
    assert apart(TEXT, one, other) == apart(TEXT, other, one) == distance


def test_two_who_agree_settle_a_sample_and_neither_saw_the_other(
    workspace, add_samples, say, rows
) -> None:
    add_samples([0.9], opinions=2)
    assert next_items(workspace, "text", "an")[0].label is None
    first = say("an", 1, "accept", "một")
    assert (first.state, first.label) == (State.DRAFT, None)
    assert next_items(workspace, "text", "an") == []
    (item,) = next_items(workspace, "text", "bình")
    assert "một" not in str(item.to_json())
    second = say("bình", 1, "accept", "một")
    assert (second.state, second.label) == (State.ACCEPTED, "một")
    assert rows("samples")[0]["label_id"] == 1
    assert list_disputes(workspace, "text") == []


def test_as_many_are_handed_a_sample_as_must_have_an_opinion(workspace, add_samples) -> None:
    add_samples([0.9], opinions=2)
    given = [len(next_items(workspace, "text", who)) for who in ("an", "bình", "chi", "an")]
    assert given == [1, 1, 0, 1]


def test_a_dispute_is_listed_settled_by_a_third_and_kept(workspace, add_samples, say, rows) -> None:
    add_samples([0.9], opinions=2)
    say("an", 1, "accept", "mười hai")
    assert say("bình", 1, "accept", "mười hat").disputed
    (dispute,) = list_disputes(workspace, "text")
    assert [(opinion.reviewer, opinion.value) for opinion in dispute.opinions] == [
        ("an", "mười hai"),
        ("bình", "mười hat"),
    ]
    assert dispute.to_json()["apart"] == 0.125
    assert next_items(workspace, "text", "chi") == []
    settled = say("chi", 1, "adjudicate", "mười hai", "looked twice")
    assert (settled.state, settled.label) == (State.ACCEPTED, "mười hai")
    assert list_disputes(workspace, "text") == []
    assert [label["given_by"] for label in rows("labels")] == ["an", "bình", "chi"]
    undo(workspace, "u1", "chi")
    assert len(list_disputes(workspace, "text")) == 1


def test_a_dispute_can_end_without_a_label(workspace, add_samples, say) -> None:
    add_samples([0.9], opinions=2)
    say("an", 1, "accept", "một")
    assert say("bình", 1, "skip", reason="cut off").disputed
    assert list_disputes(workspace, "text")[0].apart == 1.0
    assert say("chi", 1, "adjudicate", None, "cut off").state == State.SKIPPED


def test_one_who_changes_their_mind_can_end_a_dispute(workspace, add_samples, say) -> None:
    add_samples([0.9], opinions=2)
    say("an", 1, "accept", "một")
    say("bình", 1, "accept", "hai")
    ended = say("an", 1, "accept", "hai")
    assert (ended.state, ended.label) == (State.ACCEPTED, "hai")


def test_a_label_that_stood_goes_on_standing_until_opinions_are_complete(
    workspace, add_samples, say, rows
) -> None:
    add_samples([1.9], opinions=2, state=State.LABELLED, label="cũ")
    assert say("an", 1, "accept", "mới").label == "cũ"
    assert say("bình", 1, "accept", "mới").label == "mới"


def test_undoing_one_of_two_opinions_leaves_the_other(workspace, add_samples, say, rows) -> None:
    add_samples([0.9], opinions=2)
    say("an", 1, "accept", "một")
    say("bình", 1, "accept", "một")
    assert undo(workspace, "u1", "an").state == State.DRAFT
    assert rows("samples")[0]["label_id"] is None
    again = say("an", 1, "accept", "một")
    assert (again.state, again.label) == (State.ACCEPTED, "một")


def test_what_two_agreed_on_is_asked_again_when_a_correction_contradicts(
    workspace, add_samples, say
) -> None:
    add_samples([0.9], opinions=2)
    say("an", 1, "accept", "một")
    say("bình", 1, "accept", "một")
    assert next_items(workspace, "text", "chi") == []
    with workspace.catalog.write() as connection:
        update_sample(connection, 1, priority=1.0)
    assert [item.sample for item in next_items(workspace, "text", "chi")] == [1]
    assert say("chi", 1, "accept", "mốt").disputed
    assert len(list_disputes(workspace, "text")[0].opinions) == 3


def test_agreement_of_texts_is_their_cer(workspace, add_samples, say) -> None:
    add_samples([0.9] * 4, opinions=2)
    for sample, (one, other) in enumerate(
        [("một", "một"), ("hai", "hai"), ("ba", "ba"), ("bốn", "bón")], start=1
    ):
        say("an", sample, "accept", one)
        say("bình", sample, "accept", other)
    say("chi", 4, "adjudicate", "bốn")
    (pair,) = agreement(workspace, "text")
    # 1 error in 11 characters, either way round
    assert pair.to_json() == {
        "first": "an", "second": "bình", "samples": 4, "same": 0.75, "cer": 0.0909,
    }  # fmt: skip


def test_agreement_of_classes_is_kappa(workspace, add_samples, say) -> None:
    add_samples([0.9] * 4, opinions=2, task="classes")
    pairs = [("hoa", "hoa"), ("hoa", "hoa"), ("lá", "lá"), ("lá", "hoa")]
    for sample, (one, other) in enumerate(pairs, start=1):
        say("an", sample, "accept", one)
        say("bình", sample, "accept", other)
    (pair,) = agreement(workspace, "classes")
    # observed 3/4; by chance 2/4 · 3/4 + 2/4 · 1/4 = 1/2; kappa = (3/4 - 1/2) / (1 - 1/2)
    assert pair.to_json()["kappa"] == 0.5


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        (["a", "b"], ["a", "b"], 1.0),
        (["a", "b"], ["b", "a"], -1.0),
        (["a", "a", "b", "b"], ["a", "b", "a", "b"], 0.0),
        (["a", "a"], ["a", "a"], 1.0),
        ([], [], 0.0),
    ],
)
def test_kappa_by_hand(first, second, kappa) -> None:
    assert get_task("classes").agreement(first, second)["kappa"] == pytest.approx(kappa)


def test_a_task_of_its_own_needs_nothing_more() -> None:
    task = CountTask()
    assert task.agreement(["3", "4"], ["3", "5"]) == {"same": 0.5}
    assert standing(task, accepted("3", "4")) is None
    assert standing(task, accepted("3", "4"), tolerance=1.0) is not None
    assert task.parts("3") == {"3"}
