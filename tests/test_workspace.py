"""Workspaces: made whole or not at all, found from below, opened where asked."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import sqlalchemy as sa

from nhan.errors import Conflict, NotFound, SettingsError
from nhan.workspace import Workspace, find_root


def test_init_makes_settings_store_and_catalogue(tmp_path: Path) -> None:
    with Workspace.init(tmp_path / "shop") as made:
        made.store.put("a", b"1")
        tables = set(sa.inspect(made.catalog.engine).get_table_names())
    assert {"samples", "labels", "events"} <= tables
    with Workspace.open(tmp_path / "shop") as opened:
        assert opened.store.read("a") == b"1"
        assert opened.store.folder == tmp_path / "shop" / "objects"


def test_init_writes_the_addresses_it_was_given(tmp_path: Path) -> None:
    elsewhere = tmp_path / 'with "quotes" and spaces'
    with Workspace.init(tmp_path / "shop", objects=str(elsewhere), catalog="sqlite:///x.db"):
        pass
    with Workspace.open(tmp_path / "shop") as opened:
        assert opened.store.folder == elsewhere
        assert (tmp_path / "shop" / "x.db").exists()


def test_a_second_init_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with Workspace.init(tmp_path) as first:
        first.store.put("a", b"1")
    before = (tmp_path / "nhan.toml").read_text()
    with pytest.raises(Conflict, match="is a workspace already"):
        Workspace.init(tmp_path, objects="other")
    assert (tmp_path / "nhan.toml").read_text() == before


def test_a_failed_init_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not supported"):
        Workspace.init(tmp_path / "shop", catalog="mysql://host/db")
    assert not (tmp_path / "shop" / "nhan.toml").exists()


def test_a_failed_init_takes_back_what_it_made_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(SettingsError):
            Workspace.init(folder, catalog="mysql://a/b")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine.txt"]


def test_an_init_on_a_full_disk_leaves_no_half_written_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            Workspace.init(tmp_path / "shop")
    assert list(tmp_path.rglob("*")) == []


def test_the_workspace_is_named_or_found_upward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Workspace.init(tmp_path / "one").close()
    Workspace.init(tmp_path / "two").close()
    below = tmp_path / "one" / "deep" / "er"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_root() == tmp_path / "one"
    monkeypatch.setenv("NHAN_WORKSPACE", str(tmp_path / "two"))
    assert find_root() == tmp_path / "two"
    assert find_root(tmp_path / "one") == tmp_path / "one"


def test_no_workspace_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound) as caught:
        Workspace.open()
    assert "nhan init" in caught.value.hint
    with pytest.raises(NotFound, match="is no workspace"):
        Workspace.open(tmp_path / "none")
