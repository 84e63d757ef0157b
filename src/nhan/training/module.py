"""The Lightning module: one step of training for any learner."""

# ruff: noqa: ARG002  Lightning's hooks are given more than we use.
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import lightning
import torch
from torch import Tensor

from nhan.tasks.learner import Learner
from nhan.training.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer
from nhan.training.config import TrainConfig
from nhan.training.group import Group
from nhan.training.loader import Portion, Position
from nhan.training.schedule import AveragedWeights, learning_rate, parameter_groups


class TrainingModule(lightning.LightningModule):
    """Loss, optimiser, schedule and averaged weights.

    Attributes:
        group: the processes that train together.
        position: where in the data the run stands, after the last finished step.
        average: averaged weights; None where the config asks for none.
    """

    def __init__(
        self, learner: Learner, config: TrainConfig, total: int, group: Group | None = None
    ) -> None:
        super().__init__()
        self.group = group or Group()
        self.learner = learner
        self.network = learner.network
        self.config = config
        self.total = total
        self.position = Position()
        decay = config.optimizer.ema
        self.average = AveragedWeights(self.network, decay) if decay else None
        self.last_loss = float("nan")
        self._waiting: Checkpoint | None = None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        chosen = self.config.optimizer
        optimizer = torch.optim.AdamW(
            parameter_groups(self.network, chosen.weight_decay, slow=self.learner.pretrained()),
            lr=chosen.lr,
            betas=(0.9, chosen.beta2),
            fused=True,
        )
        if self._waiting is not None:
            restore_optimizer(optimizer, self.network, self._waiting.optimizer)
            self._waiting = None
        return optimizer

    def transfer_batch_to_device(
        self, batch: Portion, device: torch.device, dataloader_idx: int
    ) -> Portion:
        return replace(batch, batch=batch.batch.to(device, non_blocking=True))

    def training_step(self, batch: Portion, batch_idx: int) -> Tensor:
        # Dropout and augmentation depend on seed and position alone, so a resumed run draws the
        # same.
        place = (self.config.seed, self.position.seen, self.group.rank)
        # All devices' generators cost 7 % of a small network's step: the CPU's where it is all.
        seed = (torch.default_generator if self.device.type == "cpu" else torch).manual_seed
        seed(hash(place if self.group.rank else place[:2]) % 2**63)
        rate = learning_rate(self.config.optimizer, self.position.seen / self.total)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["rate"]
        loss = self.learner.loss(self.learner.augment(batch.batch)) * batch.weight
        self.last_loss = float(self.group.mean(loss.detach()))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Here and not by Lightning's option, which refuses PyTorch's fused optimisers.
        if self.config.optimizer.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimizer.clip)

    def finish_step(self, portion: Portion) -> None:
        """After the optimiser's step: move on and average."""
        self.position = portion.after
        if self.average is not None:
            self.average.update()

    @contextmanager
    def judged_weights(self) -> Iterator[None]:
        """Evaluation mode, with the averaged weights in place where there are any."""
        held = None
        if self.average is not None:
            held = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.network.load_state_dict(self.average.weights)
        self.network.eval()
        try:
            yield
        finally:
            self.network.train()
            if held is not None:
                self.network.load_state_dict(held)

    def checkpoint(self, facts: dict[str, Any]) -> Checkpoint:
        """Everything needed to go on from here."""
        updates = self.average.updates if self.average else 0
        return Checkpoint(
            weights=dict(self.network.state_dict()),
            facts={**facts, "position": vars(self.position), "updates": updates},
            average=dict(self.average.weights) if self.average else {},
            optimizer=optimizer_tensors(self.trainer.optimizers[0], self.network),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; the optimiser's state follows when Lightning makes it."""
        self.network.load_state_dict(checkpoint.weights)
        self.position = Position(**checkpoint.facts["position"])
        if self.average is not None and checkpoint.average:
            self.average.updates = checkpoint.facts["updates"]
            for name, value in checkpoint.average.items():
                self.average.weights[name].copy_(value)
        self._waiting = checkpoint
