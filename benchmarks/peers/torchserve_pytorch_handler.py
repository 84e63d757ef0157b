"""What TorchServe is made for: the network in PyTorch, as it was trained, in each worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from nhan.images import decode
from nhan.models.package import Package
from nhan.models.predictor import load_reader
from nhan.training.checkpoint import load_checkpoint
from nhan.training.produce import WEIGHTS, learner_of


class LineHandler:
    def initialize(self, context: Any) -> None:
        del context
        torch.set_num_threads(1)
        folder = Path(os.environ["BENCH_PACKAGE"])
        self.reader = load_reader(Package.from_folder(folder))
        self.network = learner_of(load_checkpoint(folder / WEIGHTS)).network.eval()

    def handle(self, rows: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        del context
        return [self.answer(bytes(row["file"])) for row in rows]

    @torch.inference_mode()
    def answer(self, picture: bytes) -> dict[str, Any]:
        outputs = []
        for feed in self.reader.inputs(decode(picture)):
            image, width = (torch.from_numpy(feed[name]) for name in ("image", "width"))
            outputs.append([output.numpy() for output in self.network(image, width)])
        answer = self.reader.answer(outputs)
        return {"confidence": answer.confidence, **answer.details}
