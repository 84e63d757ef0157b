"""Parts of the new labels, and short trainings on them that leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_rounds import TINY, numbers

from nhan.datasets.freeze import freeze
from nhan.workspace import Workspace

pytest.importorskip("torch")


def test_parts_hold_all_that_was_known_and_more_and_more_of_what_is_new(
    loop: Workspace, add_lines: Callable[..., None]
) -> None:
    from nhan.pipeline.subsets import parts_of

    add_lines(numbers(0, 30))
    before = freeze(loop, "lines").dataset
    add_lines(numbers(100, 160))
    after = freeze(loop, "lines").dataset
    old = {row.sha256 for row in before.rows("train", pictures=False)}
    new = {row.sha256 for row in after.rows("train", pictures=False)} - old
    parts = parts_of(after, before.ref, loop)
    assert [part.count for part in parts] == [round(len(new) / 4), round(len(new) / 2), len(new)]
    assert parts[0].kept < parts[1].kept < parts[2].kept == old | new
    assert all(old <= part.kept for part in parts)
    assert len({part.version for part in parts}) == 3
    assert {row.sha256 for row in parts[0].rows("train")} == parts[0].kept
    assert sum(1 for _ in parts[0].rows("test")) == after.splits["test"]
    assert parts_of(after, after.ref, loop) == []
    assert parts_of(after, "", loop)[-1].count == after.splits["train"]


@pytest.mark.xdist_group("rounds")
def test_a_short_training_gives_a_point_and_leaves_nothing(
    loop: Workspace, add_lines: Callable[..., None]
) -> None:
    from nhan.pipeline.subsets import measured, parts_of
    from nhan.training.config import load_config

    add_lines(numbers(0, 40))
    dataset = freeze(loop, "lines").dataset
    part = parts_of(dataset, "", loop)[1]
    there = sorted(loop.root.rglob("*"))
    point = measured(loop, part, load_config(None, list(TINY)), "", "budget-x", lambda _: None)
    assert point.labels == part.count
    assert len(point.errors) == len(point.weights) == dataset.splits["test"]
    assert point.rate > 0
    left = [path for path in sorted(loop.root.rglob("*")) if path not in there]
    assert left in ([], [loop.root / "cache"])
