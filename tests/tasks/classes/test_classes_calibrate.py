"""One temperature makes class scores mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from nhan.errors import SettingsError
from nhan.tasks.base import Answer
from nhan.tasks.classes import ClassesTask
from nhan.tasks.classes.calibrate import Temperature, fit_temperature


def drawn(count: int = 4000, classes: int = 5, seed: int = 0):
    """Logits that are right as often as they say, and the classes drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, classes))
    chances = Temperature().probabilities(logits)
    truths = (chances.cumsum(1) > rng.random((count, 1))).argmax(1)
    return logits, truths


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_the_temperature_is_found(true):
    logits, truths = drawn()
    assert fit_temperature(logits * true, truths).value == pytest.approx(true, rel=0.08)


def test_faultless_answers_do_not_freeze_it():
    logits = np.eye(4).repeat(10, axis=0) * 3
    found = fit_temperature(logits, np.arange(4).repeat(10))
    assert 0.05 < found.value < 1


def test_no_samples_change_nothing():
    assert fit_temperature(np.empty((0, 3)), []).value == 1


def test_probabilities_add_up_however_large_the_logits():
    probabilities = Temperature(0.5).probabilities(np.array([[1e4, -1e4, 0.0]], np.float32))
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[0].tolist() == [1, 0, 0]


def test_a_task_calibrates_from_answers_and_says_what_it_gained():
    logits, truths = drawn(1000)
    names = [f"lớp {number}" for number in range(5)]
    answers = []
    for row in Temperature().probabilities(logits * 3):
        order = np.argsort(-row)
        labels = {names[index]: float(row[index]) for index in order}
        answers.append(Answer(names[order[0]], float(row.max()), {"labels": labels}))
    # One picture could not be read.
    table = ClassesTask().calibration(
        [*(names[truth] for truth in truths), "lớp 1"], [*answers, Answer("", 0.0)]
    )
    assert table["method"] == "temperature"
    assert table["temperature"] == pytest.approx(3, rel=0.15)
    assert table["ece_after"] < 0.05 < table["ece_before"]
    assert table["samples"] == 1000


def test_nothing_readable_is_not_calibrated():
    assert ClassesTask().calibration(["a"], [Answer("", 0.0)]) == {"method": "none"}


@pytest.mark.parametrize(
    "table", [{"method": "isotonic", "points": []}, {"method": "temperature", "temperature": 0}]
)
def test_what_this_version_cannot_do_is_refused(table):
    with pytest.raises(SettingsError, match="calibration"):
        Temperature.from_dict(table)
