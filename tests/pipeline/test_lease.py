"""One process at a time, whatever happens to the others."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from nhan.errors import Conflict
from nhan.pipeline import lease as leases
from nhan.pipeline.lease import holder, take_lease
from nhan.storage import Store, open_store

_TAKE_AND_DIE = """
import os, sys
from nhan.pipeline.lease import take_lease
from nhan.storage import open_store
take_lease(open_store(sys.argv[1]), "a round")
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "objects")


def test_a_second_taker_is_told_who_has_it(store: Store) -> None:
    with take_lease(store, "round 7"):
        with pytest.raises(Conflict, match=r"round 7.*process \d+"):
            take_lease(store, "round 8")
        assert holder(store)["what"] == "round 7"
    assert holder(store) is None
    take_lease(store, "round 8").give_back()


def test_of_many_at_once_one_gets_it(store: Store) -> None:
    taken, refused = [], []
    together = threading.Barrier(8)

    def take() -> None:
        together.wait()
        try:
            taken.append(take_lease(store, "a round"))
        except Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (1, 7)
    taken[0].give_back()


def test_what_a_killed_process_held_is_free_at_once_on_its_machine(store: Store) -> None:
    killed = subprocess.run([sys.executable, "-c", _TAKE_AND_DIE, str(store.folder)], check=False)
    assert killed.returncode == -9
    take_lease(store, "the next").give_back()


def test_a_process_id_on_another_machine_says_nothing_until_its_signs_are_old(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-c", _TAKE_AND_DIE, str(store.folder)], check=False)
    monkeypatch.setattr(leases, "_machine", lambda: "elsewhere")
    with pytest.raises(Conflict):
        take_lease(store, "the next")
    written = store.modified("rounds/lease/000001.json")
    assert written is not None
    now = written + timedelta(seconds=leases.EXPIRY_S + 1)
    monkeypatch.setattr(
        store,
        "modified",
        lambda path: now if path.endswith("clock") else Store.modified(store, path),
    )
    take_lease(store, "the next").give_back()


def test_a_sign_of_life_keeps_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.02)
    with take_lease(store, "a round"):
        deadline = threading.Event()
        while store.modified("rounds/lease/000001.beat") is None:
            assert not deadline.wait(0.02)
        first = store.modified("rounds/lease/000001.beat")
        while store.modified("rounds/lease/000001.beat") == first:
            deadline.wait(0.02)


def test_who_was_passed_over_notices(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = take_lease(store, "mine")
    mine.check()
    monkeypatch.setattr(leases, "_is_alive", lambda *_: False)
    theirs = take_lease(store, "theirs")
    with pytest.raises(Conflict, match="taken the rounds over"):
        mine.check()
    theirs.check()
    mine.give_back()
    theirs.give_back()


def test_old_entries_are_cleared_away(store: Store) -> None:
    for _ in range(30):
        take_lease(store, "a round").give_back()
    assert len(list(store.list("rounds/lease"))) <= 2 * leases._KEPT + 2
    assert take_lease(store, "a round").number == 31
