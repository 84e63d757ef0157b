"""Looked at before the first hour is spent: can every sample be learned, and is anything learned?

Source of the second question: Karpathy 2019, "A Recipe for Training Neural Networks": a network
that cannot memorise one batch has a fault that no amount of data will mend.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from nhan.errors import JobFailed
from nhan.tasks.base import Finding
from nhan.tasks.learner import Learner
from nhan.tasks.norm import by_itself
from nhan.training.loader import Pictures
from nhan.training.prepared import Prepared
from nhan.training.schedule import parameter_groups

# Samples named in a message; the counts say how many there are.
_NAMED = 5
# A batch this small is memorised in seconds and still holds different labels.
_MEMORISED = 8
_MEMORISE_STEPS = 120
# The loss must fall to this share of its start within the steps, else something is broken.
_MEMORISE_SHARE = 0.5
# A network that starts from a trained one may know the batch already.
_LOW_ENOUGH = 0.5


@dataclass(frozen=True)
class Unfit:
    """A sample that cannot be learned."""

    sample: str
    code: str
    message: str


@dataclass
class Preflight:
    """What was found.

    Attributes:
        samples: looked at.
        fit: indices of those that can be learned.
        unfit: those that cannot, pictures that could not be read among them.
        loss_before, loss_after: of one batch, before and after trying to memorise it.
    """

    samples: int
    fit: list[int] = field(repr=False)
    unfit: list[Unfit]
    loss_before: float | None = None
    loss_after: float | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many samples are unfit, by reason."""
        return dict(Counter(entry.code for entry in self.unfit))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = asdict(self)
        values["fit"] = len(self.fit)
        return {**values, "counts": self.counts}

    def describe(self) -> str:
        """The reasons with their counts, and the first few samples by name."""
        reasons = ", ".join(f"{count} {code}" for code, count in sorted(self.counts.items()))
        named = "; ".join(f"{entry.sample[:12]}: {entry.message}" for entry in self.unfit[:_NAMED])
        return f"{len(self.unfit)} of {self.samples} samples cannot be learned ({reasons}): {named}"


def look_over(learner: Learner, pictures: Prepared) -> Preflight:
    """Find the samples that can be learned, and name those that cannot."""
    fit: list[int] = []
    unfit = [Unfit(name, "unreadable", reason) for name, reason in pictures.left_out]
    for index, (name, label) in enumerate(zip(pictures.names, pictures.labels, strict=True)):
        findings: list[Finding] = learner.check(label, width=pictures.width(index))
        if findings:
            unfit.append(Unfit(name, findings[0].code, findings[0].message))
        else:
            fit.append(index)
    return Preflight(len(pictures) + len(pictures.left_out), fit, unfit)


def memorise(learner: Learner, pictures: Pictures, *, lr: float = 2e-3) -> tuple[float, float]:
    """Try to learn one small batch by heart; the network is put back afterwards.

    Of processes that train together one does this, and the others wait.

    Args:
        learner: on the device it will train on.
        pictures: samples that can be learned.
        lr: learning rate of the attempt.

    Returns:
        The loss before and after.

    Raises:
        JobFailed: the loss hardly falls, so a long training would be wasted.
    """
    chosen = [pictures[index] for index in _spread(len(pictures), _MEMORISED)]
    images, labels = zip(*chosen, strict=True)
    network = learner.network
    device = next(network.parameters()).device
    batch = learner.batch(images, labels, training=True).to(device)
    held = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW(parameter_groups(network, 0.0), lr=lr)
    network.train()
    losses: list[float] = []
    try:
        for _ in range(_MEMORISE_STEPS):
            with by_itself():
                loss = learner.loss(batch)
            losses.append(float(loss.detach()))
            if losses[-1] <= losses[0] * _MEMORISE_SHARE:
                break
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
    finally:
        network.load_state_dict(held)
        network.zero_grad()
    if losses[-1] > losses[0] * _MEMORISE_SHARE and losses[-1] > _LOW_ENOUGH:
        raise JobFailed(
            f"the network does not memorise {len(chosen)} samples: its loss went from "
            f"{losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps",
            hint="look at the pictures and labels of the training split; `nhan audit` may help",
        )
    return losses[0], losses[-1]


def _spread(count: int, wanted: int) -> Sequence[int]:
    """Up to `wanted` indices, evenly over the set."""
    wanted = min(count, wanted)
    return [index * count // wanted for index in range(wanted)]
