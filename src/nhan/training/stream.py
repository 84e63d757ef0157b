"""Made samples, streamed straight into training without touching the disk.

Sample number i is always the same, so a stream is shared between worker processes, continued
after a crash and repeated from a seed without storing anything. This module imports no torch:
worker processes stay small and start quickly.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from importlib import import_module
from typing import Any, Protocol

from nhan.errors import SettingsError
from nhan.tasks.base import RGB

# Each is called as (seed, **options) and gives a `Stream`; a class may have `rehearsal`, which
# takes the options of a past training and gives those that hold anywhere, and `judging`, which
# takes the options of a training and gives those of the samples that judge it.
STREAMS = {
    "lines": "nhan.training.lines:MadeLines",
}

# Samples per message between processes: large enough that sending costs little.
_CHUNK = 16
# Seconds between a worker's looks whether its trainer still lives.
_WATCH_S = 2.0

Sample = tuple[RGB, str]


class Stream(Protocol):
    """An endless source of made samples; picklable, so that worker processes can share the work."""

    def sample(self, index: int) -> Sample:
        """The sample of that number: uint8 (H, W, 3) and its label; the same at every call."""


def open_stream(name: str, seed: int, options: Mapping[str, Any]) -> Stream:
    """Choose a source of made samples by name.

    Raises:
        SettingsError: no such source, or an option is unknown.
    """
    cls = _stream_class(name)
    try:
        stream: Stream = cls(seed, **options)
    except TypeError as error:
        raise SettingsError(
            f"data.made_options: {error}",
            hint="options of made samples: docs/training.md; --set data.made_options.NAME=VALUE",
        ) from error
    return stream


def rehearsal_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What of a training's options is fit to practise its samples elsewhere; see `rehearsal`."""
    choose = getattr(_stream_class(name), "rehearsal", dict)
    return dict(choose(options))


def judging_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of samples that a training with these is judged on; see `judging`."""
    choose = getattr(_stream_class(name), "judging", dict)
    return dict(choose(options))


def _stream_class(name: str) -> Any:
    if name not in STREAMS:
        raise SettingsError(
            f"no source of made samples {name!r}", hint=f"sources: {', '.join(sorted(STREAMS))}"
        )
    module, _, attribute = STREAMS[name].partition(":")
    return getattr(import_module(module), attribute)


class Maker:
    """Prepared samples of a stream, in order, made ahead by worker processes.

    Args:
        stream: where samples come from.
        prepare: picklable; brings a picture to what the network takes.
        workers: processes; 0 makes each sample when it is asked for.
        ahead: samples that workers may be ahead.
    """

    def __init__(
        self, stream: Stream, prepare: Callable[[RGB], RGB], *, workers: int, ahead: int
    ) -> None:
        self._stream = stream
        self._prepare = prepare
        self._workers = workers
        self._ahead = max(1, ahead // _CHUNK)
        self._executor: ProcessPoolExecutor | None = None

    def samples(self, start: int) -> Iterator[Sample]:
        """Sample `start` and all after it, for ever: prepared pictures and labels."""
        if not self._workers:
            index = start
            while True:
                yield _make(self._stream, self._prepare, index)
                index += 1
        yield from self._from_workers(start)

    def _from_workers(self, start: int) -> Iterator[Sample]:
        if self._executor is None:
            # Spawned, not forked: a forked child of a process with threads may deadlock.
            self._executor = ProcessPoolExecutor(
                self._workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(self._stream, self._prepare, os.getpid()),
            )
        waiting: deque[Future[list[Sample]]] = deque()
        index = start
        while True:
            while len(waiting) < self._ahead:
                waiting.append(self._executor.submit(_make_chunk, index))
                index += _CHUNK
            yield from waiting.popleft().result()

    def close(self) -> None:
        """Stop the workers."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None


def _make(stream: Stream, prepare: Callable[[RGB], RGB], index: int) -> Sample:
    picture, label = stream.sample(index)
    return prepare(picture), label


_worker: tuple[Stream, Callable[[RGB], RGB]] | None = None


def _start_worker(stream: Stream, prepare: Callable[[RGB], RGB], parent: int) -> None:
    global _worker
    _worker = (stream, prepare)
    os.nice(5)  # the trainer's own threads come first; workers fill what they leave
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """A trainer killed with SIGKILL cannot stop its workers: they look for it themselves."""
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os._exit(1)


def _make_chunk(start: int) -> list[Sample]:
    assert _worker is not None, "the initializer has run"
    return [_make(*_worker, index) for index in range(start, start + _CHUNK)]
