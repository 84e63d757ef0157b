"""What the label doctor says of classes."""

from __future__ import annotations

import pytest

from nhan.tasks.classes import ClassesTask

TASK = ClassesTask()


def codes(found):
    return [(finding.code, finding.severity) for finding in found]


@pytest.mark.parametrize(
    ("label", "width", "height", "expected"),
    [
        ("daisy", 640, 480, []),
        ("3", 8, 8, []),  # handwritten digits really are that small
        ("daisy", 7, 300, [("tiny_picture", "warning"), ("elongated_picture", "warning")]),
        ("daisy", 1000, 200, [("elongated_picture", "warning")]),
        ("", 640, 480, [("bad_class_name", "error")]),
        (" daisy", 640, 480, [("class_name_mended", "info")]),
    ],
)
def test_one_label(label, width, height, expected):
    assert codes(TASK.check(label, width=width, height=height)) == expected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, []),
        ({"a": 50, "b": 60}, []),
        ({"a": 50}, [("one_class", "error")]),
        ({"a": 50, "b": 2}, [("class_too_small", "error"), ("class_imbalance", "warning")]),
        ({"a": 50, "b": 19}, [("class_small", "warning")]),
        ({"a": 500, "b": 50}, [("class_imbalance", "warning")]),
        ({"Hoa hồng": 50, "hoa_hong": 60, "cúc": 50}, [("class_names_alike", "warning")]),
    ],
)
def test_all_labels(counts, expected):
    assert codes(TASK.check_all(counts)) == expected


def test_findings_name_the_classes_and_what_to_do():
    (small, balance) = TASK.check_all({"daisy": 300, "roses": 4})
    assert "'roses' (4)" in small.message
    assert "300" in balance.message
    assert "class_weights" in balance.hint
