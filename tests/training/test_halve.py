from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from nhan.training.halve import to_half_storage


def product(table: np.ndarray) -> bytes:
    """An ONNX model that multiplies a row by a table."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["row", "table"], ["out"])],
        "product",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, table.shape[0]])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, table.shape[1]])],
        [numpy_helper.from_array(table, "table")],
    )
    opset = helper.make_opsetid("", 17)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString())


def run(model: bytes, row: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {"row": row})
    return np.asarray(out)


def test_large_tables_take_half_the_room_and_say_nearly_the_same() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(64, 64)).astype(np.float32)
    row = rng.normal(size=(1, 64)).astype(np.float32)
    whole = product(table)
    half = to_half_storage(whole)
    assert len(half) < 0.55 * len(whole)
    np.testing.assert_allclose(run(half, row), run(whole, row), atol=0.01)
    # Computed in float32: exactly what rounded weights give.
    np.testing.assert_array_equal(
        run(half, row), run(product(table.astype(np.float16).astype(np.float32)), row)
    )


@pytest.mark.parametrize("table", [np.ones((8, 8), np.float32), np.full((64, 64), 1e6, np.float32)])
def test_small_tables_and_numbers_beyond_the_range_stay_as_they_are(table: np.ndarray) -> None:
    half = onnx.load_model_from_string(to_half_storage(product(table)))
    (kept,) = half.graph.initializer
    assert kept.data_type == TensorProto.FLOAT
