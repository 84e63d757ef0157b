"""One ONNX Runtime session, opened the same way wherever pictures are answered.

ONNX Runtime is imported when the first session is opened: it starts a thread, and a process with
threads must not fork.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nhan.inference.alone import for_one_picture
from nhan.tasks.base import TellsWidth

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CPU = "CPUExecutionProvider"
_CPU_INFORMATION = Path("/proc/cpuinfo")
_ERRORS = 3  # ONNX Runtime's severity; it warns of harmless shape merges
# A session of several threads keeps its helpers only while it runs: threads that spin between
# requests would take the cores from the single-threaded sessions.
_NO_SPINNING = {
    "session.intra_op.allow_spinning": "1",
    "session.force_spinning_stop": "1",
}


def open_for(
    reader: object, model: bytes, *, threads: int = 1, providers: Sequence[str] = (CPU,)
) -> InferenceSession:
    """A session that runs what a reader feeds it, one picture at a time.

    On a CPU a graph that is told widths is simplified first (`for_one_picture`).

    Args:
        reader: makes the feeds, a `Reader` or a `Learner`.
        model: an ONNX file.
        threads: for one pass. One, and several sessions, serves most requests per second.
        providers: ONNX Runtime's execution providers, most wanted first.

    Raises:
        Exception: ONNX Runtime cannot load it; it has a dozen classes without a common parent.
    """
    import onnxruntime

    if isinstance(reader, TellsWidth) and list(providers) == [CPU]:
        model = for_one_picture(model, width=reader.width_input, unpacked=_row_kernel_wins())
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS
    # Memory patterns are planned per input shape, and every line has its own width. Measured with
    # a CRNN over 600 widths of 100 to 2560 px: without patterns 114 MiB, flat; with them 121;
    # without the arena 126 and creeping; with the arena shrunk after every run 213 to 542. The
    # time per line is the same in all of them.
    options.enable_mem_pattern = False
    if threads > 1:
        for name, value in _NO_SPINNING.items():
            options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(model, options, providers=list(providers))


@cache
def _row_kernel_wins() -> bool:
    """Whether this processor was seen to multiply single rows faster with weights as they lie.

    Measured with AVX2. With AVX-512 the packed kernel is twice as wide and the other is not, and
    other architectures have other kernels; neither was measured, so they keep the default.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        flags = _CPU_INFORMATION.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return False
    return "avx2" in flags and "avx512f" not in flags
