"""LitServe with one worker a core, and one process for HTTP.

By default it has as many of those as workers, which on two cores took 36 ms of processor time for
an answer where one process takes 30; `fast_queue` changed nothing that could be told from noise.

Needs, in `.engines/litserve`, `pip install -c constraints.txt -e . litserve`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import litserve
from plain_session import open_plain

from nhan.images import decode
from nhan.models.package import Package
from nhan.models.predictor import load_reader


class LineApi(litserve.LitAPI):
    def setup(self, device: str) -> None:
        del device
        package = Package.from_folder(Path(os.environ["BENCH_PACKAGE"]))
        self.reader = load_reader(package)
        self.session = open_plain(package, threads=1)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads the type
        return decode(request["file"].file.read())

    def predict(self, rgb: Any) -> Any:
        return self.reader.answer(
            [self.session.run(None, feed) for feed in self.reader.inputs(rgb)]
        )

    def encode_response(self, answer: Any) -> dict[str, Any]:
        return {"confidence": answer.confidence, **answer.details}


if __name__ == "__main__":
    litserve.LitServer(
        LineApi(), accelerator="cpu", workers_per_device=len(os.sched_getaffinity(0))
    ).run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        generate_client_file=False,
        num_api_servers=1,
        log_level="warning",
    )
