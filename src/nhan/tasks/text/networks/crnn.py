"""The baseline: a VGG-style extractor, one bidirectional GRU and CTC.

Source: Shi et al. 2015 (CRNN), in the small form of the reference system: channels d/8, d/4, d/2
and d, pooled 2×2, 2×2, 2×1 and 2×1, then a 2×2 convolution; rows are averaged.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from nhan.tasks.text.networks.base import (
    Columns,
    LineNetwork,
    MaskedBatchNorm,
    NetworkOptions,
    TrueLengthGRU,
    log_probabilities,
)


class CrnnOptions(NetworkOptions):
    """Shape of the baseline; the defaults give 1.1 M parameters."""

    height: int = Field(64, ge=32, le=256, description="input rows, pixels")
    inner_dim: int = Field(128, ge=8, multiple_of=8, description="channels of the last stage")
    hidden: int = Field(256, ge=8, description="GRU features per direction")


class Crnn(LineNetwork):
    """Convolutional recurrent network; one step per 4 pixels."""

    Options = CrnnOptions

    def __init__(self, options: CrnnOptions, classes: int) -> None:
        super().__init__()
        self.height = options.height
        self.classes = classes
        d = options.inner_dim
        self.stage1 = nn.Conv2d(3, d // 8, 3, padding=1)
        self.stage2 = nn.Conv2d(d // 8, d // 4, 3, padding=1)
        self.stage3 = nn.ModuleList(
            [nn.Conv2d(d // 4, d // 2, 3, padding=1), nn.Conv2d(d // 2, d // 2, 3, padding=1)]
        )
        self.stage4 = nn.ModuleList(
            [
                nn.Conv2d(d // 2, d, 3, padding=1, bias=False),
                nn.Conv2d(d, d, 3, padding=1, bias=False),
            ]
        )
        self.norms = nn.ModuleList([MaskedBatchNorm(d), MaskedBatchNorm(d)])
        self.last = nn.Conv2d(d, d, 2)
        self.recurrent = TrueLengthGRU(d, options.hidden)
        self.output = nn.Linear(2 * options.hidden, classes)

    def steps(self, width: int) -> int:
        """A quarter of the width, less the last convolution's one."""
        return width // 4 - 1

    @property
    def head(self) -> nn.Linear:
        return self.output

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        columns = Columns.of(images, widths)
        # Cleared after pooling, not before: what the padding holds only reaches pooled columns
        # that are padding themselves, or an odd last one, which pooling a picture alone drops.
        x, columns = self._pooled(self.stage1(images), 2, columns.pooled())
        x, columns = self._pooled(self.stage2(x), 2, columns.pooled())
        first, second = self.stage3
        x = functional.relu_(columns.clear_(first(x)))
        x, columns = self._pooled(second(x), (2, 1), columns)
        first, second = self.stage4
        before, after = self.norms
        x = functional.relu_(columns.clear_(before(first(x), columns)))
        x, columns = self._pooled(after(second(x), columns), (2, 1), columns)
        columns = columns.shortened()
        x = functional.relu_(columns.clear_(self.last(x)))
        sequence = x.mean(dim=2).transpose(1, 2)
        sequence = self.recurrent(sequence, columns)
        return log_probabilities(self.output(sequence)), columns.lengths

    @staticmethod
    def _pooled(x: Tensor, size: int | tuple[int, int], columns: Columns) -> tuple[Tensor, Columns]:
        """ReLU and max pooling, cleared to the columns that come out."""
        return columns.clear(functional.max_pool2d(functional.relu_(x), size)), columns
