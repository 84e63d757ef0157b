"""The gate's table: who passes, who does not, and what it says."""

from __future__ import annotations

import pytest

from nhan.evaluation.gate import decide
from nhan.evaluation.record import Evaluation, Result, Score, Speed
from nhan.evaluation.reliability import reliability
from nhan.settings import GateSettings

RULES = GateSettings()


def record(errors: list[int], *, version: int = 1, sources: str = "", **more) -> Evaluation:
    """A record of samples of ten characters each, with these errors; sources name each's slice."""
    results = [
        Result(
            sha256=f"{number:064x}",
            truth="x" * 10,
            answer="",
            confidence=0.5,
            errors=count,
            weight=10,
            slices={"source": (sources or "a" * len(errors))[number]},
        )
        for number, count in enumerate(errors)
    ]

    def score(chosen: list[Result]) -> Score:
        value = sum(r.errors for r in chosen) / max(sum(r.weight for r in chosen), 1)
        return Score(value=value, low=0, high=1, samples=len(chosen))

    by_source = {
        name: score([r for r in results if r.slices["source"] == name])
        for name in {r.slices["source"] for r in results}
    }
    values = {
        "key": "k",
        "model": "bars",
        "version": version,
        "task": "bars",
        "file": "model.onnx",
        "nhan": "0",
        "at": "",
        "dataset": "d@1",
        "split": "test",
        "content": "c",
        "samples": len(errors),
        "metric": "cer",
        "metrics": {"cer": score(results)},
        "slices": {"source": by_source},
        "confusions": {},
        "calibration": reliability([], []),
        "speed": Speed(median_ms=1, p95_ms=1, mean_ms=1, threads=1),
        "results": results,
    }
    return Evaluation.model_validate({**values, **more})


def test_better_passes_with_numbers():
    verdict = decide(record([1] * 40, version=2), record([2] * 40), RULES)
    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.words == (
        "passed: CER 0.100 is below the champion's 0.200 (difference −0.100, 95 % interval −0.100 "
        "to −0.100, 40 samples of d@1 test); no slice of 20 samples or more got worse by over 0.02"
    )
    assert verdict.numbers["difference"] == pytest.approx(-0.1)
    assert (verdict.numbers["samples"], verdict.numbers["dataset"]) == (40, "d@1")


def test_worse_is_refused_with_numbers():
    verdict = decide(record([3] * 40), record([2] * 40), RULES)
    assert not verdict.passed
    assert verdict.words == (
        "refused: CER 0.300 is not below the champion's 0.200 (difference +0.100, 95 % interval "
        "+0.100 to +0.100, 40 samples of d@1 test); also, source a got worse, 0.200 to 0.300, by "
        "more than 0.02 (40 samples)"
    )
    assert "--force" in verdict.hint


def test_tie_keeps_the_champion():
    verdict = decide(record([1, 2] * 20), record([2, 1] * 20), RULES)
    assert not verdict.passed
    assert "a tie keeps the champion" in verdict.words


@pytest.mark.parametrize(("margin", "passed"), [(0.0, True), (0.1, True), (0.11, False)])
def test_margin(margin, passed):
    verdict = decide(record([1] * 40), record([2] * 40), GateSettings(margin=margin))
    assert verdict.passed == passed
    assert ("less than the margin of 0.11" in verdict.words) != passed


def test_luck_is_no_reason_unless_allowed():
    champion = record([1] + [2] * 39)
    candidate = record([2, 0] + [2] * 38)  # one sample worse, one better by more
    verdict = decide(candidate, champion, RULES)
    assert not verdict.passed
    assert "may be luck" in verdict.words
    assert decide(candidate, champion, GateSettings(certainty=0.5)).passed


def test_no_old_slice_may_fall():
    sources = "a" * 60 + "b" * 20
    champion = record([3] * 60 + [1] * 20, sources=sources)
    candidate = record([1] * 60 + [2] * 20, sources=sources)
    verdict = decide(candidate, champion, RULES)
    assert not verdict.passed
    assert verdict.words == (
        "refused: source b got worse, 0.100 to 0.200, by more than 0.02 (20 samples)"
    )
    assert [fall["slice"] for fall in verdict.numbers["fallen"]] == ["b"]


@pytest.mark.parametrize(
    "rules", [GateSettings(min_slice_samples=21), GateSettings(slice_tolerance=0.11)]
)
def test_small_slices_and_small_falls_are_let_pass(rules):
    sources = "a" * 60 + "b" * 20
    champion = record([3] * 60 + [1] * 20, sources=sources)
    candidate = record([1] * 60 + [2] * 20, sources=sources)
    assert decide(candidate, champion, rules).passed


def test_other_test_set_is_refused_with_the_way_out():
    verdict = decide(record([1] * 40, content="other", dataset="d@2"), record([2] * 40), RULES)
    assert not verdict.passed
    assert "different test sets" in verdict.words
    assert verdict.hint == "evaluate both on one: nhan evaluate MODEL@V d@2"


def test_other_task_or_metric_is_refused():
    verdict = decide(record([1] * 40, task="classes"), record([2] * 40), RULES)
    assert "cannot be compared" in verdict.words


def test_empty_test_set_shows_nothing():
    for champion in (None, record([])):
        verdict = decide(record([]), champion, RULES)
        assert not verdict.passed
        assert "the test split of d@1 is empty" in verdict.words


@pytest.mark.parametrize(("most", "passed"), [(1.0, True), (0.2, True), (0.19, False)])
def test_first_champion_has_a_ceiling(most, passed):
    verdict = decide(record([2] * 40), None, GateSettings(max_error=most))
    assert verdict.passed == passed
    assert ("gate.max_error" in verdict.words) != passed
    assert "40 samples of d@1 test" in verdict.words


def test_test_samples_seen_in_training_disqualify():
    for champion in (None, record([2] * 40)):
        verdict = decide(record([0] * 40, seen=3), champion, RULES)
        assert not verdict.passed
        assert "3 of the 40 samples of the test were in the candidate's own training" in (
            verdict.words
        )


def test_verdict_is_json():
    import json

    verdict = decide(record([3] * 40), record([2] * 40), RULES)
    kept = json.loads(json.dumps(verdict.to_dict(), ensure_ascii=False))
    assert kept["words"] == verdict.words
    assert kept["passed"] is False


def test_deciding_changes_nothing():
    candidate, champion = record([1] * 40), record([2] * 40)
    before = candidate.model_dump_json(), champion.model_dump_json()
    assert decide(candidate, champion, RULES) == decide(candidate, champion, RULES)
    assert (candidate.model_dump_json(), champion.model_dump_json()) == before
