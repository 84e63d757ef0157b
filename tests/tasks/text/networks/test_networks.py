"""The table of networks, their options and their sizes."""

from __future__ import annotations

import pytest
import torch

from nhan.errors import SettingsError
from nhan.tasks.text.charset import Charset
from nhan.tasks.text.networks import NETWORKS, build_network


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_defaults_are_small_enough_to_ship(name: str) -> None:
    network, _ = build_network(name, Charset().classes, {})
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters * 4 <= 10e6, "10 MB in float32"


def test_the_baseline_has_the_size_of_the_reference_system() -> None:
    network, options = build_network("crnn", Charset().classes, {})
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(1.1e6, rel=0.06)
    assert (network.height, options.model_dump()["inner_dim"]) == (64, 128)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_steps_are_what_the_network_gives(name: str) -> None:
    network, _ = build_network(name, 10, {})
    network.eval()
    for width in (16, 17, 18, 19, 33, 64):
        with torch.inference_mode():
            log_probs, steps = network(
                torch.rand(1, 3, network.height, width), torch.tensor([width])
            )
        assert log_probs.shape == (1, network.steps(width), 10)
        assert steps.tolist() == [network.steps(width)]
        assert torch.allclose(log_probs.exp().sum(-1), torch.ones(1), atol=1e-4)


def test_an_unknown_network_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match="vgg") as refused:
        build_network("vgg", 10, {})
    assert "crnn" in refused.value.hint


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="hiden") as refused:
        build_network("crnn", 10, {"hiden": 3})
    assert "hidden" in refused.value.hint


def test_contradicting_options_are_refused() -> None:
    with pytest.raises(SettingsError, match="equally many"):
        build_network("convgru", 10, {"channels": [8, 8], "blocks": [1]})
    with pytest.raises(SettingsError, match="divide"):
        build_network("svtr", 10, {"features": 25, "heads": 4})
