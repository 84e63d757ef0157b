"""Each layout, as its tools really write it."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nhan.catalog.samples import SampleRow, read_rows
from nhan.errors import BadSource
from nhan.samples.doors import Reading
from nhan.samples.doors.base import DOORS, find_door, load_door
from nhan.samples.report import ImportReport
from nhan.workspace import Workspace

Take = Callable[..., ImportReport]
Put = Callable[[str, int], Path]


@pytest.fixture
def rows(workspace: Workspace) -> Callable[[], dict[str, SampleRow]]:
    return lambda: {row.name: row for row in read_rows(workspace.catalog, "text")}


def labelled(rows: dict[str, SampleRow]) -> dict[str, str | None]:
    return {name: row.label for name, row in rows.items()}


def test_every_door_says_what_it_looks_for() -> None:
    for name in DOORS:
        assert load_door(name).layout


# labels.json


def test_labels_json_in_train_and_test_folders(tmp_path: Path, put: Put, take: Take, rows) -> None:
    """docTR's layout: pictures in `images/` beside each labels.json."""
    for number, split in enumerate(("train", "val", "test")):
        put(f"{split}/images/a.png", number)
        (tmp_path / "source" / split / "labels.json").write_text(json.dumps({"a.png": split}))
    take(tmp_path / "source")
    assert {row.label: row.split_asked for row in rows().values()} == {
        "train": "train",
        "val": "validation",
        "test": "test",
    }


def test_labels_json_alone_with_a_mark_and_a_key_twice(
    tmp_path: Path, put: Put, take: Take, rows
) -> None:
    put("a.png", 1)
    text = '{"a.png": "một", "a.png": "hai"}'
    (tmp_path / "source" / "words.json").write_text(text, encoding="utf-8-sig")
    report = take(tmp_path / "source" / "words.json")
    assert labelled(rows()) == {"a.png": "một"}
    assert [(one.before, one.after) for one in report.conflicts] == [("một", "hai")]


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"a.png": ', "not valid JSON"), ('{"a.png": {"polygons": []}}', "")],
)
def test_a_malformed_labels_json(
    tmp_path: Path, put: Put, take: Take, text: str, message: str
) -> None:
    put("a.png", 1)
    (tmp_path / "source" / "labels.json").write_text(text)
    if message:
        with pytest.raises(BadSource, match=message):
            take(tmp_path / "source")
    else:
        assert take(tmp_path / "source").reasons["malformed_item"] == 1


# tab lists


def test_vietocr_lists_tell_the_split_by_name(tmp_path: Path, put: Put, take: Take, rows) -> None:
    put("InkData/1.png", 1)
    put("InkData/2.png", 2)
    source = tmp_path / "source"
    (source / "train_annotation.txt").write_text("InkData/1.png\tĐà Nẵng\n", "utf-8")
    (source / "test_annotation.txt").write_text("InkData/2.png\tcó\ttab\r\n\n", "utf-8")
    report = take(source)
    assert report.layout == "tab-list"
    assert {n: (r.label, r.split_asked, r.source) for n, r in rows().items()} == {
        "InkData/1.png": ("Đà Nẵng", "train", "InkData"),
        "InkData/2.png": ("có tab", "test", "InkData"),
    }


def test_paddleocr_list_relative_to_the_folder_above(
    tmp_path: Path, put: Put, take: Take, rows
) -> None:
    put("rec/train/word_1.png", 1)
    (tmp_path / "source" / "rec" / "rec_gt_train.txt").write_text(
        "source/rec/train/word_1.png\tHuế\nnothing here\nrec/train/gone.png\tx\n", "utf-8"
    )
    report = take(tmp_path / "source" / "rec" / "rec_gt_train.txt")
    assert labelled(rows()) == {"source/rec/train/word_1.png": "Huế"}
    assert report.reasons == {"malformed_item": 1, "missing_picture": 1}


def test_paddleocr_detection_labels_are_refused_with_the_reason(
    tmp_path: Path, put: Put, take: Take
) -> None:
    put("page.png", 1)
    line = 'page.png\t[{"transcription": "a", "points": [[0,0],[1,0],[1,1],[0,1]]}]\n'
    (tmp_path / "source" / "Label.txt").write_text(line)
    with pytest.raises(BadSource, match="text regions of whole pages"):
        take(tmp_path / "source" / "Label.txt")


def test_a_list_in_another_encoding_is_refused(tmp_path: Path, put: Put, take: Take) -> None:
    put("a.png", 1)
    (tmp_path / "source" / "a.txt").write_bytes("a.png\tĐà".encode("cp1258"))
    with pytest.raises(BadSource) as caught:
        take(tmp_path / "source" / "a.txt")
    assert "not UTF-8" in caught.value.message
    assert "iconv" in caught.value.hint


def test_folders_above_the_source_say_nothing_of_its_pictures(
    tmp_path: Path, picture: Callable[[int], bytes], take: Take, rows
) -> None:
    source = tmp_path / "test" / "lines"
    (source / "page").mkdir(parents=True)
    lists = {"a.txt": "{}\tmột\n", "b.csv": "{},hai\n", "labels.json": '{{"{}": "ba"}}'}
    for number, (name, line) in enumerate(lists.items()):
        path = source / "page" / f"{number}.png"
        path.write_bytes(picture(number))
        (source / name).write_text(line.format(path), "utf-8")
        take(source / name)
    path = source / "page" / "d.png"
    path.write_bytes(picture(3))
    pq.write_table(pa.table({"path": [str(path)], "label": ["bốn"]}), source / "d.parquet")
    take(source / "d.parquet")
    assert {(row.split_asked, row.source) for row in rows().values()} == {("", "page")}
    assert len(rows()) == 4

    image = {"bytes": picture(4), "path": "/elsewhere/test/x.png"}
    pq.write_table(pa.table({"image": [image], "label": ["năm"]}), source / "e.parquet")
    take(source / "e.parquet")
    (row,) = (row for row in rows().values() if row.label == "năm")
    assert (row.split_asked, row.source) == ("", "lines")


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_of_any_delimiter_mark_and_quoting(
    tmp_path: Path, put: Put, take: Take, rows, delimiter: str, encoding: str
) -> None:
    put("a.png", 1)
    put("b.png", 2)
    texts = {"a.png": 'có "ngoặc", phẩy; chấm\tvà | gạch', "b.png": "hai\ndòng"}
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter)
    writer.writerow(["File", "Text", "Split", "document", "other"])
    for name, text in texts.items():
        writer.writerow([name, text, "val", "d1", 5])
    (tmp_path / "source" / "data.csv").write_bytes(buffer.getvalue().encode(encoding))
    report = take(tmp_path / "source" / "data.csv")
    assert labelled(rows()) == {
        "a.png": 'có "ngoặc", phẩy; chấm và | gạch',
        "b.png": "hai dòng",
    }
    assert {(r.split_asked, r.group) for r in rows().values()} == {("validation", "d1")}
    assert report.read == 2


def test_csv_without_a_header_and_with_short_rows(
    tmp_path: Path, put: Put, take: Take, rows
) -> None:
    put("a.png", 1)
    (tmp_path / "source" / "data.csv").write_text("a.png,một\n\nb.png\n")
    report = take(tmp_path / "source" / "data.csv")
    assert labelled(rows()) == {"a.png": "một"}
    assert report.reasons == {"malformed_item": 1}


def test_csv_columns_by_option(tmp_path: Path, put: Put, take: Take, rows) -> None:
    put("a.png", 1)
    path = tmp_path / "source" / "data.csv"
    path.write_text("anh,chu\na.png,một\n", "utf-8")
    with pytest.raises(BadSource) as caught:
        take(path)
    assert "no picture column; it has anh, chu" in caught.value.message
    assert "--picture-column" in caught.value.hint
    with pytest.raises(BadSource, match="no column 'ảnh'"):
        take(path, reading=Reading(picture_column="ảnh", label_column="chu"))
    take(path, reading=Reading(picture_column="anh", label_column="chu"))
    assert labelled(rows()) == {"a.png": "một"}


@pytest.mark.parametrize("layout", ["", "csv"])
def test_a_folder_with_a_csv_in_words_of_its_own(
    tmp_path: Path, put: Put, take: Take, rows, layout: str
) -> None:
    put("a.png", 1)
    (tmp_path / "source" / "data.csv").write_text("tên ảnh;nhãn\na.png;một\n", "utf-8")
    with pytest.raises(BadSource, match="it has tên ảnh, nhãn") as caught:
        take(tmp_path / "source", reading=Reading(layout=layout))
    assert "--picture-column" in caught.value.hint
    named = Reading(picture_column="tên ảnh", label_column="nhãn", layout=layout)
    assert take(tmp_path / "source", reading=named).layout == "csv"
    assert labelled(rows()) == {"a.png": "một"}


def test_a_table_of_something_else_beside_class_folders_is_passed_over(
    tmp_path: Path, put: Put, take: Take
) -> None:
    put("daisy/a.png", 1)
    (tmp_path / "source" / "makers.csv").write_text("photo,maker\ndaisy/a.png,Lan\n", "utf-8")
    assert take(tmp_path / "source", task="classes").layout == "class-folders"


@pytest.mark.parametrize("layout", ["label-studio", "parquet", "tab-list", "csv"])
def test_a_folder_that_is_not_of_the_asked_layout_is_refused(
    tmp_path: Path, put: Put, take: Take, layout: str
) -> None:
    put("a.png", 1)
    with pytest.raises(BadSource, match=f"is no {layout}") as caught:
        take(tmp_path / "source", reading=Reading(layout=layout))
    assert caught.value.hint.startswith("looked for: ")


def test_a_folder_with_a_metadata_csv(tmp_path: Path, put: Put, take: Take, rows) -> None:
    """Hugging Face's imagefolder."""
    put("pictures/a.png", 1)
    (tmp_path / "source" / "metadata.csv").write_text("file_name,text\npictures/a.png,một\n")
    assert take(tmp_path / "source").layout == "csv"
    assert labelled(rows()) == {"pictures/a.png": "một"}


# Parquet


def test_parquet_with_bytes_as_hugging_face_writes_it(
    tmp_path: Path, picture: Callable[[int], bytes], take: Take, rows
) -> None:
    table = pa.table(
        {
            "image": [{"bytes": picture(n), "path": f"{n}.png"} for n in range(3)],
            "text": ["một", "hai", None],
        }
    )
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    report = take(tmp_path / "data")
    assert labelled(rows()) == {"0.png": "một", "1.png": "hai"}
    assert {row.split_asked for row in rows().values()} == {"train"}
    assert report.reasons == {"no_label": 1}


def test_parquet_with_paths_and_with_plain_bytes(
    tmp_path: Path, put: Put, picture: Callable[[int], bytes], take: Take, rows
) -> None:
    put("a.png", 1)
    path = tmp_path / "source" / "a.parquet"
    pq.write_table(pa.table({"path": ["a.png", "../x.png"], "label": ["một", "lộ"]}), path)
    assert take(path).reasons == {"outside_source": 1}
    pq.write_table(pa.table({"picture": [picture(5), b""], "label": ["năm", "x"]}), path)
    assert take(path).reasons == {"missing_picture": 1}
    assert set(labelled(rows()).values()) == {"một", "năm"}


def test_parquet_class_numbers_become_names(
    tmp_path: Path, picture: Callable[[int], bytes], take: Take, rows
) -> None:
    features = {"label": {"names": ["mèo", "chó"], "_type": "ClassLabel"}}
    schema = pa.schema(
        [("image", pa.binary()), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    path = tmp_path / "x.parquet"
    columns = {"image": [picture(1), picture(2)], "label": [1, -1]}  # -1: nobody has said
    pq.write_table(pa.table(columns, schema=schema), path)
    assert take(path).reasons == {"no_label": 1}
    assert set(labelled(rows()).values()) == {"chó"}


def test_parquet_numbers_without_names_are_the_labels(
    tmp_path: Path, picture: Callable[[int], bytes], workspace: Workspace, take: Take
) -> None:
    path = tmp_path / "x.parquet"
    columns = {"image": [picture(1), picture(2), picture(3)], "label": pa.array([7, 0, None])}
    pq.write_table(pa.table(columns), path)
    assert take(path, task="classes").reasons == {"no_label": 1}
    assert {row.label for row in read_rows(workspace.catalog, "classes")} == {"7", "0"}


def test_parquet_documents_may_be_numbered_from_zero(
    tmp_path: Path, picture: Callable[[int], bytes], take: Take, rows
) -> None:
    path = tmp_path / "x.parquet"
    columns = {
        "image": [picture(n) for n in range(3)],
        "label": ["một", "hai", "ba"],
        "document": pa.array([0, 1, None]),
    }
    pq.write_table(pa.table(columns), path)
    take(path)
    assert {row.label: row.group for row in rows().values()} == {"một": "0", "hai": "1", "ba": ""}


def test_damaged_parquet_is_a_clear_error(tmp_path: Path, take: Take) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(BadSource, match="not valid Parquet"):
        take(tmp_path / "x.parquet")


# class folders


def test_class_folders_are_for_tasks_that_take_folder_names(
    tmp_path: Path, put: Put, take: Take
) -> None:
    put("daisy/1.png", 1)
    put("rose/2.png", 2)
    with pytest.raises(BadSource) as caught:
        take(tmp_path / "source")
    assert "folders of pictures and no labels" in caught.value.message
    name, door = find_door(tmp_path / "source", folder_is_label=True)
    assert (name, door.folder_is_label) == ("class-folders", True)


def test_class_folders_with_splits_above(
    tmp_path: Path, put: Put, workspace: Workspace, take: Take
) -> None:
    put("train/daisy/1.png", 1)
    put("val/rose/deep/2.png", 2)
    put("stray.png", 3)
    put(".hidden/4.png", 4)
    report = take(tmp_path / "source", task="classes")
    found = {(r.label, r.split_asked) for r in read_rows(workspace.catalog, "classes")}
    assert found == {("daisy", "train"), ("rose", "validation")}
    assert report.reasons == {"no_label": 1}


def test_a_class_may_be_called_like_a_split(
    put: Put, tmp_path: Path, workspace: Workspace, take: Take
) -> None:
    put("car/1.png", 1)
    put("plane/2.png", 2)
    put("train/3.png", 3)
    assert not take(tmp_path / "source", task="classes").skipped
    found = {(r.label, r.split_asked) for r in read_rows(workspace.catalog, "classes")}
    assert found == {("car", ""), ("plane", ""), ("train", "")}


def test_pictures_loose_in_a_split_have_no_class(put: Put, tmp_path: Path, take: Take) -> None:
    put("train/1.png", 1)
    put("test/2.png", 2)
    report = take(tmp_path / "source", task="classes")
    assert report.reasons == {"no_label": 2}
    assert "test/2.png lies in test/, which is a split" in report.skipped[0].message


# Names in other spellings


@pytest.mark.parametrize(("on_disk", "in_list"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_file_is_found_however_its_accents_are_spelled(
    tmp_path: Path, put: Put, take: Take, rows, on_disk: str, in_list: str
) -> None:
    """A folder packed on macOS has decomposed names; lists are mostly typed composed."""
    names = ["ảnh phòng/dòng một.png", "đường.png"]
    for number, name in enumerate(names):
        put(unicodedata.normalize(on_disk, name), number)
    listed = {unicodedata.normalize(in_list, name): f"số {n}" for n, name in enumerate(names)}
    source = tmp_path / "source"
    (source / "labels.json").write_text(json.dumps(listed, ensure_ascii=False), "utf-8")
    report = take(source)
    assert not report.skipped
    assert labelled(rows()) == listed


@pytest.mark.parametrize(("on_disk", "in_list"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_an_exports_picture_is_found_however_its_accents_are_spelled(
    tmp_path: Path, put: Put, take: Take, rows, on_disk: str, in_list: str
) -> None:
    put(unicodedata.normalize(on_disk, "sâu/ảnh đường.png"), 1)
    name = unicodedata.normalize(in_list, "ảnh đường.png")
    task = {
        "id": 1,
        "data": {"image": f"/data/upload/3/0123abcd-{name}"},
        "annotations": [{"id": 1, "result": [
            {"from_name": "text", "to_name": "image", "type": "textarea",
             "value": {"text": ["đường"]}}
        ]}],
    }  # fmt: skip
    (tmp_path / "source" / "export.json").write_text(json.dumps([task], ensure_ascii=False))
    assert not take(tmp_path / "source").skipped
    assert [row.label for row in rows().values()] == ["đường"]
