"""Checkpoints: one safetensors file each, so nothing that is loaded can run code.

Tensors (weights, averaged weights, the optimiser's state) under prefixed names, everything else
as JSON in the header. Written beside the final name, flushed, and moved over it: at any moment
the file is the old checkpoint or the new one, whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nhan.errors import JobFailed, NotFound

_KEY = "nhan"
_WEIGHTS, _AVERAGE, _OPTIMIZER = "weights.", "average.", "optimizer."


@dataclass
class Checkpoint:
    """A moment of a run, or only its weights.

    Attributes:
        weights: the network's parameters and buffers.
        facts: JSON-able: task, options, vocabulary, position, scores so far.
        average: averaged weights; empty where none are kept.
        optimizer: state tensors as `parameter name/state name`.
    """

    weights: dict[str, Tensor]
    facts: dict[str, Any]
    average: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_weights(self) -> dict[str, Tensor]:
        """What is validated and exported: the averaged weights where there are any."""
        return self.average or self.weights


def to_bytes(checkpoint: Checkpoint, *, half: bool = False) -> bytes:
    """A checkpoint as the bytes of its file.

    Args:
        checkpoint: what to write.
        half: store weights in float16, half the size: enough to start another training from.
    """
    tensors = _tensors(checkpoint)
    if half:
        tensors = {k: v.half() if v.dtype == torch.float32 else v for k, v in tensors.items()}
    return save(tensors, metadata={_KEY: json.dumps(checkpoint.facts)})


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint under its final name in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as writing:
        writing.write(to_bytes(checkpoint))
        writing.flush()
        os.fsync(writing.fileno())
    os.replace(temporary, path)


def _tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {
        prefix + name: tensor.detach().cpu().contiguous()
        for prefix, group in (
            (_WEIGHTS, checkpoint.weights),
            (_AVERAGE, checkpoint.average),
            (_OPTIMIZER, checkpoint.optimizer),
        )
        for name, tensor in group.items()
    }


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        NotFound: no such file.
        JobFailed: not one of our checkpoints.
    """
    if not path.exists():
        raise NotFound(
            f"no checkpoint {path}",
            hint="nhan train DATASET begins a run; --resume RUN goes on with one",
        )
    checkpoint = Checkpoint({}, {})
    groups = {
        _WEIGHTS: checkpoint.weights,
        _AVERAGE: checkpoint.average,
        _OPTIMIZER: checkpoint.optimizer,
    }
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            checkpoint.facts.update(json.loads((opened.metadata() or {})[_KEY]))
            for key in opened.keys():  # noqa: SIM118  not a mapping
                for prefix, group in groups.items():
                    if key.startswith(prefix):
                        group[key.removeprefix(prefix)] = opened.get_tensor(key)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise JobFailed(
            f"{path} is not a checkpoint of nhan: {error}",
            hint="name a file that training or export wrote",
        ) from error
    return checkpoint


def optimizer_tensors(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """An optimiser's state by parameter name."""
    return {
        f"{name}/{key}": torch.as_tensor(value)
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` took."""
    parameters = dict(network.named_parameters())
    # PyTorch's fused kernels read the count of steps where the parameter is, the others on the CPU.
    beside = {
        parameter
        for group in optimizer.param_groups
        if group.get("fused") or group.get("capturable")
        for parameter in group["params"]
    }
    for key, tensor in tensors.items():
        name, _, state = key.rpartition("/")
        parameter = parameters[name]
        on_cpu = state == "step" and parameter not in beside
        kept = tensor.to("cpu" if on_cpu else parameter.device, copy=True)
        # Memory layout decides which kernel adds up, and so the last bits: keep the parameter's.
        if kept.shape == parameter.shape:
            kept = torch.empty_like(parameter).copy_(kept)
        optimizer.state[parameter][state] = kept
