"""The usual Flask app around ONNX Runtime: Flask's own server, one session as it comes."""

from __future__ import annotations

import os
from pathlib import Path

import flask
import onnxruntime

from nhan.images import decode
from nhan.models.package import Package
from nhan.models.predictor import load_reader

folder = Path(os.environ["BENCH_PACKAGE"])
package = Package.from_folder(folder)
reader = load_reader(package)
session = onnxruntime.InferenceSession(str(folder / package.spec.serve))
app = flask.Flask(__name__)


@app.post("/predict")
def predict() -> flask.Response:
    feeds = reader.inputs(decode(flask.request.files["file"].read()))
    answer = reader.answer([session.run(None, feed) for feed in feeds])
    return flask.jsonify(confidence=answer.confidence, **answer.details)


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]))
