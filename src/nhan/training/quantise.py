"""Static int8 of an exported model, kept only where it costs next to no accuracy.

Weights are symmetric int8 per output channel, activations uint8 with ranges seen on real samples;
quantise and dequantise nodes stand around convolutions and products (QDQ). Recurrent layers stay in
float32: ONNX Runtime has no static int8 for them, and dynamic int8 was three times slower.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from nhan.inference.session import open_for
from nhan.tasks.base import Feed, Task
from nhan.tasks.learner import Learner
from nhan.training.loader import Pictures

# Samples whose activations set the ranges.
_CALIBRATED = 128
_OPERATIONS = ["Conv", "MatMul", "Gemm"]


@dataclass(frozen=True)
class Int8Loss:
    """What int8 costs.

    Attributes:
        metric: the task's primary one.
        float32, int8: its values on the same samples.
        samples: how many.
        kept: whether the loss is within the margin.
        split: whose samples they are.
    """

    metric: str
    float32: float
    int8: float
    samples: int
    kept: bool
    split: str = "validation"

    def describe(self) -> str:
        """A sentence for the card."""
        verdict = "kept" if self.kept else "not kept"
        return (
            f"{self.metric} {self.int8:.4f} in int8 against {self.float32:.4f} in float32 "
            f"on {self.samples} {self.split} samples: {verdict}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def to_int8(learner: Learner, model: bytes, pictures: Pictures) -> bytes:
    """Quantise an exported model.

    Args:
        learner: makes the feeds.
        model: as `export_onnx` wrote it.
        pictures: prepared samples, none of which is used for scoring later.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, ready, target = (Path(folder) / name for name in ("a.onnx", "b.onnx", "c.onnx"))
        source.write_bytes(model)
        # The quantiser writes its advice to the root logger.
        logging.disable(logging.WARNING)
        try:
            quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
            quantize_static(
                str(ready),
                str(target),
                _Feeds(learner, pictures),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATIONS,
                per_channel=True,
                # Seven bits: on processors without VNNI two products of eight overflow the 16 bits
                # they are added in. Measured on 510 lines: no worse than eight, and as fast.
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
        finally:
            logging.disable(logging.NOTSET)
        onnx.checker.check_model(str(target))
        return target.read_bytes()


def int8_loss(
    learner: Learner,
    task: Task,
    float32: bytes,
    int8: bytes,
    pictures: Pictures,
    *,
    margin: float,
    split: str = "validation",
) -> Int8Loss:
    """Score both on the same samples, each sample alone.

    Args:
        learner: makes feeds and reads outputs.
        task: whose primary metric counts.
        float32: the exported model.
        int8: the same, quantised.
        pictures: prepared samples.
        margin: how much worse int8 may be, absolute.
        split: whose samples they are, for the card.
    """
    truths = [pictures[index][1] for index in range(len(pictures))]
    before, after = (
        task.score(truths, list(_answers(learner, model, pictures)))[task.primary]
        for model in (float32, int8)
    )
    return Int8Loss(task.primary, before, after, len(truths), after - before <= margin, split)


def _answers(learner: Learner, model: bytes, pictures: Pictures) -> Iterator[str]:
    session = open_for(learner, model)
    for feed in _feeds(learner, pictures, len(pictures)):
        ((answer, _),) = learner.read(session.run(None, feed))
        yield answer


def _feeds(learner: Learner, pictures: Pictures, count: int) -> Iterator[Feed]:
    for index in range(min(count, len(pictures))):
        picture, label = pictures[index]
        yield learner.feed(learner.batch([picture], [label], training=False))


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, learner: Learner, pictures: Pictures) -> None:
        self._feeds = _feeds(learner, pictures, _CALIBRATED)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)
