"""Label Studio exports as they are: several annotations, skips, drafts, every kind of address."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from nhan.catalog import State
from nhan.catalog.samples import SampleRow, read_rows
from nhan.catalog.schema import labels
from nhan.errors import BadSource
from nhan.samples.doors import Reading
from nhan.samples.report import ImportReport
from nhan.storage import Store
from nhan.workspace import Workspace

Take = Callable[..., ImportReport]
Put = Callable[[str, int], Path]


def annotation(
    text: str | list[str] | None = None, *, choice: str = "", number: int = 1, **extra: Any
) -> dict[str, Any]:
    result = []
    if text is not None:
        value = {"text": text}
        result.append(
            {"type": "textarea", "from_name": "caption", "to_name": "image", "value": value}
        )
    if choice:
        value = {"choices": [choice]}
        result.append(
            {"type": "choices", "from_name": "quality", "to_name": "image", "value": value}
        )
    return {
        "id": number,
        "completed_by": 1,
        "result": result,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": f"2024-01-01T00:00:{number:02d}.000000Z",
        "updated_at": f"2024-01-01T00:00:{number:02d}.000000Z",
        "lead_time": 3.2,
        **extra,
    }


def task(number: int, reference: str, *annotations: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {
        "id": number,
        "annotations": list(annotations),
        "file_upload": None,
        "drafts": [],
        "predictions": [],
        "data": {"captioning": reference},
        "meta": {},
        "created_at": "2024-01-01T00:00:00Z",
        "total_annotations": len(annotations),
        **extra,
    }


@pytest.fixture
def export(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    def write(tasks: list[dict[str, Any]]) -> Path:
        path = tmp_path / "source" / "project-1.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(tasks), "utf-8")
        return path

    return write


@pytest.fixture
def rows(workspace: Workspace) -> Callable[[], dict[str, SampleRow]]:
    return lambda: {row.name: row for row in read_rows(workspace.catalog, "text")}


def votes(workspace: Workspace) -> list[tuple[str, str, str, str]]:
    columns = (labels.c.value, labels.c.origin, labels.c.given_by, labels.c.external_id)
    with workspace.catalog.read() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(*columns))]


def test_text_as_list_as_string_and_in_several_lines(put: Put, export, take: Take, rows) -> None:
    for number in range(3):
        put(f"{number}.png", number)
    report = take(
        export(
            [
                task(1, "0.png", annotation(["một"])),
                task(2, "1.png", annotation("hai")),
                task(3, "2.png", annotation(["ba", "bốn"])),
            ]
        )
    )
    assert report.layout == "label-studio"
    assert {name: row.label for name, row in rows().items()} == {
        "0.png": "một",
        "1.png": "hai",
        "2.png": "ba bốn",
    }


def test_the_latest_annotation_that_was_not_cancelled_stands(
    workspace: Workspace, put: Put, export, take: Take, rows
) -> None:
    put("a.png", 1)
    take(
        export(
            [
                task(
                    1,
                    "a.png",
                    annotation("mới", number=5, completed_by={"id": 2, "email": "an@x.vn"}),
                    annotation("cũ", number=3),
                    annotation("bỏ", number=9, was_cancelled=True),
                )
            ]
        )
    )
    assert rows()["a.png"].label == "mới"
    assert votes(workspace) == [
        ("cũ", "labelstudio", "1", "3"),
        ("mới", "labelstudio", "an@x.vn", "5"),
    ]


def test_ground_truth_stands_over_later_annotations(put: Put, export, take: Take, rows) -> None:
    put("a.png", 1)
    truth = annotation("thật", number=1, ground_truth=True)
    take(export([task(1, "a.png", truth, annotation("sau", number=8))]))
    assert rows()["a.png"].label == "thật"


def test_a_bad_choice_rejects_and_a_good_one_does_not(put: Put, export, take: Take, rows) -> None:
    for number in range(4):
        put(f"{number}.png", number)
    report = take(
        export(
            [
                task(1, "0.png", annotation("một", choice="Good")),
                task(2, "1.png", annotation("hai", choice="Bad")),
                task(3, "2.png", annotation(None, choice="Bad")),
                task(4, "3.png", annotation("bốn", choice="Printed")),
            ]
        )
    )
    states = {name: (row.state, row.label) for name, row in rows().items()}
    assert states == {
        "0.png": (State.LABELLED, "một"),
        "1.png": (State.REJECTED, None),
        "2.png": (State.REJECTED, None),
        "3.png": (State.LABELLED, "bốn"),
    }
    assert report.added == {"labelled": 2, "rejected": 2}
    assert report.not_training[0].reason == "marked Bad by 1"


def test_skipped_drafted_and_unlabelled_tasks_never_train(
    workspace: Workspace, put: Put, export, take: Take, rows
) -> None:
    for number in range(4):
        put(f"{number}.png", number)
    draft = {"id": 7, "result": annotation("nháp")["result"], "user": "an"}
    guess = {"id": 8, "result": annotation("đoán")["result"], "score": 0.9}
    take(
        export(
            [
                task(1, "0.png", annotation("", number=1, was_cancelled=True)),
                task(2, "1.png", drafts=[draft]),
                task(3, "2.png", predictions=[guess]),
                task(4, "3.png", drafts=[12], predictions=[13]),
            ]
        )
    )
    assert {name: (row.state, row.label) for name, row in rows().items()} == {
        "0.png": (State.SKIPPED, None),
        "1.png": (State.DRAFT, None),
        "2.png": (State.NEW, None),
        "3.png": (State.NEW, None),
    }
    assert votes(workspace) == [("nháp", "labelstudio-draft", "an", "7")]
    assert rows()["0.png"].reason == "skipped by 1"


def test_what_waited_is_labelled_by_a_later_export(put: Put, export, take: Take, rows) -> None:
    put("a.png", 1)
    put("b.png", 2)
    skipped = annotation("", number=1, was_cancelled=True)
    take(export([task(1, "a.png"), task(2, "b.png", skipped)]))
    report = take(
        export(
            [
                task(1, "a.png", annotation("một", number=5)),
                task(2, "b.png", skipped, annotation("hai", number=6)),
            ]
        )
    )
    assert [one.after for one in report.relabelled] == ["một", "hai"]
    assert {row.state for row in rows().values()} == {State.LABELLED}


def test_an_annotation_without_a_text_is_skipped_not_learned_as_empty(
    put: Put, export, take: Take
) -> None:
    put("a.png", 1)
    put("b.png", 2)
    report = take(export([task(1, "a.png", annotation([""])), task(2, "b.png", annotation("hai"))]))
    assert report.reasons == {"no_label": 1}
    assert report.added == {"labelled": 1}


def test_a_corrected_annotation_replaces_itself_but_no_other(
    workspace: Workspace, put: Put, export, take: Take, rows
) -> None:
    put("a.png", 1)
    take(export([task(1, "a.png", annotation("sai", number=4))]))
    later = "2024-02-01T00:00:00Z"
    report = take(export([task(1, "a.png", annotation("đúng", number=4, updated_at=later))]))
    assert [(one.before, one.after) for one in report.relabelled] == [("sai", "đúng")]
    report = take(
        export([task(1, "a.png", annotation("khác", number=5, updated_at="2024-03-01T00:00:00Z"))])
    )
    assert len(report.conflicts) == 1
    assert rows()["a.png"].label == "đúng"
    report = take(export([task(1, "a.png", annotation("thật", number=6, ground_truth=True))]))
    assert rows()["a.png"].label == "thật"
    assert len(votes(workspace)) == 4


def test_a_later_rejection_sets_a_sample_aside(put: Put, export, take: Take, rows) -> None:
    put("a.png", 1)
    take(export([task(1, "a.png", annotation("một"))]))
    report = take(export([task(1, "a.png", annotation("một", choice="Bad", number=2))]))
    assert [one.state for one in report.set_aside] == ["rejected"]
    assert rows()["a.png"].state == State.REJECTED
    assert take(export([task(1, "a.png", annotation("một", choice="Bad", number=2))])).known == 1


@pytest.mark.parametrize(
    ("reference", "file"),
    [
        ("/data/upload/3/1f2e3d4c-anh%201.png", "1f2e3d4c-anh 1.png"),
        ("/data/upload/3/1f2e3d4c-anh%201.png", "upload/3/1f2e3d4c-anh 1.png"),
        ("/data/upload/3/1f2e3d4c-a.png", "deep/er/a.png"),
        ("/data/local-files/?d=lines/vi/a.png", "vi/a.png"),
        ("/data/local-files/?d=lines%2Fvi%2Fa.png", "lines/vi/a.png"),
        ("s3://bucket/train/lines/a.png", "lines/a.png"),
        ("gs://bucket/a.png", "images/a.png"),
        ("https://studio.example.org/data/upload/3/1f2e3d4c-a.png?token=k", "1f2e3d4c-a.png"),
        ("https://b.s3.amazonaws.com/k/a.png?X-Amz-Signature=abc", "k/a.png"),
        ("upload\\a.png", "upload/a.png"),
    ],
)
def test_references_are_found_by_path_or_name(
    put: Put, export, take: Take, reference: str, file: str
) -> None:
    put(file, 1)
    report = take(export([task(1, reference, annotation("một"))]))
    assert report.added == {"labelled": 1}, report.skipped


def test_a_media_folder_holds_the_pictures(
    tmp_path: Path, picture: Callable[[int], bytes], export, take: Take
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1f2e3d4c-a.png").write_bytes(picture(1))
    source = export([task(1, "/data/upload/3/1f2e3d4c-a.png", annotation("một"))])
    report = take(source)
    assert report.reasons == {"missing_picture": 1}
    assert "--media" in report.skipped[0].hint
    assert take(source, reading=Reading(media=(str(tmp_path / "elsewhere"),))).added.total() == 1


def test_what_is_elsewhere_is_not_fetched_and_keys_are_not_repeated(export, take: Take) -> None:
    report = take(
        export(
            [
                task(1, "https://example.org/a.png?X-Amz-Signature=topsecret", annotation("a")),
                task(2, "s3://other-bucket/b.png", annotation("b")),
            ]
        )
    )
    assert report.reasons == {"not_fetched": 2}
    assert "topsecret" not in json.dumps(report.to_json())
    assert "--media s3://other-bucket" in report.skipped[1].hint


def test_references_into_the_workspaces_own_bucket_are_read_through_it(
    tmp_path: Path, picture: Callable[[int], bytes], export, take: Take, workspace: Workspace
) -> None:
    from obstore.store import MemoryStore

    bucket = Store("s3://lines/team", MemoryStore())
    bucket.put("raw/a.png", picture(1))
    workspace.__dict__["store"] = bucket
    report = take(
        export(
            [
                task(1, "s3://lines/team/raw/a.png", annotation("một")),
                task(2, "s3://lines/team/raw/gone.png", annotation("hai")),
                task(3, "s3://lines/other/raw/a.png", annotation("ba")),
            ]
        )
    )
    assert report.added.total() == 1
    assert report.reasons == {"bad_picture": 1, "not_fetched": 1}


@pytest.mark.parametrize(
    "reference",
    [
        "../secret.png",
        "/data/local-files/?d=../../secret.png",
        "/data/upload/1/..%2f..%2fsecret.png",
        "s3://bucket/../secret.png",
    ],
)
def test_traversal_is_refused(
    tmp_path: Path, picture: Callable[[int], bytes], put: Put, export, take: Take, reference: str
) -> None:
    (tmp_path / "secret.png").write_bytes(picture(9))
    put("ok.png", 1)
    report = take(
        export([task(1, reference, annotation("lộ")), task(2, "ok.png", annotation("tốt"))])
    )
    assert report.reasons == {"outside_source": 1}


def test_documents_may_be_numbered_from_zero(
    export: Callable[..., Path], put: Put, take: Take, workspace: Workspace
) -> None:
    put("a.png", 1)
    put("b.png", 2)
    tasks = [
        task(1, "a.png", annotation("một"), meta={"document": 0}),
        task(2, "b.png", annotation("hai"), data={"image": "b.png", "group": 0, "document": 7}),
    ]
    take(export(tasks))
    assert [row.group for row in read_rows(workspace.catalog, "text")] == ["0", "0"]


def test_two_references_that_lead_to_one_file_are_both_refused(
    put: Put, export, take: Take
) -> None:
    """Flattened downloads: a/001.png and b/001.png, but one 001.png on disk."""
    put("001.png", 1)
    report = take(
        export(
            [
                task(1, "s3://bucket/a/001.png", annotation("một")),
                task(2, "s3://bucket/b/001.png", annotation("hai")),
            ]
        )
    )
    assert report.reasons == {"ambiguous_picture": 2}


def test_a_name_that_stands_twice_is_ambiguous(put: Put, export, take: Take) -> None:
    put("x/001.png", 1)
    put("y/001.png", 2)
    assert take(export([task(1, "s3://bucket/z/001.png", annotation("một"))])).reasons == {
        "ambiguous_picture": 1
    }


def test_a_picture_within_the_task(
    picture: Callable[[int], bytes], export, take: Take, rows
) -> None:
    inline = "data:image/png;base64," + base64.b64encode(picture(1)).decode()
    broken = "data:image/png;base64,!!!"
    report = take(export([task(1, inline, annotation("một")), task(2, broken, annotation("hai"))]))
    assert report.added.total() == 1
    assert report.reasons == {"bad_picture": 1}


def test_the_split_comes_from_path_data_or_option(put: Put, export, take: Take, rows) -> None:
    for number, name in enumerate(("a", "b", "c")):
        put(f"{name}.png", number)
    tasks = [
        task(1, "s3://bucket/project/test/a.png", annotation("một")),
        task(2, "b.png", annotation("hai"), data={"image": "b.png", "split": "valid"}),
        task(3, "/data/local-files/?d=train/c.png", annotation("ba")),
    ]
    take(export(tasks))
    found = {row.label: row.split_asked for row in rows().values()}
    assert found == {"một": "test", "hai": "validation", "ba": "train"}


def test_split_by_option_wins(put: Put, export, take: Take, rows) -> None:
    put("a.png", 1)
    take(export([task(1, "s3://bucket/test/a.png", annotation("một"))]), split="train")
    assert {row.split_asked for row in rows().values()} == {"train"}


def test_the_picture_under_any_key_and_by_option(put: Put, export, take: Take) -> None:
    put("a.png", 1)
    put("b.png", 2)
    odd = task(1, "", annotation("một"), data={"nội dung": "x", "ảnh": "a.png"})
    assert take(export([odd])).added.total() == 1
    two = task(2, "", annotation("hai"), data={"scan": "a.png", "crop": "b.png"})
    assert take(export([two]), reading=Reading(picture_column="crop")).added.total() == 1
    none = task(3, "", annotation("ba"), data={"text": "no picture"})
    report = take(export([none]))
    assert report.reasons == {"malformed_item": 1}
    assert "task 3" in report.skipped[0].message


def test_region_labels_are_refused_with_the_reason(put: Put, export, take: Take) -> None:
    put("page.png", 1)
    region = annotation("một")
    region["result"][0]["value"] |= {"x": 1, "y": 1, "width": 10, "height": 5}
    assert take(export([task(1, "page.png", region)])).reasons == {"labels_regions": 1}


def test_several_text_fields_need_a_choice(put: Put, export, take: Take, rows) -> None:
    put("a.png", 1)
    both = annotation("một")
    note = {"from_name": "remark", "type": "textarea", "value": {"text": ["mờ"]}}
    both["result"][0]["from_name"] = "line"
    both["result"].append(note)
    report = take(export([task(1, "a.png", both)]))
    assert report.reasons == {"ambiguous_label": 1}
    assert "line, remark" in report.skipped[0].message
    take(export([task(1, "a.png", both)]), reading=Reading(label_column="line"))
    assert rows()["a.png"].label == "một"


def test_choices_alone_are_the_label(put: Put, workspace: Workspace, export, take: Take) -> None:
    put("a.png", 1)
    put("b.png", 2)
    tasks = [
        task(1, "a.png", annotation(None, choice="daisy")),
        task(2, "b.png", annotation(None, choice="Good")),
    ]
    take(export(tasks), task="classes")
    found = {row.label for row in read_rows(workspace.catalog, "classes")}
    assert found == {"daisy", "Good"}


def classes(workspace: Workspace) -> dict[str, tuple[str | None, State]]:
    return {row.name: (row.label, row.state) for row in read_rows(workspace.catalog, "classes")}


def test_several_choices_are_no_class(put: Put, workspace: Workspace, export, take: Take) -> None:
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        put(name, number)
    several = annotation(None, choice="daisy")
    several["result"][0]["value"]["choices"] = ["daisy", "roses"]
    twice = annotation(None, choice="daisy")
    twice["result"][0]["value"]["choices"] = ["daisy", "daisy"]
    tasks = [
        task(1, "a.png", several),
        task(2, "b.png", twice),
        task(3, "c.png", several, annotation(None, choice="roses", number=2)),
    ]
    report = take(export(tasks), task="classes")
    assert report.reasons == {"several_choices": 1}
    assert "chose 2: daisy, roses" in report.skipped[0].message
    assert {name: label for name, (label, _) in classes(workspace).items()} == {
        "b.png": "daisy",
        "c.png": "roses",
    }
    # An opinion that chose several is no vote for a class called "daisy, roses".
    assert "daisy, roses" not in [value for value, *_ in votes(workspace)]


def test_beside_a_class_a_text_is_a_remark(
    put: Put, workspace: Workspace, export, take: Take
) -> None:
    for number, name in enumerate(("a.png", "b.png")):
        put(name, number)
    tasks = [
        task(1, "a.png", annotation("a little blurred", choice="daisy")),
        task(2, "b.png", annotation(None, choice="Bad")),
    ]
    take(export(tasks), task="classes")
    assert {name: label for name, (label, _) in classes(workspace).items()} == {
        "a.png": "daisy",
        "b.png": "Bad",  # the name of a class here, since it stands where classes stand
    }


def test_json_min_classes_called_good_and_bad_are_classes(
    put: Put, workspace: Workspace, export, take: Take
) -> None:
    chosen = ["good", "bad", "scratched", {"choices": ["bad", "scratched"]}]
    for number in range(len(chosen)):
        put(f"{number}.png", number)
    rows = [
        {"id": number, "image": f"{number}.png", "choice": value, "annotation_id": number}
        for number, value in enumerate(chosen)
    ]
    report = take(export(rows), task="classes")
    assert report.reasons == {"several_choices": 1}
    assert classes(workspace) == {
        "0.png": ("good", State.LABELLED),
        "1.png": ("bad", State.LABELLED),
        "2.png": ("scratched", State.LABELLED),
    }


def test_json_min_class_beside_a_verdict(
    put: Put, workspace: Workspace, export, take: Take
) -> None:
    for number in range(2):
        put(f"{number}.png", number)
    rows = [
        {"id": n, "image": f"{n}.png", "kind": kind, "quality": quality, "annotation_id": n}
        for n, (kind, quality) in enumerate([("daisy", "Good"), ("roses", "Bad")])
    ]
    take(export(rows), task="classes")
    assert classes(workspace) == {
        "0.png": ("daisy", State.LABELLED),
        "1.png": (None, State.REJECTED),
    }


def test_json_min_rows_of_one_task_are_joined(
    workspace: Workspace, put: Put, export, take: Take, rows
) -> None:
    put("1f2e3d4c-a.png", 1)
    put("b.png", 2)
    common = {"lead_time": 2.0, "created_at": "2024-01-01T00:00:01Z"}
    report = take(
        export(
            [
                {
                    "image": "/data/upload/1/1f2e3d4c-a.png",
                    "id": 1,
                    "caption": "cũ",
                    "quality": "Good",
                    "annotator": 1,
                    "annotation_id": 1,
                    "updated_at": "2024-01-01T00:00:01Z",
                    **common,
                },
                {
                    "image": "/data/upload/1/1f2e3d4c-a.png",
                    "id": 1,
                    "caption": ["mới"],
                    "quality": "Good",
                    "annotator": "an@x.vn",
                    "annotation_id": 2,
                    "updated_at": "2024-01-02T00:00:01Z",
                    **common,
                },
                {
                    "image": "b.png",
                    "id": 2,
                    "caption": "hai",
                    "quality": "Bad",
                    "annotator": 1,
                    "annotation_id": 3,
                    **common,
                },
            ]
        )
    )
    assert report.read == 2
    assert {name: (row.state, row.label) for name, row in rows().items()} == {
        "1f2e3d4c-a.png": (State.LABELLED, "mới"),
        "b.png": (State.REJECTED, None),
    }
    assert len(votes(workspace)) == 3


def test_exports_from_before_version_one(put: Put, export, take: Take, rows) -> None:
    put("a.png", 1)
    old = task(1, "a.png")
    del old["annotations"]
    first = annotation("cũ", number=1) | {"created_at": 1595252555, "updated_at": None}
    second = annotation("mới", number=2) | {"created_at": 1595252999, "updated_at": None}
    old["completions"] = [second, first]
    take(export([old]))
    assert rows()["a.png"].label == "mới"


@pytest.mark.parametrize("content", ["[", "[{]", "[1, 2]"])
def test_a_malformed_export_is_a_clear_error(tmp_path: Path, take: Take, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(BadSource):
        take(path)


def test_odd_shapes_become_skips_not_tracebacks(put: Put, export, take: Take) -> None:
    put("a.png", 1)
    odd: list[Any] = [
        {"id": 1, "data": None, "annotations": None},
        {"id": 2, "data": {"image": "a.png"}, "annotations": [None, {"result": None}, {}]},
        {"id": 3, "data": {"image": "a.png"}, "annotations": [{"result": [1, {"value": 2}]}]},
        {"id": 4, "data": {"image": "/"}, "annotations": []},
        {"id": 5, "data": {"image": "data:image/png;base64,"}, "annotations": []},
        {"id": 6, "data": {"image": "\0.png"}, "annotations": [annotation("x")]},
        "text",
        7,
    ]
    report = take(export(odd))
    assert report.read == 8
    assert report.added.total() == 0
