"""Clearing away on S3 and PostgreSQL: orphans go in two steps, everything else stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from nhan.gc.run import collect_garbage
from nhan.samples.pictures import ASIDE
from nhan.uploads.record import inbox_path
from nhan.workspace import Workspace
from uploads.conftest import draw, make_record
from used_workspace import NONE, assert_whole, contents, fill, put_orphan

pytestmark = pytest.mark.engine


def test_only_what_nothing_refers_to_goes(tmp_path: Path, s3_url: str, postgres_url: str) -> None:
    with Workspace.init(tmp_path / "w", objects=s3_url, catalog=postgres_url) as workspace:
        fill(workspace, tmp_path / "pictures")
        before = contents(workspace)
        kept, gone = put_orphan(workspace, 98), put_orphan(workspace, 99)
        workspace.store.put("datasets/lines/0123456789ab/data-train-00000.parquet", b"half")
        told = collect_garbage(workspace, grace=NONE, dry_run=True)
        assert collect_garbage(workspace).found == [], "everything is young"
        report = collect_garbage(workspace, grace=NONE)
        assert sorted(map(str, report.found)) == sorted(map(str, told.found))
        assert (report.count("picture"), report.count("dataset")) == (2, 1)
        assert contents(workspace).keys() >= before.keys()
        record = make_record(98)  # somebody had seen the picture a moment before it was moved
        workspace.store.put(inbox_path(record.id), record.to_bytes())
        report = collect_garbage(workspace, grace=NONE)
        assert report.put_back == [kept]
        assert report.count("aside") == 2
        assert workspace.store.read(kept) == draw(98)
        assert not workspace.store.exists(gone)
        assert not list(workspace.store.list(ASIDE))
        assert {k: v for k, v in contents(workspace).items() if k in before} == before
        assert_whole(workspace)
