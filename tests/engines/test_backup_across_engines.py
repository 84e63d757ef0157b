"""A backup of SQLite and a folder comes back on PostgreSQL and S3, and goes on counting there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nhan import backup
from nhan.backup import back_up, restore
from nhan.catalog import Catalog
from nhan.catalog.samples import read_rows
from nhan.review.decide import Decision, decide
from nhan.samples.importer import import_samples
from nhan.uploads.intake import take_in
from nhan.workspace import Workspace
from used_workspace import put_upload

pytestmark = pytest.mark.engine


def test_a_workspace_moves_to_real_engines_and_back(
    tmp_path: Path, s3_url: str, postgres_url: str, draw_line: Callable[..., bytes]
) -> None:
    source = tmp_path / "pictures"
    source.mkdir()
    for number in range(5):
        (source / f"{number}.png").write_bytes(draw_line(f"line {number}"))
    (source / "labels.json").write_text(
        "{" + ", ".join(f'"{n}.png": "dòng {n}"' for n in range(5)) + "}", encoding="utf-8"
    )
    with Workspace.init(tmp_path / "small") as workspace:
        import_samples(workspace, source)
        decide(workspace, Decision("d1", 1, "an", "accept", "dòng 0"))
        rows = list(read_rows(workspace.catalog, "text"))
        back_up(workspace, tmp_path / "first")
    restore(tmp_path / "first", tmp_path / "large", objects=s3_url, catalog=postgres_url)
    (source / "5.png").write_bytes(draw_line("line 5"))
    (source / "labels.json").write_text('{"5.png": "dòng 5"}', encoding="utf-8")
    with Workspace.open(tmp_path / "large") as workspace:
        assert list(read_rows(workspace.catalog, "text")) == rows
        import_samples(workspace, source)  # numbers that are taken are not given again
        assert len(list(read_rows(workspace.catalog, "text"))) == 6
        decide(workspace, Decision("d2", 2, "an", "accept", "dòng 1"))
        back_up(workspace, tmp_path / "second")
    restore(
        tmp_path / "second", tmp_path / "home", objects="objects", catalog="sqlite:///catalog.db"
    )
    with Workspace.open(tmp_path / "home") as workspace:
        assert [row.label for row in read_rows(workspace.catalog, "text")][-1] == "dòng 5"


def test_a_backup_while_people_work_is_of_one_moment(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label that comes when its sample's table has been read is in it with its sample, or not."""
    dump = backup._dump

    def disturbed(catalog: Catalog) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
        for table, number, rows in dump(catalog):
            yield table, number, rows
            if table == "samples" and number == 0:
                put_upload(workspace, 2, user="an", sampled="random")
                take_in(workspace)

    with Workspace.init(tmp_path / "busy", catalog=postgres_url) as workspace:
        put_upload(workspace, 1, user="an", sampled="random")
        take_in(workspace)
        monkeypatch.setattr(backup, "_dump", disturbed)
        back_up(workspace, tmp_path / "file")
    restore(tmp_path / "file", tmp_path / "again", catalog="sqlite:///catalog.db")
    with Workspace.open(tmp_path / "again") as workspace:
        assert len(list(read_rows(workspace.catalog, "text"))) == 1
