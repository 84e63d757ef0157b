from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_run

from nhan.errors import JobFailed
from nhan.tasks import get_task
from nhan.tasks.learner import Learner
from nhan.training.preflight import look_over, memorise
from nhan.training.prepared import prepared
from nhan.training.streamed import InMemory


@pytest.fixture
def learner() -> Learner:
    import torch

    torch.manual_seed(0)
    return get_task("text").learner({"charset": toy_run.LETTERS}, toy_run.MODEL)


def test_samples_that_cannot_be_learned_are_named_with_the_reason(
    learner: Learner, tmp_path: Path
) -> None:
    outside = toy_run.ToyRow(toy_run.draw("abz"), "abz", "1" * 64)
    long = toy_run.ToyRow(toy_run.draw("a"), "a" * 40, "2" * 64)
    broken = toy_run.ToyRow(b"", "a", "3" * 64)
    rows = [toy_run.row("abc"), outside, long, broken, toy_run.row("12")]
    pictures = prepared(rows, key=["x"], prepare=learner.preparer, preparation={}, cache=tmp_path)
    found = look_over(learner, pictures)
    assert found.samples == 5
    assert [pictures[index][1] for index in found.fit] == ["abc", "12"]
    assert found.counts == {"outside_charset": 1, "too_long": 1, "unreadable": 1}
    described = found.describe()
    for part in ("3 of 5", "111111111111", "'z'", "222222222222", "333333333333"):
        assert part in described


def test_one_batch_is_memorised_and_the_network_put_back(learner: Learner) -> None:
    stream = toy_run.ToyStream(1)
    samples = InMemory([(learner.preparer(p), t) for p, t in map(stream.sample, range(12))])
    held = {name: value.clone() for name, value in learner.network.state_dict().items()}
    before, after = memorise(learner, samples)
    assert after <= before / 2
    for name, value in learner.network.state_dict().items():
        assert (value == held[name]).all()


def test_a_network_that_learns_nothing_is_refused(learner: Learner) -> None:
    for parameter in learner.network.parameters():
        parameter.requires_grad_(False)
    learner.network.head.bias.requires_grad_(True)  # type: ignore[union-attr]
    blank = InMemory([(np.zeros((16, 64, 3), np.uint8), text) for text in ("abc", "12", "k h")])
    with pytest.raises(JobFailed, match="does not memorise 3 samples"):
        memorise(learner, blank, lr=1e-9)
