"""Collection: what it costs the server, and how fast intake takes in what was collected. Run:

    python benchmarks/uploads.py                      # small
    python benchmarks/uploads.py --uploads 100000 --rounds 8 --seconds 10
    python benchmarks/uploads.py --only intake --catalog postgresql://host/db

The cost is a ratio of answers per second with collection on and off, in turn, in one run. Every
picture the clients send is new to the store, so that each is hashed, written, synced and shipped.
Intake runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from stage import Load, Stage, collect_pictures, make_workspace

from nhan.images import content_hash
from nhan.samples.pictures import picture_path
from nhan.uploads.record import UploadRecord, inbox_path
from nhan.workspace import Workspace

_CLIENTS = (8, 32)
# No server answers so many a second here; every picture is sent once in a load.
_FASTEST = 250
MODES = {
    "off": {"NHAN_UPLOADS__COLLECT": "off"},
    "on": {"NHAN_UPLOADS__SPOOL": "spool"},
    "on, not durable": {"NHAN_UPLOADS__DURABLE": "false", "NHAN_UPLOADS__SPOOL": "spool-2"},
}
_INTAKE = """
import json, resource, sys, time
from nhan.uploads.intake import take_in
from nhan.workspace import Workspace
began, used = time.monotonic(), time.process_time()
with Workspace.open(sys.argv[1]) as workspace:
    report = take_in(workspace)
print(json.dumps({
    "wall_s": time.monotonic() - began, "cpu_s": time.process_time() - used,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "taken": report.taken,
}))
"""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="nhan-bench-") as temporary:
        folder = Path(temporary)
        if options.only in ("", "server"):
            measure_server(folder, options.rounds, options.seconds, options.pictures)
        if options.only in ("", "intake"):
            measure_intake(folder / "intake", options.uploads, options.catalog)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uploads", type=int, default=2000, help="pictures that intake takes in")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4, help="of load, each time")
    parser.add_argument("--pictures", type=Path, help="folder of line pictures; drawn otherwise")
    parser.add_argument("--catalog", help="of the intake's workspace; SQLite otherwise")
    parser.add_argument("--only", choices=["", "server", "intake"], default="")
    return parser.parse_args()


# Cost to the server


def measure_server(folder: Path, rounds: int, seconds: float, source: Path | None) -> None:
    # In memory where that can be: writing them to the server's disk would slow its syncs down.
    memory = Path("/dev/shm")
    base, pictures = folder / "base", (memory if memory.is_dir() else folder) / folder.name
    collect_pictures(source, base)
    workspace = make_workspace(folder / "workspace", base)
    drawn = [path.read_bytes() for path in sorted(base.iterdir())]
    enough = round(_FASTEST * seconds) + len(drawn)
    rows: list[dict[tuple[str, int], tuple[Load, float]]] = []
    _fill(pictures, drawn, "first", count=enough)
    # All servers are up and one at a time is loaded, in short turns: the machine's other work
    # changes from minute to minute, and so meets all alike.
    with ExitStack() as stack:
        stages = {mode: Stage(workspace, pictures, folder) for mode in MODES}
        ports = {
            mode: stack.enter_context(stage.running("nhan", **MODES[mode]))
            for mode, stage in stages.items()
        }
        for number in range(rounds):
            seen = {}
            for clients in _CLIENTS:
                for mode in list(MODES) if number % 2 == 0 else list(MODES)[::-1]:
                    _fill(pictures, drawn, f"{number} {mode} {clients}", count=enough)
                    before = _processor_s(stages[mode])
                    load = stages[mode].load(ports[mode], clients, seconds)
                    used_s = _processor_s(stages[mode]) - before
                    seen[mode, clients] = load, 1e3 * used_s / (load.per_s * seconds)
            rows.append(seen)
            shown = (f"{mode}/{n} {load.per_s:.1f}/s" for (mode, n), (load, _) in seen.items())
            print(f"round {number + 1}: {', '.join(shown)}", file=sys.stderr)
    shutil.rmtree(pictures)
    with Workspace.open(workspace) as opened:
        kept = sum(1 for _ in opened.store.list("uploads/inbox"))
    print(
        "\n| clients | collection | answers/s | p50, ms | p99, ms | ratio to off | processor ms |"
    )
    print("|---|---|---|---|---|---|---|")
    for clients in _CLIENTS:
        for mode in MODES:
            key = mode, clients
            loads = [row[key][0] for row in rows]
            per_s, p50_ms, p99_ms = (
                statistics.median(getattr(load, field) for load in loads)
                for field in ("per_s", "p50_ms", "p99_ms")
            )
            ratios = [row[key][0].per_s / row["off", clients][0].per_s for row in rows]
            spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f})"
            used_ms = statistics.median(row[key][1] for row in rows)
            print(
                f"| {clients} | {mode} | {per_s:.1f} | {p50_ms:.1f} | {p99_ms:.1f} | {spread} "
                f"| {used_ms:.2f} |"
            )
    print(f"\n{rounds} rounds; {kept:,} uploads in the store")


def _processor_s(stage: Stage) -> float:
    """Processor time that a server and its descendants have used; says more on a busy machine."""
    family = [stage.process.pid]
    ticks = 0
    for pid in family:
        children = Path(f"/proc/{pid}/task").glob("*/children")
        family += [int(child) for file in children for child in file.read_text().split()]
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _fill(folder: Path, base: list[bytes], mark: str, *, count: int) -> None:
    """Pictures nobody has seen: the same pixels, other bytes after the end of the file."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(count):
        picture = base[number % len(base)] + f"{mark} {number}".encode()
        (folder / f"{number:06d}.png").write_bytes(picture)


# Intake


def measure_intake(root: Path, count: int, catalog: str | None) -> None:
    with Workspace.init(root, catalog=catalog) as workspace:
        began = time.monotonic()
        for number in range(count):
            _put(workspace, number)
        print(f"made {count} uploads in {time.monotonic() - began:.0f} s", file=sys.stderr)
    rows = {}
    for name in ("intake", "intake again"):
        ran = subprocess.run(
            [sys.executable, "-c", _INTAKE, str(root)], check=True, capture_output=True, text=True
        )
        rows[name] = json.loads(ran.stdout)
    print("\n| step | uploads | seconds | CPU seconds | uploads/s | peak MiB |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        speed = f"{row['taken'] / row['wall_s']:,.0f}" if row["taken"] else ""
        print(
            f"| {name} | {row['taken']:,} | {row['wall_s']:.1f} | {row['cpu_s']:.1f} | {speed} "
            f"| {row['peak_mib']:.0f} |"
        )
    files = list(root.glob("catalog.db*"))
    size = sum(path.stat().st_size for path in files)
    if files:
        print(f"\ncatalogue {size / 1e6:.1f} MB, {size / count:,.0f} bytes an upload")
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest child {used:.0f} MiB", file=sys.stderr)


def _put(workspace: Workspace, number: int) -> None:
    """One upload as the server leaves it: a line picture of about 1 kB and thirty characters."""
    cells = np.random.default_rng(number).integers(0, 256, (4, 40), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(cells).resize((320, 32)).save(buffer, "PNG", compress_level=1)
    data = buffer.getvalue()
    sha256 = content_hash(data)
    text = f"dòng số {number}, đường Trần Hưng Đạo"
    now = datetime.now(UTC)
    record = UploadRecord(
        id=f"{int(now.timestamp() * 1e3):012x}{number:016x}",
        at=now,
        task="text",
        model="vi-line",
        version="3",
        value=text,
        confidence=0.9,
        details={"text": text, "characters": [{"text": c, "confidence": 0.9876} for c in text]},
        sha256=sha256,
        path=picture_path(sha256, "png"),
        size_bytes=len(data),
        format="png",
        user=f"user {number % 1000}",
        sampled="random" if number % 50 == 0 else "",
        request_id=os.urandom(14).hex(),
        duration_ms=12.3,
    )
    workspace.store.put(record.path, data)
    workspace.store.put(inbox_path(record.id), record.to_bytes())


if __name__ == "__main__":
    main()
