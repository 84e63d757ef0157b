"""Pictures in, answers out, without torch."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import bars
from nhan.errors import BadPicture, NotFound, PictureTooLarge
from nhan.images import PictureLimits
from nhan.models.package import BadPackage, publish
from nhan.models.predictor import Predictor


def test_reads_bytes_and_pixels_alike(make_version):
    predictor = Predictor.load(make_version())
    assert predictor.predict(bars.draw("0123456789")).value == "0123456789"
    assert predictor.predict(bars.pixels("907")).value == "907"


def test_answers_in_order_and_the_same_alone_and_among_others(make_version):
    predictor = Predictor.load(make_version(0.97))
    rng = np.random.default_rng(0)
    rows = ["".join(map(str, rng.integers(0, 10, rng.integers(1, 30)))) for _ in range(50)]
    alone = [Predictor.load(predictor.package).predict(bars.draw(row)) for row in rows[:5]]
    together = list(predictor.predict_many(map(bars.draw, rows)))
    assert together[:5] == alone
    assert [answer.value for answer in together] == rows


def test_threads_may_share_it(make_version):
    predictor = Predictor.load(make_version())
    rows = [str(number) for number in range(100, 300)]
    with ThreadPoolExecutor(4) as pool:
        assert [a.value for a in pool.map(predictor.predict, map(bars.draw, rows))] == rows


def test_bad_pictures_are_named(make_version):
    predictor = Predictor.load(make_version(), limits=PictureLimits(max_pixels=100))
    with pytest.raises(BadPicture):
        predictor.predict(b"no picture")
    with pytest.raises(PictureTooLarge):
        predictor.predict(bars.draw("123"))


def test_file_that_is_no_model_is_a_bad_package(store):
    package = publish(store, "bars", {"model.onnx": b"not onnx"}, bars.spec(), run="r")
    with pytest.raises(BadPackage, match=r"cannot load model\.onnx"):
        Predictor.load(package)


def test_unknown_task_is_named(store):
    spec = {**bars.spec(), "task": "melodies"}
    package = publish(store, "m", {"model.onnx": bars.model()}, spec, run="r")
    with pytest.raises(NotFound, match="melodies"):
        Predictor.load(package)


def test_model_cannot_reach_files_outside_its_package(store, tmp_path):
    """ONNX may point its weights at any path; such a model must not load."""
    (tmp_path / "secret.bin").write_bytes(np.ones(4, np.float32).tobytes())
    weights = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=str(tmp_path / "secret.bin"))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])],
        "g",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    package = publish(
        store, "bars", {"model.onnx": model.SerializeToString()}, bars.spec(), run="r"
    )
    with pytest.raises(BadPackage):
        Predictor.load(package)


def test_import_chain_has_no_torch():
    code = "import nhan.models.predictor, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
