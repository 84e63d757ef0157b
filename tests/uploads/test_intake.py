"""Intake: uploads become samples once, corrections become labels, consent is respected."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from nhan.catalog import State
from nhan.catalog.samples import load_samples, read_rows
from nhan.catalog.schema import corrections, events, labels, predictions
from nhan.samples.importer import import_samples
from nhan.uploads.intake import take_in
from nhan.uploads.record import dump, inbox_path, taken_path


def sample_of(workspace, record):
    with workspace.catalog.read() as connection:
        return load_samples(connection, record.task, [record.sha256])[record.sha256]


def rows_of(workspace, table):
    with workspace.catalog.read() as connection:
        return connection.execute(sa.select(table)).mappings().all()


def test_an_upload_becomes_a_sample_and_a_prediction(workspace, upload):
    record = upload(1, user="lan", consent=True, confidence=0.25, sampled="low_confidence")
    report = take_in(workspace)
    assert (report.taken, report.samples, report.queued, report.waiting) == (1, 1, 1, 0)
    sample = sample_of(workspace, record)
    assert (sample.source, sample.state, sample.may_train) == ("uploads", State.QUEUED, True)
    assert sample.priority >= 0.375
    (row,) = rows_of(workspace, predictions)
    assert (row["id"], row["value"], row["user"]) == (record.id, "dòng 1", "lan")
    assert (row["consent"], row["sampled"], row["details"]["text"]) == (
        True,
        "low_confidence",
        "dòng 1",
    )
    assert workspace.store.read(taken_path(record.id)) == record.to_bytes()
    assert not workspace.store.exists(inbox_path(record.id))


def test_an_unsampled_upload_waits_unqueued(workspace, upload):
    record = upload(1)
    take_in(workspace)
    assert sample_of(workspace, record).state == State.NEW


def test_a_second_intake_changes_nothing(workspace, upload, correct):
    record = upload(1)
    one = correct(record.id, "dòng một", "an")
    take_in(workspace)
    before = [rows_of(workspace, table) for table in (predictions, labels, corrections)]
    # As after a kill between the transaction and the move.
    workspace.store.put(inbox_path(record.id), record.to_bytes())
    workspace.store.put(inbox_path(record.id, one.id), dump(one.to_json()))
    report = take_in(workspace)
    assert (report.taken, report.known, report.new_corrections) == (0, 1, 0)
    assert [rows_of(workspace, table) for table in (predictions, labels, corrections)] == before
    assert not list(workspace.store.list("uploads/inbox"))


def test_the_same_picture_twice_is_one_sample_and_two_predictions(workspace, upload, picture):
    first = upload(1)
    upload(2, data=picture(1))
    report = take_in(workspace)
    assert (report.taken, report.samples) == (2, 1)
    assert {row["sample_id"] for row in rows_of(workspace, predictions)} == {
        sample_of(workspace, first).id
    }


def test_a_limit_leaves_the_rest_for_later(workspace, upload):
    for number in range(5):
        upload(number)
    first = take_in(workspace, limit=2)
    assert (first.taken, first.waiting) == (2, 3)
    assert take_in(workspace).taken == 3


def test_a_dry_run_counts_and_changes_nothing(workspace, upload):
    record = upload(1)
    assert take_in(workspace, dry_run=True).waiting == 1
    assert workspace.store.exists(inbox_path(record.id))
    assert not rows_of(workspace, predictions)


def test_damaged_uploads_are_set_aside_with_the_reason(workspace, upload):
    lost, lying = upload(1), upload(2)
    workspace.store.delete(lost.path)
    workspace.store.put(lying.path, b"something else")
    workspace.store.put(inbox_path("0" * 28), b'{"no": "record"}')
    upload(4, task="poems")
    good = upload(3)
    report = take_in(workspace)
    assert (report.taken, len(report.refused), report.waiting) == (1, 4, 0)
    assert sample_of(workspace, good)
    assert len(list(workspace.store.list("uploads/refused"))) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "of-another-system"},
        {"id": None},
        {"at": "2026-11-20T10:00:00"},
        {"at": 7},
        {"task": ["text"]},
        {"model": None},
        {"version": 7},
        {"value": {"text": "một"}},
        {"confidence": "high"},
        {"confidence": float("nan")},
        {"sha256": None},
        {"path": 3},
        {"user": None},
        {"consent": "yes"},
        {"sampled": None},
        {"novelty": []},
        {"details": "none"},
        {"details": {"characters": [float("inf")]}},
    ],
    ids=str,
)
def test_a_record_that_is_none_of_ours_does_not_block_the_rest(workspace, upload, changes):
    bad = upload(1)
    document = {**json.loads(bad.to_bytes()), **changes}
    workspace.store.put(inbox_path(bad.id), json.dumps(document).encode())
    upload(2)
    report = take_in(workspace)
    assert (report.taken, len(report.refused)) == (1, 1)
    assert workspace.store.exists(f"uploads/refused/{bad.at:%Y-%m-%d}/{bad.id}.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"prediction": "x"},
        {"prediction": 3},
        {"label": None},
        {"given_by": 7},
        {"at": "2026-11-20T10:00:00"},
        {"replaces": ["x"]},
        {"trusted": "yes"},
    ],
    ids=str,
)
def test_a_correction_that_is_none_of_ours_does_not_block_the_rest(
    workspace, upload, correct, changes
):
    record = upload(1)
    bad = correct(record.id, "một")
    document = {**bad.to_json(), **changes}
    workspace.store.put(inbox_path(record.id, bad.id), json.dumps(document).encode())
    correct(record.id, "hai")
    report = take_in(workspace)
    assert (report.new_corrections, len(report.refused)) == (1, 1)
    assert workspace.store.exists(f"uploads/refused/{record.at:%Y-%m-%d}/{record.id}-{bad.id}.json")


def test_a_correction_queues_the_sample_with_its_value_as_a_label(workspace, upload, correct):
    record = upload(1)
    one = correct(record.id, "  dòng một ", "an")
    report = take_in(workspace)
    assert dict(report.corrections) == {"queued": 1}
    sample = sample_of(workspace, record)
    assert (sample.state, sample.label, sample.priority) == (State.QUEUED, None, 1.0)
    (label,) = sample.labels.values()
    assert (label.value, label.given, label.origin) == ("dòng một", "  dòng một ", "correction")
    assert (label.given_by, label.external_id) == ("an", one.id)
    (row,) = rows_of(workspace, corrections)
    assert (row["prediction_id"], row["label_id"]) == (record.id, label.id)
    assert [event["kind"] for event in rows_of(workspace, events)] == ["correction", "intake"]


def test_a_correction_from_a_reviewer_stands(workspace, upload, correct):
    record = upload(1)
    correct(record.id, "dòng một", "an", trusted=True)
    take_in(workspace)
    sample = sample_of(workspace, record)
    assert (sample.state, sample.label.value) == (State.LABELLED, "dòng một")


def test_corrections_stand_where_they_are_trusted(workspace, upload, correct):
    workspace.settings.uploads.trust_corrections = True
    record = upload(1)
    correct(record.id, "dòng một")
    take_in(workspace)
    assert sample_of(workspace, record).state == State.LABELLED


def test_two_trusted_corrections_that_differ_are_looked_at(workspace, upload, correct):
    record = upload(1)
    correct(record.id, "dòng một", "an", trusted=True)
    correct(record.id, "dòng 7", "bình", trusted=True)
    assert dict(take_in(workspace).corrections) == {"stands": 1, "queued": 1}
    sample = sample_of(workspace, record)
    assert (sample.state, len(sample.labels)) == (State.QUEUED, 2)


def test_a_correction_that_takes_another_back_stands_in_its_place(workspace, upload, correct):
    record = upload(1)
    first = correct(record.id, "dòng mọt", "an", trusted=True)
    correct(record.id, "dòng một", "bình", trusted=True, replaces=first.id)
    take_in(workspace)
    sample = sample_of(workspace, record)
    assert (sample.state, sample.label.value) == (State.LABELLED, "dòng một")


def test_what_somebody_said_first_and_arrives_last_is_not_what_stands(workspace, upload, correct):
    """Two servers keep corrections, and one of them could not reach the store for a while."""
    record = upload(1)
    first = correct(record.id, "một", "an", trusted=True)
    late = workspace.store.read(inbox_path(record.id, first.id))
    workspace.store.delete(inbox_path(record.id, first.id))
    correct(record.id, "hai", "an", trusted=True, replaces=first.id)
    take_in(workspace)
    workspace.store.put(inbox_path(record.id, first.id), late)
    assert take_in(workspace).new_corrections == 1
    sample = sample_of(workspace, record)
    assert (sample.state, sample.label.value) == (State.LABELLED, "hai")
    assert len(sample.labels) == 2


def test_a_correction_that_is_longer_than_any_label_is_set_aside(workspace, upload, correct):
    """PostgreSQL does not take it, and then none of the others either."""
    record = upload(1)
    correct(record.id, "ố" * 501, "an")
    correct(record.id, "ố" * 500, "an")
    report = take_in(workspace)
    assert report.new_corrections == 1
    ((path, reason),) = report.refused
    assert "1,503 bytes" in reason
    assert workspace.store.exists(path.replace("inbox", "refused"))


def test_an_imported_label_is_not_overwritten_by_a_correction(
    workspace, upload, correct, tmp_path, picture
):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(picture(1))
    (tmp_path / "in" / "labels.json").write_text('{"a.png": "dòng một"}')
    import_samples(workspace, tmp_path / "in")
    record = upload(1, consent=False)
    correct(record.id, "khác", trusted=True)
    assert dict(take_in(workspace).corrections) == {"contradicts": 1}
    sample = sample_of(workspace, record)
    assert (sample.state, sample.label.value) == (State.LABELLED, "dòng một")
    assert sample.may_train, "the uploader has no say over a picture from another door"
    assert len(sample.labels) == 2


def test_a_correction_waits_for_its_prediction(workspace, upload, correct):
    late = upload(1)
    workspace.store.delete(inbox_path(late.id))
    correct(late.id, "dòng một")
    assert take_in(workspace).waiting == 1
    workspace.store.put(inbox_path(late.id), late.to_bytes())
    report = take_in(workspace)
    assert (report.taken, report.new_corrections, report.waiting) == (1, 1, 0)


def test_a_correction_whose_prediction_never_comes_is_set_aside(workspace, correct):
    correct("0100000000000000000000000000", "x")
    report = take_in(workspace)
    assert (report.waiting, len(report.refused)) == (0, 1)


def test_a_candidate_that_disagrees_queues_the_sample(workspace, upload):
    record = upload(1)
    workspace.store.put(inbox_path(record.id, "disagreement"), b"{}")
    assert take_in(workspace).notes == 1
    sample = sample_of(workspace, record)
    assert (sample.state, sample.priority) == (State.QUEUED, 0.8)
    assert rows_of(workspace, predictions)[0]["sampled"] == "disagreement"


def test_one_refusal_keeps_a_picture_out_of_training(workspace, upload, picture):
    record = upload(1, consent=True)
    upload(2, data=picture(1), consent=False)
    upload(3, data=picture(1), consent=True)
    take_in(workspace)
    assert not sample_of(workspace, record).may_train


def test_where_consent_is_needed_silence_is_none(workspace, upload, picture):
    workspace.settings.uploads.consent_needed = True
    record = upload(1)
    take_in(workspace)
    assert not sample_of(workspace, record).may_train
    upload(2, data=picture(1), consent=True)
    take_in(workspace)
    assert sample_of(workspace, record).may_train


def test_uploads_of_two_tasks_go_to_their_own_samples(workspace, upload, picture):
    upload(1)
    upload(2, data=picture(1), task="classes", value="hoa", details={"labels": {"hoa": 1.0}})
    assert take_in(workspace).samples == 2
    assert [len(list(read_rows(workspace.catalog, task))) for task in ("text", "classes")] == [1, 1]
