"""A graph simplified for one picture says what the whole graph says of that picture."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nhan.inference.alone import for_one_picture
from nhan.inference.session import open_for
from nhan.tasks import get_task
from nhan.tasks.text.learner import TextLearner
from nhan.tasks.text.networks import NETWORKS
from nhan.training.export import open_onnx, to_onnx
from nhan.training.halve import to_half_storage
from nhan.training.quantise import to_int8
from nhan.training.streamed import InMemory

SMALL: dict[str, dict[str, Any]] = {
    "crnn": {"height": 32, "inner_dim": 16, "hidden": 12},
    "convgru": {"height": 16, "stem": 8, "channels": [16, 16], "blocks": [1, 0], "features": 24,
                "hidden": 24},
    "svtr": {"height": 16, "stem": 8, "channels": [16], "blocks": [1], "features": 24,
             "heads": 3, "mixers": 2},
}  # fmt: skip
NAMES = sorted(NETWORKS)


@cache
def learner_for(name: str) -> TextLearner:
    import torch

    torch.manual_seed(3)
    learner = get_task("text").learner(
        {"charset": "abc "}, {"network": name, "options": SMALL[name]}
    )
    assert isinstance(learner, TextLearner)
    return learner


def pictures(learner: TextLearner, count: int) -> list[NDArray[np.uint8]]:
    height, numbers = learner.network.height, np.random.default_rng(5)
    return [
        learner.preparer(numbers.integers(0, 256, (height, 40 + 17 * index, 3), dtype=np.uint8))
        for index in range(count)
    ]


@cache
def exported(name: str, kind: str = "float32") -> bytes:
    learner = learner_for(name)
    seen = pictures(learner, 6)
    model = to_onnx(learner, learner.batch(seen[:2], ["a", "b"], training=False))
    if kind == "int8":
        return to_int8(learner, model, InMemory([(picture, "a") for picture in seen]))
    return to_half_storage(model) if kind == "half" else model


@cache
def sessions(name: str, kind: str) -> tuple[Any, Any]:
    model = exported(name, kind)
    simple = for_one_picture(model, width="width", unpacked=True)
    return open_onnx(model), open_onnx(simple)


def operations(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_model_from_string(model).graph.node)


def feed(name: str, width: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    height = learner_for(name).network.height
    image = np.random.default_rng(seed).random((1, 3, height, width), dtype=np.float32)
    return {"image": image, "width": np.array([width], np.int64)}


@pytest.mark.parametrize("kind", ["float32", "half"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(width=st.integers(32, 700), seed=st.integers(0, 9))
def test_every_network_says_the_same_at_every_width(
    name: str, kind: str, width: int, seed: int
) -> None:
    whole, simple = (one.run(None, feed(name, width, seed)) for one in sessions(name, kind))
    assert simple[1].tolist() == whole[1].tolist()
    np.testing.assert_allclose(simple[0], whole[0], atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_int8_is_no_further_from_float32_than_with_all_its_roundings(name: str) -> None:
    truth, _ = sessions(name, "float32")
    whole, simple = sessions(name, "int8")
    gaps = np.zeros(2)
    for width in range(40, 300, 20):
        given = feed(name, width, seed=width)
        expected = truth.run(None, given)[0]
        for number, session in enumerate((whole, simple)):
            gaps[number] += np.abs(session.run(None, given)[0] - expected).mean()
    assert gaps[1] < 1.2 * gaps[0]
    assert gaps[0] > 0, "int8 rounds"


@pytest.mark.parametrize("name", NAMES)
def test_masks_and_their_roundings_are_gone(name: str) -> None:
    before = operations(exported(name))
    after = operations(for_one_picture(exported(name), width="width"))
    assert before["Less"]
    assert not after["Less"]
    assert after["Mul"] < before["Mul"]
    assert after["Conv"] == before["Conv"]
    assert after["GRU"] == before["GRU"]
    int8 = operations(exported(name, "int8"))
    rounded = operations(for_one_picture(exported(name, "int8"), width="width"))
    assert rounded["QuantizeLinear"] < int8["QuantizeLinear"]


def test_the_result_is_a_valid_model_with_the_same_inputs_and_outputs() -> None:
    for name in NAMES:
        for kind in ("float32", "half", "int8"):
            simple = for_one_picture(exported(name, kind), width="width", unpacked=True)
            onnx.checker.check_model(onnx.load_model_from_string(simple), full_check=True)
            whole, session = sessions(name, kind)
            assert [one.name for one in session.get_inputs()] == ["image", "width"]
            for one, other in zip(session.get_outputs(), whole.get_outputs(), strict=True):
                assert (one.name, one.shape, one.type) == (other.name, other.shape, other.type)


def test_recurrent_weights_may_be_left_unpacked() -> None:
    for kind in ("float32", "half", "int8"):
        model = exported("convgru", kind)
        packed = for_one_picture(model, width="width")
        unpacked = for_one_picture(model, width="width", unpacked=True)
        given = feed("convgru", 200)
        seen = [open_onnx(one) for one in (packed, unpacked)]
        assert [len(one.get_overridable_initializers()) for one in seen] == [0, 1]
        one, other = (session.run(None, given)[0] for session in seen)
        np.testing.assert_allclose(one, other, atol=1e-4)


MASK = [
    helper.make_node("Less", ["positions", "width"], ["real"]),
    helper.make_node("Cast", ["real"], ["mask"], to=TensorProto.FLOAT),
]


def number(name: str, value: float) -> onnx.TensorProto:
    """A constant as exporters write it."""
    return numpy_helper.from_array(np.array(value, np.float32), name)


def graph_of(
    nodes: list[onnx.NodeProto], tables: list[onnx.TensorProto], output: str = "turned"
) -> bytes:
    """`x` (1, W) and `width` (1,) in; out comes `y` with its sign turned.

    What makes an output always stays, so the node that is asked about must not be the last.
    """
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "one"], ["count"]),
            helper.make_node("Range", ["zero", "count", "step"], ["positions"]),
            *nodes,
            helper.make_node("Neg", ["y"], ["turned"]),
        ],
        "graph",
        [value("x", TensorProto.FLOAT, [1, "w"]), value("width", TensorProto.INT64, [1])],
        [value(output, TensorProto.FLOAT, None)],
        [
            helper.make_tensor("one", TensorProto.INT64, [], [1]),
            helper.make_tensor("zero", TensorProto.INT64, [], [0]),
            helper.make_tensor("step", TensorProto.INT64, [], [1]),
            *tables,
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def outcome(model: bytes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a graph and its simplified form make of five numbers."""
    given = {"x": np.arange(1, 6, dtype=np.float32)[None], "width": np.array([5], np.int64)}
    simple = for_one_picture(model, width="width")
    return tuple(open_onnx(one).run(None, given)[0] for one in (model, simple))  # type: ignore[return-value]


def test_other_comparisons_of_positions_stay() -> None:
    """Attention that must not look ahead compares positions with positions."""
    model = graph_of(
        [
            helper.make_node("Unsqueeze", ["positions", "last"], ["column"]),
            helper.make_node("Less", ["positions", "column"], ["earlier"]),
            helper.make_node("Cast", ["earlier"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["x", "mask"], ["y"]),
        ],
        [helper.make_tensor("last", TensorProto.INT64, [1], [1])],
    )
    whole, simple = outcome(model)
    assert not whole.all()
    np.testing.assert_array_equal(simple, whole)


def test_comparisons_of_what_is_in_the_picture_stay() -> None:
    model = graph_of(
        [
            helper.make_node("Cast", ["width"], ["limit"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["x", "two"], ["doubled"]),
            helper.make_node("Less", ["doubled", "limit"], ["small"]),
            helper.make_node("Cast", ["small"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["x", "mask"], ["y"]),
        ],
        [number("two", 2.0)],
    )
    whole, simple = outcome(model)
    assert 0 < np.count_nonzero(whole) < whole.size
    np.testing.assert_array_equal(simple, whole)


def test_a_mask_that_is_used_as_numbers_stays() -> None:
    """Ones that are added, or multiplied with ones, are not nothing."""
    model = graph_of(
        [
            *MASK,
            helper.make_node("Mul", ["mask", "mask"], ["square"]),
            helper.make_node("Mul", ["x", "square"], ["cleared"]),
            helper.make_node("Add", ["cleared", "mask"], ["y"]),
        ],
        [],
    )
    whole, simple = outcome(model)
    np.testing.assert_array_equal(whole, [[-2, -3, -4, -5, -6]])
    np.testing.assert_array_equal(simple, whole)


def test_two_less_ones_is_not_nothing() -> None:
    model = graph_of(
        [
            *MASK,
            helper.make_node("Sub", ["two", "mask"], ["rest"]),
            helper.make_node("Add", ["x", "rest"], ["y"]),
        ],
        [number("two", 2.0)],
    )
    whole, simple = outcome(model)
    np.testing.assert_array_equal(whole, [[-2, -3, -4, -5, -6]])
    np.testing.assert_array_equal(simple, whole)


def test_zeros_times_what_is_endless_are_not_nothing() -> None:
    model = graph_of(
        [
            *MASK,
            helper.make_node("Sub", ["unit", "mask"], ["padding"]),
            helper.make_node("Mul", ["padding", "endless"], ["hidden"]),
            helper.make_node("Add", ["x", "hidden"], ["y"]),
        ],
        [number("unit", 1.0), number("endless", -np.inf)],
    )
    whole, simple = outcome(model)
    assert np.isnan(whole).all()
    np.testing.assert_array_equal(simple, whole)


def test_what_hides_padding_from_attention_goes() -> None:
    model = graph_of(
        [
            *MASK,
            helper.make_node("Sub", ["unit", "mask"], ["padding"]),
            helper.make_node("Mul", ["padding", "low"], ["hidden"]),
            helper.make_node("Add", ["x", "hidden"], ["y"]),
        ],
        [number("unit", 1.0), number("low", -1e4)],
    )
    whole, simple = outcome(model)
    np.testing.assert_array_equal(simple, whole)
    assert operations(for_one_picture(model, width="width")) == {"Neg": 1}


def test_a_mask_that_is_an_answer_stays() -> None:
    model = graph_of(
        [
            *MASK,
            helper.make_node("Mul", ["x", "mask"], ["y"]),
        ],
        [],
        output="y",
    )
    whole, simple = outcome(model)
    np.testing.assert_array_equal(simple, whole)
    assert operations(for_one_picture(model, width="width"))["Mul"] == 1


def test_only_readers_that_tell_the_width_get_another_graph() -> None:
    model = exported("convgru")

    class Silent:
        """Its feeds may be padded."""

    padded = feed("convgru", 200) | {"width": np.array([90], np.int64)}
    as_written = open_onnx(model).run(None, padded)[0][:, :22]
    np.testing.assert_allclose(
        open_for(Silent(), model).run(None, padded)[0][:, :22], as_written, atol=1e-5
    )
    told = open_for(learner_for("convgru"), model).run(None, padded)[0][:, :22]
    assert np.abs(told - as_written).max() > 1e-4
