"""Every benchmark at a small size, one after another: `make bench`.

Each can be run alone at its full size; docs/benchmarks.md has what came of that. A benchmark whose
peer or load tool is not installed is left out, saying what would bring it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Benchmark:
    """A script with small numbers.

    Attributes:
        words: the script and its options.
        package: a Python package it needs beside the project's own.
        program: a program it needs.
    """

    words: tuple[str, ...]
    package: str = ""
    program: str = ""

    def missing(self) -> str:
        """What to install first; empty if nothing."""
        if self.package and find_spec(self.package) is None:
            return f"pip install {self.package}"
        if self.program and shutil.which(self.program) is None:
            return f"apt-get install {self.program}"
        return ""


BENCHMARKS = (
    Benchmark(("synth.py", "--lines", "40")),
    Benchmark(("importing.py", "--pictures", "1000")),
    Benchmark(("review_queue.py", "--samples", "5000", "--answered", "300", "--turns", "20")),
    Benchmark(("training.py", "--lines", "160", "--rounds", "1")),
    Benchmark(("serving.py", "--rounds", "1", "--seconds", "2"), program="wrk"),
    Benchmark(
        ("uploads.py", "--uploads", "1000", "--rounds", "1", "--seconds", "2"), program="wrk"
    ),
    Benchmark(("reading.py", "--made", "20", "--rounds", "1"), package="tesserocr"),
)


def main() -> int:
    """Run all; the exit code is the number of those that failed."""
    failed = 0
    for benchmark in BENCHMARKS:
        print(f"\n## {' '.join(benchmark.words)}\n", flush=True)
        if lacking := benchmark.missing():
            print(f"left out: {lacking}", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(HERE / benchmark.words[0]), *benchmark.words[1:]]
            failed += subprocess.run(command, cwd=folder, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
