"""What every network of classes is: a trunk, a scale and a linear head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class ClassNetwork(nn.Module, ABC):
    """Pictures to features, features to logits.

    Attributes:
        scale: brings features to mean 0 and deviation 1, once their statistics are known, so that
            one learning rate and one penalty suit the features of any trunk.
        head: features to logits.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.scale = Scale(features)
        self.head = nn.Linear(features, classes)

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """float32 (N, 3, size, size), normalised, to float32 (N, features)."""

    def classify(self, features: Tensor) -> Tensor:
        """float32 (N, features) to logits, float32 (N, classes)."""
        logits: Tensor = self.head(self.scale(features))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """float32 (N, 3, size, size), normalised, to logits, float32 (N, classes)."""
        return self.classify(self.features(images))

    def trunk_state(self) -> dict[str, Tensor]:
        """The weights that `features` depends on, by name."""
        own = ("scale.", "head.")
        return {k: v for k, v in self.state_dict().items() if not k.startswith(own)}

    def pretrained(self) -> Iterator[nn.Parameter]:
        """Parameters that came trained and are trained further, slowly."""
        return iter(())


class Scale(nn.Module):
    """Shift and divide features; does nothing until `fit`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.deviation

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Take mean and deviation of float32 (N, features); constant features stay as they are."""
        deviation, mean = torch.std_mean(features.double(), dim=0, correction=0)
        constant = deviation < 1e-6 * features.double().abs().mean().clamp_min(1e-12)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(constant, 1.0, deviation))
