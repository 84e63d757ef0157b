"""A model file opened as any program opens one: what every contestant but ours runs."""

from __future__ import annotations

import onnxruntime

from nhan.models.package import Package


def open_plain(package: Package, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """The file that answers, as it is, on so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Every line has its own width, and a pattern is kept for each: memory for no speed.
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(
        package.read(package.spec.serve), options, providers=["CPUExecutionProvider"]
    )
