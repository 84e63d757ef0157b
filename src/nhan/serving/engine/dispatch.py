"""One bounded queue in front of all lanes: admission, order, deadlines, departed clients.

Everything here runs on the event loop's thread; there are no locks.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from nhan.errors import DeadlinePassed, JobFailed, NhanError, NotReady, QueueFull
from nhan.images import content_hash
from nhan.serving.engine.lane import Lane
from nhan.serving.engine.outcome import Outcome

# A lane is handed its next picture while it works on the present one; else it would idle until
# the front process, which shares the cores with the lanes, gets to run. More would be unfair: a
# picture behind a slow one could not go to the lane that is free first.
_AHEAD = 2
# How many lanes a picture may bring down before it is blamed.
_MAX_DEATHS = 2
# Weight of the newest service time in the running mean.
_SMOOTHING = 0.05


class Departed(NhanError):
    """The client hung up; nobody will read this."""

    status = 499
    code = "client_gone"


@dataclass(frozen=True)
class QueueLimits:
    """What may wait.

    Attributes:
        pictures: how many.
        megabytes: their bytes together, in 10^6.
        deadline_s: from arrival to answer, where a request names none.
        work_s: what one picture may take a lane; then the lane is killed.
    """

    pictures: int = 512
    megabytes: int = 256
    deadline_s: float = 10.0
    work_s: float = 20.0


@dataclass(slots=True, eq=False)
class _Job:
    ticket: int
    key: str
    picture: bytes
    future: asyncio.Future[Outcome]
    deadline: float
    gone: Callable[[], bool] | None
    arrived: float
    started: float = 0.0
    deaths: int = 0
    abandoned: bool = False


@dataclass(slots=True, eq=False)
class _LaneState:
    lane: Lane
    jobs: deque[_Job] = field(default_factory=deque)
    begun: float = 0.0
    killed: bool = False


class Dispatcher:
    """Gives pictures to lanes, first come first served.

    Args:
        limits: what may wait, and for how long.
        on_refused: called with a reason for every picture that is not answered.
        on_lost: called with a lane's name, why it ended, and the SHA-256 of the picture it was
            answering (may be empty).
    """

    def __init__(
        self,
        limits: QueueLimits,
        *,
        on_refused: Callable[[str], None] = lambda _: None,
        on_lost: Callable[[str, str, str], None] = lambda *_: None,
    ) -> None:
        self.limits = limits
        self._on_refused = on_refused
        self._on_lost = on_lost
        self._lanes: list[_LaneState] = []
        self._by_lane: dict[Lane, _LaneState] = {}
        self._waiting: deque[_Job] = deque()
        self._waiting_bytes = 0
        self._tickets = count(1)
        self._service_s = 0.02
        self._sweeper: asyncio.TimerHandle | None = None

    # What others may know

    @property
    def lanes(self) -> list[Lane]:
        """Those that answer now."""
        return [state.lane for state in self._lanes]

    @property
    def waiting(self) -> int:
        """Pictures that no lane has begun."""
        return len(self._waiting) + sum(max(0, len(state.jobs) - 1) for state in self._lanes)

    @property
    def running(self) -> int:
        """Lanes at work."""
        return sum(bool(state.jobs) for state in self._lanes)

    @property
    def expected_wait_s(self) -> float:
        """How long a picture that came now would wait for a lane."""
        if not self._lanes:
            return self.limits.deadline_s
        return self._service_s * self.waiting / len(self._lanes)

    # Lanes

    def attach(self, lane: Lane) -> None:
        """Let a lane, with all models loaded, take part.

        Raises:
            JobFailed: it died meanwhile; pictures given to it would wait for their deadline.
        """
        if lane.lost:
            raise JobFailed(f"worker {lane.name} ended")
        state = _LaneState(lane)
        self._lanes.append(state)
        self._by_lane[lane] = state
        self._fill()

    async def load(self, key: str, folder: Path) -> None:
        """Load a model on every lane.

        Raises:
            NhanError: one refused it; it is unloaded from the others.
        """
        lanes = self.lanes
        results = await asyncio.gather(
            *(lane.load(key, folder) for lane in lanes), return_exceptions=True
        )
        alive = [
            result
            for lane, result in zip(lanes, results, strict=True)
            if lane in self._by_lane or not isinstance(result, BaseException)
        ]
        refused = [result for result in alive if isinstance(result, BaseException)]
        if refused or (lanes and not alive):
            self.unload(key)
            raise refused[0] if refused else JobFailed(f"every worker ended while loading {key}")

    def unload(self, key: str) -> None:
        """Forget a model on every lane."""
        for lane in self.lanes:
            lane.unload(key)

    # Pictures

    async def run(
        self,
        key: str,
        picture: bytes,
        *,
        deadline_s: float | None = None,
        gone: Callable[[], bool] | None = None,
    ) -> tuple[Outcome, float]:
        """Have one picture answered.

        Args:
            key: `NAME@VERSION`, loaded on every lane.
            picture: an encoded picture.
            deadline_s: from now; the default of the limits otherwise.
            gone: tells whether whoever asked has left; asked before work begins.

        Returns:
            The outcome, and the seconds it waited for a lane.

        Raises:
            QueueFull: it would not be answered in time; nothing was queued.
            DeadlinePassed: it was not.
            NotReady: there is no lane.
            NhanError: the picture's fault, or the model's.
        """
        patience = self.limits.deadline_s if deadline_s is None else deadline_s
        self._admit(len(picture), patience)
        now = time.monotonic()
        loop = asyncio.get_running_loop()
        job = _Job(
            next(self._tickets), key, picture, loop.create_future(), now + patience, gone, now
        )
        self._waiting.append(job)
        self._waiting_bytes += len(picture)
        self._fill()
        if self._sweeper is None:
            self._sweeper = loop.call_later(0.1, self._sweep)
        try:
            outcome = await job.future
        except asyncio.CancelledError:
            job.abandoned = True
            raise
        return outcome, job.started - job.arrived

    def _admit(self, size: int, patience: float) -> None:
        limits = self.limits
        if not self._lanes:
            self._on_refused("not_ready")
            raise NotReady("no worker is ready", hint="try again in a moment")
        wait_s = self.expected_wait_s
        over_bytes = self._waiting_bytes + size > limits.megabytes * 1_000_000 and self._waiting
        if len(self._waiting) >= limits.pictures or over_bytes or wait_s > patience:
            self._on_refused("queue_full")
            raise QueueFull(
                f"{self.waiting} pictures are waiting",
                retry_after_s=max(1.0, round(wait_s, 1)),
                hint="ask again after Retry-After; serve.queue says how many may wait",
            )

    def _fill(self) -> None:
        while self._waiting:
            state = min(self._lanes, key=_load_of, default=None)
            if state is None or len(state.jobs) >= _AHEAD:
                return
            job = self._next_job()
            if job is None:
                return
            self._hand_over(job, state)

    def _next_job(self) -> _Job | None:
        while self._waiting:
            job = self._waiting.popleft()
            self._waiting_bytes -= len(job.picture)
            if job.abandoned or job.future.done():
                continue
            if job.gone is not None and job.gone():
                self._on_refused("client_gone")
                job.future.set_exception(Departed("the client hung up"))
                continue
            return job
        return None

    def _hand_over(self, job: _Job, state: _LaneState) -> None:
        now = time.monotonic()
        lone = not self._waiting and not any(other.jobs for other in self._lanes)
        if lone and not state.lane.can_go_wide:
            state = next((other for other in self._lanes if other.lane.can_go_wide), state)
        if not state.jobs:
            state.begun = job.started = now
        state.jobs.append(job)
        state.lane.submit(job.ticket, job.key, job.picture, wide=lone)

    # LaneOwner

    def lane_done(self, lane: Lane, ticket: int, outcome: Outcome | NhanError) -> None:
        state = self._by_lane.get(lane)
        if state is None or not state.jobs or state.jobs[0].ticket != ticket:
            return
        now = time.monotonic()
        job = state.jobs.popleft()
        self._service_s += _SMOOTHING * (now - state.begun - self._service_s)
        if state.jobs:
            state.begun = state.jobs[0].started = now
        if not job.future.done():
            if isinstance(outcome, NhanError):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
        self._fill()

    def lane_lost(self, lane: Lane, reason: str) -> None:
        state = self._by_lane.pop(lane, None)
        if state is None:
            return
        self._lanes.remove(state)
        first = state.jobs[0] if state.jobs else None
        self._on_lost(lane.name, reason, content_hash(first.picture) if first else "")
        if first is not None:
            first.deaths += 1
            if first.deaths >= _MAX_DEATHS and not first.future.done():
                first.future.set_exception(
                    JobFailed(
                        "the picture brought two workers down",
                        hint="its hash is in the server's log; please report it",
                    )
                )
        for job in reversed(state.jobs):
            if not job.future.done() and not job.abandoned:
                self._waiting.appendleft(job)
                self._waiting_bytes += len(job.picture)
        self._fill()

    # Deadlines

    def _sweep(self) -> None:
        """Ten times a second: deadlines that have passed, lanes that are stuck.

        One timer for all is cheaper than one for each request, and a deadline need not be exact.
        """
        now = time.monotonic()
        jobs = [*self._waiting, *(job for state in self._lanes for job in state.jobs)]
        for job in jobs:
            if now > job.deadline and not job.future.done():
                self._on_refused("deadline")
                job.future.set_exception(
                    DeadlinePassed(
                        f"no answer within {job.deadline - job.arrived:g} s",
                        hint="ask again; serve.deadline_s says how long an answer may take",
                    )
                )
        for state in self._lanes:
            if state.jobs and now - state.begun > self.limits.work_s and not state.killed:
                state.killed = True
                job = state.jobs[0]
                job.deaths = _MAX_DEATHS
                if not job.future.done():
                    job.future.set_exception(
                        DeadlinePassed(
                            f"the picture took over {self.limits.work_s:g} s of work",
                            hint="send a smaller picture, or raise serve.work_s",
                        )
                    )
                state.lane.kill()
        self._sweeper = asyncio.get_running_loop().call_later(0.1, self._sweep) if jobs else None


def _load_of(state: _LaneState) -> int:
    return len(state.jobs)
