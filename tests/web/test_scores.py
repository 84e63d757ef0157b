"""What the console shows of classes, run by Node where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import nhan.web

SCRIPT = Path(nhan.web.__file__).parent / "static" / "scores.js"


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_classes_that_are_numbers_come_by_score_too():
    """JavaScript orders an object's keys that are numbers by number, not as they were sent."""
    labels = {"7": 0.9, "3": 0.06, "a": 0.03, "0": 0.01}
    code = (
        f"import {{ best }} from {json.dumps(SCRIPT.as_uri())};"
        f"console.log(JSON.stringify(best(JSON.parse({json.dumps(json.dumps(labels))}), 3)))"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [["7", 0.9], ["3", 0.06], ["a", 0.03]]
