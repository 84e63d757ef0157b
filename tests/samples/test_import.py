"""Importing: counted, repeatable, written in the right order, nothing from outside."""

from __future__ import annotations

import io
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from PIL import Image

from nhan.catalog import State
from nhan.catalog.samples import read_rows
from nhan.catalog.schema import events, labels, samples
from nhan.errors import BadSource
from nhan.images import content_hash
from nhan.samples.doors import Reading
from nhan.samples.importer import import_samples
from nhan.samples.report import ImportReport
from nhan.workspace import Workspace

Take = Callable[..., ImportReport]
Folder = Callable[[dict[str, str]], Path]


def counts(workspace: Workspace) -> tuple[int, int, int]:
    with workspace.catalog.read() as connection:
        rows = [
            connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (samples, labels, events)
        ]
    return tuple(rows)  # type: ignore[return-value]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_samples_hold_picture_label_slice_and_name(
    workspace: Workspace, folder: Folder, take: Take, picture: Callable[[int], bytes]
) -> None:
    report = take(folder({"document/1.png": "Đường Láng", "receipt/2.png": "1.000 ₫"}))
    assert (report.read, report.added.total(), report.layout) == (2, 2, "labels-json")
    rows = {row.name: row for row in read_rows(workspace.catalog, "text")}
    row = rows["document/1.png"]
    assert (row.label, row.source, row.state) == ("Đường Láng", "document", State.LABELLED)
    assert (row.width, row.height) == (96, 16)
    assert row.path == f"images/{row.sha256[:2]}/{row.sha256}.png"
    assert workspace.store.read(row.path) == picture(0)
    assert row.sha256 == content_hash(picture(0))


def test_importing_twice_adds_nothing(workspace: Workspace, folder: Folder, take: Take) -> None:
    source = folder({f"{n}.png": f"dòng {n}" for n in range(5)})
    take(source)
    before = counts(workspace)[:2]
    again = take(source)
    assert (again.read, again.added.total(), again.known) == (5, 0, 5)
    assert counts(workspace)[:2] == before


def test_a_dry_run_reports_the_same_and_writes_nothing(
    workspace: Workspace, folder: Folder, take: Take
) -> None:
    source = folder({f"{n}.png": "" if n == 3 else f"dòng {n}" for n in range(5)})
    (source / "1.png").write_bytes(b"\x89PNG broken")
    workspace.close()
    before = snapshot(workspace.root)
    dry = take(source, dry_run=True)
    workspace.close()
    assert snapshot(workspace.root) == before
    real = take(source).to_json()
    told = dry.to_json()
    for report in (real, told):
        del report["seconds"], report["dry_run"]
    assert told == real
    assert (real["added"], real["skipped_by_reason"]) == (3, {"bad_picture": 1, "bad_label": 1})


def test_a_dry_run_sees_conflicts_within_the_source(
    folder: Folder, take: Take, put: Callable[[str, int], Path]
) -> None:
    source = folder({"a.png": "một", "b.png": "hai"})
    put("b.png", 0)
    for dry_run in (True, False):
        report = take(source, dry_run=dry_run)
        assert [(one.before, one.after) for one in report.conflicts] == [("một", "hai")]


def test_every_skipped_item_is_listed_with_its_reason(
    folder: Folder, take: Take, put: Callable[[str, int], Path]
) -> None:
    source = folder(
        {"good.png": "tốt", "empty.png": "  ", "text.png": "a", "zero.png": "b", "gone.png": "c"}
    )
    (source / "text.png").write_text("no picture")
    (source / "zero.png").write_bytes(b"")
    (source / "gone.png").unlink()
    put("extra/unnamed.png", 77)
    report = take(source)
    assert report.added == {"labelled": 1}
    assert {item.name: item.code for item in report.skipped} == {
        "empty.png": "bad_label",
        "text.png": "unsupported_picture",
        "zero.png": "bad_picture",
        "gone.png": "missing_picture",
        "extra/unnamed.png": "no_label",
    }
    assert report.read == 6
    listed = report.to_json()["skipped_items"]
    assert all(item["message"] for item in listed)


def test_labels_are_nfc_and_what_was_mended_is_kept(
    workspace: Workspace, folder: Folder, take: Take
) -> None:
    given = unicodedata.normalize("NFD", "Nguyễn Huệ") + "\u200b"
    report = take(folder({"a.png": given, "b.png": "sạch"}))
    assert report.mended == 1
    with workspace.catalog.read() as connection:
        rows = connection.execute(sa.select(labels.c.value, labels.c.given)).all()
    assert set(rows) == {("Nguyễn Huệ", given), ("sạch", None)}


def test_mended_examples_are_different_ones(folder: Folder, take: Take) -> None:
    report = take(folder({f"{n}.png": " a " if n < 9 else " b " for n in range(10)}))
    assert report.mended == 10
    assert report.mended_examples == ["' a ' → a", "' b ' → b"]


def test_another_label_is_a_vote_and_a_conflict_and_stands_nowhere(
    workspace: Workspace, folder: Folder, take: Take
) -> None:
    take(folder({"a.png": "một"}))
    report = take(folder({"a.png": "hai"}))
    assert [(one.name, one.before, one.after) for one in report.conflicts] == [
        ("a.png", "một", "hai")
    ]
    (row,) = read_rows(workspace.catalog, "text")
    assert row.label == "một"
    assert counts(workspace)[:2] == (1, 2)
    assert take(folder({"a.png": "hai"})).conflicts == []
    assert counts(workspace)[:2] == (1, 2)


def test_relabel_lets_the_source_win_and_keeps_history(
    workspace: Workspace, folder: Folder, take: Take
) -> None:
    take(folder({"a.png": "một"}))
    take(folder({"a.png": "hai"}))
    report = take(folder({"a.png": "hai"}), relabel=True)
    assert [(one.before, one.after) for one in report.relabelled] == [("một", "hai")]
    (row,) = read_rows(workspace.catalog, "text")
    assert row.label == "hai"
    with workspace.catalog.read() as connection:
        kinds = connection.scalars(sa.select(events.c.kind).order_by(events.c.id)).all()
        assert set(connection.scalars(sa.select(labels.c.value))) == {"một", "hai"}
    assert kinds == ["import", "sample.conflict", "import", "sample.relabelled", "import"]


def test_a_repeated_import_does_not_undo_a_review(
    workspace: Workspace, folder: Folder, take: Take
) -> None:
    source = folder({"a.png": "một", "b.png": "hai"})
    take(source)
    with workspace.catalog.write() as connection:
        connection.execute(
            samples.update().where(samples.c.name == "a.png").values(state="skipped")
        )
        connection.execute(
            samples.update().where(samples.c.name == "b.png").values(state="rejected")
        )
    assert take(source).known == 2
    states = {row.name: row.state for row in read_rows(workspace.catalog, "text")}
    assert states == {"a.png": State.SKIPPED, "b.png": State.REJECTED}


def test_options_name_split_slice_and_group(
    workspace: Workspace, folder: Folder, take: Take
) -> None:
    source = folder({"doc7/page1_line2.png": "a", "test/doc8_line1.png": "b"})
    take(
        source,
        split="validation",
        source_name="archive",
        reading=Reading(group_pattern=r"(doc\d+)"),
    )
    rows = list(read_rows(workspace.catalog, "text"))
    assert [(r.split_asked, r.source, r.group) for r in rows] == [
        ("validation", "archive", "doc7"),
        ("validation", "archive", "doc8"),
    ]


def test_slices_and_groups_are_one_however_their_marks_are_written(
    workspace: Workspace, folder: Folder, take: Take
) -> None:
    composed, decomposed = (unicodedata.normalize(form, "hoá đơn") for form in ("NFC", "NFD"))
    take(
        folder({f"{composed}/a.png": "a", f"{decomposed}/b.png": "b"}),
        reading=Reading(group_pattern=r"^[^/]+"),
    )
    rows = list(read_rows(workspace.catalog, "text"))
    assert [(row.source, row.group) for row in rows] == [(composed, composed)] * 2


def test_numbered_folders_are_no_slices(workspace: Workspace, folder: Folder, take: Take) -> None:
    take(folder({"00000/1.png": "a", "data/00001/sign/2.png": "b"}))
    assert [row.source for row in read_rows(workspace.catalog, "text")] == ["source", "sign"]


def test_the_path_tells_the_split(workspace: Workspace, folder: Folder, take: Take) -> None:
    take(folder({"train/a.png": "a", "val/sign/b.png": "b", "images/test/c.png": "c"}))
    rows = {row.name: row for row in read_rows(workspace.catalog, "text")}
    assert {name: (row.split_asked, row.source) for name, row in rows.items()} == {
        "train/a.png": ("train", "source"),
        "val/sign/b.png": ("validation", "sign"),
        "images/test/c.png": ("test", "source"),
    }


@pytest.mark.parametrize(
    "name", ["../secret.png", "a/../../secret.png", "{absolute}", "..\\secret.png"]
)
def test_a_path_that_leads_outside_is_refused(
    tmp_path: Path, folder: Folder, take: Take, picture: Callable[[int], bytes], name: str
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(99))
    source = folder({"a.png": "một"})
    listed = {"a.png": "một", name.format(absolute=secret): "lộ"}
    (source / "labels.json").write_text(json.dumps(listed))
    report = take(source)
    assert report.reasons == {"outside_source": 1}
    assert report.added.total() == 1
    allowed = take(source, reading=Reading(media=(str(tmp_path),)))
    assert allowed.added.total() == 1


def test_a_link_that_leads_outside_is_refused(
    tmp_path: Path, folder: Folder, take: Take, picture: Callable[[int], bytes]
) -> None:
    (tmp_path / "secret.png").write_bytes(picture(99))
    source = folder({"a.png": "một", "link.png": "lộ"})
    (source / "link.png").unlink()
    (source / "link.png").symlink_to(tmp_path / "secret.png")
    assert take(source).reasons == {"outside_source": 1}


def test_names_that_are_no_utf8_do_not_stop_the_import(
    workspace: Workspace, tmp_path: Path, picture: Callable[[int], bytes], take: Take
) -> None:
    place = tmp_path / "source" / "hồng"
    place.mkdir(parents=True)
    for number, name in enumerate((b"\xff\xfe.png", b"b.png")):
        (place / os.fsdecode(name)).write_bytes(picture(number))
    (place / os.fsdecode(b"\xfe.gif")).write_bytes(b"no picture")
    report = take(tmp_path / "source", task="classes")
    assert report.added.total() == 2
    json.dumps(report.to_json(), ensure_ascii=False).encode()
    names = [row.name for row in read_rows(workspace.catalog, "classes")]
    assert names == ["h\u1ed3ng/b.png", "h\u1ed3ng/??.png"]


def test_halves_of_surrogate_pairs_in_json_do_not_stop_the_import(
    folder: Folder, take: Take
) -> None:
    source = folder({"a.png": "một", "b.png": "hai"})
    text = '{"a.png": "m\\ud800t", "b.png": "hai", "\\udfff\\u0000.png": "ba"}'
    (source / "labels.json").write_text(text)
    report = take(source, source_name="\ud800")
    assert report.added.total() == 1
    assert report.reasons == {"bad_label": 1, "missing_picture": 1}
    json.dumps(report.to_json(), ensure_ascii=False).encode()


def test_a_pipe_in_the_folder_does_not_hang_the_import(folder: Folder, take: Take) -> None:
    source = folder({"a.png": "một", "pipe.png": "hai"})
    (source / "pipe.png").unlink()
    os.mkfifo(source / "pipe.png")
    assert take(source).reasons == {"missing_picture": 1}


def test_a_picture_over_the_limit_is_skipped_by_its_size(
    tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NHAN_IMAGES__MAX_BYTES", "1000")
    source = folder({"a.png": "một", "big.png": "hai"})
    (source / "big.png").write_bytes(b"\x89PNG" + bytes(5000))
    with Workspace.init(tmp_path / "small") as workspace:
        report = import_samples(workspace, source)
    assert report.reasons == {"image_too_large": 1}


def test_upright_size_is_kept_for_a_turned_photo(
    workspace: Workspace, folder: Folder, take: Take
) -> None:
    source = folder({"a.png": "một"})
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (30, 90), "white").save(buffer, "JPEG", exif=exif.tobytes())
    (source / "a.png").write_bytes(buffer.getvalue())
    take(source)
    (row,) = read_rows(workspace.catalog, "text")
    assert (row.width, row.height) == (90, 30)
    assert row.path.endswith(".jpg")  # told by content, not by name
    assert workspace.store.read(row.path) == buffer.getvalue()  # original bytes


def test_a_lost_object_is_written_again(workspace: Workspace, folder: Folder, take: Take) -> None:
    """A power cut may leave a row whose object is missing or empty; importing again heals it."""
    source = folder({"a.png": "một", "b.png": "hai"})
    take(source)
    first, second = read_rows(workspace.catalog, "text")
    workspace.store.delete(first.path)
    workspace.store.put(second.path, b"")
    assert take(source).known == 2
    assert content_hash(workspace.store.read(first.path)) == first.sha256
    assert content_hash(workspace.store.read(second.path)) == second.sha256


def test_an_unknown_layout_lists_what_was_looked_for(tmp_path: Path, take: Take) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadSource) as caught:
        take(tmp_path / "empty")
    for word in ("labels.json", "Label Studio", "CSV", "Parquet", "tab list", "class folders"):
        assert word in caught.value.hint
    with pytest.raises(BadSource, match="there is no"):
        take(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("hello\nworld\n")
    with pytest.raises(BadSource, match="no layout we know"):
        take(tmp_path / "notes.txt")


def test_progress_ends_at_the_number_of_items(folder: Folder, take: Take) -> None:
    seen: list[tuple[int, int | None]] = []
    take(folder({f"{n}.png": "a" for n in range(3)}), progress=lambda *at: seen.append(at))
    assert seen[-1] == (3, 3)


def test_memory_is_bounded_by_the_pictures_in_flight(
    workspace: Workspace, tmp_path: Path, picture: Callable[[int], bytes]
) -> None:
    """The door is asked for pictures only as fast as they are taken in."""
    from nhan.samples import importer
    from nhan.samples.record import Record, Vote
    from nhan.tasks import get_task

    asked = 0

    def items():
        nonlocal asked
        for number in range(300):
            asked += 1
            yield Record(f"{number}", lambda n=number: picture(n), Vote("a"))

    intake = importer._Intake(get_task("text"), None, workspace.picture_limits, set())
    prepared = importer._prepared(items(), intake)
    next(prepared)
    assert asked <= importer._IN_FLIGHT
    assert sum(1 for _ in prepared) == 299


def test_real_lines(workspace: Workspace, shared_data: Path, take: Take) -> None:
    report = take(shared_data / "vi-lines")
    assert (report.read, report.added.total(), report.skipped) == (110, 110, [])
    assert report.sources["handwriting"] == 24
