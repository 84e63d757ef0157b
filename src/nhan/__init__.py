"""Nhãn: from labelled pictures to a served model that its users make better."""

import os

__version__ = "0.1.0"

# Nothing phones home. ONNX Runtime writes an id of the machine into the user's cache and tells its
# maker of every model, from its import on, unless this stands in the environment before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
