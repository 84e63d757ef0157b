"""A worker's memory: flat, and not fetched anew for every picture."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

# In a process of its own: the allocator's settings are the whole process's.
_ANSWER = """
import resource, sys
from pathlib import Path
from nhan.images import PictureLimits
from nhan.serving.engine.memory import keep_memory_flat
from nhan.serving.engine.runner import Runner

keep_memory_flat()
runner = Runner(PictureLimits())
runner.load("toy@1", Path(sys.argv[1]))
pictures = [Path(file).read_bytes() for file in sys.argv[2:]]
for _ in range(5):
    for picture in pictures:
        runner.run("toy@1", picture)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    for picture in pictures:
        runner.run("toy@1", picture)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults / 20 / len(pictures))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_pictures_of_usual_size_are_answered_in_memory_that_is_there(toy_package, tmp_path):
    files = []
    for width in (900, 1400, 700):
        noise = np.random.default_rng(width).integers(0, 255, (90, width, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, "PNG")
        files.append(tmp_path / f"{width}.png")
        files[-1].write_bytes(buffer.getvalue())
    ran = subprocess.run(
        [sys.executable, "-c", _ANSWER, str(toy_package.store.folder), *map(str, files)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(ran.stdout) < 30, "page faults for a picture"
