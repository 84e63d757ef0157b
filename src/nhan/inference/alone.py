"""The graph that one picture alone at its own width needs: what a CPU runs, and sooner.

An exported network serves padded batches too, and clears the padding after every layer. A picture
that runs alone has none, so on a CPU, where every picture does, those layers are work for nothing,
and they keep ONNX Runtime from running convolution and activation as one. The file stays what it
is; this is done to the bytes when they are loaded.

Three changes, none of which changes what is computed but for rounding:

1. What is known to be all ones (the mask: positions below the true width) or all zeros (what is
   added to padded steps of attention) is taken out where it is multiplied with or added.
2. In int8, roundings that only stood there for a mask between two layers go with it: between a
   convolution and its ReLU, which become one integer operation, and where two follow each other.
3. Weights of recurrent layers are not repacked, where repacking is no gain: see `_unpack`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nhan.inference.schema import Model

_FLOAT, _FLOAT16 = 1, 10  # TensorProto.DataType
_ONES, _ZEROS = 1, 0
# What changes shape or type of a tensor, and so neither ones nor zeros.
_SAME_NUMBERS = frozenset({"Cast", "Expand", "Identity", "Reshape", "Transpose", "Unsqueeze"})
# From this version of the format on, an input with an initializer is one that may be given.
_OPTIONAL_INPUTS = 4
_RECURRENT = 2  # the input of ONNX's GRU and LSTM that holds the recurrent weights

_Node = Any  # messages of `schema`
_Graph = Any


def for_one_picture(model: bytes, *, width: str, unpacked: bool = False) -> bytes:
    """Simplify a graph for batches of one picture without padding.

    Args:
        model: an ONNX file.
        width: the input, int64 (N,), that holds the true widths. The result is right only where
            it is the width of the picture that is given.
        unpacked: keep ONNX Runtime from repacking the weights of recurrent layers.

    Returns:
        An ONNX file with the same inputs and outputs; the same numbers but for rounding.
    """
    loaded = Model.FromString(model)
    graph = loaded.graph
    nodes = _without_masks(graph, width)
    nodes = _without_roundings(_without_repeated(nodes))
    nodes = _needed(nodes, (output.name for output in graph.output))
    if unpacked and loaded.ir_version >= _OPTIONAL_INPUTS:
        nodes = _unpack(graph, nodes)
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused_tables(graph)
    return bytes(loaded.SerializeToString())


def _without_masks(graph: _Graph, width: str) -> list[_Node]:
    """The nodes, without those that multiply by ones or add zeros; inputs are renamed in place."""
    constants = _Constants(graph)
    pictures = {value.name for value in graph.input} - constants.names
    from_width, from_pictures = {width}, pictures - {width}
    known: dict[str, int] = {}
    instead: dict[str, str] = {}
    outputs = {output.name for output in graph.output}
    rounded = {
        name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output
    }
    kept = []
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = instead.get(name, name)
        inputs, output = list(node.input), node.output[0] if node.output else ""
        # The size of a feature map says nothing of what is in it.
        if node.op_type != "Shape":
            if from_pictures.intersection(inputs):
                from_pictures.update(node.output)
            if from_width.intersection(inputs):
                from_width.update(node.output)
        if node.op_type == "Less" and _is_mask(inputs, from_width, from_pictures):
            known[output] = _ONES
        elif inputs and inputs[0] in known and node.op_type in _SAME_NUMBERS:
            known[output] = known[inputs[0]]
        elif len(inputs) == 2 and (value := _known_outcome(node, known, constants)) is not None:
            known[output] = value
        elif output not in outputs and (same := _passes_on(node, known, rounded)) is not None:
            instead[output] = same
            continue
        kept.append(node)
    return kept


def _is_mask(inputs: Sequence[str], from_width: set[str], from_pictures: set[str]) -> bool:
    """Whether a comparison is of positions, which are counted, with the true width."""
    positions, lengths = inputs
    return (
        lengths in from_width
        and not {positions, lengths} & from_pictures
        and (positions not in from_width)
    )


def _known_outcome(node: _Node, known: dict[str, int], constants: _Constants) -> int | None:
    """1 − ones, and zeros times a number, are zeros."""
    first, second = node.input
    if node.op_type == "Sub" and known.get(second) == _ONES:
        number = constants.value(first)
        return _ZEROS if number is not None and bool((number == 1).all()) else None
    if node.op_type == "Mul":
        for one, other in ((first, second), (second, first)):
            number = constants.value(other)
            if known.get(one) == _ZEROS and number is not None and np.isfinite(number).all():
                return _ZEROS
    return None


def _passes_on(node: _Node, known: dict[str, int], rounded: set[str]) -> str | None:
    """The input that a node's output equals, if there is one and the node may go."""
    neutral = {"Mul": _ONES, "Add": _ZEROS}.get(node.op_type)
    if neutral is None or len(node.input) != 2:
        return None
    values = [known.get(name) for name in node.input]
    if values.count(None) != 1:
        return None
    other = values.index(None)
    if values[1 - other] != neutral:
        return None
    name = str(node.input[other])
    # What pads attention keeps ONNX Runtime from making one integer operation of the softmax
    # behind it, which was five times further from float32 than rounding before and after it.
    return None if node.op_type == "Add" and name in rounded else name


def _without_repeated(nodes: list[_Node]) -> list[_Node]:
    """The nodes, with Q → DQ instead of Q → DQ → Q → DQ; inputs are renamed in place."""
    maker = {name: node for node in nodes for name in node.output}
    instead: dict[str, str] = {}
    kept = []
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = instead.get(name, name)
        if node.op_type == "DequantizeLinear":
            rounded = maker.get(node.input[0])
            if rounded is not None and rounded.op_type == "QuantizeLinear":
                before = maker.get(rounded.input[0])
                if before is not None and before.op_type == "DequantizeLinear":
                    instead[node.output[0]] = before.output[0]
                    continue
        kept.append(node)
    return kept


def _without_roundings(nodes: list[_Node]) -> list[_Node]:
    """The nodes, without Q and DQ in Conv → Q → DQ → ReLU → Q; a pooling may precede the last."""
    maker = {name: node for node in nodes for name in node.output}
    users: dict[str, list[_Node]] = defaultdict(list)
    for node in nodes:
        for name in node.input:
            users[name].append(node)
    dropped: set[int] = set()
    for relu in nodes:
        if relu.op_type != "Relu":
            continue
        chain = _chain_above(relu, ("DequantizeLinear", "QuantizeLinear", "Conv"), maker, users)
        if chain and _is_rounded(relu, users):
            relu.input[0] = chain[2].output[0]
            dropped.update(map(id, chain[:2]))
    return [node for node in nodes if id(node) not in dropped]


def _is_rounded(node: _Node, users: dict[str, list[_Node]]) -> bool:
    """Whether all that is done with a node's output is to round it, pooled or not."""
    after = users[node.output[0]]
    return bool(after) and all(
        user.op_type == "QuantizeLinear" or (user.op_type == "MaxPool" and _is_rounded(user, users))
        for user in after
    )


def _chain_above(
    node: _Node,
    kinds: tuple[str, ...],
    maker: dict[str, _Node],
    users: dict[str, list[_Node]],
) -> list[_Node]:
    """The nodes of these kinds that lead to this one and to nowhere else; nearest first."""
    chain = []
    for kind in kinds:
        name = node.input[0]
        above = maker.get(name)
        if above is None or above.op_type != kind or len(users[name]) != 1:
            return []
        chain.append(above)
        node = above
    return chain


def _needed(nodes: list[_Node], outputs: Iterable[str]) -> list[_Node]:
    """The nodes that something is still made of, in their order."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def _unpack(graph: _Graph, nodes: list[_Node]) -> list[_Node]:
    """Declare recurrent weights as inputs that have a value: those are not repacked.

    ONNX Runtime packs constant weights for products of many rows. A recurrent layer multiplies
    one row at a time, for which it has a kernel that reads weights as they lie; with AVX2 a GRU of
    224 features took 2.8 ms with that one and 3.5 with the packed one (100 steps, Zen 4).
    """
    tables = {table.name: table for table in graph.initializer}
    casts = {node.output[0]: node for node in nodes if node.op_type == "Cast"}
    inputs = {value.name for value in graph.input}
    folded: set[int] = set()
    for node in nodes:
        if node.op_type not in ("GRU", "LSTM"):
            continue
        name = node.input[_RECURRENT]
        cast = casts.get(name)
        table = tables.get(cast.input[0] if cast is not None else name)
        if table is None or not table.raw_data or name in inputs:
            continue
        if cast is not None:
            # No longer a constant, so ONNX Runtime would cast in every run.
            if table.data_type != _FLOAT16:
                continue
            numbers = np.frombuffer(table.raw_data, np.float16).astype(np.float32)
            dims = list(table.dims)
            table = graph.initializer.add(name=name, data_type=_FLOAT, raw_data=numbers.tobytes())
            table.dims.extend(dims)
            folded.add(id(cast))
        declared = graph.input.add(name=name)
        declared.type.tensor_type.elem_type = table.data_type
        for size in table.dims:
            declared.type.tensor_type.shape.dim.add(dim_value=size)
        inputs.add(name)
    return [node for node in nodes if id(node) not in folded]


def _drop_unused_tables(graph: _Graph) -> None:
    used = {name for node in graph.node for name in node.input}
    used.update(output.name for output in graph.output)
    kept = [table for table in graph.initializer if table.name in used]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)


class _Constants:
    """Numbers that are written in the graph."""

    def __init__(self, graph: _Graph) -> None:
        self._tables = {table.name: table for table in graph.initializer}
        self.names = frozenset(self._tables)
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._tables[node.output[0]] = node.attribute[0].t

    def value(self, name: str) -> NDArray[np.float32] | None:
        """A float32 constant; None for everything else."""
        table = self._tables.get(name)
        if table is None or table.data_type != _FLOAT or not table.raw_data:
            return None
        return np.frombuffer(table.raw_data, np.float32)
