"""The processes that train together: one per device, on one machine or several.

Each is told its place by the variables that torchrun sets (`RANK`, `WORLD_SIZE`, `LOCAL_RANK` …);
a process without them trains alone. What they tell each other beside gradients travels as JSON or
as the bytes of a safetensors file, never as pickles.
"""

from __future__ import annotations

import atexit
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from nhan.training.checkpoint import Checkpoint, load_checkpoint

T = TypeVar("T")

# The others wait while the first exports and scores, or while a node prepares its pictures.
_PATIENCE = timedelta(hours=6)


@dataclass(frozen=True)
class Group:
    """This process's place among those that train together.

    Attributes:
        rank: 0 for the first, which alone writes files and logs.
        size: processes in all.
        local: number on this machine.
        machine_size: processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    machine_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def own(self, items: Sequence[T]) -> tuple[list[T], float]:
        """This process's part of a batch, and what its mean counts for.

        The mean over the group of (mean of the own part × weight) is the mean of the whole batch.
        A process for which nothing is left computes the first item without weight, because every
        process must take part in every step.
        """
        if self.size == 1:
            return list(items), 1.0
        mine = list(items[self.rank :: self.size])
        if not mine:
            return [items[0]], 0.0
        return mine, len(mine) * self.size / len(items)

    def tell(self, values: Any = None) -> Any:
        """What the first process says, JSON-able, in every process."""
        if self.size == 1:
            return values
        return json.loads(self._tell_bytes(json.dumps(values).encode()))

    def tell_checkpoint(self, path: Path | None) -> Checkpoint | None:
        """The checkpoint that the first process has at a path; None where it has none.

        Raises:
            NotFound, JobFailed: as `load_checkpoint`.
        """
        if self.size == 1:
            return None if path is None else load_checkpoint(path)
        data = b""
        if self.first and path is not None:
            load_checkpoint(path)
            data = path.read_bytes()
        data = self._tell_bytes(data)
        if not data:
            return None
        with tempfile.NamedTemporaryFile(suffix=".safetensors") as written:
            written.write(data)
            written.flush()
            return load_checkpoint(Path(written.name))

    def gather(self, values: Any) -> list[Any]:
        """What each process says, JSON-able, in the order of their ranks, in every process."""
        if self.size == 1:
            return [values]
        data = json.dumps(values).encode()
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(data)]))
        longest = max(int(size) for size in sizes)
        padded = torch.frombuffer(bytearray(data.ljust(longest)), dtype=torch.uint8)
        parts = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return [
            json.loads(part[: int(size)].numpy().tobytes())
            for part, size in zip(parts, sizes, strict=True)
        ]

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a detached number over the group."""
        if self.size == 1:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total / self.size

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process of each machine goes first, so that the others find its files."""
        if self.size == 1:
            yield
            return
        if self.local:
            dist.barrier()
        yield
        if not self.local:
            dist.barrier()

    def _tell_bytes(self, data: bytes) -> bytes:
        size = torch.tensor([len(data)])
        dist.broadcast(size, 0)
        if not int(size):
            return b""
        if self.first:
            told = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        else:
            told = torch.empty(int(size), dtype=torch.uint8)
        dist.broadcast(told, 0)
        return told.numpy().tobytes()


def launched() -> bool:
    """Whether this process was started as one of several, by us or by torchrun."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@cache
def current() -> Group:
    """The group of this process, joined when first asked for."""
    if not launched() or os.environ["WORLD_SIZE"] == "1":
        return Group()
    local = int(os.environ.get("LOCAL_RANK", 0))
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=_PATIENCE)
    atexit.register(_leave)
    size = dist.get_world_size()
    return Group(dist.get_rank(), size, local, int(os.environ.get("LOCAL_WORLD_SIZE", size)))


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
