"""A worse model never goes live, whoever hurries; what goes live says why."""

from __future__ import annotations

import multiprocessing

import pytest

from nhan.errors import Conflict, GateRefused, NotFound, UserError
from nhan.evaluation.promotion import judge, promote
from nhan.models.registry import Promotion, Registry
from nhan.storage import StaleLog
from nhan.tasks import TASKS
from nhan.workspace import Workspace

# Gains of models that read every digit, miss 9, miss 8 and 9, miss 7, 8 and 9.
BEST, GOOD, FAIR, POOR = 1.0, 0.94, 0.935, 0.92


@pytest.fixture
def dataset(make_dataset, rows) -> str:
    return make_dataset(train=rows(5, seed=9), test=rows(60))


@pytest.fixture
def registry(workspace) -> Registry:
    return Registry(workspace.store)


def test_first_better_and_worse(workspace, dataset, make_version, registry):
    for gain in (FAIR, BEST, POOR):
        make_version(gain, dataset=dataset)

    first = promote(workspace, "bars@1", by="lan")
    assert (first.number, first.promotion.previous, first.promotion.action) == (1, None, "promote")
    second = promote(workspace, "bars@2", because="reads 8 and 9", by="lan")
    assert (second.number, second.promotion.previous, second.promotion.by) == (2, 1, "lan")
    assert second.promotion.verdict["words"].startswith("passed: CER 0.000 is below the champion's")
    with pytest.raises(GateRefused, match=r"is not below the champion's 0\.000"):
        promote(workspace, "bars@3")
    assert registry.champion("bars") == 2
    assert registry.log_number("bars") == 2


def test_bare_name_is_the_newest_version(workspace, dataset, make_version, registry):
    make_version(GOOD, dataset=dataset)
    promote(workspace, "bars")
    make_version(BEST, dataset=dataset)
    promote(workspace, "bars")
    assert registry.champion("bars") == 2


def test_the_champion_cannot_be_promoted_again(workspace, dataset, make_version):
    make_version(dataset=dataset)
    promote(workspace, "bars@1")
    with pytest.raises(Conflict, match="is the champion already"):
        promote(workspace, "bars@1")


def test_force_needs_a_reason_and_keeps_the_verdict(workspace, dataset, make_version, registry):
    make_version(BEST, dataset=dataset)
    make_version(POOR, dataset=dataset)
    promote(workspace, "bars@1")
    for because in ("", "  "):
        with pytest.raises(UserError, match="needs a reason"):
            promote(workspace, "bars@2", force=True, because=because)
    entry = promote(workspace, "bars@2", force=True, because="only it knows the new font").promotion
    assert (entry.action, entry.because) == ("forced", "only it knows the new font")
    assert entry.verdict["words"].startswith("refused: CER")
    assert registry.champion("bars") == 2


def test_force_is_the_way_out_when_nothing_can_be_measured(workspace, make_version, registry):
    make_version()  # trained on nothing known
    with pytest.raises(NotFound, match="does not say which dataset"):
        promote(workspace, "bars@1")
    entry = promote(workspace, "bars@1", force=True, because="built by hand").promotion
    assert entry.verdict["words"].startswith("not judged: bars@1 does not say")
    assert registry.champion("bars") == 1


def test_judging_changes_nothing(workspace, dataset, make_version, registry):
    make_version(dataset=dataset)
    assert judge(workspace, "bars@1").passed
    assert registry.log_number("bars") == 0


def test_grown_test_split_judges_both(workspace, make_dataset, make_version, rows):
    old = make_dataset(test=rows(60))
    # The new lines hold only digits that a fair model reads as well as the best.
    grown = make_dataset(test=rows(60) + [("0123", "new")] * 30)
    make_version(GOOD, dataset=old)
    make_version(BEST, dataset=grown)
    promote(workspace, "bars@1")
    verdict = promote(workspace, "bars@2").promotion.verdict
    assert (verdict["numbers"]["dataset"], verdict["numbers"]["samples"]) == (grown, 90)


def test_version_trained_on_an_older_split_meets_the_grown_one(
    workspace, make_dataset, make_version, rows
):
    old = make_dataset(test=rows(60))
    grown = make_dataset(test=rows(90))
    make_version(GOOD, dataset=grown)
    make_version(BEST, dataset=old)
    promote(workspace, "bars@1")
    assert promote(workspace, "bars@2").promotion.verdict["numbers"]["dataset"] == grown


def test_candidate_cannot_choose_an_easier_test(
    workspace, dataset, make_dataset, make_version, rows, registry
):
    easy = make_dataset("easy", train=rows(5), test=[("0123", "easy")] * 60)
    make_version(GOOD, dataset=dataset)
    make_version(POOR, dataset=easy)  # faultless on its own test
    promote(workspace, "bars@1")
    with pytest.raises(GateRefused, match=dataset):
        promote(workspace, "bars@2")
    assert registry.champion("bars") == 1


def test_candidate_that_saw_the_test_is_refused(workspace, make_dataset, make_version, rows):
    dataset = make_dataset(test=rows(60))
    cheating = make_dataset("other", train=rows(60), test=rows(5, seed=3))
    make_version(GOOD, dataset=dataset)
    make_version(BEST, dataset=cheating)
    promote(workspace, "bars@1")
    with pytest.raises(GateRefused, match="60 of the 60 samples of the test were in"):
        promote(workspace, "bars@2")


def test_champion_missing_its_file_stops_the_gate_but_not_force(
    workspace, dataset, make_version, registry
):
    make_version(BEST, dataset=dataset)
    make_version(GOOD, dataset=dataset)
    promote(workspace, "bars@1", force=True, because="first")
    workspace.store.delete("models/bars/1/nhan.json")
    with pytest.raises(NotFound):
        promote(workspace, "bars@2")
    promote(workspace, "bars@2", force=True, because="1 is lost")
    assert registry.champion("bars") == 2


def test_who_comes_second_is_judged_against_the_new_champion(
    workspace, dataset, make_version, monkeypatch
):
    for gain in (POOR, FAIR, BEST):
        make_version(gain, dataset=dataset)
    promote(workspace, "bars@1")
    record = Registry.record
    overtaken = []

    def overtake(self, name, promotion, *, expected):
        if not overtaken:  # version 3 is promoted between our verdict and our entry
            overtaken.append(True)
            entry = Promotion(action="promote", version=3, previous=1)
            record(self, name, entry, expected=expected)
        return record(self, name, promotion, expected=expected)

    monkeypatch.setattr(Registry, "record", overtake)
    said = []
    with pytest.raises(GateRefused, match=r"the champion's 0\.000"):
        promote(workspace, "bars@2", say=said.append)
    assert "deciding again" in " ".join(said)
    assert Registry(workspace.store).champion("bars") == 3


def test_endless_races_end(workspace, dataset, make_version, monkeypatch):
    make_version(dataset=dataset)

    def always_late(self, name, promotion, *, expected):
        raise StaleLog("models/bars/log", expected)

    monkeypatch.setattr(Registry, "record", always_late)
    with pytest.raises(Conflict, match="keeps changing"):
        promote(workspace, "bars@1")


def _promote_one(root: str, ref: str, start, outcomes) -> None:
    TASKS["bars"] = "bars:BarsTask"
    with Workspace.open(root) as workspace:
        start.wait()
        try:
            promote(workspace, ref)
            outcomes.put((ref, "passed"))
        except GateRefused:
            outcomes.put((ref, "refused"))


def test_of_two_equals_promoted_at_once_one_goes_live(workspace, dataset, make_version, registry):
    """Both beat the champion, neither beats the other: the second must meet the first."""
    make_version(POOR, dataset=dataset)
    make_version(GOOD, dataset=dataset)
    make_version(GOOD, dataset=dataset)
    promote(workspace, "bars@1")
    spawn = multiprocessing.get_context("spawn")
    start, outcomes = spawn.Barrier(2), spawn.Queue()
    workers = [
        spawn.Process(
            target=_promote_one, args=(str(workspace.root), f"bars@{version}", start, outcomes)
        )
        for version in (2, 3)
    ]
    for worker in workers:
        worker.start()
    found = sorted(outcomes.get(timeout=600)[1] for _ in workers)
    for worker in workers:
        worker.join(600)
    assert found == ["passed", "refused"]
    assert registry.log_number("bars") == 2
