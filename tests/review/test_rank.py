"""Ranking with a real model: what it is asked, what is kept, what comes first then."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from nhan.catalog import State
from nhan.catalog.reviews import update_sample
from nhan.catalog.schema import corrections, predictions, samples, suggestions
from nhan.datasets.near import Look
from nhan.models.predictor import Predictor
from nhan.review import rank as ranking
from nhan.review.double import double
from nhan.review.queue import next_items
from nhan.review.usefulness import Known, worth
from nhan.tasks.base import Answer
from toy_count import CountTask


@pytest.fixture
def predictor(toy_package) -> Predictor:
    return Predictor.load(toy_package)


def kept(workspace) -> dict[int, dict]:
    with workspace.catalog.read() as connection:
        found = connection.execute(sa.select(suggestions)).mappings()
        return {row["sample_id"]: dict(row) for row in found}


def test_a_ranking_gives_suggestions_and_priorities(workspace, predictor, add_picture) -> None:
    first = add_picture("đăâ")
    report = ranking.rank(workspace, predictor)
    assert (report.asked, report.waiting, report.suspects) == (1, 1, 0)
    (item,) = next_items(workspace, "text", "an")
    assert item.sample == first
    assert item.suggestion is not None
    assert item.suggestion.value == "đăâ"
    assert item.suggestion.source == "toy@1"
    assert [one["text"] for one in item.suggestion.details["characters"]] == list("đăâ")
    assert 0 <= item.priority <= 1


def test_a_wrong_label_comes_first_and_a_right_one_not_at_all(
    workspace, predictor, add_picture
) -> None:
    waits = add_picture("đă")
    add_picture("âê", label="âê", state=State.LABELLED)
    wrong = add_picture("ôơ", label="ôư", state=State.LABELLED)
    reviewed = add_picture("ưé", label="ưe", state=State.ACCEPTED)
    assert ranking.rank(workspace, predictor).suspects == 1
    items = next_items(workspace, "text", "an")
    assert [item.sample for item in items] == [wrong, waits]
    assert (items[0].label, items[0].suggestion.value) == ("ôư", "ôơ")
    assert items[0].why == "the model is sure of 'ôơ'"
    assert reviewed not in kept(workspace)


def test_a_second_ranking_asks_about_what_is_new_only(workspace, predictor, add_picture) -> None:
    add_picture("đă")
    assert ranking.rank(workspace, predictor, limit=0).asked == 0
    assert ranking.rank(workspace, predictor).asked == 1
    add_picture("âê")
    assert ranking.rank(workspace, predictor).asked == 1
    assert ranking.rank(workspace, predictor, labels=False).asked == 0


def test_a_damaged_picture_is_named_and_the_rest_is_ranked(
    workspace, predictor, add_picture
) -> None:
    broken, whole = add_picture("đă"), add_picture("âê")
    with workspace.catalog.read() as connection:
        path = connection.scalar(sa.select(samples.c.path).where(samples.c.id == broken))
    workspace.store.delete(path)
    report = ranking.rank(workspace, predictor)
    assert [name for name, _ in report.unreadable] == ["đă.png"]
    assert set(kept(workspace)) == {whole}
    assert report.waiting == 2


def test_what_a_user_corrected_stays_at_the_head(workspace, predictor, add_picture, rows) -> None:
    waits, stands = add_picture("đă"), add_picture("âê", label="âê", state=State.LABELLED)
    with workspace.catalog.write() as connection:
        for sample in (waits, stands):
            connection.execute(
                predictions.insert().values(
                    id=f"p{sample}", sample_id=sample, model="toy", version="1", value="đă",
                    confidence=1.0, details={}, user="", sampled="", at=datetime.now(UTC),
                )
            )  # fmt: skip
            connection.execute(
                corrections.insert().values(
                    id=f"c{sample}", prediction_id=f"p{sample}", value="ơ", given_by="lan",
                    at=datetime.now(UTC),
                )
            )  # fmt: skip
        update_sample(connection, stands, priority=1.0)
    ranking.rank(workspace, predictor)
    assert [sample["priority"] for sample in rows("samples")] == [1.0, 1.0]


def test_what_was_decided_during_a_ranking_is_left_alone(
    workspace, predictor, add_picture, say, rows, monkeypatch
) -> None:
    one = add_picture("đă", label="đâ", state=State.LABELLED)
    write = ranking._write

    def decide_first(*arguments) -> None:
        if rows("samples")[0]["state"] == "labelled":
            say("an", one, "accept", "đă")
        write(*arguments)

    monkeypatch.setattr(ranking, "_write", decide_first)
    ranking.rank(workspace, predictor)
    assert rows("samples")[0]["priority"] == 0.0
    assert next_items(workspace, "text", "bình") == []


def test_copies_do_not_fill_the_head_of_the_queue(workspace, predictor, add_picture, rows) -> None:
    add_picture("đăâ")
    ranking.rank(workspace, predictor)
    alone = rows("samples")[0]["priority"]
    with workspace.catalog.write() as connection:  # a copy with other bytes
        row = dict(connection.execute(sa.select(samples)).mappings().one())
        connection.execute(samples.insert().values(**{**row, "id": 2, "sha256": "0" * 64}))
        said = dict(connection.execute(sa.select(suggestions)).mappings().one())
        connection.execute(suggestions.insert().values(**{**said, "sample_id": 2}))
    ranking.rank(workspace, predictor)
    assert [sample["priority"] for sample in rows("samples")] == [alone, alone / 2]


def test_a_share_is_chosen_for_two_people_once(workspace, add_samples, rows) -> None:
    add_samples([0.5] * 40)
    with workspace.catalog.write() as connection:
        for number in range(1, 41):
            sha256 = hashlib.sha256(str(number).encode()).hexdigest()
            update_sample(connection, number, sha256=sha256)
    update = {"task": "text", "share": 0.5}
    expected = double(workspace, **update, dry_run=True)
    assert 10 <= expected <= 30
    assert {sample["opinions"] for sample in rows("samples")} == {1}
    assert double(workspace, **update) == expected
    assert double(workspace, **update) == 0
    assert sum(sample["opinions"] == 2 for sample in rows("samples")) == expected
    assert double(workspace, task="text", share=1) == 40 - expected


def test_what_was_begun_is_not_doubled(workspace, add_samples, say, rows) -> None:
    add_samples([0.5, 0.5])
    say("an", 1, "accept", "một")
    assert double(workspace, "text", share=1.0) == 1
    assert [sample["opinions"] for sample in rows("samples")] == [1, 2]


def test_a_ranking_works_for_a_task_of_ones_own_rules(workspace) -> None:
    """Nothing in the rules of worth asks which task it is; see also tests/toy_count."""
    seen = Look(0, bytes(512), 10, 10)
    known = Known.of(CountTask(), [(seen, "3")] * 60)
    answers = [(Answer("3", 0.5), ""), (Answer("7", 0.5), "")]
    familiar, new = worth(CountTask(), known, [seen, seen], answers)
    assert (familiar.priority, new.priority) == pytest.approx((0.25, 0.5))
