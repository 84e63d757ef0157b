"""The promotion log: one way a champion changes, nothing lost, nothing decided on old news."""

from __future__ import annotations

import multiprocessing

import pytest

from nhan.errors import Conflict, NotFound, UserError
from nhan.models.package import BadPackage
from nhan.models.registry import Promotion, Registry, parse_ref
from nhan.storage import StaleLog, open_store


def promote(registry: Registry, version: int, **more) -> int:
    state = registry.log("bars")
    entry = Promotion(action="promote", version=version, previous=state.champion, **more)
    return registry.record("bars", entry, expected=state.number)


@pytest.fixture
def registry(store, make_version) -> Registry:
    """Three versions, none promoted."""
    for _ in range(3):
        make_version()
    return Registry(store)


def test_no_champion_before_the_first_promotion(registry):
    assert registry.models() == ["bars"]
    assert registry.versions("bars") == [1, 2, 3]
    assert registry.champion("bars") is None
    assert registry.log("bars").promotions == ()
    assert registry.log_number("bars") == 0


def test_highest_entry_names_the_champion(registry):
    promote(registry, 2, because="first", by="lan", verdict={"words": "passed"})
    assert promote(registry, 3) == 2
    assert registry.champion("bars") == 3
    first, second = registry.log("bars").promotions
    assert (first.because, first.by, first.verdict) == ("first", "lan", {"words": "passed"})
    assert first.at
    assert (second.previous, second.action) == (2, "promote")


def test_rollback_is_one_more_entry_and_goes_back_step_by_step(registry):
    for version in (1, 2, 3):
        promote(registry, version)
    assert registry.rollback("bars", because="bad", by="lan").version == 2
    entry = registry.rollback("bars")
    assert (entry.action, entry.version, entry.previous) == ("rollback", 1, 2)
    with pytest.raises(Conflict, match="first champion"):
        registry.rollback("bars")
    assert [e.version for e in registry.log("bars").promotions] == [1, 2, 3, 2, 1]
    promote(registry, 3)
    assert registry.rollback("bars").version == 1


def test_rollback_without_a_champion_says_so(registry):
    with pytest.raises(NotFound, match="no champion"):
        registry.rollback("bars")
    with pytest.raises(NotFound, match="no model 'others'"):
        registry.rollback("others")


def test_rollback_to_a_damaged_version_is_refused(registry, store):
    promote(registry, 1)
    promote(registry, 2)
    store.put("models/bars/1/model.onnx", b"gone")
    with pytest.raises(BadPackage):
        registry.rollback("bars")
    assert registry.champion("bars") == 2


def test_decision_on_an_old_log_is_refused(registry):
    state = registry.log("bars")
    promote(registry, 1)
    with pytest.raises(StaleLog):
        registry.record(
            "bars", Promotion(action="promote", version=2, previous=None), expected=state.number
        )
    assert registry.champion("bars") == 1


def test_two_rollbacks_at_once_go_back_once(registry, monkeypatch):
    for version in (1, 2, 3):
        promote(registry, version)
    seen = registry.log("bars")
    registry.rollback("bars")
    slow = Registry(registry.store)
    monkeypatch.setattr(slow, "log", lambda name: seen)
    with pytest.raises(Conflict, match="changed while rolling back"):
        slow.rollback("bars")
    assert registry.champion("bars") == 2


def test_unknown_and_damaged_versions_cannot_be_promoted(registry, store):
    with pytest.raises(NotFound, match="no version 9"):
        promote(registry, 9)
    store.delete("models/bars/2/model.onnx")
    with pytest.raises(BadPackage):
        promote(registry, 2)
    assert registry.log_number("bars") == 0


def test_name_alone_is_the_champion_else_the_newest(registry):
    assert registry.resolve("bars").spec.version == 3
    promote(registry, 1)
    assert registry.resolve("bars").spec.version == 1
    assert registry.resolve("bars@2").spec.version == 2
    with pytest.raises(NotFound) as unknown:
        registry.resolve("baars")
    assert "bars" in unknown.value.hint
    with pytest.raises(NotFound) as missing:
        registry.resolve("bars@9")
    assert missing.value.hint == "versions: 1, 2, 3"


@pytest.mark.parametrize(
    "ref", ["bars@", "bars@x", "bars@0", "bars@-1", "bars@1@2", "@1", "bars@²"]
)
def test_malformed_references_are_refused(ref):
    with pytest.raises(UserError):
        parse_ref(ref)


def _promote_many(url: str, who: str, times: int, start) -> None:
    registry = Registry(open_store(url))
    start.wait()
    for turn in range(times):
        while True:
            try:
                promote(registry, 1 + turn % 3, by=who, because=f"{who} {turn}")
                break
            except StaleLog:
                continue


def test_two_processes_at_once_get_one_entry_per_number_and_lose_none(registry):
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    times = 40
    workers = [
        spawn.Process(target=_promote_many, args=(registry.store.url, who, times, start))
        for who in ("lan", "minh")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
        assert worker.exitcode == 0

    entries = registry.log("bars").promotions
    assert len(entries) == registry.log_number("bars") == 2 * times
    assert sorted(e.because for e in entries) == sorted(
        f"{who} {turn}" for who in ("lan", "minh") for turn in range(times)
    )
    # Each was decided on the state it followed: nobody acted on old news.
    champions = [None, *(e.version for e in entries)]
    assert [e.previous for e in entries] == champions[:-1]
