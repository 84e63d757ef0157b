"""Files of processes that died, caches and empty folders: gone when old, and only ours."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nhan.catalog.schema import reviews
from nhan.gc.run import collect_garbage
from nhan.review.drafts import save_draft
from nhan.review.queue import next_items
from nhan.training.prepared import prepared
from nhan.uploads import journal
from nhan.uploads.journal import Frame, Segment
from nhan.workspace import Workspace
from used_workspace import age, contents

KEY = "0123456789abcdef0123"


def write(workspace: Workspace, *names: str) -> list[Path]:
    paths = [workspace.root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    return paths


def test_half_written_files_go_when_they_are_old(used: Workspace) -> None:
    names = (
        ".nhan.toml.4711",
        ".signing.key.4711.00c0ffee",
        "spool/.sampling.json.4711",
        "spool/.0123-4711-abcdef.journal",
        "runs/r1/.last.safetensors.4711",
        f"cache/prepared/.{KEY}.4711/pixels.bin",
        f"cache/features/{KEY}/.0123456789abcdef.4711.npz",
        "objects/models/bars/1/model.onnx#1",
        "objects/uploads/inbox/2026-01-01/x.json#2",
        "objects/doctor/4711",
    )
    old = write(used, *names)
    (used.root / "runs/r1/run.json").write_text("{}")
    age(used)
    young = write(used, ".nhan.toml.4712", "runs/r1/.last.safetensors.4712", "objects/images/y#1")
    report = collect_garbage(used)
    assert report.count("temporary") == len(old)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in young)
    assert report.freed == 4 * len(old)


def test_files_of_others_stay(used: Workspace) -> None:
    """A workspace may be somebody's project folder."""
    others = write(
        used, ".env.2024", ".coverage.4711", "runs/Nov20_host/events.out.tfevents.1",
        "cache/mine/.keep.1x", "cache/prepared/notes/a", "notes#1", ".cache/x.1",
    )  # fmt: skip
    age(used, days=400)
    collect_garbage(used)
    assert all(path.exists() for path in others)


def test_spooled_uploads_are_never_touched(used: Workspace) -> None:
    spool = used.root / "spool"
    spool.mkdir()
    segment = Segment(spool)
    segment.append(b"".join(Frame(journal.NOTE, "k", b"{}").pack()), sync=False)
    closed = Segment(spool)
    closed.append(b"".join(Frame(journal.NOTE, "k", b"{}").pack()), sync=False)
    closed.close()
    hidden = spool / f".held{journal.SUFFIX}"
    hidden.touch()
    held = journal.claim(hidden)
    age(used)
    collect_garbage(used)
    assert segment.path.exists()
    assert closed.path.exists()
    assert hidden.exists(), "somebody is making it"
    held.close()
    segment.close()


def test_runs_that_can_be_gone_on_with_stay(used: Workspace) -> None:
    write(
        used,
        "runs/died/config.json", "runs/died/.run.json.4711",
        "runs/going/config.json", "runs/going/run.json", "runs/going/last.safetensors",
        "runs/run-1/run.json", "runs/run-1/result.json", "runs/run-1/best.safetensors",
        "runs/run-1/last.safetensors", "runs/run-1/start.safetensors",
        "runs/run-9/run.json", "runs/run-9/result.json", "runs/run-9/last.safetensors",
    )  # fmt: skip
    age(used)
    report = collect_garbage(used)
    assert [one.path for one in report.found if one.kind == "run"] == ["runs/died"]
    assert report.count("checkpoint") == 0
    # bars@1 came out of run-1; nothing came out of run-9 yet.
    found = collect_garbage(used, checkpoints=True).found
    assert [one.path for one in found if one.kind == "checkpoint"] == [
        "runs/run-1/last.safetensors",
        "runs/run-1/start.safetensors",
    ]
    left = {str(path.relative_to(used.root / "runs")) for path in used.root.glob("runs/*/*")}
    assert left == {
        "going/config.json", "going/run.json", "going/last.safetensors",
        "run-1/run.json", "run-1/result.json", "run-1/best.safetensors",
        "run-9/run.json", "run-9/result.json", "run-9/last.safetensors",
    }  # fmt: skip


def test_caches_go_by_their_last_use(used: Workspace) -> None:
    pytest.importorskip("torch")
    cache = used.root / "cache" / "prepared"

    def use() -> None:
        prepared([], key=["lines", "v", "train"], prepare=lambda p: p, preparation={}, cache=cache)

    use()
    (mine,) = cache.iterdir()
    other = write(used, f"cache/features/{KEY}/a.npz")[0].parent
    scratch = write(used, f"cache/budget-{KEY}-12/runs/x/run.json")[0].parents[2]
    age(used, days=40)
    use()
    report = collect_garbage(used)
    assert report.count("cache") == 2
    assert not other.exists()
    assert not scratch.exists()
    assert mine.exists()
    age(used, days=10)
    assert collect_garbage(used).count("cache") == 0
    assert collect_garbage(used, caches=timedelta(days=9)).count("cache") == 1
    use()  # and is made again


def test_empty_folders_of_the_store_go_and_the_spool_stays(used: Workspace) -> None:
    (used.root / "spool").mkdir(exist_ok=True)
    empty = used.root / "objects/uploads/inbox/2026-01-01"
    empty.mkdir(parents=True)
    age(used)
    fresh = used.root / "objects/uploads/inbox/2026-01-02"
    fresh.mkdir()
    collect_garbage(used)
    assert not empty.exists()
    assert fresh.exists()
    assert (used.root / "spool").exists()


def test_holds_that_ran_out_go_and_drafts_stay(used: Workspace) -> None:
    first, second = [item.sample for item in next_items(used, "text", "an", 2)]
    save_draft(used, first, "an", "đang gõ", 0)
    report = collect_garbage(used, grace=timedelta(0))
    assert report.count("hold") == 0, "it is held still"
    with used.catalog.write() as connection:
        long_ago = datetime.now(UTC) - timedelta(days=3)
        connection.execute(reviews.update().values(held_until=long_ago))
    before = contents(used)
    report = collect_garbage(used)
    assert [one.path for one in report.found if one.kind == "hold"] == [f"sample {second} of an"]
    assert contents(used) == before
    (item,) = [one for one in next_items(used, "text", "an", 100) if one.sample == first]
    assert item.draft == ("đang gõ", 1)


def test_links_are_not_followed(used: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    place = used.root / "cache" / "prepared"
    place.mkdir(parents=True)
    (place / KEY).symlink_to(outside)
    age(used, days=40)
    os.utime(outside / "file", (1, 1))
    os.utime(outside, (1, 1))
    collect_garbage(used)
    assert (outside / "file").read_bytes() == b"mine"
