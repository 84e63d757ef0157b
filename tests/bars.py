"""A task small enough to know by heart, for tests of everything that works with any task.

A picture is a row of grey bars, each 8 px wide; bar brightness 0, 25, … 225 spells the digits
0 … 9. The model multiplies the brightness by a gain: at 1 it reads all right, at 0.94 it takes
9 for 8, at 0.93 it also takes 8 for 7, and so on down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nhan.errors import BadLabel, MissingExtra
from nhan.images import RGB, encode_png
from nhan.tasks.base import Answer, Confusion, Feed, Finding, Outputs, Rate, Task

BAR = 8
STEP = 25


def draw(digits: str, *, height: int = 16) -> bytes:
    """The picture of a row of digits, PNG."""
    return encode_png(pixels(digits, height=height))


def pixels(digits: str, *, height: int = 16) -> RGB:
    row = np.repeat([int(digit) * STEP for digit in digits], BAR).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (height, len(row), 3)).copy()


def model(gain: float = 1.0) -> bytes:
    """The network: image float32 (1, 3, H, W) in 0..1 → levels float32 (1, W / 8)."""
    scale = numpy_helper.from_array(np.float32(gain * 255 / STEP), "scale")
    axes = numpy_helper.from_array(np.array([1, 2], np.int64), "axes")
    squeeze = numpy_helper.from_array(np.array([1], np.int64), "one")
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["columns"], keepdims=0),
        helper.make_node("Unsqueeze", ["columns", "one"], ["row"]),
        helper.make_node("AveragePool", ["row"], ["bars"], kernel_shape=[BAR], strides=[BAR]),
        helper.make_node("Squeeze", ["bars", "one"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["levels"]),
    ]
    graph = helper.make_graph(
        nodes,
        "bars",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info("levels", TensorProto.FLOAT, [1, "bars"])],
        [scale, axes, squeeze],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def spec(**more: Any) -> dict[str, Any]:
    return {"task": "bars", "serve": "model.onnx", "prepare": {"scale": "1/255"}, **more}


class BarsReader:
    def inputs(self, rgb: RGB) -> list[Feed]:
        planes = rgb.transpose(2, 0, 1)[None].astype(np.float32) / 255
        return [{"image": planes}]

    def answer(self, outputs: Sequence[Outputs]) -> Answer:
        levels = np.concatenate([np.asarray(output[0])[0] for output in outputs])
        digits = np.clip(np.rint(levels), 0, 9).astype(int)
        text = "".join(map(str, digits))
        confidence = float(1 - 2 * np.abs(levels - np.rint(levels)).max(initial=0))
        return Answer(text, confidence, {"text": text})


class BarsTask(Task):
    name = "bars"
    primary = "cer"

    def normalise(self, label: str) -> str:
        if not label.isdigit():
            raise BadLabel(f"{label!r} is no row of digits")
        return label

    def vocabulary(self, labels: Iterable[str]) -> dict[str, Any]:
        return {"digits": "".join(sorted(set("".join(labels))))}

    def check(self, label: str, *, width: int, height: int) -> list[Finding]:
        return []

    def reader(self, spec: Mapping[str, Any]) -> BarsReader:
        return BarsReader()

    def rate(self, truth: str, answer: str) -> Rate:
        wrong = sum(a != b for a, b in zip(truth, answer, strict=False))
        return Rate(wrong + abs(len(truth) - len(answer)), len(truth))

    def score(self, truths: Sequence[str], answers: Sequence[str]) -> dict[str, float]:
        rates = [self.rate(t, a) for t, a in zip(truths, answers, strict=True)]
        right = sum(t == a for t, a in zip(truths, answers, strict=True))
        return {
            "cer": sum(r.errors for r in rates) / max(sum(r.weight for r in rates), 1),
            "exact": right / max(len(truths), 1),
        }

    def slices(self, truth: str) -> dict[str, str]:
        return {"length": "1-4" if len(truth) < 5 else "5+"}

    def confusions(
        self, truths: Sequence[str], answers: Sequence[str]
    ) -> dict[str, list[Confusion]]:
        counts = Counter(
            pair
            for truth, answer in zip(truths, answers, strict=True)
            for pair in zip(truth, answer, strict=False)
            if pair[0] != pair[1]
        )
        return {"digits": [Confusion(t, a, n) for (t, a), n in counts.most_common()]}

    def learner(self, vocabulary: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        raise MissingExtra("training bars", "train")
