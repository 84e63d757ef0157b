"""From a trained network to the file that answers, refused unless both say the same.

The exported graph is run by ONNX Runtime on real samples, each alone and all together in padded
batches, and compared with the trained network: the same answers, and scores that differ by no more
than rounding.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from nhan.errors import ExportRefused
from nhan.inference.session import open_for
from nhan.tasks.base import RGB, Feed
from nhan.tasks.learner import Batch, Learner
from nhan.training.loader import Pictures

# The first with LayerNormalization; every ONNX Runtime we support has it.
OPSET = 17
# Two correct programs add float32 numbers in different orders: measured differences are below
# 5e-6, and a wrong mask or a wrong length shows above 1e-1.
TOLERANCE = 1e-3
# Samples compared where more are given, and how many of them share a padded batch.
_COMPARED = 64
_TOGETHER = 8


@dataclass(frozen=True)
class Agreement:
    """How the exported model compares with the trained one.

    Attributes:
        samples: compared.
        max_difference: the largest difference between two scores, over all samples.
        different: samples with another answer.
    """

    samples: int
    max_difference: float
    different: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class Session(Protocol):
    """Whatever runs an exported network; ONNX Runtime's session is one."""

    def run(self, names: None, feed: Feed) -> Sequence[NDArray[Any]]:
        """Every output, in the model's own order."""


def to_onnx(learner: Learner, example: Batch) -> bytes:
    """Write the network as ONNX with dynamic batch and width.

    Args:
        learner: on the CPU; its network is put into evaluation mode.
        example: any batch; its sizes do not matter.
    """
    described = learner.exportable()
    inputs = tuple(torch.from_numpy(value) for value in learner.feed(example).values())
    with (
        tempfile.NamedTemporaryFile(suffix=".onnx") as written,
        warnings.catch_warnings(),
        _quiet_stderr(),
        torch.no_grad(),
    ):
        # The tracing exporter is called deprecated, yet the newer one neither knows packed
        # sequences nor runs without another package.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            described.module,
            inputs,
            written.name,
            input_names=list(described.inputs),
            output_names=list(described.outputs),
            dynamic_axes={name: dict(axes) for name, axes in described.dynamic.items()},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(written.name)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def open_onnx(model: bytes) -> onnxruntime.InferenceSession:
    """A session on one thread for padded batches: the graph as it is written."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compare(
    learner: Learner, session: Session, pictures: Pictures, *, alone: Session | None = None
) -> Agreement:
    """Run trained and exported network on the same samples, alone and in padded batches.

    Args:
        learner: trained, on the CPU.
        session: runs what was exported.
        pictures: real prepared samples.
        alone: runs single samples, where another graph is used for them.
    """
    learner.network.eval()
    count = min(len(pictures), _COMPARED)
    worst, different = 0.0, 0
    for start in range(0, count, _TOGETHER):
        samples = [pictures[index] for index in range(start, min(start + _TOGETHER, count))]
        together = _exported(learner, session, _batch(learner, samples))
        for sample, beside in zip(samples, together, strict=True):
            batch = _batch(learner, [sample])
            (truth,) = _trained(learner, batch)
            (single,) = _exported(learner, alone or session, batch)
            different += len({truth[0], beside[0], single[0]}) > 1
            worst = max(worst, _gap(truth[1], beside[1]), _gap(truth[1], single[1]))
    return Agreement(count, worst, different)


def prove(
    learner: Learner,
    session: Session,
    pictures: Pictures,
    *,
    name: str,
    hint: str,
    alone: Session | None = None,
) -> Agreement:
    """Compare, and refuse what disagrees.

    Args:
        learner: trained, on the CPU.
        session: runs what was exported.
        pictures: real prepared samples.
        alone: runs single samples, where another graph is used for them.
        name: of what was exported, for the message.
        hint: what to do where it disagrees.

    Raises:
        ExportRefused: an answer differs, or a score by more than `TOLERANCE`.
    """
    agreement = compare(learner, session, pictures, alone=alone)
    if agreement.different or not agreement.max_difference <= TOLERANCE:
        raise ExportRefused(
            f"{name} disagrees with the trained network: {agreement.different} of "
            f"{agreement.samples} answers differ, scores by up to {agreement.max_difference:.2g}",
            hint=hint,
        )
    return agreement


def need_samples(pictures: Pictures, *, name: str, hint: str) -> None:
    """Refuse to export what nothing can be compared on.

    Raises:
        ExportRefused: there is not one sample.
    """
    if not len(pictures):
        raise ExportRefused(f"there are no samples to compare {name} on", hint=hint)


def export_onnx(learner: Learner, pictures: Pictures) -> tuple[bytes, Agreement]:
    """Write the network as ONNX and prove that it says what the network says.

    Args:
        learner: trained, on the CPU.
        pictures: real prepared samples, at least one.

    Raises:
        ExportRefused: an answer differs, or a score by more than `TOLERANCE`.
    """
    name = "the exported model"
    need_samples(pictures, name=name, hint="give the dataset a validation split")
    model = to_onnx(learner, _batch(learner, [pictures[0], pictures[len(pictures) - 1]]))
    hint = "train in float32, or report the versions of torch and onnxruntime"
    agreement = prove(
        learner,
        open_onnx(model),
        pictures,
        name=name,
        hint=hint,
        alone=open_for(learner, model),
    )
    return model, agreement


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what C++ code writes to the error stream: the tracer's advice has no other switch."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


_Said = tuple[str, NDArray[np.float32]]


def _batch(learner: Learner, samples: Sequence[tuple[RGB, str]]) -> Batch:
    pictures, labels = zip(*samples, strict=True)
    return learner.batch(pictures, labels, training=False)


@torch.inference_mode()
def _trained(learner: Learner, batch: Batch) -> list[_Said]:
    outputs = learner.network(*batch.inputs)
    tensors = outputs if isinstance(outputs, tuple) else (outputs,)
    return learner.read([tensor.numpy() for tensor in tensors])


def _exported(learner: Learner, session: Session, batch: Batch) -> list[_Said]:
    return learner.read(session.run(None, learner.feed(batch)))


def _gap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one - other).max(initial=0))
