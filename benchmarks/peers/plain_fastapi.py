"""FastAPI as people write it: an upload parameter, a thread pool, one session a core."""

from __future__ import annotations

import os
import queue
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, UploadFile
from plain_session import open_plain

from nhan.images import decode
from nhan.models.package import Package
from nhan.models.predictor import load_reader

package = Package.from_folder(Path(os.environ["BENCH_PACKAGE"]))
reader = load_reader(package)
sessions: queue.Queue[Any] = queue.Queue()
for _ in range(len(os.sched_getaffinity(0))):
    sessions.put(open_plain(package, threads=1))
app = FastAPI()


@app.post("/predict")
def predict(file: UploadFile) -> dict[str, Any]:
    feeds = reader.inputs(decode(file.file.read()))
    session = sessions.get()
    try:
        answer = reader.answer([session.run(None, feed) for feed in feeds])
    finally:
        sessions.put(session)
    return {"confidence": answer.confidence, **answer.details}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="error")
