"""Batch normalisation that counts the whole batch, however many processes share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SharedBatchNorm(nn.BatchNorm2d):
    """PyTorch's own layer, whose training statistics are those of all processes together.

    Unlike `nn.SyncBatchNorm` it also runs on CPUs. In evaluation, and where one process trains, it
    is `nn.BatchNorm2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        if not self.training or not shared():
            return super().forward(x)
        count = x.new_tensor(x.shape[0] * x.shape[2] * x.shape[3], dtype=torch.float32)
        return self.normalise_together(x, count)

    def normalise_together(self, x: Tensor, count: Tensor) -> Tensor:
        """Normalise with the statistics of every process's map.

        Args:
            x: (N, C, H, W), zero where nothing counts.
            count: values of a channel that count, float32, one number.
        """
        values = x.float()
        sums = torch.cat([values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), count.view(1)])
        together = _Total.apply(sums)  # type: ignore[no-untyped-call]
        total, squares, counted = torch.split(together, [self.num_features] * 2 + [1])
        mean = total / counted
        variance = (squares / counted - mean * mean).clamp_min(0.0)
        unbiased = variance * (counted / (counted - 1).clamp_min(1))
        self.remember(mean.detach(), unbiased.detach())
        return self.apply_statistics(x, mean, variance)

    def apply_statistics(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Shift and scale (N, C, H, W) in its own precision."""
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        shape = (1, -1, 1, 1)
        return torch.addcmul(shift.to(x.dtype).view(shape), x, scale.to(x.dtype).view(shape))

    @torch.no_grad()
    def remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards a batch's."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class _Total(torch.autograd.Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        del ctx
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


_by_itself = False


@contextmanager
def by_itself() -> Iterator[None]:
    """Count this process's batches alone: what it tries while the others wait for it.

    They would never answer, and it would wait for them.
    """
    global _by_itself
    before, _by_itself = _by_itself, True
    try:
        yield
    finally:
        _by_itself = before


def shared() -> bool:
    """Whether several processes train together."""
    together = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    return together and not _by_itself
