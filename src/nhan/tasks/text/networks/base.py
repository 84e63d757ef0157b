"""What every line network is, and the masks that make padding invisible.

A batch holds pictures of different widths, padded on the right with zeros. Three things would let
the padding, and so the neighbours, change an answer: convolutions that reach past a picture's
edge, batch statistics that count padded columns, and recurrence or attention that runs over them.
`Columns` knows which columns are real at each stride; the layers here use it to set the padding
back to zero after every layer, which is exactly what a picture alone sees beyond its edge.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from nhan.tasks.norm import SharedBatchNorm, shared


class NetworkOptions(BaseModel):
    """The numbers that shape a network; saved with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LineNetwork(nn.Module, ABC):
    """Reads prepared lines; the answer to a picture never depends on its neighbours.

    Attributes:
        height: rows of the prepared pictures.
        classes: outputs per step, the blank (class 0) among them.
    """

    height: int
    classes: int

    @abstractmethod
    def steps(self, width: int) -> int:
        """How many steps a picture of this prepared width gives; may be below 1 if too narrow."""

    @abstractmethod
    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """Read a batch.

        Args:
            images: float32 (N, 3, height, W), RGB 0..1, zero to the right of each picture.
            widths: int64 (N,), true widths in pixels, all at least 1 and one of them W.

        Returns:
            Log-probabilities, float32 (N, T, classes), and the steps that count, int64 (N,).
            Log-probabilities beyond a picture's steps mean nothing.
        """

    @property
    @abstractmethod
    def head(self) -> nn.Linear:
        """The last layer: one row per class, so that a larger charset can keep learned rows."""


class Columns:
    """Which columns of a feature map are picture and which are padding.

    Attributes:
        lengths: int64 (N,), real columns of each picture.
        width: columns of the map.
        mask: float32 (N, 1, 1, width), 1 over pictures and 0 over padding; None where there is
            no padding at all, so that equal-width batches cost nothing.
    """

    def __init__(self, lengths: Tensor, width: int, *, padded: bool) -> None:
        self.lengths = lengths
        self.width = width
        self.mask: Tensor | None = None
        if padded:
            positions = torch.arange(width, device=lengths.device)
            self.mask = (positions < lengths[:, None]).to(torch.float32)[:, None, None]
        self._strided: Columns | None = None

    @classmethod
    def of(cls, images: Tensor, widths: Tensor) -> Columns:
        """The columns of a batch of pictures."""
        # A graph is traced with one picture but will run on padded batches: always mask there.
        padded = _tracing() or bool((widths != images.shape[-1]).any())
        return cls(widths, images.shape[-1], padded=padded)

    def strided(self) -> Columns:
        """After a padded convolution of width 3 that takes every second column: ceil(n / 2)."""
        if self._strided is None:
            self._strided = Columns(
                (self.lengths + 1) // 2, (self.width + 1) // 2, padded=self.mask is not None
            )
        return self._strided

    def pooled(self) -> Columns:
        """After pooling pairs of columns: floor(n / 2); an odd last column is dropped."""
        return Columns(self.lengths // 2, self.width // 2, padded=self.mask is not None)

    def shortened(self) -> Columns:
        """After an unpadded convolution two columns wide: n - 1."""
        return Columns(self.lengths - 1, self.width - 1, padded=self.mask is not None)

    def clear(self, x: Tensor) -> Tensor:
        """Set the padding of a feature map (N, C, H, width) to zero."""
        return x if self.mask is None else x * self.mask.to(x.dtype)

    def clear_(self, x: Tensor) -> Tensor:
        """The same in place, for what no gradient needs: the outcome of a convolution or norm."""
        return x if self.mask is None else x.mul_(self.mask.to(x.dtype))


class MaskedBatchNorm(SharedBatchNorm):
    """Batch normalisation whose training statistics count real columns only.

    Without padding, and in evaluation, this is PyTorch's own layer. With it, mean and variance
    come from sums over all columns of the cleared map, corrected for how many of them are real;
    where several processes train together, of the cleared maps of all.
    """

    def forward(self, x: Tensor, columns: Columns | None = None) -> Tensor:
        """Normalise (N, C, H, W), a convolution's outcome: its padding is cleared in place.

        The padding of the result is not cleared.
        """
        if not self.training or columns is None:
            return super().forward(x)
        if shared():
            counted = columns.lengths.sum().to(torch.float32) * x.shape[2]
            return self.normalise_together(columns.clear_(x), counted)
        if columns.mask is None:
            return super().forward(x)
        cleared = columns.clear_(x)
        # Zeros add nothing to either sum, so only the counts differ.
        ratio = columns.width * len(x) / columns.lengths.sum().to(torch.float32)
        variance, mean = torch.var_mean(cleared.float(), dim=(0, 2, 3), correction=0)
        square = (variance + mean * mean) * ratio
        mean = mean * ratio
        variance = (square - mean * mean).clamp_min(0.0)
        self.remember(mean.detach(), variance.detach())
        return self.apply_statistics(cleared, mean, variance)


class ConvNorm(nn.Module):
    """Convolution, masked batch normalisation and, by default, ReLU; the padding is zero after it.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: rows and columns, odd.
        stride: of rows and columns, 1 or 2 each.
        groups: as in `nn.Conv2d`.
        active: whether ReLU follows.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
        active: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.norm = MaskedBatchNorm(outputs)
        self.active = active
        self._halves = stride[1] == 2

    def forward(self, x: Tensor, columns: Columns) -> tuple[Tensor, Columns]:
        """Map (N, C, H, W) and the columns it has afterwards."""
        if self._halves:
            columns = columns.strided()
        x = columns.clear_(self.norm(self.conv(x), columns))
        return functional.relu_(x) if self.active else x, columns


class Residual(nn.Module):
    """Two 3×3 convolutions around a shortcut (He et al. 2015)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels, active=False)

    def forward(self, x: Tensor, columns: Columns) -> tuple[Tensor, Columns]:
        """Same shape and columns out."""
        inner, _ = self.first(x, columns)
        inner, _ = self.second(inner, columns)
        return functional.relu_(x + inner), columns


class TrueLengthGRU(nn.Module):
    """A bidirectional GRU that runs over each picture's own steps only.

    The backward direction starts at the picture's last step, not at the padding's.

    Args:
        inputs: features per step.
        hidden: features per direction.
        layers: stacked layers.
    """

    def __init__(self, inputs: int, hidden: int, layers: int = 1) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, layers, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, columns: Columns) -> Tensor:
        """(N, T, inputs) to (N, T, 2 * hidden)."""
        if columns.mask is None:
            return self.gru(x)[0]  # type: ignore[no-any-return]
        return self._packed(x, columns) if _tracing() else self._reversed(x, columns)

    def _packed(self, x: Tensor, columns: Columns) -> Tensor:
        """Exports as one ONNX node that is told the lengths."""
        packed = nn.utils.rnn.pack_padded_sequence(
            x, columns.lengths, batch_first=True, enforce_sorted=False
        )
        output, _ = self.gru(packed)
        return nn.utils.rnn.pad_packed_sequence(output, batch_first=True)[0]

    def _reversed(self, x: Tensor, columns: Columns) -> Tensor:
        """The same numbers by reading each line's own steps backwards.

        On a CPU the gradient of a packed sequence fills a whole batch of zeros at every step: a
        third of the time that a training step took.
        """
        positions = torch.arange(x.shape[1], device=x.device)
        ends = columns.lengths[:, None]
        mirrored = torch.where(positions < ends, ends - 1 - positions, positions)

        def mirror(steps: Tensor) -> Tensor:
            return steps.gather(1, mirrored[..., None].expand_as(steps))

        weights = self.gru.all_weights  # per layer: forward, then backward
        for ahead, back in zip(weights[::2], weights[1::2], strict=True):
            x = torch.cat([_run(x, ahead), mirror(_run(mirror(x), back))], dim=2)
        return x


class LineDropout(nn.Module):
    """Hides the same features at every step of a line (Gal and Ghahramani 2016).

    Ordinary dropout draws a number per step and feature, which took as long on a CPU as a
    tenth of the whole training step.

    Args:
        share: of features hidden in training.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, features), unchanged in evaluation."""
        if not self.training or not self.share:
            return x
        kept = torch.rand(x.shape[0], 1, x.shape[2], device=x.device) >= self.share
        return x * (kept.to(x.dtype) / (1.0 - self.share))


def log_probabilities(logits: Tensor) -> Tensor:
    """Log-softmax in float32, whatever precision the layers ran in: CTC sums many small numbers."""
    return functional.log_softmax(logits.float(), dim=-1)


def _tracing() -> bool:
    """Whether an export is following the calls."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]


def _run(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """One direction of one GRU layer over (N, T, features)."""
    start = x.new_zeros(1, x.shape[0], weights[1].shape[1])
    output: Tensor = torch.gru(x, start, list(weights), True, 1, 0.0, False, False, True)[0]
    return output
