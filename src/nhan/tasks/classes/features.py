"""Features of pictures, computed once and kept by content.

A feature's key is the hash of the prepared picture, in a folder named by the hash of the trunk:
the same picture, prepared and looked at in the same way, is never looked at twice, whichever
dataset version it is in.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from nhan.tasks.base import RGB
from nhan.tasks.classes.networks import ClassNetwork
from nhan.tasks.classes.prepare import Preparation
from nhan.tasks.learner import Samples

_log = logging.getLogger(__name__)

# Pictures that go through the trunk together; large ones fill memory, small ones waste a GPU.
_TOGETHER = 16
# Pictures after which what was computed is written, so that a run that is killed loses little.
_KEPT_EVERY = 512
# Raised whenever the same key would come with other numbers.
_FORMAT = 1


class Features:
    """Features in place of pictures: float32 (1, 1, features) and the label.

    Args:
        rows: float32 (samples, features).
        labels: in order.
    """

    def __init__(self, rows: NDArray[np.float32], labels: Sequence[str]) -> None:
        self.rows = rows
        self.labels = list(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[RGB, str]:
        # Shaped like a picture, so that whoever batches by size need not know; the learner tells
        # them apart by their type.
        return cast(RGB, self.rows[index][None, None]), self.labels[index]


def compute_features(
    network: ClassNetwork,
    preparation: Preparation,
    pictures: Samples,
    *,
    trunk: Any,
    cache: Path | None,
) -> Features:
    """Features of prepared pictures, from the cache where they are there.

    Args:
        network: on the device it runs on; put into evaluation mode.
        preparation: of the pictures.
        pictures: uint8 (size, size, 3) each.
        trunk: what the trunk is, JSON-able: part of the cache's key beside its weights.
        cache: a folder for features; None keeps nothing.
    """
    store = _Store(cache / _trunk_key(network, preparation, trunk) if cache else None)
    known = store.read()
    keys, labels, waiting = [], [], []
    for index in range(len(pictures)):
        picture, label = pictures[index]
        keys.append(hashlib.sha256(picture.tobytes()).digest())
        labels.append(label)
        if keys[-1] not in known:
            # Claimed now, so that a picture that is there twice is computed once.
            known[keys[-1]] = _NOTHING
            waiting.append(index)
    for start in range(0, len(waiting), _KEPT_EVERY):
        part = waiting[start : start + _KEPT_EVERY]
        rows = _look(network, preparation, [pictures[index][0] for index in part])
        fresh = dict(zip((keys[index] for index in part), rows, strict=True))
        store.write(fresh)
        known.update(fresh)
    rows = np.stack([known[key] for key in keys]) if keys else np.empty((0, 0), np.float32)
    return Features(rows, labels)


_NOTHING = np.empty(0, np.float32)


@torch.inference_mode()
def _look(
    network: ClassNetwork, preparation: Preparation, pictures: Sequence[RGB]
) -> NDArray[np.float32]:
    network.eval()
    device = next(network.parameters()).device
    parts = []
    for start in range(0, len(pictures), _TOGETHER):
        images = preparation.to_input(np.stack(pictures[start : start + _TOGETHER]))
        parts.append(network.features(torch.from_numpy(images).to(device)).float().cpu().numpy())
    return np.concatenate(parts)


def _trunk_key(network: ClassNetwork, preparation: Preparation, trunk: Any) -> str:
    """What the features of one prepared picture depend on."""
    facts = [_FORMAT, trunk, preparation.to_dict()]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for name, tensor in sorted(network.trunk_state().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:20]


class _Store:
    """Files of features in one folder, each written once: keys (n, 32) and rows (n, features)."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self) -> dict[bytes, NDArray[np.float32]]:
        found: dict[bytes, NDArray[np.float32]] = {}
        if self._folder and self._folder.exists():
            os.utime(self._folder)  # the date of its last use: whoever clears the cache goes by it
        for path in sorted(self._folder.glob("*.npz")) if self._folder else ():
            try:
                # Opened here: numpy leaves a damaged file open.
                with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                    keys, rows = kept["keys"], kept["rows"]
            except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
                # A power cut can leave a file short. What it held is computed again, under the
                # same name if the same pictures are new together.
                _log.warning("the cached features %s are damaged and left out: %s", path, error)
                continue
            found.update(zip((key.tobytes() for key in keys), rows, strict=True))
        return found

    def write(self, features: dict[bytes, NDArray[np.float32]]) -> None:
        if self._folder is None or not features:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        keys = np.stack([np.frombuffer(key, np.uint8) for key in features])
        name = hashlib.sha256(keys.tobytes()).hexdigest()[:16]
        temporary = self._folder / f".{name}.{os.getpid()}.npz"
        np.savez(temporary, keys=keys, rows=np.stack(list(features.values())))
        os.replace(temporary, self._folder / f"{name}.npz")
