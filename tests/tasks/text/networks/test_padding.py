"""A picture's answer never depends on the padding or on the pictures beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nhan.tasks.text.decode import greedy
from nhan.tasks.text.networks import NETWORKS, build_network
from nhan.tasks.text.networks.base import Columns, LineNetwork, MaskedBatchNorm

CHARACTERS = "abcdefghijklmnopqrst"
SMALL = {
    "crnn": {"height": 32, "inner_dim": 16, "hidden": 12},
    "convgru": {"height": 24, "stem": 8, "channels": [12, 16], "blocks": [1, 1],
                "features": 16, "hidden": 12, "layers": 2},
    "svtr": {"height": 24, "stem": 8, "channels": [12, 16], "blocks": [1, 1],
             "features": 24, "heads": 3, "mixers": 2},
}  # fmt: skip


@pytest.fixture(params=sorted(NETWORKS))
def network(request: pytest.FixtureRequest) -> LineNetwork:
    """Every network, small, its batch statistics no longer the untrained zero and one."""
    torch.manual_seed(5)
    built, _ = build_network(request.param, len(CHARACTERS) + 1, SMALL[request.param])
    pictures = [torch.rand(3, built.height, width) for width in (40, 64, 90)]
    with torch.no_grad():
        for _ in range(20):
            built.train()(*pad(pictures))
        # Sharp and even-handed, so that greedy texts differ from picture to picture.
        built.head.weight *= 5
        log_probs, _ = built.eval()(*pad(random_pictures(built.height, 8, seed=9)))
        built.head.bias -= log_probs.mean(dim=(0, 1))
    return built


def pad(pictures: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    widths = torch.tensor([picture.shape[2] for picture in pictures])
    images = torch.zeros(len(pictures), 3, pictures[0].shape[1], int(widths.max()))
    for row, picture in enumerate(pictures):
        images[row, :, :, : picture.shape[2]] = picture
    return images, widths


def read(network: LineNetwork, pictures: list[torch.Tensor]) -> list[np.ndarray]:
    with torch.inference_mode():
        log_probs, steps = network(*pad(pictures))
    return [lines[:count].numpy() for lines, count in zip(log_probs, steps, strict=True)]


def random_pictures(height: int, count: int, seed: int = 0) -> list[torch.Tensor]:
    widths = np.random.default_rng(seed).integers(16, 400, count)
    generator = torch.Generator().manual_seed(seed)
    # Coarse patches rather than noise: noise looks the same everywhere to a convolution.
    coarse = [torch.rand(1, 3, 3, int(width) // 8, generator=generator) for width in widths]
    return [
        nn.functional.interpolate(patches, (height, int(width)))[0]
        for patches, width in zip(coarse, widths, strict=True)
    ]


def test_64_pictures_in_one_batch_read_as_each_alone(network: LineNetwork) -> None:
    pictures = random_pictures(network.height, 64)
    together = read(network, pictures)
    texts = set()
    for picture, beside in zip(pictures, together, strict=True):
        (alone,) = read(network, [picture])
        assert alone.shape == beside.shape == (network.steps(picture.shape[2]), network.classes)
        np.testing.assert_allclose(beside, alone, atol=1e-5, rtol=0)
        text = greedy(alone, CHARACTERS).text
        assert greedy(beside, CHARACTERS).text == text
        texts.add(text)
    assert len(texts) >= 3, "a network that says the same of everything would prove nothing"


def test_no_neighbour_changes_an_answer(network: LineNetwork) -> None:
    pictures = random_pictures(network.height, 6, seed=1)
    (alone,) = read(network, pictures[:1])
    neighbours = [
        torch.ones(3, network.height, 600),
        torch.full((3, network.height, 16), 1e3),
        *pictures[1:],
    ]
    for neighbour in neighbours:
        np.testing.assert_allclose(read(network, [pictures[0], neighbour])[0], alone, atol=1e-5)
        np.testing.assert_allclose(read(network, [neighbour, pictures[0]])[1], alone, atol=1e-5)


def test_gradients_come_from_pictures_only(network: LineNetwork) -> None:
    """Whatever stands in the padding, the loss and its gradient are those of the real columns."""
    pictures = random_pictures(network.height, 3, seed=2)
    images, widths = pad(pictures)
    images.requires_grad_(True)
    log_probs, steps = network.train()(images, widths)
    # Dropout would hide the effect of a neighbour behind its own.
    sum(lines[:count].sum() for lines, count in zip(log_probs, steps, strict=True)).backward()
    assert images.grad is not None
    for row, width in enumerate(widths.tolist()):
        assert images.grad[row, :, :, :width].abs().sum() > 0


def test_training_statistics_ignore_the_padding() -> None:
    """Like PyTorch's own layer over the real columns put side by side."""
    torch.manual_seed(0)
    lengths = torch.tensor([7, 3, 5])
    x = torch.randn(3, 4, 2, 7)
    masked, plain = MaskedBatchNorm(4).train(), nn.BatchNorm2d(4).train()
    columns = Columns(lengths, 7, padded=True)
    ours_in = x.clone().requires_grad_(True)
    side_by_side = torch.cat([x[row, :, :, :length] for row, length in enumerate(lengths)], 2)
    plain_in = side_by_side[None].clone().requires_grad_(True)

    ours = columns.clear(masked(1 * ours_in, columns))
    theirs = plain(plain_in)
    weights = torch.randn_like(theirs)
    (theirs * weights).sum().backward()
    start = 0
    total = torch.zeros(())
    for row, length in enumerate(lengths.tolist()):
        part = slice(start, start + length)
        torch.testing.assert_close(ours[row, :, :, :length], theirs[0, :, :, part])
        total = total + (ours[row, :, :, :length] * weights[0, :, :, part]).sum()
        start += length
    total.backward()

    torch.testing.assert_close(masked.running_mean, plain.running_mean)
    # PyTorch remembers the unbiased variance, n / (n - 1) times the one it divides by.
    count = int(lengths.sum()) * 2
    unbiased = (masked.running_var - 0.9) * count / (count - 1) + 0.9
    torch.testing.assert_close(unbiased, plain.running_var)
    torch.testing.assert_close(masked.weight.grad, plain.weight.grad)
    assert ours_in.grad is not None
    assert plain_in.grad is not None
    torch.testing.assert_close(ours_in.grad[1, :, :, :3], plain_in.grad[0, :, :, 7:10])
    assert not ours_in.grad[1, :, :, 3:].any()
