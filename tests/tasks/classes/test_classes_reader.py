"""From a picture to sorted scores, as `nhan.json` describes it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nhan.errors import SettingsError
from nhan.tasks.classes import ClassesTask
from nhan.tasks.classes.prepare import Preparation

SPEC = {
    "prepare": Preparation(size=16).to_dict(),
    "outputs": {"classes": ["cúc", "hồng", "tulip"]},
    "calibration": {"method": "temperature", "temperature": 2.0},
}


def answer(logits: list[float], **changes: object):
    reader = ClassesTask().reader({**SPEC, **changes})
    return reader.answer([[np.array([logits], np.float32)]])


def test_one_feed_of_the_prepared_picture(random_rgb):
    (feed,) = ClassesTask().reader(SPEC).inputs(random_rgb(40, 60))
    assert list(feed) == ["image"]
    assert feed["image"].shape == (1, 3, 16, 16)
    assert feed["image"].dtype == np.float32


def test_scores_are_sorted_and_add_up():
    said = answer([0.0, 4.0, 2.0])
    # softmax of (0, 2, 1): 0.0900, 0.6652, 0.2447
    assert said.value == said.details["label"] == "hồng"
    assert said.confidence == pytest.approx(0.66524, abs=1e-5)
    assert list(said.details["labels"]) == ["hồng", "tulip", "cúc"]
    assert sum(said.details["labels"].values()) == pytest.approx(1, abs=1e-5)
    json.dumps(said.details)


def test_equal_scores_keep_the_order_of_the_classes():
    assert list(answer([1.0, 1.0, 1.0]).details["labels"]) == ["cúc", "hồng", "tulip"]


def test_temperature_never_changes_the_answer_only_its_confidence():
    cold, hot = (
        answer([0.0, 4.0, 2.0], calibration={"method": "temperature", "temperature": t})
        for t in (0.5, 5.0)
    )
    assert list(cold.details["labels"]) == list(hot.details["labels"])
    assert cold.confidence > hot.confidence


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": {}}, "classes"),
        ({"outputs": {"classes": ["một"]}}, "1 classes"),
        ({"outputs": {"classes": ["a", "a"]}}, "1 of them different"),
        ({"prepare": {"size": 16, "future": 1}}, "future"),
    ],
)
def test_a_spec_that_cannot_be_read_is_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        ClassesTask().reader({**SPEC, **changes})


def test_reading_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from nhan.tasks import get_task; get_task('classes').reader("
        "{'prepare': {'size': 16}, 'outputs': {'classes': ['a', 'b']}}); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
