"""Pictures per second and peak memory of import, audit, freeze and reading.

Draws small line pictures, then runs each step in a process of its own, so that its peak memory is
its own. CPU seconds stand beside the wall clock, because they change less on a busy machine. Run:

    python benchmarks/importing.py                  # 10,000 pictures
    python benchmarks/importing.py --pictures 100000

"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

# Each step is what a user runs, without the terminal's progress bar.
STEPS = {
    "import, dry run": "import_samples(workspace, source, dry_run=True)",
    "import": "import_samples(workspace, source)",
    "import again": "import_samples(workspace, source)",
    "audit": "audit(workspace)",
    "freeze": "freeze(workspace, 'lines')",
    "freeze again": "freeze(workspace, 'lines')",
    "read all rows": "d = open_dataset(workspace.store, 'lines'); "
    "assert sum(len(r.image) > 0 for s in d.splits for r in d.rows(s)) == d.count()",
    "read labels": "d = open_dataset(workspace.store, 'lines'); "
    "assert sum(len(d.labels(s)) for s in d.splits) == d.count()",
}
_PROGRAM = """
import sys, time
from nhan.workspace import Workspace
from nhan.samples.importer import import_samples
from nhan.datasets.audit import audit
from nhan.datasets.freeze import freeze
from nhan.datasets.read import open_dataset
source = sys.argv[2]
began, used = time.monotonic(), time.process_time()
with Workspace.open(sys.argv[1]) as workspace:
    {step}
print(time.monotonic() - began, time.process_time() - used)
"""


@dataclass(frozen=True)
class Measured:
    wall_s: float
    cpu_s: float
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="keep pictures and workspace here")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
        folder = options.folder or Path(temporary)
        source = draw(folder / "lines", options.pictures)
        run_workspace = folder / f"workspace-{os.getpid()}"
        subprocess.run([sys.executable, "-m", "nhan", "init", str(run_workspace)], check=True)
        results = {"start": measure("pass", run_workspace, source)}
        for name, step in STEPS.items():
            results[name] = measure(step, run_workspace, source)
    if options.json:
        print(json.dumps({name: vars(found) for name, found in results.items()}))
    else:
        show(results, options.pictures)


def draw(folder: Path, count: int) -> Path:
    """Pictures of random cells, about 1 kB each, no two alike; drawn once for a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    labels = {}
    for number in range(count):
        name = f"{number // 1000:04d}/{number}.png"
        labels[name] = f"dòng số {number}, đường Trần Hưng Đạo"
        path = folder / name
        cells = rng.integers(0, 256, (4, 40), dtype=np.uint8)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            buffer = io.BytesIO()
            Image.fromarray(cells).resize((320, 32)).save(buffer, "PNG", compress_level=1)
            path.write_bytes(buffer.getvalue())
    (folder / "labels.json").write_text(json.dumps(labels, ensure_ascii=False), "utf-8")
    return folder


def measure(step: str, workspace: Path, source: Path) -> Measured:
    program = _PROGRAM.format(step=step)
    command = [sys.executable, "-c", program, str(workspace), str(source)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {step}")
    wall, cpu = map(float, printed.split())
    return Measured(wall, cpu, used.ru_maxrss / 1024)


def show(results: dict[str, Measured], count: int) -> None:
    start = results.pop("start")
    print(f"\n{count:,} pictures of 320 × 32 px; an empty process: {start.peak_mib:.0f} MiB\n")
    print("| step | seconds | CPU seconds | pictures/s | peak MiB |")
    print("|---|---|---|---|---|")
    for name, found in results.items():
        speed = f"{count / found.wall_s:,.0f}"
        print(
            f"| {name} | {found.wall_s:.1f} | {found.cpu_s:.1f} | {speed} | {found.peak_mib:.0f} |"
        )


if __name__ == "__main__":
    main()
