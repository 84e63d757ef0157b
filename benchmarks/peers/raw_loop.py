"""Nothing but the work: decode, prepare, run, read. The reference of benchmarks/serving.py.

Usage: raw_loop.py PACKAGE PICTURES pair|alone SECONDS
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

from nhan.images import decode
from nhan.models.package import Package
from nhan.models.predictor import load_reader, open_session, run


def main(package: Path, folder: Path, mode: str, seconds: float) -> float:
    opened = Package.from_folder(package)
    reader = load_reader(opened)
    pictures = [file.read_bytes() for file in sorted(folder.iterdir())]

    def loop(threads: int, start: int, times: list[float]) -> None:
        session = open_session(opened, threads=threads)
        for picture in pictures[:8]:
            reader.answer(run(session, reader.inputs(decode(picture))))
        barrier.wait()
        turn, end = start, time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            picture = pictures[turn % len(pictures)]
            reader.answer(run(session, reader.inputs(decode(picture))))
            times.append(time.perf_counter() - begun)
            turn += 1

    times: list[float] = []
    if mode == "alone":
        barrier = threading.Barrier(1)
        loop(len(os.sched_getaffinity(0)), 0, times)
        return statistics.median(times) * 1e3
    barrier = threading.Barrier(2)
    pair = [threading.Thread(target=loop, args=(1, 32 * number, times)) for number in range(2)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join()
    return len(times) / seconds


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
