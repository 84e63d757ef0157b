"""A workspace in a file, and back: whole, on other engines, or not at all."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from nhan.backup import back_up, restore
from nhan.catalog.samples import read_rows
from nhan.catalog.schema import events, labels
from nhan.datasets.freeze import freeze
from nhan.datasets.read import open_dataset
from nhan.errors import BadRequest, Conflict, NotFound
from nhan.samples.importer import import_samples
from nhan.workspace import Workspace


@pytest.fixture
def shop(tmp_path: Path, draw_line: Callable[..., bytes]) -> Path:
    source = tmp_path / "pictures"
    source.mkdir()
    for number in range(12):
        (source / f"{number}.png").write_bytes(draw_line(f"line {number}"))
    (source / "labels.json").write_text(
        "{" + ", ".join(f'"{n}.png": "dòng {n}"' for n in range(12)) + "}", encoding="utf-8"
    )
    with Workspace.init(tmp_path / "shop") as workspace:
        import_samples(workspace, source)
        freeze(workspace, "lines")
        (workspace.root / "keys.json").write_text("[]", encoding="utf-8")
    toml = tmp_path / "shop" / "nhan.toml"
    toml.write_text(toml.read_text().replace("# margin = 0.0", "margin = 0.01", 1), "utf-8")
    return tmp_path / "shop"


def contents(workspace: Workspace) -> dict[str, object]:
    with workspace.catalog.read() as connection:
        return {
            "objects": {path: workspace.store.read(path) for path in workspace.store.list("")},
            "rows": list(read_rows(workspace.catalog, "text")),
            "labels": connection.execute(sa.select(labels)).all(),
            "events": connection.execute(sa.select(events)).all(),
        }


def test_what_comes_back_is_what_was_there(tmp_path: Path, shop: Path) -> None:
    with Workspace.open(shop) as workspace:
        before = contents(workspace)
        version = open_dataset(workspace.store, "lines").ref
        report = back_up(workspace, tmp_path / "shop.nhan")
    assert report.objects == len(before["objects"])
    assert restore(tmp_path / "shop.nhan", tmp_path / "again").rows == report.rows
    with Workspace.open(tmp_path / "again") as workspace:
        assert contents(workspace) == before
        freeze(workspace, "lines")  # the same content is the same version
        assert open_dataset(workspace.store, "lines").ref == version
    assert (tmp_path / "again" / "keys.json").read_text() == "[]"
    assert (tmp_path / "again" / "nhan.toml").read_text() == (shop / "nhan.toml").read_text()


def test_other_stores_can_be_named(tmp_path: Path, shop: Path) -> None:
    with Workspace.open(shop) as workspace:
        back_up(workspace, tmp_path / "b")
    restore(tmp_path / "b", tmp_path / "again", objects=str(tmp_path / "elsewhere"))
    with Workspace.open(tmp_path / "again") as workspace:
        assert workspace.settings.storage.objects == str(tmp_path / "elsewhere")
        assert len(list(read_rows(workspace.catalog, "text"))) == 12


def test_nothing_is_overwritten(tmp_path: Path, shop: Path) -> None:
    with Workspace.open(shop) as workspace:
        back_up(workspace, tmp_path / "b")
        with pytest.raises(Conflict, match="exists"):
            back_up(workspace, tmp_path / "b")
    with pytest.raises(Conflict, match="workspace already"):
        restore(tmp_path / "b", shop)
    with pytest.raises(Conflict, match="not empty"):
        restore(tmp_path / "b", tmp_path / "again", objects=str(shop / "objects"))
    assert not (tmp_path / "again" / "nhan.toml").exists()


def test_a_file_that_was_cut_short_or_damaged_is_refused(tmp_path: Path, shop: Path) -> None:
    with Workspace.open(shop) as workspace:
        back_up(workspace, tmp_path / "b")
    data = (tmp_path / "b").read_bytes()
    (tmp_path / "short").write_bytes(data[: len(data) // 2])
    spot = data.index(b"\x89PNG") + 60
    (tmp_path / "bent").write_bytes(data[:spot] + bytes([data[spot] ^ 255]) + data[spot + 1 :])
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    for name, words in (("short", "cut short"), ("bent", "damaged"), ("text", "no backup")):
        with pytest.raises(BadRequest, match=words):
            restore(tmp_path / name, tmp_path / f"from-{name}")
        assert not (tmp_path / f"from-{name}" / "nhan.toml").exists()
    with pytest.raises(NotFound):
        restore(tmp_path / "none", tmp_path / "x")


def test_a_member_that_climbs_out_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil", "w") as archive:
        member = tarfile.TarInfo("objects/../../escaped")
        archive.addfile(member)
    with pytest.raises(BadRequest, match="no place"):
        restore(tmp_path / "evil", tmp_path / "x")
