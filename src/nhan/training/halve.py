"""Halve the size of an exported model: large tables of weights are kept in float16.

Every such table is followed by a cast, so the arithmetic stays float32. ONNX Runtime carries the
casts out once, when it loads the model, and runs it as fast as before. What changes is the
rounding of the weights, by a part in two thousand.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Smaller tables (biases, scales) are left alone: they weigh nothing.
_LARGE = 1024
_HALF_MAX = float(np.finfo(np.float16).max)


def to_half_storage(model: bytes) -> bytes:
    """Keep the large float32 weights of an ONNX model in float16.

    Args:
        model: as `export_onnx` or `to_int8` wrote it.

    Returns:
        The same model; tables with a number beyond float16's range (65504) stay as they are.
    """
    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    casts = []
    for table in graph.initializer:
        if table.data_type != TensorProto.FLOAT or np.prod(table.dims) < _LARGE:
            continue
        numbers = numpy_helper.to_array(table)
        if np.abs(numbers).max() > _HALF_MAX:
            continue
        name = table.name
        stored = f"{name}/float16"
        table.CopyFrom(numpy_helper.from_array(numbers.astype(np.float16), stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(loaded)
    return bytes(loaded.SerializeToString())
