"""Objects that nothing refers to go, in two steps; whatever is referred to stays."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from nhan.datasets.freeze import freeze
from nhan.datasets.read import open_dataset
from nhan.doctor import examine
from nhan.errors import StorageError
from nhan.gc.references import References
from nhan.gc.run import collect_garbage
from nhan.samples.importer import import_samples
from nhan.samples.pictures import ASIDE, keep, origin_of
from nhan.storage import Store
from nhan.uploads.erase import erase
from nhan.uploads.intake import take_in
from nhan.uploads.record import inbox_path
from nhan.workspace import Workspace
from uploads.conftest import draw, make_record
from used_workspace import NONE, age, assert_whole, contents, put_orphan, put_upload


def aside(store: Store) -> set[str]:
    return {origin_of(path) for path in store.list(ASIDE)}


def test_a_workspace_without_garbage_stays_as_it_is(used: Workspace) -> None:
    before = contents(used)
    report = collect_garbage(used, grace=NONE)
    assert contents(used) == before
    assert {one.kind for one in report.found} <= {"folder", "hold"}
    assert [check for check in examine(used.root) if check.state == "error"] == []
    assert_whole(used)


def test_an_old_orphan_is_set_aside_and_then_gone(used: Workspace) -> None:
    before = contents(used)
    path = put_orphan(used, 99)
    age(used)
    young = put_orphan(used, 98)
    report = collect_garbage(used)
    assert [one.path for one in report.found if one.kind == "picture"] == [path]
    assert report.aside == len(draw(99))
    assert not used.store.exists(path)
    assert used.store.exists(young)
    assert aside(used.store) == {path}
    assert collect_garbage(used).count("aside") == 0, "not before it was missed for a day"
    report = collect_garbage(used, grace=NONE)  # the young one is old enough for this call
    assert report.count("aside") == 1
    collect_garbage(used, grace=NONE)
    assert contents(used) == before
    assert_whole(used)


def test_a_dry_run_says_the_same_and_changes_nothing(used: Workspace) -> None:
    put_orphan(used, 99)
    used.store.put("datasets/lines/0123456789ab/data-train-00000.parquet", b"half")
    age(used)
    before = contents(used)
    told = collect_garbage(used, dry_run=True)
    assert contents(used) == before
    done = collect_garbage(used)
    assert sorted(map(str, told.found)) == sorted(map(str, done.found))
    assert (told.aside, told.freed) == (done.aside, done.freed)
    assert (told.count("picture"), told.count("dataset")) == (1, 1)


def test_what_is_missed_after_all_is_put_back(used: Workspace) -> None:
    path = put_orphan(used, 99)
    age(used)
    collect_garbage(used)
    record = make_record(99)
    used.store.put_once(inbox_path(record.id), record.to_bytes())  # a reference without its picture
    report = collect_garbage(used)
    assert report.put_back == [path]
    assert used.store.read(path) == draw(99)
    assert not aside(used.store)
    assert_whole(used)


def test_a_picture_that_comes_in_again_is_young_again(used: Workspace) -> None:
    path = put_orphan(used, 99)
    age(used)
    keep(used.store, path, draw(99))  # and its reference is on its way
    collect_garbage(used, grace=timedelta(hours=2))
    assert used.store.read(path) == draw(99)


def test_one_that_comes_in_again_between_the_look_and_the_move_stays(
    used: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_orphan(used, 99)
    age(used)
    among = References.among

    def late(references: References, hashes: Iterable[str]) -> set[str]:
        found = among(references, hashes)
        keep(used.store, path, draw(99))
        return found

    monkeypatch.setattr(References, "among", late)
    assert collect_garbage(used).count("picture") == 0
    assert used.store.exists(path)


def test_a_reference_that_comes_while_it_is_moved_brings_it_back(
    used: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_orphan(used, 99)
    age(used)
    record = make_record(99)
    move = Store.move

    def slowly(store: Store, name: str, target: str) -> bool:
        if name == path:
            store.put_once(inbox_path(record.id), record.to_bytes())
        return move(store, name, target)

    monkeypatch.setattr(Store, "move", slowly)
    report = collect_garbage(used)
    assert report.count("picture") == 0
    assert used.store.read(path) == draw(99)
    assert take_in(used).refused == []


def test_an_upload_that_is_taken_in_between_two_looks_is_seen(
    used: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = put_upload(used, 99)
    age(used)
    look = References._waiting_uploads

    def late(references: References) -> set[str]:
        if used.store.exists(inbox_path(record.id)):
            take_in(used)
        return look(references)

    monkeypatch.setattr(References, "_waiting_uploads", late)
    with ThreadPoolExecutor(1) as pool:
        assert References(used, pool).among({record.sha256}) == {record.sha256}


def test_a_catalogue_that_lost_its_rows_costs_no_picture(used: Workspace) -> None:
    """Records of uploads and dataset versions are references too."""
    pictures = set(used.store.list("images"))
    for path in used.root.glob("catalog.db*"):
        path.unlink()
    with Workspace.open(used.root) as empty:
        assert collect_garbage(empty, grace=NONE).count("picture") == 0
        assert set(empty.store.list("images")) == pictures


def test_a_catalogue_out_of_reach_stops_it_before_anything_goes(used: Workspace) -> None:
    put_orphan(used, 99)
    age(used)
    used.close()
    for path in used.root.glob("catalog.db*"):
        path.unlink()
    (used.root / "catalog.db").mkdir()
    with Workspace.open(used.root) as workspace, pytest.raises(StorageError):
        collect_garbage(workspace)
    assert not aside(used.store)


def test_a_killed_freeze_goes_and_a_running_one_stays(used: Workspace) -> None:
    version = "datasets/lines/0123456789ab"
    used.store.put(f"{version}/data-train-00000.parquet", b"half")
    age(used)
    used.store.put(f"{version}/data-test-00000.parquet", b"just written")
    assert collect_garbage(used).count("dataset") == 0
    age(used)
    assert collect_garbage(used).count("dataset") == 2


def test_files_of_a_freeze_that_was_quicker_than_we_are_put_back(used: Workspace) -> None:
    dataset = open_dataset(used.store, "lines")
    manifest = f"datasets/lines/{dataset.version}/manifest.json"
    data = used.store.read(manifest)
    used.store.delete(manifest)
    shards = sorted(shard for split in dataset.splits for shard in dataset.shards(split))
    assert collect_garbage(used).count("dataset") == len(shards)
    used.store.put(manifest, data)
    assert sorted(collect_garbage(used).put_back) == shards
    assert_whole(used)


def test_names_that_are_not_ours_are_left_alone(used: Workspace) -> None:
    others = ["images/notes.txt", "images/ab/thumb.png", "datasets/readme.md", f"{ASIDE}/mine/x"]
    for path in others:
        used.store.put(path, b"somebody's")
    age(used)
    collect_garbage(used, grace=NONE)
    assert all(used.store.read(path) == b"somebody's" for path in others)


def test_what_was_set_aside_is_erased_with_its_user(used: Workspace) -> None:
    path = put_orphan(used, 99)
    age(used)
    collect_garbage(used)
    put_upload(used, 99, user="mai")
    erase(used, user="mai")
    assert not used.store.exists(path)
    assert not aside(used.store)


def test_killed_again_and_again_it_loses_nothing(used: Workspace) -> None:
    before = contents(used)
    for number in range(100, 400):
        put_orphan(used, number)
    age(used)
    dice = random.Random(seed := random.randrange(10**6))
    for _ in range(4):
        process = _begin(used)
        file = used.root / "objects" / ASIDE
        while process.poll() is None and not file.exists():
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.15))
        process.kill()
        process.wait()
        assert_whole(used)
    for _ in range(2):
        collect_garbage(used, grace=NONE)
    after = contents(used)
    # What waited was taken in by the checks; everything else is as it was.
    assert {p for p in after if p.startswith("images/")} == {
        p for p in before if p.startswith("images/")
    }, f"seed {seed}"
    assert all(after[p] == before[p] for p in before if p.startswith(("datasets/", "models/")))


def test_beside_imports_intakes_and_freezes_nothing_is_lost(
    used: Workspace, tmp_path: Path
) -> None:
    """Pictures that were forgotten for days come in again while two calls clear them away."""
    folder = tmp_path / "again"
    folder.mkdir()
    for number in range(200, 260):
        put_orphan(used, number)
        (folder / f"{number}.png").write_bytes(draw(number))
    labels = {f"{number}.png": f"dòng {number}" for number in range(200, 230)}
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    age(used)
    stop = threading.Event()

    def clear() -> None:
        with Workspace.open(used.root) as workspace:
            while not stop.is_set():
                collect_garbage(workspace, grace=timedelta(hours=2))

    clearing = [threading.Thread(target=clear) for _ in range(2)]
    for thread in clearing:
        thread.start()
    records = []
    for number in range(230, 260):
        record = make_record(number)
        keep(used.store, record.path, draw(number))
        used.store.put_once(inbox_path(record.id), record.to_bytes())
        records.append(record)
    import_samples(used, folder)
    report = take_in(used)
    freeze(used, "lines")
    stop.set()
    for thread in clearing:
        thread.join()
    assert report.refused == []
    collect_garbage(used)
    for number in range(200, 260):
        path = make_record(number).path
        assert used.store.read(path) == draw(number)
    assert_whole(used)


def _begin(workspace: Workspace) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nhan", "gc", "--workspace", str(workspace.root)]
    return subprocess.Popen(
        command, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
