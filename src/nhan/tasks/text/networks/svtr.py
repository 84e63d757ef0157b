"""A convolutional stem, blocks that mix along the line, and CTC; nothing recurrent.

Source: Du et al. 2022 (SVTR) and the light form of PP-OCRv3: local mixing by convolution first,
global mixing by attention after it. The rows are folded into channels before mixing, as attention
over rows and columns costs several times more on a CPU. Positions come from the depthwise
convolutions (Chu et al. 2021), so lines may be of any length.
"""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from nhan.tasks.text.networks.base import (
    Columns,
    LineDropout,
    LineNetwork,
    NetworkOptions,
    log_probabilities,
)
from nhan.tasks.text.networks.convgru import Stem, quarter_steps

# Added to the score of a padded step: exp(-1e4) is exactly zero in float32 and bfloat16.
_HIDDEN = -1e4


class SvtrOptions(NetworkOptions):
    """Shape of the network; the defaults give 1.8 M parameters."""

    height: int = Field(40, ge=16, le=128, multiple_of=8, description="input rows, pixels")
    stem: int = Field(32, ge=4, description="channels of the first convolution")
    channels: tuple[int, ...] = Field((64, 128), min_length=1, description="channels per stage")
    blocks: tuple[int, ...] = Field((2, 1), min_length=1, description="residual blocks per stage")
    features: int = Field(192, ge=8, description="features per step")
    mixers: int = Field(3, ge=1, description="mixing blocks")
    heads: int = Field(6, ge=1, description="attention heads")
    reach: int = Field(7, ge=3, description="steps a local mixing sees, odd")
    expansion: int = Field(2, ge=1, description="width of the inner layer over features")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of features hidden in training")

    @model_validator(mode="after")
    def _consistent(self) -> SvtrOptions:
        if len(self.channels) != len(self.blocks):
            raise ValueError("channels and blocks must name equally many stages")
        if self.features % self.heads or self.reach % 2 == 0:
            raise ValueError("features must divide by heads, and reach must be odd")
        return self


class Mixer(nn.Module):
    """Local mixing (depthwise convolution), global mixing (attention), then a two-layer network."""

    def __init__(self, options: SvtrOptions) -> None:
        super().__init__()
        d = options.features
        self.heads = options.heads
        self.local = nn.Conv1d(d, d, options.reach, padding=options.reach // 2, groups=d)
        self.norm_attention = nn.LayerNorm(d)
        self.query_key_value = nn.Linear(d, 3 * d)
        self.merge = nn.Linear(d, d)
        self.norm_inner = nn.LayerNorm(d)
        self.inner = nn.Sequential(
            nn.Linear(d, options.expansion * d),
            nn.SiLU(),
            nn.Linear(options.expansion * d, d),
        )
        self.dropout = LineDropout(options.dropout)

    def forward(self, x: Tensor, real: Tensor | None) -> Tensor:
        """Mix (N, T, d); `real` is (N, T, 1), 1 for steps of the picture, None if all are."""
        cleared = x if real is None else x * real
        x = x + self.local(cleared.transpose(1, 2)).transpose(1, 2)
        x = x + self.dropout(self._attend(self.norm_attention(x), real))
        mixed: Tensor = x + self.dropout(self.inner(self.norm_inner(x)))
        return mixed

    def _attend(self, x: Tensor, real: Tensor | None) -> Tensor:
        batch, steps, d = x.shape
        size = d // self.heads
        split = self.query_key_value(x).view(batch, steps, 3, self.heads, size)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.matmul(query * size**-0.5, key.transpose(2, 3))
        if real is not None:
            scores = scores + ((1.0 - real) * _HIDDEN).to(scores.dtype).view(batch, 1, 1, steps)
        mixed = torch.matmul(scores.softmax(dim=-1), value)
        merged: Tensor = self.merge(mixed.transpose(1, 2).reshape(batch, steps, d))
        return merged


class Svtr(LineNetwork):
    """Stem, mixers, CTC; one step per 4 pixels."""

    Options = SvtrOptions

    def __init__(self, options: SvtrOptions, classes: int) -> None:
        super().__init__()
        self.height = options.height
        self.classes = classes
        self.stem = Stem(options.height, options.stem, options.channels, options.blocks)
        self.fold = nn.Conv2d(options.channels[-1], options.features, (self.stem.rows, 1))
        self.mixers = nn.ModuleList(Mixer(options) for _ in range(options.mixers))
        self.norm = nn.LayerNorm(options.features)
        self.output = nn.Linear(options.features, classes)

    def steps(self, width: int) -> int:
        """A quarter of the width, rounded up."""
        return quarter_steps(width)

    @property
    def head(self) -> nn.Linear:
        return self.output

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        x, columns = self.stem(images, Columns.of(images, widths))
        sequence = functional.relu(self.fold(x)).squeeze(2).transpose(1, 2)
        real = None if columns.mask is None else columns.mask.view(*sequence.shape[:2], 1)
        for mixer in self.mixers:
            sequence = mixer(sequence, real)
        return log_probabilities(self.output(self.norm(sequence))), columns.lengths
