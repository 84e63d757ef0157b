"""A worker process: receives pictures, answers them one after the other.

It ends when the front process closes the socket, so it can never be orphaned.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from socket import socket

from nhan.images import PictureLimits
from nhan.serving.engine import frames
from nhan.serving.engine.frames import Kind
from nhan.serving.engine.memory import give_back, keep_memory_flat
from nhan.serving.engine.outcome import pack_error
from nhan.serving.engine.runner import Runner


def work(connection: socket, *, wide_threads: int) -> None:
    """Serve one front process until it is gone.

    Args:
        connection: a blocking stream socket to the front process.
        wide_threads: threads for a lone request; below 2 this worker never goes wide.
    """
    keep_memory_flat()
    _Worker(connection, Runner(PictureLimits(), wide_threads=wide_threads)).serve()


class _Worker:
    def __init__(self, connection: socket, runner: Runner) -> None:
        self._connection = connection
        self._runner = runner
        self._sending = threading.Lock()

    def serve(self) -> None:
        facts = {"pid": os.getpid(), "wide": self._runner.wide_threads > 1}
        self._send(Kind.READY, 0, json.dumps(facts).encode())
        while (received := frames.receive(self._connection)) is not None:
            kind, ticket, payload = received
            if kind is Kind.ASK:
                self._answer(ticket, payload)
            elif kind is Kind.LOAD:
                # Beside the answering thread: pictures go on being answered meanwhile.
                threading.Thread(target=self._load, args=(ticket, bytes(payload))).start()
            elif kind is Kind.UNLOAD:
                self._runner.unload(bytes(payload).decode())
                give_back()
            elif kind is Kind.LIMITS:
                self._runner.limits = PictureLimits(**json.loads(bytes(payload)))

    def _answer(self, ticket: int, payload: memoryview) -> None:
        try:
            key, wide, picture = frames.parse_ask(payload)
            outcome = self._runner.run(key, picture, wide=wide)
        except Exception as error:
            self._send(Kind.ERROR, ticket, pack_error(error))
        else:
            self._send(Kind.OUTCOME, ticket, outcome.pack())

    def _load(self, ticket: int, payload: bytes) -> None:
        request = json.loads(payload)
        try:
            self._runner.load(request["key"], Path(request["folder"]))
        except Exception as error:
            self._send(Kind.ERROR, ticket, pack_error(error))
        else:
            self._send(Kind.LOADED, ticket)

    def _send(self, kind: Kind, ticket: int, payload: bytes = b"") -> None:
        with self._sending:
            self._connection.sendall(frames.frame(kind, ticket, payload))
