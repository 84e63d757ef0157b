"""One training on several devices of this machine: the same command in as many processes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nhan.models.package import Package
from nhan.models.registry import Registry
from nhan.training.config import TrainConfig
from nhan.training.launch import launch
from nhan.workspace import Workspace


def train_on_devices(
    workspace: Workspace,
    words: Sequence[str],
    devices: int,
    *,
    config: TrainConfig | None = None,
    show: bool = True,
) -> Package:
    """Run `nhan train WORDS` in several processes that share every batch.

    Args:
        workspace: where the dataset is and the model goes.
        words: what to train, as the command takes it.
        devices: processes.
        config: of the training; None where the words name a run that has one.
        show: draw progress bars.

    Returns:
        What they published.

    Raises:
        JobFailed, UserError: as `launch`.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["--workspace", str(workspace.root), "train", *words]
        if config is not None:
            file = Path(folder) / "config.json"
            file.write_text(json.dumps(config.model_dump(mode="json")), encoding="utf-8")
            command += ["--config", str(file)]
        if not show:
            command.append("--json")
        said = launch(command, devices)
    ref = said.strip()
    if not show:
        published = json.loads(said)
        ref = f"{published['model']}@{published['version']}"
    return Registry(workspace.store).resolve(ref)
