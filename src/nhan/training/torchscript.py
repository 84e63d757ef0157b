"""The trained network as TorchScript, refused unless it says what the network says.

For servers that run PyTorch. The file is traced with one padded batch and holds for any batch and
width, because sizes are followed as values; that is proven on real samples like the ONNX file is.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from nhan.tasks.base import Feed
from nhan.tasks.learner import Learner
from nhan.training.export import Agreement, need_samples, prove
from nhan.training.loader import Pictures


class ScriptSession:
    """A TorchScript file, asked as an ONNX Runtime session is; on the CPU.

    Args:
        model: the file's bytes.
        inputs: names of what its `forward` takes, in order.
    """

    def __init__(self, model: bytes, inputs: Sequence[str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._module = torch.jit.load(io.BytesIO(model), map_location="cpu")  # type: ignore[no-untyped-call]
        self._inputs = tuple(inputs)

    @torch.inference_mode()
    def run(self, names: None, feed: Feed) -> list[NDArray[Any]]:
        """Every output, in the model's own order."""
        del names
        outputs = self._module(*(torch.from_numpy(feed[name]) for name in self._inputs))
        tensors = outputs if isinstance(outputs, tuple) else (outputs,)
        return [tensor.numpy() for tensor in tensors]


def to_torchscript(learner: Learner, pictures: Pictures) -> bytes:
    """Trace the network.

    Args:
        learner: on the CPU; its network is put into evaluation mode.
        pictures: prepared samples; the first and the last are traced with.
    """
    described = learner.exportable()
    chosen = [pictures[0], pictures[len(pictures) - 1]]
    images, labels = zip(*chosen, strict=True)
    feed = learner.feed(learner.batch(images, labels, training=False))
    example = tuple(torch.from_numpy(feed[name]) for name in described.inputs)
    written = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracer warns of every size it turns into a number; `export_torchscript` compares.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(described.module, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, written)
    return written.getvalue()


def export_torchscript(learner: Learner, pictures: Pictures) -> tuple[bytes, Agreement]:
    """Write the network as TorchScript and prove that it says what the network says.

    Args:
        learner: trained, on the CPU.
        pictures: real prepared samples, at least one.

    Raises:
        ExportRefused: an answer differs, or a score by more than `export.TOLERANCE`.
    """
    name = "the TorchScript file"
    hint = "import and freeze some labelled pictures of the task first"
    need_samples(pictures, name=name, hint=hint)
    model = to_torchscript(learner, pictures)
    session = ScriptSession(model, learner.exportable().inputs)
    hint = "export to ONNX instead, and report the version of torch"
    return model, prove(learner, session, pictures, name=name, hint=hint)
