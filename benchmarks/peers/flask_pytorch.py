"""The tutorial of PyTorch: Flask's own server and the network itself, as it was trained.

As "Deploying PyTorch in Python via a REST API with Flask" (docs.pytorch.org) has it.
"""

from __future__ import annotations

import os
from pathlib import Path

import flask
import torch

from nhan.images import decode
from nhan.models.package import Package
from nhan.models.predictor import load_reader
from nhan.training.checkpoint import load_checkpoint
from nhan.training.produce import WEIGHTS, learner_of

folder = Path(os.environ["BENCH_PACKAGE"])
reader = load_reader(Package.from_folder(folder))
network = learner_of(load_checkpoint(folder / WEIGHTS)).network.eval()
app = flask.Flask(__name__)


@app.post("/predict")
def predict() -> flask.Response:
    feeds = reader.inputs(decode(flask.request.files["file"].read()))
    with torch.inference_mode():
        outputs = [
            [
                output.numpy()
                for output in network(
                    torch.from_numpy(feed["image"]), torch.from_numpy(feed["width"])
                )
            ]
            for feed in feeds
        ]
    answer = reader.answer(outputs)
    return flask.jsonify(confidence=answer.confidence, **answer.details)


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]))
