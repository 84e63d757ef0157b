"""A light residual convolutional stem, a bidirectional GRU and CTC: made for one CPU thread.

Resolution is given up early (a quarter in both directions after two convolutions) and plain 3×3
convolutions carry the work, because that is what ONNX Runtime runs fastest on a CPU; depthwise
blocks with a sixth of the arithmetic were not faster. Rows are folded into channels by one last
convolution instead of averaged, so that a mark above a letter and one below stay apart.
"""

from __future__ import annotations

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from nhan.tasks.text.networks.base import (
    Columns,
    ConvNorm,
    LineDropout,
    LineNetwork,
    NetworkOptions,
    Residual,
    TrueLengthGRU,
    log_probabilities,
)


class ConvGruOptions(NetworkOptions):
    """Shape of the network; the defaults give 1.3 M parameters."""

    height: int = Field(40, ge=16, le=128, multiple_of=8, description="input rows, pixels")
    stem: int = Field(32, ge=4, description="channels of the first convolution")
    channels: tuple[int, ...] = Field((64, 128), min_length=1, description="channels per stage")
    blocks: tuple[int, ...] = Field((2, 1), min_length=1, description="residual blocks per stage")
    features: int = Field(192, ge=8, description="features per step before the GRU")
    hidden: int = Field(192, ge=8, description="GRU features per direction")
    layers: int = Field(1, ge=1, le=4, description="stacked GRU layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of features hidden in training")

    @model_validator(mode="after")
    def _same_number_of_stages(self) -> ConvGruOptions:
        if len(self.channels) != len(self.blocks):
            raise ValueError("channels and blocks must name equally many stages")
        return self


class Stem(nn.Module):
    """Two strided convolutions, then stages of residual blocks, each halving the rows.

    One column out per 4 pixels in.

    Attributes:
        rows: rows of the last map.
    """

    def __init__(
        self, height: int, stem: int, channels: tuple[int, ...], blocks: tuple[int, ...]
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNorm(3, stem, stride=(2, 2))]
        self.rows = (height + 1) // 2
        before = stem
        for stage, (after, count) in enumerate(zip(channels, blocks, strict=True)):
            layers.append(ConvNorm(before, after, stride=(2, 2 if stage == 0 else 1)))
            layers.extend(Residual(after) for _ in range(count))
            self.rows = (self.rows + 1) // 2
            before = after
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, columns: Columns) -> tuple[Tensor, Columns]:
        """(N, 3, H, W) to (N, channels[-1], rows, ceil(W / 4)) and its columns."""
        for layer in self.layers:
            x, columns = layer(x, columns)
        return x, columns


def quarter_steps(width: int) -> int:
    """Steps after two strided convolutions: a quarter of the width, rounded up."""
    return ((width + 1) // 2 + 1) // 2


class ConvGru(LineNetwork):
    """Residual stem, GRU, CTC; one step per 4 pixels."""

    Options = ConvGruOptions

    def __init__(self, options: ConvGruOptions, classes: int) -> None:
        super().__init__()
        self.height = options.height
        self.classes = classes
        self.stem = Stem(options.height, options.stem, options.channels, options.blocks)
        self.fold = nn.Conv2d(options.channels[-1], options.features, (self.stem.rows, 1))
        self.dropout = LineDropout(options.dropout)
        self.recurrent = TrueLengthGRU(options.features, options.hidden, options.layers)
        self.output = nn.Linear(2 * options.hidden, classes)

    def steps(self, width: int) -> int:
        """A quarter of the width, rounded up."""
        return quarter_steps(width)

    @property
    def head(self) -> nn.Linear:
        return self.output

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        x, columns = self.stem(images, Columns.of(images, widths))
        sequence = functional.relu(self.fold(x)).squeeze(2).transpose(1, 2)
        sequence = self.recurrent(self.dropout(sequence), columns)
        return log_probabilities(self.output(self.dropout(sequence))), columns.lengths
