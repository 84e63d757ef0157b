"""Drafts: nothing typed is lost, and nothing older overwrites anything newer."""

from __future__ import annotations

import pytest

from nhan.catalog import TRAINABLE, State
from nhan.errors import BadRequest, Conflict, NotFound
from nhan.review.drafts import MAX_CHARACTERS, save_draft
from nhan.review.queue import next_items


def test_revisions_grow_and_the_draft_comes_back(workspace, add_samples, rows) -> None:
    add_samples([0.5])
    next_items(workspace, "text", "an")
    assert save_draft(workspace, 1, "an", "m", 0) == 1
    assert save_draft(workspace, 1, "an", "mộ", 1) == 2
    (item,) = next_items(workspace, "text", "an")
    assert item.draft == ("mộ", 2)
    assert rows("samples")[0]["state"] == "draft"
    assert State.DRAFT not in TRAINABLE
    assert [event["data"]["value"] for event in rows("events")] == ["m", "mộ"]


def test_an_older_page_is_told_of_both(workspace, add_samples) -> None:
    add_samples([0.5])
    save_draft(workspace, 1, "an", "mới", 0)
    with pytest.raises(Conflict) as caught:
        save_draft(workspace, 1, "an", "cũ", 0)
    assert caught.value.details == {
        "yours": {"value": "cũ", "revision": 0},
        "newest": {"value": "mới", "revision": 1},
    }
    assert save_draft(workspace, 1, "an", "cũ", 1) == 2


def test_a_save_sent_twice_counts_once(workspace, add_samples, rows) -> None:
    add_samples([0.5])
    assert save_draft(workspace, 1, "an", "m", 0) == save_draft(workspace, 1, "an", "m", 0) == 1
    assert len(rows("events")) == 1


def test_drafts_of_two_people_are_apart(workspace, add_samples) -> None:
    add_samples([0.5], opinions=2)
    save_draft(workspace, 1, "an", "một", 0)
    save_draft(workspace, 1, "bình", "hai", 0)
    assert next_items(workspace, "text", "an")[0].draft == ("một", 1)
    assert next_items(workspace, "text", "bình")[0].draft == ("hai", 1)


def test_typing_over_a_label_that_stands_does_not_end_it(workspace, add_samples, rows) -> None:
    add_samples([1.9], state=State.LABELLED, label="một")
    save_draft(workspace, 1, "an", "mốt", 0)
    assert rows("samples")[0]["state"] == "labelled"


def test_deciding_ends_the_draft_and_later_typing_still_has_its_place(
    workspace, add_samples, say, rows
) -> None:
    add_samples([0.5])
    save_draft(workspace, 1, "an", "một", 0)
    say("an", 1, "accept", "một")
    assert rows("reviews")[0]["draft"] is None
    assert save_draft(workspace, 1, "an", "mốt", 1) == 2
    assert rows("samples")[0]["state"] == "accepted"


def test_what_cannot_be_a_draft_is_refused(workspace, add_samples) -> None:
    add_samples([0.5])
    with pytest.raises(NotFound, match="no sample 9"):
        save_draft(workspace, 9, "an", "m", 0)
    with pytest.raises(BadRequest, match="who"):
        save_draft(workspace, 1, "", "m", 0)
    with pytest.raises(BadRequest, match="20,001"):
        save_draft(workspace, 1, "an", "x" * (MAX_CHARACTERS + 1), 0)
