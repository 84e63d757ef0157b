"""Privacy: erasing, giving back and letting expire, with a report of what was made of it."""

from __future__ import annotations

import json
import os
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from nhan.catalog.samples import read_rows
from nhan.catalog.schema import (
    corrections,
    deliveries,
    events,
    labels,
    metadata,
    predictions,
    reviews,
)
from nhan.catalog.uploads import list_uploads
from nhan.datasets.freeze import freeze
from nhan.errors import NotFound, UserError
from nhan.models.package import publish
from nhan.pipeline.notify import notify
from nhan.review.decide import Decision, decide
from nhan.review.drafts import save_draft
from nhan.review.queue import next_items
from nhan.samples.pictures import keep
from nhan.settings import WebhookSettings
from nhan.storage import NumberedLog
from nhan.uploads import intake, retention
from nhan.uploads.erase import erase
from nhan.uploads.export import export_user
from nhan.uploads.intake import take_in
from nhan.uploads.record import corrections_prefix, erased_path, inbox_path, taken_path
from nhan.workspace import Workspace


def everything(workspace) -> str:
    """All text of the workspace: the catalogue's rows and every object."""
    with workspace.catalog.read() as connection:
        rows = [connection.execute(sa.select(table)).all() for table in metadata.sorted_tables]
    objects = [workspace.store.read(path) for path in workspace.store.list("uploads")]
    return repr(rows) + repr(objects) + repr(sorted(workspace.store.list("")))


def test_everything_of_a_user_is_gone(workspace, upload, correct):
    first, second = upload(1, user="lan"), upload(2, user="lan", value="bí mật")
    other = upload(3, user="an")
    correct(first.id, "riêng tư", "lan", trusted=True)
    correct(other.id, "khác", "lan", trusted=True)
    take_in(workspace)
    late = upload(4, user="lan")
    report = erase(workspace, user="lan")
    assert (report.removed.uploads, report.removed.samples, report.waiting) == (2, 2, 1)
    assert report.anonymous == 1
    left = everything(workspace)
    for word in ("lan", "bí mật", "riêng tư", first.id, second.id, late.id, first.sha256):
        assert word not in left
    assert [row.sha256 for row in read_rows(workspace.catalog, "text")] == [other.sha256]
    ((_, entry),) = NumberedLog(workspace.store, corrections_prefix(other.id)).entries()
    assert (entry["label"], entry["given_by"]) == ("khác", "")
    if workspace.catalog.dialect == "sqlite":
        workspace.close()
        files = b"".join(path.read_bytes() for path in workspace.root.glob("catalog.db*"))
        assert "bí mật".encode() not in files


def test_what_arrives_later_from_a_spool_is_dropped(workspace, upload, picture):
    upload(1, user="lan")
    take_in(workspace)
    erase(workspace, user="lan")
    late = upload(2, user="lan")
    shared = upload(3, user="an", data=picture(2))
    new = upload(4, user="lan", at=datetime.now(UTC) + timedelta(days=1))
    report = take_in(workspace)
    assert (report.erased, report.taken) == (1, 2)
    assert not workspace.store.exists(inbox_path(late.id))
    assert workspace.store.exists(shared.path), "somebody else sent the same picture"
    assert workspace.store.exists(new.path)


@pytest.mark.parametrize("moment", ["before it is entered", "before it is moved"])
def test_an_intake_at_work_keeps_nothing_of_who_is_erased_meanwhile(
    workspace, upload, monkeypatch, moment
):
    """It has read the record, and who was erased, before the order came."""
    enter_uploads, upload_of = intake.enter_uploads, upload(1, user="lan")
    upload(2, user="an")

    def erase_beside():
        with Workspace.open(workspace.root) as other:
            erase(other, user="lan")

    def slowly(*arguments):
        if len(orders) == 1 and moment == "before it is entered":
            orders.pop()()
        entered = enter_uploads(*arguments)
        if orders:
            orders.pop()()
        return entered

    orders = [erase_beside]
    monkeypatch.setattr(intake, "enter_uploads", slowly)
    take_in(workspace)
    left = everything(workspace)
    assert "lan" not in left
    assert upload_of.id not in left
    assert [row.user for row in list_uploads(workspace.catalog)] == ["an"]


def test_what_was_set_aside_of_a_user_goes_too(workspace, upload, correct):
    damaged, other = upload(1, user="lan"), upload(2, user="an")
    workspace.store.put(damaged.path, b"no picture any more")
    workspace.store.put(inbox_path(other.id), other.to_bytes().replace(b'"text"', b'"unknown"', 1))
    long_ago = f"{int((datetime.now(UTC) - timedelta(days=40)).timestamp() * 1e3):012x}{7:016x}"
    correct(long_ago, "riêng tư", "lan")
    correct(long_ago, "hai", "an")
    assert len(take_in(workspace).refused) == 4
    report = erase(workspace, user="lan")
    assert report.waiting == 1
    left = everything(workspace)
    for word in ("lan", damaged.id, damaged.sha256):
        assert word not in left
    for word in (other.id, other.sha256, "hai"):
        assert word in left
    with pytest.raises(NotFound):
        erase(workspace, user="lan")


def test_what_a_user_says_of_others_and_still_arrives_comes_without_the_name(
    workspace, upload, correct
):
    other = upload(1, user="an")
    upload(2, user="lan")
    take_in(workspace)
    erase(workspace, user="lan")
    correct(other.id, "khác", "lan")
    assert take_in(workspace).new_corrections == 1
    left = everything(workspace)
    assert "lan" not in left
    ((_, entry),) = NumberedLog(workspace.store, corrections_prefix(other.id)).entries()
    assert (entry["label"], entry["given_by"]) == ("khác", "")


def test_what_is_said_of_an_erased_upload_and_still_arrives_is_dropped(workspace, upload, correct):
    record = upload(1, user="lan")
    take_in(workspace)
    erase(workspace, upload=record.id)
    correct(record.id, "riêng tư", "an")
    take_in(workspace)
    left = everything(workspace)
    assert record.id not in left
    assert "riêng tư" not in left


def test_an_order_that_a_power_cut_left_empty_is_obeyed(workspace, upload):
    workspace.store.put(erased_path("user", "lan"), b"")
    upload(1, user="lan", at=datetime.now(UTC) - timedelta(days=1))
    upload(2, user="an")
    report = take_in(workspace)
    assert (report.erased, report.taken) == (1, 1)


def test_a_picture_that_others_sent_too_stays(workspace, upload, picture):
    mine = upload(1, user="lan")
    upload(2, user="an", data=picture(1))
    take_in(workspace)
    report = erase(workspace, user="lan")
    assert (report.removed.uploads, report.removed.samples, report.removed.kept) == (1, 0, 1)
    assert workspace.store.exists(mine.path)
    with workspace.catalog.read() as connection:
        assert connection.scalars(sa.select(predictions.c.user)).all() == ["an"]


def test_one_upload_is_erased_by_its_id_even_if_it_comes_again(workspace, upload):
    record = upload(1, user="lan")
    data = workspace.store.read(record.path)
    kept = upload(2, user="lan")
    take_in(workspace)
    assert erase(workspace, upload=record.id).removed.uploads == 1
    # As when a spool is shipped once more after a crash.
    workspace.store.put(record.path, data)
    workspace.store.put(inbox_path(record.id), record.to_bytes())
    assert take_in(workspace).erased == 1
    assert not workspace.store.exists(record.path)
    assert workspace.store.exists(kept.path)


def test_a_dry_run_erases_nothing(workspace, upload):
    record = upload(1, user="lan")
    take_in(workspace)
    before = everything(workspace)
    report = erase(workspace, user="lan", dry_run=True)
    assert (report.removed.uploads, report.removed.pictures) == (1, 1)
    assert everything(workspace) == before
    assert workspace.store.exists(record.path)


def test_the_report_names_datasets_and_models(workspace, upload, correct):
    for number in range(6):
        record = upload(number, user="lan" if number < 2 else "an")
        correct(record.id, f"nhãn {number}", "an", trusted=True)
    take_in(workspace)
    first = freeze(workspace, "lines").dataset
    record = upload(9, user="an")
    correct(record.id, "nhãn 9", "an", trusted=True)
    take_in(workspace)
    second = freeze(workspace, "lines").dataset
    spec = {"task": "text", "dataset": first.ref}
    publish(workspace.store, "reader", {"model.onnx": b"x"}, spec, run="1")
    report = erase(workspace, user="lan")
    assert report.datasets == {first.ref: 2, second.ref: 2}
    assert report.models == ["reader@1"]
    assert freeze(workspace, "lines").dataset.count() == second.count() - 2


def test_reviewed_samples_go_with_all_that_refers_to_them(workspace, upload, correct):
    from nhan.review.queue import next_items

    record = upload(1, user="lan", sampled="random")
    correct(record.id, "một", "lan")
    take_in(workspace)
    (item,) = next_items(workspace, "text", "an", 1)
    decide(workspace, Decision("d1", item.sample, "an", "accept", "một"))
    erase(workspace, user="lan")
    with workspace.catalog.read() as connection:
        for table in metadata.sorted_tables:
            if table is not events:
                assert not connection.execute(sa.select(table)).all(), table.name


@pytest.mark.parametrize("taken_in", [True, False], ids=["by an intake", "by erasing again"])
def test_an_erasure_that_was_killed_after_its_rows_had_gone_is_finished(
    workspace, upload, correct, monkeypatch, taken_in
):
    record = upload(1, user="lan")
    correct(record.id, "riêng tư", "lan")
    take_in(workspace)

    def die(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nhan.uploads.remove._delete_objects", die)
        with pytest.raises(KeyboardInterrupt):
            erase(workspace, user="lan")
    assert workspace.store.exists(record.path)
    if taken_in:
        take_in(workspace)
    else:
        erase(workspace, user="lan")
    left = everything(workspace)
    for word in ("lan", "riêng tư", record.id, record.sha256):
        assert word not in left
    with pytest.raises(NotFound):
        erase(workspace, user="lan")


def test_an_erasure_that_was_killed_is_finished_by_the_next(workspace, upload, monkeypatch):
    record = upload(1, user="lan")
    take_in(workspace)

    def die(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nhan.uploads.remove._delete_rows", die)
        with pytest.raises(KeyboardInterrupt):
            erase(workspace, user="lan")
    assert workspace.store.exists(record.path)
    assert erase(workspace, user="lan").removed.uploads == 1
    assert "lan" not in everything(workspace)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_found_however_its_marks_are_written(workspace, upload, correct, form):
    composed, decomposed = (unicodedata.normalize(one, "Lê Ngân") for one in ("NFC", "NFD"))
    upload(1, user=composed)
    correct(upload(2, user=decomposed).id, "một", decomposed)
    correct(upload(3, user="an").id, "hai", decomposed)
    take_in(workspace)
    with workspace.catalog.write() as connection:
        found = connection.scalars(sa.select(predictions.c.user)).all()
        assert sorted(found) == sorted([composed, composed, "an"])
        # As versions before kept it.
        connection.execute(
            predictions.update().where(predictions.c.user == composed).values(user=decomposed)
        )
        connection.execute(corrections.update().values(given_by=decomposed))
    asked = unicodedata.normalize(form, composed)
    given = export_user(workspace, asked, workspace.root / "out")
    assert (given.uploads, given.corrections) == (2, 1)
    upload(4, user=decomposed)  # waits in the inbox
    report = erase(workspace, user=asked)
    assert (report.removed.uploads, report.waiting, report.anonymous) == (2, 1, 1)
    kept = everything(workspace)
    assert composed not in kept
    assert decomposed not in kept


@pytest.mark.parametrize("names", [{}, {"user": "a", "upload": "b"}])
def test_either_a_user_or_an_upload_is_named(workspace, names):
    with pytest.raises(UserError):
        erase(workspace, **names)


def test_nobody_is_not_found(workspace):
    with pytest.raises(NotFound):
        erase(workspace, user="nobody")
    with pytest.raises(NotFound):
        export_user(workspace, "nobody", workspace.root / "out")


def test_a_user_is_given_everything_and_nothing_of_others(workspace, upload, correct, picture):
    mine = upload(1, user="lan", consent=True)
    upload(2, user="an")
    correct(mine.id, "một", "an")
    folder = workspace.root / "lan"
    report = export_user(workspace, "lan", folder)
    assert (report.uploads, report.missing) == (1, 0)
    document = json.loads((folder / "uploads.json").read_text("utf-8"))
    (entry,) = document["uploads"]
    assert (entry["id"], entry["consent"], entry["value"]) == (mine.id, True, "dòng 1")
    assert (folder / entry["file"]).read_bytes() == picture(1)
    assert entry["corrections"][0]["label"] == "một"
    assert entry["corrections"][0]["given_by"] == "somebody else"


def test_a_user_is_given_what_they_said_of_others_pictures(workspace, upload, correct):
    mine, other = upload(1, user="lan"), upload(2, user="an")
    correct(mine.id, "một", "lan")
    correct(other.id, "hai", "lan")
    correct(other.id, "ba", "khách")
    report = export_user(workspace, "lan", workspace.root / "lan")
    assert (report.uploads, report.corrections) == (1, 1)
    document = json.loads((workspace.root / "lan" / "uploads.json").read_text("utf-8"))
    (entry,) = document["corrections_of_others"]
    assert (entry["prediction"], entry["label"]) == (other.id, "hai")
    # Who only corrected has sent no picture, and is given what they said all the same.
    report = export_user(workspace, "khách", workspace.root / "guest")
    assert (report.uploads, report.corrections) == (0, 1)
    document = json.loads((workspace.root / "guest" / "uploads.json").read_text("utf-8"))
    assert document["uploads"] == []
    assert [one["label"] for one in document["corrections_of_others"]] == ["ba"]


def test_webhooks_forget_what_was_erased(workspace, upload, correct, monkeypatch):
    """They are kept for a month to look at; what nobody has taken yet is never sent."""
    monkeypatch.setenv("NHAN_WEBHOOK_SECRET", "a secret for tests")
    nobody = "http://127.0.0.1:9/"
    workspace.settings.webhooks = WebhookSettings(urls=[nobody], timeout_s=5)
    notify(workspace)  # an address is told of what happens from then on
    mine, other = upload(1, user="lan"), upload(2, user="an")
    correct(mine.id, "riêng tư", "lan", trusted=True)
    correct(other.id, "khác", "lan", trusted=True)
    take_in(workspace)
    notify(workspace)
    erase(workspace, user="lan")
    with workspace.catalog.read() as connection:
        told = connection.execute(sa.select(deliveries.c.event, deliveries.c.body)).all()
    assert [event for event, _ in told] == ["ping", "label.done"]
    assert told[1].body["data"]["label"] == "khác"
    assert told[1].body["data"]["by"] == ""


def test_webhooks_are_told_of_what_comes_after_an_erasure(workspace, upload, correct, monkeypatch):
    """SQLite gives the numbers of erased events again."""
    monkeypatch.setenv("NHAN_WEBHOOK_SECRET", "a secret for tests")
    nobody = "http://127.0.0.1:9/"
    workspace.settings.webhooks = WebhookSettings(urls=[nobody], timeout_s=5)
    notify(workspace)
    other = upload(1, user="an")
    theirs = {upload(number, user="lan").sha256 for number in range(2, 8)}
    take_in(workspace)
    for row in read_rows(workspace.catalog, "text"):
        if row.sha256 in theirs:
            decide(workspace, Decision(f"d{row.id}", row.id, "bình", "accept", "riêng tư"))
    notify(workspace)
    erase(workspace, user="lan")
    correct(other.id, "khác", "lan", trusted=True)
    take_in(workspace)
    notify(workspace)
    with workspace.catalog.read() as connection:
        told = connection.execute(sa.select(deliveries.c.event, deliveries.c.body)).all()
    assert [event for event, _ in told] == ["ping", "label.done"]
    assert told[1].body["data"]["label"] == "khác"


def test_uploads_that_nobody_labelled_expire(workspace, upload, correct):
    workspace.settings.uploads.keep_days = 30
    old = datetime.now(UTC) - timedelta(days=31)
    gone, worked_on = upload(1, at=old), upload(2, at=old)
    upload(3)
    correct(worked_on.id, "một")
    # Intake lets them expire, but only what was there before: corrections come first.
    report = take_in(workspace)
    assert (report.taken, report.expired) == (3, 1)
    assert not workspace.store.exists(gone.path)
    with workspace.catalog.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(predictions)) == 2
        assert connection.scalar(sa.select(sa.func.count()).select_from(corrections)) == 1
        assert connection.scalar(sa.select(sa.func.count()).select_from(labels)) == 1


def test_an_upload_that_somebody_is_typing_a_label_for_does_not_expire(workspace, upload):
    begun = upload(1, at=datetime.now(UTC) - timedelta(days=31))
    take_in(workspace)
    (sample,) = read_rows(workspace.catalog, "text")
    save_draft(workspace, sample.id, "an", "phòng 1", 0)
    workspace.settings.uploads.keep_days = 30
    assert take_in(workspace).expired == 0
    assert workspace.store.exists(begun.path)
    (item,) = next_items(workspace, "text", "an")
    assert item.draft is not None
    assert item.draft[0] == "phòng 1"


def beside(workspace, monkeypatch, moment, work):
    """Lets `work` be done once in the middle of what expires; what it raised, if anything."""
    todo, told = [work], []

    def interrupt():
        if todo:
            try:
                todo.pop()()
            except NotFound as error:
                told.append(error)

    listed, delete = retention.list_uploads, workspace.store.delete

    def slowly(catalog, **asked):
        yield from listed(catalog, **asked)
        if "among" in asked and moment == "before its rows":
            interrupt()

    def deleted(path):
        if path.startswith(("uploads/taken", "images")):
            interrupt()
        delete(path)

    monkeypatch.setattr(retention, "list_uploads", slowly)
    monkeypatch.setattr(workspace.store, "delete", deleted)
    workspace.settings.uploads.keep_days = 30
    take_in(workspace)
    assert not todo
    return told


@pytest.mark.parametrize("moment", ["before its rows", "after its rows"])
def test_a_label_of_what_expires_at_that_moment_is_kept_or_refused(
    workspace, upload, monkeypatch, moment
):
    old = upload(1, at=datetime.now(UTC) - timedelta(days=31))
    upload(2, at=datetime.now(UTC) - timedelta(days=31))
    take_in(workspace)
    (sample, _) = read_rows(workspace.catalog, "text")
    label = Decision("d1", sample.id, "an", "accept", "phòng 1")
    told = beside(workspace, monkeypatch, moment, lambda: decide(workspace, label))
    kept = [row.label for row in read_rows(workspace.catalog, "text")]
    if moment == "before its rows":
        assert (kept, told) == (["phòng 1"], [])
        assert workspace.store.exists(old.path)
        assert workspace.store.exists(taken_path(old.id))
    else:
        assert (kept, len(told)) == ([], 1)
        assert not workspace.store.exists(old.path)


def test_what_expires_and_is_sent_again_at_that_moment_keeps_its_picture(
    workspace, upload, monkeypatch, picture
):
    old = upload(1, at=datetime.now(UTC) - timedelta(days=31))
    take_in(workspace)
    an_old_file = workspace.store.folder / old.path
    os.utime(an_old_file, (0, 0))

    def send_again():
        keep(workspace.store, old.path, picture(1))
        upload(2, data=picture(1))

    beside(workspace, monkeypatch, "after its rows", send_again)
    assert take_in(workspace).taken == 1
    assert workspace.store.read(old.path) == picture(1)


def test_what_somebody_begins_to_label_while_the_old_ones_are_listed_stays(
    workspace, upload, monkeypatch
):
    old = datetime.now(UTC) - timedelta(days=31)
    gone, begun = upload(1, at=old), upload(2, at=old)
    take_in(workspace)
    samples = {row.path: row.id for row in read_rows(workspace.catalog, "text")}
    listed = retention.list_uploads

    def slowly(catalog, **asked):
        yield from listed(catalog, **asked)
        if "before" in asked:
            save_draft(workspace, samples[begun.path], "an", "phòng 2", 0)

    monkeypatch.setattr(retention, "list_uploads", slowly)
    workspace.settings.uploads.keep_days = 30
    assert take_in(workspace).expired == 1
    assert not workspace.store.exists(gone.path)
    assert workspace.store.exists(begun.path)


def test_an_upload_that_somebody_is_looking_at_does_not_expire(workspace, upload):
    """Else the label they are about to give would be for nothing."""
    upload(1, at=datetime.now(UTC) - timedelta(days=31))
    take_in(workspace)
    assert next_items(workspace, "text", "an")
    workspace.settings.uploads.keep_days = 30
    assert take_in(workspace).expired == 0
    with workspace.catalog.write() as connection:
        connection.execute(reviews.update().values(held_until=datetime.now(UTC)))
    assert take_in(workspace).expired == 1
