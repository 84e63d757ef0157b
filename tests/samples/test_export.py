"""Export: what goes out comes in again, and nothing is lost between."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nhan.catalog.samples import read_rows
from nhan.errors import Conflict, JobFailed, UserError
from nhan.samples import export as export_module
from nhan.samples.export import FORMS, export_samples
from nhan.samples.importer import import_samples
from nhan.workspace import Workspace

LABELS = {
    "document/a.png": 'Phẩy, "ngoặc"; gạch | chéo \\',
    "receipt/a.png": "1.000.000 ₫",
    "receipt/Số 2 (bản sao).png": "– Đường “Láng” –",
}


@pytest.fixture
def filled(workspace: Workspace, folder: Callable[[dict[str, str]], Path]) -> Workspace:
    import_samples(workspace, folder(LABELS), split="test")
    return workspace


@pytest.mark.parametrize("form", list(FORMS))
def test_a_round_trip_keeps_pictures_labels_and_slices(
    filled: Workspace, tmp_path: Path, form: str
) -> None:
    report = export_samples(filled, tmp_path / "out", form=form)
    assert (report.read, report.written, report.skipped) == (3, 3, [])
    with Workspace.init(tmp_path / "other") as other:
        taken = import_samples(other, tmp_path / "out")
        assert taken.added.total() == taken.read == 3
        before = {(r.sha256, r.label, r.source) for r in read_rows(filled.catalog, "text")}
        after = {(r.sha256, r.label, r.source) for r in read_rows(other.catalog, "text")}
    assert after == before


@pytest.mark.parametrize("form", ["csv", "parquet", "label-studio"])
def test_splits_survive_where_the_layout_has_them(
    filled: Workspace, tmp_path: Path, form: str
) -> None:
    export_samples(filled, tmp_path / "out", form=form)
    with Workspace.init(tmp_path / "other") as other:
        import_samples(other, tmp_path / "out")
        assert {row.split_asked for row in read_rows(other.catalog, "text")} == {"test"}


def test_a_lost_picture_is_listed(filled: Workspace, tmp_path: Path) -> None:
    row = next(iter(read_rows(filled.catalog, "text")))
    filled.store.delete(row.path)
    report = export_samples(filled, tmp_path / "out", form="labels-json")
    assert (report.read, report.written) == (3, 2)
    assert [(item.name, item.code) for item in report.skipped] == [(row.name, "missing_picture")]
    assert len(json.loads((tmp_path / "out" / "labels.json").read_text("utf-8"))) == 2


def test_names_that_collide_are_kept_apart(
    workspace: Workspace, folder: Callable[[dict[str, str]], Path], tmp_path: Path
) -> None:
    source = folder({"x/a.png": "một", "y/a.png": "hai", "z/A.png": "ba"})
    import_samples(workspace, source, source_name="one")
    report = export_samples(workspace, tmp_path / "out", form="labels-json")
    assert report.written == 3
    names = json.loads((tmp_path / "out" / "labels.json").read_text("utf-8"))
    assert len({name.lower() for name in names}) == 3


def test_a_hostile_source_name_stays_inside(
    workspace: Workspace, folder: Callable[[dict[str, str]], Path], tmp_path: Path
) -> None:
    import_samples(workspace, folder({"a.png": "một"}), source_name="../../up")
    export_samples(workspace, tmp_path / "out", form="labels-json")
    (name,) = json.loads((tmp_path / "out" / "labels.json").read_text("utf-8"))
    assert (tmp_path / "out" / name).resolve().is_relative_to(tmp_path / "out")


def test_counts_that_disagree_fail_and_leave_nothing(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(export_module.LabelsJsonForm):
        def add(self, row: object, name: str, data: bytes) -> None:
            """Lose it."""

    monkeypatch.setitem(FORMS, "labels-json", Forgetful)
    with pytest.raises(JobFailed, match="3 samples read, 0 written"):
        export_samples(filled, tmp_path / "out", form="labels-json")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_a_full_folder_and_an_unknown_form_are_refused(filled: Workspace, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(Conflict, match="holds something"):
        export_samples(filled, tmp_path / "out", form="csv")
    with pytest.raises(UserError, match="no export form"):
        export_samples(filled, tmp_path / "new", form="xml")


def test_the_folder_one_is_in_is_no_place_for_an_export(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(UserError, match="the folder you are in"):
        export_samples(filled, ".", form="csv")
