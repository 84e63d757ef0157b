"""Random changes: within bounds, repeatable, and never the mirror where sides mean something."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nhan.tasks.classes.augment import STRENGTHS, Strength, augment

STILL = Strength(area=1.0, stretch=0.0, turn=0.0, mirror=False, colour=0.0, hole=0.0)


def pictures(count: int = 64) -> torch.Tensor:
    """Bright on the left, dark on the right."""
    return torch.linspace(1, -1, 24).expand(count, 3, 24, 24).clone()


def test_no_strength_changes_nothing():
    images = torch.randn(4, 3, 16, 16)
    assert torch.allclose(augment(images, STILL), images, atol=1e-5)


@pytest.mark.parametrize("name", ["light", "photo"])
def test_changes_are_drawn_from_the_seed_alone(name):
    images = torch.randn(8, 3, 16, 16)
    before = images.clone()
    torch.manual_seed(7)
    first = augment(images, STRENGTHS[name])
    torch.manual_seed(7)
    assert torch.equal(first, augment(images, STRENGTHS[name]))
    assert not torch.allclose(first, augment(images, STRENGTHS[name]))
    assert torch.equal(images, before)
    assert torch.isfinite(first).all()


def sides(images: torch.Tensor) -> torch.Tensor:
    """Above 0 where the left half is the brighter."""
    return images[..., :12].mean((1, 2, 3)) - images[..., 12:].mean((1, 2, 3))


def test_light_never_mirrors_and_photo_does_half_the_time():
    torch.manual_seed(1)
    assert (sides(augment(pictures(), STRENGTHS["light"])) > 0).all()
    mirrored = (sides(augment(pictures(200), STRENGTHS["photo"])) < 0).float().mean()
    assert 0.35 < mirrored < 0.65


def test_holes_cover_a_part_of_about_half_the_pictures():
    torch.manual_seed(1)
    images = torch.ones(200, 3, 32, 32)
    covered = (augment(images, replace(STILL, hole=0.4)) == 0).float().mean((1, 2, 3))
    assert covered.max() < 0.4**2 + 0.05
    assert 0.3 < (covered > 0).float().mean() < 0.6
