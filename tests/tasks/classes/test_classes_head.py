"""The solved head: the right minimum, the right penalty, a loss that is 0 for perfect answers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nhan.tasks.classes.head import Points, smoothed_loss, solve_head

ONES = torch.ones(3)


def test_loss_is_zero_for_the_smoothed_target_itself():
    wanted = torch.tensor([[0.8, 0.1, 0.1]])
    loss = smoothed_loss(wanted.log(), torch.tensor([0]), smoothing=0.3, weights=ONES)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_without_smoothing_it_is_cross_entropy():
    logits, targets = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    weights = torch.tensor([1.0, 2.0, 0.5])
    expected = nn.functional.cross_entropy(logits, targets, reduction="none") * weights[targets]
    assert torch.allclose(
        smoothed_loss(logits, targets, smoothing=0.0, weights=weights), expected, atol=1e-6
    )


def test_smoothing_changes_the_loss_by_a_constant_only():
    """So the gradient is that of PyTorch's own label smoothing."""
    logits = torch.randn(5, 3, requires_grad=True)
    targets = torch.tensor([0, 1, 2, 0, 1])
    smoothed_loss(logits, targets, smoothing=0.1, weights=ONES).mean().backward()
    ours = logits.grad.clone()
    logits.grad = None
    nn.functional.cross_entropy(logits, targets, label_smoothing=0.1).backward()
    assert torch.allclose(ours, logits.grad, atol=1e-6)


def clouds(count: int, features: int, seed: int, spread: float = 1.0) -> Points:
    """Three clouds of points along the first three of many features."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 3
    points = torch.randn(count, features, generator=generator) * spread
    points[torch.arange(count), targets] += 2.0
    return Points(points, targets)


def error(head: nn.Linear, points: Points) -> float:
    with torch.no_grad():
        return float((head(points.features).argmax(1) != points.targets).float().mean())


def test_the_penalty_suits_the_data():
    """Few points in many noisy features want a strong penalty; many in few want a weak one."""
    unseen_wide, unseen_narrow = clouds(600, 200, 9), clouds(600, 4, 9)
    wide, narrow = nn.Linear(200, 3), nn.Linear(4, 3)
    strong = solve_head(wide, clouds(60, 200, 1), clouds(90, 200, 2), smoothing=0, weights=ONES)
    weak = solve_head(narrow, clouds(900, 4, 1), clouds(300, 4, 2), smoothing=0, weights=ONES)
    assert strong >= 0.1 > weak
    assert error(wide, unseen_wide) < 0.5  # guessing: 0.67
    assert error(narrow, unseen_narrow) < 0.16


def test_without_validation_a_part_of_the_learned_chooses():
    head = nn.Linear(8, 3)
    nothing = Points(torch.empty(0, 8), torch.empty(0, dtype=torch.int64))
    assert solve_head(head, clouds(300, 8, 1), nothing, smoothing=0.1, weights=ONES) < 1.0
    assert error(head, clouds(300, 8, 5)) < 0.2


def test_class_weights_lift_a_rare_class():
    common = clouds(300, 3, 1, spread=1.5)
    rare = common.targets == 2
    keep = ~rare | (torch.arange(300) % 30 == 2)
    points = Points(common.features[keep], common.targets[keep])
    unseen = clouds(900, 3, 2, spread=1.5)
    only_rare = Points(unseen.features[unseen.targets == 2], unseen.targets[unseen.targets == 2])
    plain, balanced = nn.Linear(3, 3), nn.Linear(3, 3)
    solve_head(plain, points, unseen, smoothing=0, weights=ONES)
    solve_head(balanced, points, unseen, smoothing=0, weights=torch.tensor([0.7, 0.7, 7.0]))
    assert error(balanced, only_rare) < error(plain, only_rare) - 0.1
