from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from nhan.errors import JobFailed, NotFound
from nhan.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    to_bytes,
)


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)
    step(network, optimizer)
    return network, optimizer


def step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    generator = torch.Generator().manual_seed(1)
    optimizer.zero_grad()
    network(torch.randn(8, 3, generator=generator)).square().sum().backward()
    optimizer.step()


def test_what_is_loaded_continues_as_what_was_saved(tmp_path: Path) -> None:
    network, optimizer = trained()
    saved = Checkpoint(
        dict(network.state_dict()),
        {"position": {"seen": 8}, "vocabulary": {"charset": "ắ"}},
        average={"0.weight": torch.ones(4, 3)},
        optimizer=optimizer_tensors(optimizer, network),
    )
    save_checkpoint(tmp_path / "last.safetensors", saved)
    step(network, optimizer)

    loaded = load_checkpoint(tmp_path / "last.safetensors")
    assert loaded.facts == saved.facts
    assert torch.equal(loaded.best_weights["0.weight"], torch.ones(4, 3))
    other, _ = trained()
    other.load_state_dict(loaded.weights)
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1, fused=True)
    restore_optimizer(fresh, other, loaded.optimizer)
    step(other, fresh)
    for ours, theirs in zip(other.parameters(), network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("fused", [True, False])
def test_the_count_of_steps_lies_where_the_optimiser_reads_it(fused: bool) -> None:
    trained_network, optimizer = trained()
    tensors = optimizer_tensors(optimizer, trained_network)
    # Stands in for a GPU: what is not there only moves to it, and nothing computes.
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).to("meta")
    there = torch.optim.AdamW(network.parameters(), lr=0.1)
    for group in there.param_groups:
        group["fused"] = fused
    restore_optimizer(there, network, tensors)
    for state in there.state.values():
        assert state["step"].device.type == ("meta" if fused else "cpu")
        assert state["exp_avg"].device.type == "meta"


def test_a_write_that_dies_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, Checkpoint({"w": torch.zeros(2)}, {"n": 1}))

    def die(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, Checkpoint({"w": torch.ones(2)}, {"n": 2}))
    assert load_checkpoint(path).facts == {"n": 1}


def test_half_precision_is_half_the_size() -> None:
    checkpoint = Checkpoint({"w": torch.rand(1000), "n": torch.tensor(3)}, {})
    assert len(to_bytes(checkpoint, half=True)) < 0.6 * len(to_bytes(checkpoint))


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = tmp_path / "bomb.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(JobFailed, match="not a checkpoint"):
        load_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="absent"):
        load_checkpoint(tmp_path / "absent.safetensors")
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(JobFailed, match="foreign"):
        load_checkpoint(tmp_path / "foreign.safetensors")
