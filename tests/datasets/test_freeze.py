"""Dataset versions: same content, same version; nothing half-written; readable by others."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from nhan.catalog import State
from nhan.catalog.samples import read_rows
from nhan.catalog.schema import labels, samples
from nhan.datasets import layout, shards
from nhan.datasets.diff import diff
from nhan.datasets.freeze import freeze
from nhan.datasets.read import list_datasets, open_dataset
from nhan.errors import Conflict, JobFailed, NotFound, UserError
from nhan.images import content_hash
from nhan.samples.importer import import_samples
from nhan.storage import NumberedLog
from nhan.workspace import Workspace

Add = Callable[..., str]


def set_state(workspace: Workspace, sha256: str, state: State) -> None:
    with workspace.catalog.write() as connection:
        connection.execute(
            samples.update().where(samples.c.sha256 == sha256).values(state=state.value)
        )


def everything(dataset) -> dict[str, tuple[str, str]]:
    return {
        row.sha256: (row.label, split) for split in dataset.splits for row in dataset.rows(split)
    }


def test_rows_hold_the_original_bytes_and_what_is_known(workspace: Workspace, add: Add) -> None:
    keys = {add(number, group=f"g{number % 3}", source="scan"): number for number in range(12)}
    dataset = freeze(workspace, "lines").dataset
    assert dataset.count() == 12
    seen = set()
    for split in dataset.splits:
        rows = list(dataset.rows(split))
        assert len(rows) == dataset.count(split)
        for row in rows:
            number = keys[row.sha256]
            seen.add(number)
            assert content_hash(row.image) == row.sha256
            assert (row.label, row.source, row.group) == (
                f"dòng {number}",
                "scan",
                f"g{number % 3}",
            )
            assert (row.width, row.height) == (96, 16)
        assert [row.sha256 for row in rows] == sorted(row.sha256 for row in rows)
    assert seen == set(range(12))


def test_labels_are_read_without_pictures(workspace: Workspace, add: Add) -> None:
    for number in range(10):
        add(number)
    dataset = freeze(workspace, "lines").dataset
    rows = list(dataset.rows("train", pictures=False))
    assert {row.image for row in rows} == {b""}
    assert dataset.labels("train") == [row.label for row in rows]


def test_same_content_is_the_same_version_and_writes_nothing(
    workspace: Workspace, add: Add
) -> None:
    for number in range(10):
        add(number)
    first = freeze(workspace, "lines")
    before = {path: workspace.store.size(path) for path in workspace.store.list("datasets")}
    second = freeze(workspace, "lines")
    assert (first.existed, second.existed) == (False, True)
    assert second.dataset.ref == first.dataset.ref
    assert {path: workspace.store.size(path) for path in workspace.store.list("datasets")} == before


def test_only_labelled_and_accepted_samples_enter(workspace: Workspace, add: Add) -> None:
    kept = {add(1, state=State.LABELLED), add(2, state=State.ACCEPTED)}
    for number, state in enumerate(set(State) - {State.LABELLED, State.ACCEPTED}, start=3):
        add(number, state=state)
    assert set(everything(freeze(workspace, "lines").dataset)) == kept


def test_a_sample_never_changes_its_split(workspace: Workspace, add: Add) -> None:
    for number in range(40):
        add(number, group=f"doc{number // 4}")
    placed: dict[str, str] = {}
    for round_ in range(3):
        dataset = freeze(workspace, "lines").dataset
        now = {key: split for key, (_, split) in everything(dataset).items()}
        assert all(now[key] == split for key, split in placed.items())
        placed = now
        for number in range(100 + 40 * round_, 140 + 40 * round_):
            add(number, group=f"doc{number % 20}")
    by_group: dict[str, set[str]] = {}
    for split in dataset.splits:
        for row in dataset.rows(split, pictures=False):
            by_group.setdefault(row.group, set()).add(split)
    assert all(len(splits) == 1 for splits in by_group.values())


def test_a_near_duplicate_of_a_test_picture_joins_the_test_split(
    workspace: Workspace, add: Add
) -> None:
    numbers = {add(number): number for number in range(30)}
    dataset = freeze(workspace, "lines").dataset
    for split in dataset.splits:
        (row, *_) = dataset.rows(split, pictures=False)
        copy = add(numbers[row.sha256], quality=85)
        assert everything(freeze(workspace, "lines").dataset)[copy][1] == split


def test_a_bridge_is_held_out_and_named(workspace: Workspace, add: Add) -> None:
    numbers = {add(number, group=f"g{number}"): number for number in range(30)}
    dataset = freeze(workspace, "lines").dataset
    test, train = (next(iter(dataset.rows(split))) for split in ("test", "train"))
    copy = add(numbers[test.sha256], quality=85, group=train.group)
    report = freeze(workspace, "lines")
    assert copy not in everything(report.dataset)
    assert report.dataset.version == dataset.version
    ((name, reason),) = report.held_out
    assert name == f"{numbers[test.sha256]}-again.png"
    assert "test and train" in reason
    assert "held out" in report.warnings[0]


def test_splits_that_are_asked_for(workspace: Workspace, add: Add) -> None:
    for number in range(12):
        add(number, asked=("train", "validation", "test")[number % 3])
    assert freeze(workspace, "lines").dataset.splits == {"train": 4, "validation": 4, "test": 4}


def test_a_class_that_a_split_lacks_is_warned_of(
    workspace: Workspace, tmp_path: Path, draw_line: Callable[..., bytes]
) -> None:
    for number, place in enumerate(
        ("train/cúc", "train/cúc", "test/cúc", "train/sen", "train/sen", "test/lan")
    ):
        path = tmp_path / "flowers" / place / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw_line(f"ảnh {number} {'xyz' * number}"))
    import_samples(workspace, tmp_path / "flowers", task="classes")
    report = freeze(workspace, "flowers", "classes")
    assert report.absent == {"train": ["lan"], "test": ["sen"]}
    assert "1 labels have no sample in train, first 'lan': they cannot be learned" in (
        report.warnings
    )
    assert any("1 labels have no sample in test, first 'sen'" in one for one in report.warnings)


def test_an_empty_split_and_a_lost_test_sample_are_warned_of(
    workspace: Workspace, add: Add
) -> None:
    for number in range(6):
        add(number, asked="train")
    assert freeze(workspace, "a").warnings == [
        "the validation split is empty",
        "the test split is empty",
    ]
    key = add(10, asked="test")
    add(11, asked="test")
    freeze(workspace, "a")
    set_state(workspace, key, State.REJECTED)
    report = freeze(workspace, "a")
    assert report.left == {"test": 1}
    assert any("1 test samples of the previous version are gone" in one for one in report.warnings)


def test_the_manifest_says_what_the_version_is(workspace: Workspace, add: Add) -> None:
    for number in range(10):
        add(number, source=f"s{number % 2}")
    first = freeze(workspace, "lines").dataset
    add(20, "≠ mới")
    second = freeze(workspace, "lines").dataset
    manifest = second.manifest
    assert manifest["parents"] == [first.version]
    assert manifest["task"] == second.task == "text"
    assert manifest["rows"] == 11
    assert sum(manifest["splits"].values()) == 11
    totals = {source: sum(splits.values()) for source, splits in manifest["sources"].items()}
    assert totals == {"s0": 5, "s1": 5, "drawn": 1}
    assert "≠" in second.vocabulary["charset"]
    assert manifest["audit"]["warnings"]["outside_charset"] == 1
    assert manifest["settings"]["near_duplicate_bits"] == 3
    for entry in manifest["files"]:
        path = f"{layout.folder('lines', second.version)}/{entry['file']}"
        assert workspace.store.size(path) == entry["bytes"]
        assert content_hash(workspace.store.read(path)) == entry["sha256"]
    assert len(second.version) == 12


def test_the_bare_name_means_the_version_frozen_last(workspace: Workspace, add: Add) -> None:
    add(1)
    add(2)
    one = freeze(workspace, "lines").dataset
    extra = add(3)
    two = freeze(workspace, "lines").dataset
    assert open_dataset(workspace.store, "lines").version == two.version
    set_state(workspace, extra, State.REJECTED)
    assert freeze(workspace, "lines").dataset.version == one.version
    assert open_dataset(workspace.store, "lines").version == one.version
    (summary,) = list_datasets(workspace.store)
    assert summary.versions == (one.version, two.version)
    assert summary.latest == one.version
    assert open_dataset(workspace.store, f"lines@{two.version[:6]}").ref == two.ref


def test_names_and_versions_that_are_not_there(workspace: Workspace, add: Add) -> None:
    with pytest.raises(NotFound) as caught:
        open_dataset(workspace.store, "lines")
    assert "nhan freeze lines" in caught.value.hint
    add(1)
    dataset = freeze(workspace, "lines").dataset
    with pytest.raises(NotFound) as caught:
        open_dataset(workspace.store, "lnies")
    assert "datasets: lines" in caught.value.hint
    with pytest.raises(NotFound) as caught:
        open_dataset(workspace.store, "lines@xyz")
    assert dataset.version in caught.value.hint
    with pytest.raises(NotFound):
        open_dataset(workspace.store, "../lines")
    with pytest.raises(UserError, match="no split"):
        dataset.count("dev")


@pytest.mark.parametrize("name", ["", "a/b", "..", "log", "-x", "a b", "ảnh"])
def test_a_name_that_is_no_path_is_refused(workspace: Workspace, add: Add, name: str) -> None:
    add(1)
    with pytest.raises(UserError, match="cannot be the name"):
        freeze(workspace, name)


def test_nothing_to_freeze_is_said(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="no labelled sample"):
        freeze(workspace, "lines")


def test_a_source_that_has_no_label_is_named_with_those_that_do(
    workspace: Workspace, add: Add
) -> None:
    add(1)
    with pytest.raises(UserError, match="of the source nope") as caught:
        freeze(workspace, "lines", sources=["nope"])
    assert caught.value.hint.startswith("sources: ")


def test_a_name_belongs_to_one_task(workspace: Workspace, add: Add) -> None:
    add(1)
    freeze(workspace, "lines")
    with pytest.raises(Conflict, match="'text', not 'classes'"):
        freeze(workspace, "lines", "classes")


def test_only_some_sources_with_the_splits_of_all(workspace: Workspace, add: Add) -> None:
    for number in range(40):
        add(number, source="scan" if number % 2 else "photo")
    whole = everything(freeze(workspace, "all").dataset)
    part = everything(freeze(workspace, "scans", sources=["scan"]).dataset)
    assert len(part) == 20
    assert all(whole[key] == value for key, value in part.items())


def test_a_source_is_found_however_its_marks_are_written(workspace: Workspace, add: Add) -> None:
    forms = [unicodedata.normalize(form, "hoá đơn") for form in ("NFC", "NFD")]
    for number in range(6):
        add(number, source=[*forms, "scan"][number % 3])
    for form in forms:
        frozen = freeze(workspace, "bills", sources=[form])
        assert len(everything(frozen.dataset)) == 4


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_picture_stops_the_freeze_and_leaves_no_version(
    workspace: Workspace, add: Add, damage: str
) -> None:
    for number in range(5):
        add(number)
    row = next(iter(read_rows(workspace.catalog, "text")))
    data = workspace.store.read(row.path)
    if damage == "missing":
        workspace.store.delete(row.path)
    else:
        workspace.store.put(row.path, b"other")
    with pytest.raises(JobFailed, match=row.name):
        freeze(workspace, "lines")
    assert list_datasets(workspace.store) == []
    workspace.store.put(row.path, data)
    assert freeze(workspace, "lines").dataset.count() == 5


def test_big_splits_are_written_as_several_files_of_small_groups(
    workspace: Workspace, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 6_000)
    monkeypatch.setattr(shards, "GROUP_BYTES", 1_500)
    keys = {add(number, asked="train") for number in range(60)}
    dataset = freeze(workspace, "lines").dataset
    paths = dataset.shards("train")
    assert len(paths) > 2
    assert set(everything(dataset)) == keys
    with workspace.store.open(paths[0]) as file:
        assert pq.ParquetFile(file).metadata.num_row_groups > 1


def test_others_can_read_it(workspace: Workspace, add: Add) -> None:
    for number in range(10):
        add(number)
    dataset = freeze(workspace, "lines").dataset
    assert workspace.store.folder is not None
    folder = workspace.store.folder / layout.folder("lines", dataset.version)
    table = pads.dataset(sorted(folder.glob("*.parquet"))).to_table()
    assert table.num_rows == 10
    assert table.column_names == list(layout.COLUMNS)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert set(features) == set(table.column_names)
    first = table.column("image")[0].as_py()
    assert first["path"].endswith(".png")


def test_a_dataset_can_be_imported_again(workspace: Workspace, add: Add, tmp_path: Path) -> None:
    for number in range(10):
        add(number)
    dataset = freeze(workspace, "lines").dataset
    assert workspace.store.folder is not None
    with Workspace.init(tmp_path / "other") as other:
        source = workspace.store.folder / layout.folder("lines", dataset.version)
        assert import_samples(other, source).added.total() == 10
        assert freeze(other, "copy").dataset.version == dataset.version


def test_freezes_at_once_agree(workspace: Workspace, add: Add) -> None:
    for number in range(30):
        add(number)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: freeze(workspace, "lines"), range(4)))
    assert len({report.dataset.ref for report in reports}) == 1
    assert everything(reports[0].dataset).keys() == {
        row.sha256 for row in read_rows(workspace.catalog, "text")
    }


def test_a_folder_without_a_manifest_is_no_version(workspace: Workspace, add: Add) -> None:
    add(1)
    add(2)
    dataset = freeze(workspace, "lines").dataset
    workspace.store.put("datasets/lines/0123456789ab/data-train-00000.parquet", b"half")
    workspace.store.put("datasets/ghost/0123456789ab/data-train-00000.parquet", b"half")
    NumberedLog(workspace.store, "datasets/lines/log").append({"version": "0123456789ab"})
    assert open_dataset(workspace.store, "lines").ref == dataset.ref
    assert [summary.name for summary in list_datasets(workspace.store)] == ["lines"]


def test_diff_tells_added_removed_relabelled(workspace: Workspace, add: Add) -> None:
    keys = [add(number) for number in range(20)]
    old = freeze(workspace, "lines").dataset
    set_state(workspace, keys[0], State.REJECTED)
    new_key = add(99)
    with workspace.catalog.write() as connection:
        row = connection.execute(samples.select().where(samples.c.sha256 == keys[1])).one()
        connection.execute(
            labels.update().where(labels.c.id == row.label_id).values(value="sửa lại")
        )
    new = freeze(workspace, "lines").dataset
    found = diff(old, new)
    assert [one.sha256 for one in found.added] == [new_key]
    assert [one.sha256 for one in found.removed] == [keys[0]]
    assert [(one.sha256, one.before, one.after) for one in found.relabelled] == [
        (keys[1], "dòng 1", "sửa lại")
    ]
    assert found.moved == []
    assert not found.empty
    document = json.loads(json.dumps(found.to_json()))
    assert (document["added"], document["removed"], document["relabelled"]) == (1, 1, 1)
    assert diff(new, new).empty
