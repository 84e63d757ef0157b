"""Runs a compiled pipeline with kfp.local; its tasks run in another Python, as in an image.

Run by Kubeflow's environment: `kubeflow_run.py PIPELINE.yaml ROOT STEP_PYTHON ARGUMENTS_JSON`.
"""

import json
import sys
from pathlib import Path

from kfp import components, local

pipeline, root, step_python, arguments = sys.argv[1:]
# SubprocessRunner runs tasks with the interpreter it runs in itself.
sys.executable = step_python
local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root)
run = components.load_component_from_text(Path(pipeline).read_text(encoding="utf-8"))
run(**json.loads(arguments))
