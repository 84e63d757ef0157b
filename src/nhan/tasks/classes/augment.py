"""Pictures changed at random, so that a network learns what stays the same.

Works on batches where they are trained on, CPU or GPU, and draws from torch's own generator, which
training seeds at every step: a resumed run draws the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Strength:
    """How much a picture may be changed.

    Attributes:
        area: the smallest share of the picture's area that is shown.
        stretch: the largest change of the sides' ratio, e.g. 0.1 for 10 %.
        turn: degrees to either side.
        mirror: whether left and right may change places.
        colour: largest relative change of contrast and saturation; brightness moves by as many
            deviations.
        hole: the largest share of a side that a grey square may cover.
    """

    area: float
    stretch: float
    turn: float
    mirror: bool
    colour: float
    hole: float


STRENGTHS: dict[str, Strength | None] = {
    "none": None,
    # Keeps what text-like and sided pictures mean: no mirror, small turns.
    "light": Strength(area=0.75, stretch=0.1, turn=10, mirror=False, colour=0.2, hole=0.0),
    # Photographs of things.
    "photo": Strength(area=0.35, stretch=0.3, turn=15, mirror=True, colour=0.4, hole=0.4),
}


@torch.no_grad()
def augment(images: Tensor, strength: Strength) -> Tensor:
    """A changed copy.

    Args:
        images: float32 (N, 3, H, W), normalised.
        strength: how much.
    """
    changed = _recolour(_warp(images, strength), strength)
    return _cover(changed, strength) if strength.hole else changed


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    return torch.empty(len(images), device=images.device).uniform_(low, high)


def _warp(images: Tensor, strength: Strength) -> Tensor:
    """Show a part of the picture, turned, stretched and perhaps mirrored."""
    draw: Callable[[float, float], Tensor] = lambda low, high: _uniform(images, low, high)  # noqa: E731
    side = draw(strength.area, 1.0).sqrt()
    ratio = torch.exp(draw(-1.0, 1.0) * math.log1p(strength.stretch) / 2)
    angle = draw(-1.0, 1.0) * math.radians(strength.turn)
    flip = torch.where(draw(0, 1) < 0.5, -1.0, 1.0) if strength.mirror else torch.ones_like(side)
    wide, high = side * ratio * flip, side / ratio
    # The part that is shown may lie anywhere within the picture.
    room = (1 - side).clamp_min(0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = torch.stack(
        (
            torch.stack((cos * wide, -sin * high, draw(-1, 1) * room), 1),
            torch.stack((sin * wide, cos * high, draw(-1, 1) * room), 1),
        ),
        1,
    )
    grid = functional.affine_grid(rows, list(images.shape), align_corners=False)
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def _recolour(images: Tensor, strength: Strength) -> Tensor:
    def factor() -> Tensor:
        return _uniform(images, 1 - strength.colour, 1 + strength.colour)[:, None, None, None]

    grey = images.mean(1, keepdim=True)
    coloured = grey + (images - grey) * factor()
    middle = coloured.mean((1, 2, 3), keepdim=True)
    return middle * factor() + (coloured - middle) * factor() + (factor() - 1)


def _cover(images: Tensor, strength: Strength) -> Tensor:
    """A square of the mean colour somewhere, on half of the pictures.

    Source: DeVries and Taylor 2017, Cutout.
    """
    height, width = images.shape[2:]
    half = _uniform(images, 0.0, strength.hole / 2) * (_uniform(images, 0, 1) < 0.5)
    y, x = _uniform(images, 0, 1), _uniform(images, 0, 1)
    rows = (torch.arange(height, device=images.device) + 0.5) / height
    columns = (torch.arange(width, device=images.device) + 0.5) / width
    inside_y = (rows[None] - y[:, None]).abs() < half[:, None]
    inside_x = (columns[None] - x[:, None]).abs() < half[:, None]
    covered = inside_y[:, None, :, None] & inside_x[:, None, None, :]
    return images.masked_fill(covered, 0.0)
