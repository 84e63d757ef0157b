"""A linear head, solved: no learning rate to choose, and its one penalty chosen on validation.

Over features that do not change, finding the best head is a convex problem. L-BFGS ends at its one
minimum in a second, so a whole row of penalties can be tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# From "hardly anything but the frequencies" to "hardly any penalty", in factors of about three.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)
_STEPS = 100
# Every so many-th sample chooses where there is no validation split.
_HELD_OUT = 5


@dataclass(frozen=True)
class Points:
    """Scaled features and what they are.

    Attributes:
        features: float32 (N, features).
        targets: int64 (N,).
    """

    features: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


def smoothed_loss(logits: Tensor, targets: Tensor, *, smoothing: float, weights: Tensor) -> Tensor:
    """How far answers are from smoothed targets: 0 is perfect, whatever the smoothing.

    The Kullback-Leibler divergence, which differs from cross-entropy by a constant: so a batch
    that is known by heart has a loss near 0, and losses of different smoothing compare.

    Args:
        logits: (N, classes).
        targets: int64 (N,).
        smoothing: share of each target spread over all classes, 0..1.
        weights: of each class, (classes,).

    Returns:
        Per sample, (N,), weighted.
    """
    log_probs = torch.log_softmax(logits.float(), dim=1)
    wanted = torch.full_like(log_probs, smoothing / log_probs.shape[1])
    wanted.scatter_add_(1, targets[:, None], torch.full_like(wanted[:, :1], 1 - smoothing))
    divergence = (torch.xlogy(wanted, wanted) - wanted * log_probs).sum(1)
    return divergence * weights[targets]


def solve_head(
    head: nn.Linear, learned: Points, judged: Points, *, smoothing: float, weights: Tensor
) -> float:
    """Set a head's weights.

    Args:
        head: changed in place.
        learned: what it learns from, scaled to mean 0 and deviation 1.
        judged: what chooses the penalty; where empty, every fifth learned sample is held out to
            choose, and then learned with the others.
        smoothing: of the targets.
        weights: of each class, (classes,).

    Returns:
        The penalty chosen.
    """
    shown = learned
    if not len(judged):
        held = torch.arange(len(learned)) % _HELD_OUT == _HELD_OUT - 1
        judged = Points(learned.features[held], learned.targets[held])
        shown = Points(learned.features[~held], learned.targets[~held])
    best_cost, best_penalty, best = float("inf"), PENALTIES[0], None
    for penalty in PENALTIES:
        # Each starts where the stronger penalty ended, so most take a few steps only.
        _minimise(head, shown, penalty, smoothing=smoothing, weights=weights)
        with torch.no_grad():
            # Without smoothing: what counts is how likely the truths are.
            costs = smoothed_loss(
                head(judged.features), judged.targets, smoothing=0.0, weights=weights
            )
            cost = float(costs.mean()) if len(judged) else 0.0
        if cost < best_cost:
            best_cost, best_penalty = cost, penalty
            best = {name: value.clone() for name, value in head.state_dict().items()}
    assert best is not None, "a cost is finite"
    head.load_state_dict(best)
    if shown is not learned:
        _minimise(head, learned, best_penalty, smoothing=smoothing, weights=weights)
    return best_penalty


def _minimise(
    head: nn.Linear, points: Points, penalty: float, *, smoothing: float, weights: Tensor
) -> None:
    optimizer = torch.optim.LBFGS(
        head.parameters(),
        max_iter=_STEPS,
        tolerance_grad=1e-5,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        losses = smoothed_loss(
            head(points.features), points.targets, smoothing=smoothing, weights=weights
        )
        loss = losses.mean() + penalty / 2 * head.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    optimizer.zero_grad()
