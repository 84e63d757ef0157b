"""What TorchServe runs in each of its workers: the same session and reader as the other peers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from plain_session import open_plain

from nhan.images import decode
from nhan.models.package import Package
from nhan.models.predictor import load_reader


class LineHandler:
    def initialize(self, context: Any) -> None:
        del context
        package = Package.from_folder(Path(os.environ["BENCH_PACKAGE"]))
        self.reader = load_reader(package)
        self.session = open_plain(package, threads=1)

    def handle(self, rows: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        del context
        return [self.answer(bytes(row["file"])) for row in rows]

    def answer(self, picture: bytes) -> dict[str, Any]:
        feeds = self.reader.inputs(decode(picture))
        answer = self.reader.answer([self.session.run(None, feed) for feed in feeds])
        return {"confidence": answer.confidence, **answer.details}
