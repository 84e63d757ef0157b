"""How fast samples go to Label Studio and labels come back, against a server that is running.

    NHAN_LABELSTUDIO_TOKEN=… python benchmarks/labelstudio.py --url http://127.0.0.1:8080

Makes a project and a temporary workspace of its own; the project is deleted in the end.
"""

from __future__ import annotations

import argparse
import io
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nhan.catalog import State
from nhan.catalog.samples import Sample, write_samples
from nhan.images import content_hash
from nhan.review.labelstudio.client import LabelStudio
from nhan.review.labelstudio.links import Links, load_signer
from nhan.review.labelstudio.pull import pull
from nhan.review.labelstudio.push import push
from nhan.review.labelstudio.setup import set_up
from nhan.review.labelstudio.tokens import read_token
from nhan.samples.pictures import examine, keep
from nhan.workspace import Workspace

# For a minute after a change a pull reads it again; then only what is new.
_SETTLE_S = 62


def fill(workspace: Workspace, count: int) -> None:
    """Small pictures of noise, waiting to be labelled."""
    dice = np.random.default_rng(0)
    for start in range(0, count, 500):
        batch = []
        for number in range(start, min(start + 500, count)):
            buffer = io.BytesIO()
            Image.fromarray(dice.integers(0, 256, (16, 64), dtype=np.uint8)).save(buffer, "PNG")
            data = buffer.getvalue()
            sha256 = content_hash(data)
            picture = examine(data, sha256, workspace.picture_limits)
            keep(workspace.store, picture.path, data)
            batch.append(
                Sample(sha256, f"{number}.png", "noise", "", "", State.NEW, picture=picture)
            )
        with workspace.catalog.write() as connection:
            write_samples(connection, "text", batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--labels", type=int, default=100)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace.init(Path(folder, "w")) as workspace,
        LabelStudio(options.url, read_token()) as client,
    ):
        fill(workspace, options.tasks)
        signer = load_signer(workspace.root)
        connection = set_up(
            workspace, client, signer, "http://127.0.0.1:9", task="text",
            title="Benchmark", live=False, webhook=False,
        ).connection  # fmt: skip
        links = Links(signer, "http://127.0.0.1:9", 365)

        def send() -> Any:
            return push(workspace, client, connection, links, suggester=None)

        def take(full: bool = False) -> Any:
            return pull(workspace, client, connection, full=full)

        try:
            timed("push of all", options.tasks, send)
            timed("push again (nothing to do)", options.tasks, send)
            timed("first pull (every task)", options.tasks, take)
            time.sleep(_SETTLE_S)
            take()
            label(client, connection, options.labels)
            timed(f"pull after {options.labels} labels", options.labels, take)
            timed("pull --full", options.tasks, lambda: take(full=True))
        finally:
            client._request("DELETE", f"/api/projects/{connection.project}/")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak:.0f} MiB")


def label(client: LabelStudio, connection: Any, count: int) -> None:
    """Annotate the first tasks, as one annotator."""
    fields = connection.fields
    after, done = 0, 0
    while done < count and (
        page := client.tasks(connection.project, after=after, size=100, fields="id")
    ):
        after = int(page[-1]["id"])
        for one in page[: count - done]:
            said = {"result": fields.result(f"text {one['id']}")}
            client._request("POST", f"/api/tasks/{one['id']}/annotations/", json=said)
            done += 1


def timed(what: str, count: int, work: Callable[[], Any]) -> None:
    begun = time.perf_counter()
    report = work()
    took = time.perf_counter() - begun
    read = getattr(report, "read", None)
    more = f", {read} tasks read" if read is not None else ""
    print(f"{what:32} {took:7.1f} s  {count / took:8.0f}/s{more}")


if __name__ == "__main__":
    main()
