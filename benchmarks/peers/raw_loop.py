"""Nothing but the work: decode, prepare, run, read. The reference of benchmarks/serving.py.

Usage: raw_loop.py PACKAGE PICTURES pair|alone SECONDS [file|simplified]

It runs the model's file as any program would; `simplified` runs the graph that our server makes of
it for pictures that are alone, which tells what the server around it costs.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import sys
import threading
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

from plain_session import open_plain

from nhan.images import decode
from nhan.models.package import Package
from nhan.models.predictor import load_reader, open_session, run


def main(package: Path, folder: Path, mode: str, seconds: float, graph: str = "file") -> float:
    opened = Package.from_folder(package)
    open_graph = {"file": open_plain, "simplified": open_session}[graph]
    reader = load_reader(opened)
    pictures = [file.read_bytes() for file in sorted(folder.iterdir())]

    turns = itertools.count()
    # Whole rounds of all pictures: they differ, and a server under load is asked for all alike.
    last = math.inf

    def loop(threads: int, times: list[float]) -> None:
        nonlocal last
        session = open_graph(opened, threads=threads)
        for picture in pictures[:8]:
            reader.answer(run(session, reader.inputs(decode(picture))))
        barrier.wait()
        end = time.perf_counter() + seconds
        while (turn := next(turns)) < last:
            begun = time.perf_counter()
            if begun > end and last == math.inf:
                last = -(-(turn + 1) // len(pictures)) * len(pictures)
            picture = pictures[turn % len(pictures)]
            reader.answer(run(session, reader.inputs(decode(picture))))
            times.append(time.perf_counter() - begun)

    times: list[float] = []
    if mode == "alone":
        barrier = threading.Barrier(1)
        loop(len(os.sched_getaffinity(0)), times)
        return statistics.median(times) * 1e3
    barrier = threading.Barrier(3)
    pair = [threading.Thread(target=loop, args=(1, times)) for _ in range(2)]
    for thread in pair:
        thread.start()
    barrier.wait()
    begun = time.perf_counter()
    for thread in pair:
        thread.join()
    return len(times) / (time.perf_counter() - begun)


if __name__ == "__main__":
    print(
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), *sys.argv[5:])
    )
