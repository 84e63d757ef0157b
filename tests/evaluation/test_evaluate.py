"""Scores are right, complete, kept, and read back only while they still hold."""

from __future__ import annotations

import pytest

import bars
from nhan.datasets.read import open_dataset
from nhan.errors import NotFound, UserError
from nhan.evaluation import evaluate as evaluate_module
from nhan.evaluation.evaluate import evaluate, measure
from nhan.evaluation.kept import stored
from nhan.models.package import publish


def test_figures_by_hand(workspace, make_dataset, make_version):
    # At gain 0.94 a 9 is read as 8: 3 errors in 12 digits, 2 of 4 rows wrong.
    test = [("123", "a"), ("99", "a"), ("45679", "b"), ("00", "b")]
    dataset = make_dataset(test=test)
    make_version(0.94, dataset=dataset)

    found = evaluate(workspace, "bars")

    assert found.primary.value == pytest.approx(3 / 12)
    assert found.metrics["exact"].value == pytest.approx(2 / 4)
    assert next(iter(found.metrics)) == "cer"
    assert found.primary.low <= 0.25 <= found.primary.high
    assert (found.ref, found.dataset, found.samples, found.split) == ("bars@1", dataset, 4, "test")
    by_source = {name: (s.value, s.samples) for name, s in found.slices["source"].items()}
    assert by_source == {
        "a": (pytest.approx(2 / 5), 2),
        "b": (pytest.approx(1 / 7), 2),
    }
    assert {n: s.samples for n, s in found.slices["length"].items()} == {"1-4": 3, "5+": 1}
    (confusion,) = found.confusions["digits"]
    assert (confusion.truth, confusion.answer, confusion.count) == ("9", "8", 3)
    answers = {r.truth: (r.answer, r.errors, r.weight, r.right) for r in found.results}
    assert answers["45679"] == ("45678", 1, 5, False)
    assert answers["123"] == ("123", 0, 3, True)
    assert sum(b.count for b in found.calibration.bins) == 4
    assert found.results == sorted(found.results, key=lambda r: r.sha256)


def test_second_call_reads_back_and_says_so(workspace, make_dataset, make_version, rows):
    make_version(dataset=make_dataset(test=rows(20)))
    first = evaluate(workspace, "bars")
    second = evaluate(workspace, "bars")
    assert (first.reused, second.reused) == (False, True)
    assert second.model_dump() == first.model_dump()


def test_changed_code_measures_again(workspace, make_dataset, make_version, rows, monkeypatch):
    make_version(dataset=make_dataset(test=rows(5)))
    evaluate(workspace, "bars")
    monkeypatch.setattr(evaluate_module, "__version__", "another")
    assert not evaluate(workspace, "bars").reused


def test_every_version_and_dataset_has_its_own_record(workspace, make_dataset, make_version, rows):
    first, second = make_dataset(test=rows(5)), make_dataset(test=rows(6))
    package = make_version(dataset=first)
    make_version(0.9, dataset=first)
    evaluate(workspace, "bars@1")
    assert not evaluate(workspace, "bars@2").reused
    assert not evaluate(workspace, "bars@1", second).reused
    assert not evaluate(workspace, "bars@1", split="train").reused
    assert {(e.dataset, e.split) for e in stored(workspace.store, package)} == {
        (first, "test"),
        (second, "test"),
        (first, "train"),
    }


def test_bare_dataset_name_is_the_newest_version(workspace, make_dataset, make_version, rows):
    make_version(dataset=make_dataset(test=rows(5)))
    newest = make_dataset(test=rows(6))
    assert evaluate(workspace, "bars", "d").dataset == newest


def test_card_tells_the_scores(workspace, make_dataset, make_version, rows):
    package = make_version(dataset=make_dataset(test=rows(20)))
    assert "Not evaluated yet" in package.card()
    evaluate(workspace, "bars")
    card = package.card()
    assert "Not evaluated yet" not in card
    assert "source shop | cer" in card
    assert "| 20 |" in card
    package.verify()  # the card may change, the model may not


def test_unreadable_picture_counts_as_wrong_and_is_named(workspace, make_dataset, make_version):
    make_version(dataset=make_dataset(test=[("12", "a"), ("34", "broken")]))
    found = evaluate(workspace, "bars")
    assert found.primary.value == pytest.approx(2 / 4)
    (broken,) = [r for r in found.results if r.problem]
    assert (broken.truth, broken.answer, broken.confidence) == ("34", "", 0.0)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_tiny_and_empty_test_sets(workspace, make_dataset, make_version, rows, count):
    make_version(dataset=make_dataset(train=rows(3), test=rows(count)))
    found = evaluate(workspace, "bars")
    assert found.samples == count
    assert found.primary.value == 0


def test_training_pictures_in_a_foreign_test_set_are_counted(
    workspace, make_dataset, make_version, rows
):
    samples = rows(10)
    trained = make_dataset("mine", train=samples[:7], test=samples[7:])
    foreign = make_dataset("foreign", test=samples)
    make_version(dataset=trained)
    assert evaluate(workspace, "bars").seen == 0
    assert evaluate(workspace, "bars", foreign).seen == 7


def test_a_score_on_the_training_split_says_that_it_is_no_test(
    workspace, make_dataset, make_version, rows
):
    make_version(dataset=make_dataset(train=rows(7), test=rows(3)))
    assert evaluate(workspace, "bars", split="train").seen == 7


def test_order_and_neighbours_do_not_matter(
    workspace, make_dataset, make_version, rows, monkeypatch
):
    package = make_version(0.94, dataset=make_dataset(test=rows(40)))
    dataset = open_dataset(workspace.store, package.spec.dataset)
    whole = measure(package, dataset)
    monkeypatch.setattr(evaluate_module, "_BATCH", 3)
    pieces = measure(package, dataset)
    assert pieces.results == whole.results


def test_progress_counts_every_picture(workspace, make_dataset, make_version, rows):
    make_version(dataset=make_dataset(test=rows(30)))
    seen = []
    evaluate(workspace, "bars", advance=seen.append)
    assert sum(seen) == 30


def test_what_is_missing_is_named(workspace, make_dataset, make_version, rows):
    with pytest.raises(NotFound, match="no model 'bars'"):
        evaluate(workspace, "bars")
    make_version()
    with pytest.raises(NotFound, match="does not say what it was trained on"):
        evaluate(workspace, "bars")
    with pytest.raises(NotFound, match="no dataset 'nothing'"):
        evaluate(workspace, "bars", "nothing")


def test_model_and_dataset_must_be_of_one_task(workspace, make_dataset, rows):
    dataset = make_dataset(test=rows(3))
    spec = {**bars.spec(dataset=dataset), "task": "text"}
    publish(workspace.store, "lines", {"model.onnx": bars.model()}, spec, run="r")
    with pytest.raises(UserError, match="of task text"):
        evaluate(workspace, "lines")
