"""Learning rate and averaged weights as functions of how much has been seen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from nhan.training.config import OptimizerConfig

# What came trained is spoiled by the rate that fresh weights need.
_SLOW = 0.1


def learning_rate(config: OptimizerConfig, progress: float) -> float:
    """The learning rate at a point of the run.

    Args:
        config: shape and height.
        progress: 0 at the start, 1 at the end of the run.

    Returns:
        `cosine`: a linear rise to `lr` over the warm-up, then half a cosine down to `lr * final`.
        `one-cycle` (Smith 2018): the rise is half a cosine too, from `lr / 25`.
        `constant`: `lr` after the linear rise.
    """
    floor = config.lr * config.final
    if config.warmup and progress < config.warmup:
        rising = progress / config.warmup
        if config.schedule == "one-cycle":
            start = config.lr / 25
            return start + (config.lr - start) * (1 - math.cos(math.pi * rising)) / 2
        # Never quite zero, or the first batch would be thrown away.
        return config.lr * max(rising, 1e-3)
    if config.schedule == "constant":
        return config.lr
    falling = min(1.0, (progress - config.warmup) / (1 - config.warmup))
    return floor + (config.lr - floor) * (1 + math.cos(math.pi * falling)) / 2


def parameter_groups(
    network: nn.Module, weight_decay: float, *, slow: Iterable[nn.Parameter] = ()
) -> list[dict[str, Any]]:
    """Groups for an optimiser: matrices and kernels decay; biases and the scales of norms do not.

    Args:
        network: its parameters that need no gradient are left out.
        weight_decay: of those that decay.
        slow: those that learn at a tenth of the rate, in groups of their own.

    Returns:
        Each group's `rate` is its share of the learning rate.
    """
    slowly = {id(parameter) for parameter in slow}
    groups: list[dict[str, Any]] = []
    for rate in (1.0, _SLOW) if slowly else (1.0,):
        chosen = [
            parameter
            for parameter in network.parameters()
            if parameter.requires_grad and (id(parameter) in slowly) == (rate == _SLOW)
        ]
        decayed, free = [p for p in chosen if p.ndim > 1], [p for p in chosen if p.ndim <= 1]
        groups.append({"params": decayed, "weight_decay": weight_decay, "rate": rate})
        groups.append({"params": free, "weight_decay": 0.0, "rate": rate})
    return groups


class AveragedWeights:
    """An exponential moving average of a network's weights.

    Early on it forgets faster, min(decay, (1 + n) / (10 + n)), so that it is not mostly the
    untrained start. Batch-norm statistics, averages already, are copied.

    Args:
        network: whose weights are averaged; its present ones are the start.
        decay: share of the old average kept at each update.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network = network
        self._decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in _state(network).items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's present weights."""
        self.updates += 1
        keep = min(self._decay, (1 + self.updates) / (10 + self.updates))
        averaged: list[Tensor] = []
        present: list[Tensor] = []
        learned = dict(self._network.named_parameters())
        for name, value in _state(self._network).items():
            if name in learned:
                averaged.append(self.weights[name])
                present.append(value.detach())
            else:
                self.weights[name].copy_(value)
        torch._foreach_lerp_(averaged, present, 1 - keep)


def _state(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.state_dict(keep_vars=False))
