"""A workspace in a file, and back: whole, on other engines, or not at all."""

from __future__ import annotations

import errno
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from nhan import backup
from nhan.backup import back_up, restore
from nhan.catalog import Catalog
from nhan.catalog.samples import read_rows
from nhan.catalog.schema import events, labels
from nhan.datasets.freeze import freeze
from nhan.datasets.read import open_dataset
from nhan.errors import BadRequest, Conflict, NotFound
from nhan.review.decide import Decision, decide
from nhan.review.undo import undo
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


@pytest.mark.parametrize("written", ['objects="objects"', "  objects\t= 'objects'"])
def test_other_stores_can_be_named_however_the_setting_was_written(
    tmp_path: Path, shop: Path, written: str
) -> None:
    (shop / "nhan.toml").write_text(f"[storage]\n{written}\n", encoding="utf-8")
    with Workspace.open(shop) as workspace:
        back_up(workspace, tmp_path / "b")
    restore(tmp_path / "b", tmp_path / "again", objects=str(tmp_path / "elsewhere"))
    with Workspace.open(tmp_path / "again") as workspace:
        assert workspace.settings.storage.objects == str(tmp_path / "elsewhere")


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
        with pytest.raises(BadRequest, match=words) as caught:
            restore(tmp_path / name, tmp_path / f"from-{name}")
        assert "\n" not in caught.value.message
        assert not (tmp_path / f"from-{name}" / "nhan.toml").exists()
    with pytest.raises(NotFound):
        restore(tmp_path / "none", tmp_path / "x")


def test_a_label_may_hold_any_line_end_of_unicode(tmp_path: Path, shop: Path) -> None:
    odd = "dòng\u2028hai\u0085ba\x1cbốn"
    with Workspace.open(shop) as workspace:
        with workspace.catalog.write() as connection:
            connection.execute(sa.update(labels).where(labels.c.id == 1).values(given=odd))
        before = contents(workspace)
        back_up(workspace, tmp_path / "shop.nhan")
    restore(tmp_path / "shop.nhan", tmp_path / "again")
    with Workspace.open(tmp_path / "again") as workspace:
        assert contents(workspace) == before


def test_rows_come_back_whatever_order_the_database_gives_them_in(
    tmp_path: Path, shop: Path
) -> None:
    """PostgreSQL puts new rows where erased ones were: an undo may lie before what it undoes."""
    with Workspace.open(shop) as workspace:
        sample = next(read_rows(workspace.catalog, "text")).id
        decide(workspace, Decision("d1", sample, "an", "accept", "dòng"))
        undo(workspace, "d2", "an")
        sa.event.listen(
            workspace.catalog.engine,
            "begin",
            lambda connection: connection.exec_driver_sql("PRAGMA reverse_unordered_selects=ON"),
        )
        before = contents(workspace)
        back_up(workspace, tmp_path / "shop.nhan")
    restore(tmp_path / "shop.nhan", tmp_path / "again")
    with Workspace.open(tmp_path / "again") as workspace:
        after = contents(workspace)
    assert after["rows"] == before["rows"]
    assert sorted(after["labels"]) == sorted(before["labels"])


def test_an_upload_that_is_taken_in_meanwhile_is_in_the_file(
    tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the inbox after the catalogue was read: neither may miss it."""
    dump = backup._dump
    inbox, taken = "uploads/inbox/2026-11-20/x.json", "uploads/taken/2026-11-20/x.json"
    with Workspace.open(shop) as workspace:
        workspace.store.put(inbox, b"{}")

        def taken_in_after(catalog: Catalog) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
            yield from dump(catalog)
            workspace.store.put(taken, b"{}")
            workspace.store.delete(inbox)

        monkeypatch.setattr(backup, "_dump", taken_in_after)
        back_up(workspace, tmp_path / "shop.nhan")
    restore(tmp_path / "shop.nhan", tmp_path / "again")
    with Workspace.open(tmp_path / "again") as workspace:
        assert workspace.store.exists(inbox)


def test_a_restore_that_is_killed_leaves_no_workspace_and_one_that_fails_leaves_nothing(
    tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workspace.open(shop) as workspace:
        back_up(workspace, tmp_path / "shop.nhan")
    seen: list[bool] = []

    def interrupt(done: int) -> None:
        seen.append((tmp_path / "again" / "nhan.toml").exists())
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "shop.nhan", tmp_path / "again", progress=interrupt)
    assert seen == [False] * 5
    assert not (tmp_path / "again").exists()
    restore(tmp_path / "shop.nhan", tmp_path / "again")


def test_a_disk_without_second_names_takes_a_backup_too(
    tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)  # as FAT does
    with Workspace.open(shop) as workspace:
        back_up(workspace, tmp_path / "shop.nhan")
    restore(tmp_path / "shop.nhan", tmp_path / "again")
    assert [path.name for path in tmp_path.glob("*.nhan*")] == ["shop.nhan"]


def test_keys_that_lie_elsewhere_in_the_workspace_come_along(tmp_path: Path, shop: Path) -> None:
    toml = shop / "nhan.toml"
    text = toml.read_text("utf-8").replace('# keys = "keys.json"', 'keys = "secret/keys.json"', 1)
    toml.write_text(text, "utf-8")
    (shop / "secret").mkdir()
    (shop / "secret" / "keys.json").write_text("[1]", "utf-8")
    with Workspace.open(shop) as workspace:
        back_up(workspace, tmp_path / "shop.nhan")
    restore(tmp_path / "shop.nhan", tmp_path / "again")
    assert (tmp_path / "again" / "secret" / "keys.json").read_text("utf-8") == "[1]"


def test_a_member_that_climbs_out_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil", "w") as archive:
        member = tarfile.TarInfo("objects/../../escaped")
        archive.addfile(member)
    with pytest.raises(BadRequest, match="no place"):
        restore(tmp_path / "evil", tmp_path / "x")
