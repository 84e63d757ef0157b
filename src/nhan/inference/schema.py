"""As much of ONNX's schema as is needed to edit a graph where the `onnx` package is not installed.

The base install runs models and does not bring `onnx` (55 MB on disk, 12 MiB in every process that
imports it). Fields that are not declared here are kept as they are by protobuf when a message is
read and written again. Names and numbers: onnx/onnx.proto of https://github.com/onnx/onnx.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "nhan.onnx"

# Message: field: (number, type, whether it is repeated); a message's name stands for its type.
_SCHEMA: dict[str, dict[str, tuple[int, int | str, bool]]] = {
    "Dimension": {"dim_value": (1, _Field.TYPE_INT64, False)},
    "Shape": {"dim": (1, "Dimension", True)},
    "TensorType": {
        "elem_type": (1, _Field.TYPE_INT32, False),
        "shape": (2, "Shape", False),
    },
    "Type": {"tensor_type": (1, "TensorType", False)},
    "ValueInfo": {"name": (1, _Field.TYPE_STRING, False), "type": (2, "Type", False)},
    "Tensor": {
        "dims": (1, _Field.TYPE_INT64, True),
        "data_type": (2, _Field.TYPE_INT32, False),
        "name": (8, _Field.TYPE_STRING, False),
        "raw_data": (9, _Field.TYPE_BYTES, False),
    },
    "Attribute": {"name": (1, _Field.TYPE_STRING, False), "t": (5, "Tensor", False)},
    "Node": {
        "input": (1, _Field.TYPE_STRING, True),
        "output": (2, _Field.TYPE_STRING, True),
        "op_type": (4, _Field.TYPE_STRING, False),
        "attribute": (5, "Attribute", True),
    },
    "Graph": {
        "node": (1, "Node", True),
        "initializer": (5, "Tensor", True),
        "input": (11, "ValueInfo", True),
        "output": (12, "ValueInfo", True),
    },
    "Model": {"ir_version": (1, _Field.TYPE_INT64, False), "graph": (7, "Graph", False)},
}


def _message_class(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="nhan/schema.proto", package=_PACKAGE, syntax="proto2"
    )
    for message, fields in _SCHEMA.items():
        declared = file.message_type.add(name=message)
        for field, (number, kind, repeated) in fields.items():
            label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            added = declared.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


Model: Any = _message_class("Model")
