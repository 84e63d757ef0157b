"""Handing samples out: in which order, to whom, for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from nhan.catalog import State
from nhan.catalog.reviews import update_sample
from nhan.catalog.schema import corrections, predictions, reviews
from nhan.errors import BadRequest, NotFound
from nhan.review.drafts import save_draft
from nhan.review.progress import progress
from nhan.review.queue import next_items, one_more


def numbers(items) -> list[int]:
    return [item.sample for item in items]


def let_holds_run_out(workspace) -> None:
    with workspace.catalog.write() as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(reviews.update().values(held_until=past))


def test_doubtful_labels_come_first_then_what_was_queued_then_the_rest(
    workspace, add_samples
) -> None:
    new = add_samples([0.9, 0.95], state=State.NEW)
    queued = add_samples([0.2, 0.7, 0.2])
    draft = add_samples([0.6], state=State.DRAFT)
    add_samples([0.5], state=State.LABELLED, label="sure")
    doubtful = add_samples([1.7], state=State.LABELLED, label="một")
    contradicted = add_samples([1.0], state=State.ACCEPTED, label="một")
    for state in (State.REJECTED, State.SKIPPED):
        add_samples([1.9], state=state)
    assert numbers(next_items(workspace, "text", "an", 20)) == [
        *doubtful, *contradicted, queued[1], *draft, queued[0], queued[2], new[1], new[0],
    ]  # fmt: skip


def test_two_people_are_never_handed_the_same(workspace, add_samples) -> None:
    add_samples([0.9, 0.8, 0.7])
    assert numbers(next_items(workspace, "text", "an", 2)) == [1, 2]
    assert numbers(next_items(workspace, "text", "bình", 2)) == [3]


def test_asking_again_gives_the_same_and_fills_up(workspace, add_samples) -> None:
    add_samples([0.9, 0.8, 0.7])
    assert numbers(next_items(workspace, "text", "an", 2)) == [1, 2]
    assert numbers(next_items(workspace, "text", "an", 3)) == [1, 2, 3]
    assert one_more(workspace, "text", "an") is None


def test_one_more_is_never_one_that_is_held(workspace, add_samples) -> None:
    add_samples([0.9, 0.8, 0.7])
    next_items(workspace, "text", "an", 2)
    more = one_more(workspace, "text", "an")
    assert more is not None
    assert more.sample == 3


def test_what_may_not_train_is_asked_about_only_if_it_was_chosen(workspace, add_samples) -> None:
    new, queued = add_samples([0.9], state=State.NEW) + add_samples([0.5])
    free = add_samples([0.1], state=State.NEW)
    with workspace.catalog.write() as connection:
        for sample in (new, queued):
            update_sample(connection, sample, may_train=False)
    assert progress(workspace, "text").waiting == 2
    assert numbers(next_items(workspace, "text", "an")) == [queued, *free]


def test_a_hold_that_ran_out_is_given_to_others(workspace, add_samples) -> None:
    add_samples([0.9])
    next_items(workspace, "text", "an")
    let_holds_run_out(workspace)
    assert numbers(next_items(workspace, "text", "bình")) == [1]
    assert next_items(workspace, "text", "an") == []


def test_an_answered_sample_is_handed_out_no_more(workspace, add_samples, say) -> None:
    add_samples([0.9, 0.8, 0.7, 0.6])
    say("an", 1, "accept", "một")
    say("an", 2, "skip", reason="blurred")
    say("an", 3, "reject", reason="no text")
    assert numbers(next_items(workspace, "text", "bình")) == [4]


def test_what_was_put_back_after_an_answer_is_handed_out_again(workspace, add_samples, say) -> None:
    add_samples([0.9])
    say("an", 1, "accept", "một")
    with workspace.catalog.write() as connection:  # as a later correction does
        update_sample(connection, 1, state="queued")
    assert numbers(next_items(workspace, "text", "an")) == [1]
    assert say("an", 1, "accept", "hai").label == "hai"


def test_what_was_settled_meanwhile_is_not_handed_out_again(workspace, add_samples, say) -> None:
    add_samples([0.9, 0.8])
    next_items(workspace, "text", "an", 2)
    say("bình", 1, "accept", "một")
    assert numbers(next_items(workspace, "text", "an", 2)) == [2]


def test_a_correction_is_suggested_before_a_model_and_a_draft_comes_back(
    workspace, add_samples
) -> None:
    add_samples([0.9, 0.8])
    with workspace.catalog.write() as connection:
        for number, (sample, value) in enumerate([(1, "cu"), (1, "mới"), (2, "hai")]):
            connection.execute(
                predictions.insert().values(
                    id=f"p{number}", sample_id=sample, model="vi-line", version=str(number),
                    value=value, confidence=0.6, user="", sampled="low_confidence",
                    details={"text": value, "characters": [{"text": "c", "confidence": 0.5}]},
                    at=datetime(2026, 1, 1 + number, tzinfo=UTC),
                )
            )  # fmt: skip
        connection.execute(
            corrections.insert().values(
                id="c1", prediction_id="p2", value="ba ", given_by="lan", at=datetime.now(UTC)
            )
        )
    save_draft(workspace, 1, "an", "mớ", 0)
    first, second = (item.to_json() for item in next_items(workspace, "text", "an"))
    assert first["suggestion"] == {
        "value": "mới",
        "confidence": 0.6,
        "from": "vi-line@1",
        "characters": [{"text": "c", "confidence": 0.5}],
    }
    assert first["draft"] == {"value": "mớ", "revision": 1}
    assert (first["why"], first["state"]) == ("low confidence", "draft")
    assert first["picture"] == f"/pictures/{1:064x}"
    assert second["suggestion"] == {"value": "ba", "confidence": None, "from": "correction by lan"}
    assert second["why"] == "corrected by a user; low confidence"
    assert second["draft"] is None
    assert set(first) >= {"sample", "task", "sha256", "width", "height", "priority", "classes"}


def test_a_doubtful_label_is_shown(workspace, add_samples) -> None:
    add_samples([1.9], state=State.LABELLED, label="một")
    (item,) = next_items(workspace, "text", "an")
    assert (item.label, item.state) == ("một", State.LABELLED)


def test_classes_are_listed_where_one_chooses(workspace, add_samples, say) -> None:
    add_samples([0.0], task="classes", state=State.LABELLED, label="hoa")
    add_samples([0.0], task="classes", state=State.LABELLED, label="lá")
    add_samples([0.5], task="classes")
    (item,) = next_items(workspace, "", "an")
    assert item.classes == ("hoa", "lá")
    assert item.task == "classes"


def test_who_asks_and_for_what_must_be_said(workspace, add_samples) -> None:
    with pytest.raises(NotFound, match="no samples"):
        next_items(workspace, "", "an")
    add_samples([0.5])
    add_samples([0.5], task="classes")
    with pytest.raises(BadRequest, match="several tasks"):
        next_items(workspace, "", "an")
    with pytest.raises(NotFound, match="poems"):
        next_items(workspace, "poems", "an")
    with pytest.raises(BadRequest, match="who reviews"):
        next_items(workspace, "text", "")
    for count in (0, 101):
        with pytest.raises(BadRequest, match="out of range"):
            next_items(workspace, "text", "an", count)


def test_the_queue_reads_its_head_through_the_index(workspace, add_samples) -> None:
    add_samples([0.5])
    with workspace.catalog.read() as connection:
        plan = connection.execute(
            sa.text(
                "EXPLAIN QUERY PLAN SELECT id FROM samples WHERE task = 'text' "
                "AND state = 'queued' ORDER BY priority DESC, id LIMIT 3"
            )
        ).all()
    assert "ix_samples_queue" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


def test_of_many_answers_to_one_picture_the_newest_is_suggested(workspace, add_samples) -> None:
    first, second = add_samples([0.9, 0.5])
    same = {"model": "vi-line", "version": "3", "confidence": 0.6, "user": "", "sampled": ""}
    moments = range(1_700_000_000_000, 1_700_000_000_300)
    answers = [
        {**same, "sample_id": sample, "id": f"{at_ms:012x}{sample:016x}", "value": f"lần {at_ms}",
         "details": {}, "at": datetime.fromtimestamp(at_ms / 1e3, UTC)}
        for at_ms, sample in zip(moments, [first, first, second] * 100, strict=True)
    ]  # fmt: skip
    with workspace.catalog.write() as connection:
        connection.execute(predictions.insert(), answers[::-1])
    items = next_items(workspace, "text", "an", 2)
    assert [item.suggestion.value for item in items] == ["lần 1700000000298", "lần 1700000000299"]
