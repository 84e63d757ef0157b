from __future__ import annotations

import pytest
import torch
from torch import nn

from nhan.training.config import OptimizerConfig
from nhan.training.schedule import AveragedWeights, learning_rate, parameter_groups


@pytest.mark.parametrize(
    ("schedule", "progress", "expected"),
    [
        # warm-up 0.1, lr 1, final 0.1
        ("cosine", 0.05, 0.5),  # half way up a straight line
        ("cosine", 0.1, 1.0),
        ("cosine", 0.55, 0.55),  # half way down: (1 + 0.1) / 2
        ("cosine", 1.0, 0.1),
        ("cosine", 1.2, 0.1),  # a last batch may pass the end
        ("one-cycle", 0.0, 0.04),  # 1 / 25
        ("one-cycle", 0.05, 0.52),  # (1 + 0.04) / 2
        ("one-cycle", 1.0, 0.1),
        ("constant", 0.05, 0.5),
        ("constant", 0.9, 1.0),
    ],
)
def test_learning_rate(schedule: str, progress: float, expected: float) -> None:
    config = OptimizerConfig(lr=1.0, warmup=0.1, final=0.1, schedule=schedule)  # type: ignore[arg-type]
    assert learning_rate(config, progress) == pytest.approx(expected)


def test_the_first_step_is_not_thrown_away() -> None:
    assert learning_rate(OptimizerConfig(lr=1.0), 0.0) > 0


def test_biases_and_norms_do_not_decay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    decayed, free = parameter_groups(network, 0.1)
    assert [p.shape for p in decayed["params"]] == [network[0].weight.shape]  # type: ignore[attr-defined]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert len(free["params"]) == 3  # type: ignore[arg-type]


def test_averaged_weights_follow_slowly_and_count_statistics_as_they_are() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.zeros_(network[0].weight)
    average = AveragedWeights(network, 0.9)
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[1].running_mean.fill_(7.0)
    average.update()
    # The first update keeps (1 + 1) / (10 + 1) of the old average.
    assert average.weights["0.weight"].item() == pytest.approx(1 - 2 / 11)
    assert average.weights["1.running_mean"].item() == 7.0
    for _ in range(500):
        average.update()
    assert average.weights["0.weight"].item() == pytest.approx(1.0)
