"""`nhan loop watch`: rounds by the clock, by new labels, by drift, and on demand.

The watch keeps nothing of its own. When a round last began stands in the rounds' folders, so a
watch that is started again knows what it missed; no schedule is ever written down, least of all
pickled. Rounds run in processes of their own: their memory goes when they end, and a round that
is killed does not take the watch along.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import FrameType

from apscheduler.schedulers.background import BackgroundScheduler

from nhan.errors import NhanError
from nhan.pipeline.cron import cron_trigger
from nhan.pipeline.data_steps import audit_key, fetch_labels
from nhan.pipeline.lease import holder
from nhan.pipeline.notify import notify
from nhan.pipeline.plan import make_plan
from nhan.pipeline.reasons import passed_on
from nhan.pipeline.rounds import Round, list_rounds
from nhan.pipeline.step import Plan, Say
from nhan.pipeline.step_words import say
from nhan.pipeline.watch_steps import look_back
from nhan.uploads.intake import take_in
from nhan.watching.drift import drifted_features
from nhan.watching.fresh import FreshLabels
from nhan.workspace import Workspace

log = logging.getLogger("nhan.pipeline")

# A clock that wakes up within this long of its moment is on time; later it was missed.
_ON_TIME_S = 60
_TICK_S = 0.5
# How long a round is given to stop by itself when the watch is told to end.
_GRACE_S = 20.0
# After a round that failed, new labels and drift wait so long before they begin another one.
_PAUSE_AFTER_FAILURE = timedelta(minutes=15)
# Label Studio is asked, and quality and drift are measured, this much less often than our own inbox
# is looked into.
_ASK_EVERY = 10
# While uploads drift, this share of `loop.min_new_labels` is enough.
_DRIFT_SHARE = 10


class _Asked:
    """What a signal asked for. Its handler takes no lock, for what it interrupts may hold it."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def take(self) -> bool:
        """Whether it was asked for since the last time."""
        was_set, self._is_set = self._is_set, False
        return was_set

    def wait(self, seconds: float) -> bool:
        """Wait so long, or a little longer than until it is asked for; whether it was."""
        end = time.monotonic() + seconds
        while not self._is_set and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _TICK_S))
        return self._is_set


class Watch:
    """Begins rounds when there is a reason to.

    Args:
        workspace: where; its settings `[loop]` say when.
        say: told what happens, in words.
        dataset: as for `nhan loop run`.
        model: as for `nhan loop run`.
    """

    def __init__(
        self, workspace: Workspace, say: Say, *, dataset: str = "", model: str = ""
    ) -> None:
        self._workspace = workspace
        self._say = say
        self._dataset, self._model = dataset, model
        self._settings = workspace.settings.loop
        self._cron = cron_trigger(self._settings.cron) if self._settings.cron else None
        self._reasons: list[str] = []
        self._lock = threading.Lock()
        self._stop, self._demand = _Asked(), _Asked()
        self._looks = 0
        self._fresh: FreshLabels | None = None
        self._said: dict[str, str] = {}

    def run(self) -> None:
        """Watch until SIGTERM or SIGINT; SIGUSR1 begins a round."""
        handlers = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            signal.SIGUSR1: self._on_demand,
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        clock = BackgroundScheduler(timezone=UTC, daemon=True)
        if self._cron is not None:
            clock.add_job(
                self.want,
                self._cron,
                args=[say("reason.clock", cron=self._settings.cron)],
                coalesce=True,
                misfire_grace_time=None if self._settings.missed == "once" else _ON_TIME_S,
            )
        clock.start()
        try:
            self._catch_up()
            self._follow()
        finally:
            clock.shutdown(wait=False)
            for number, handler in before.items():
                signal.signal(number, handler)

    def want(self, reason: str) -> None:
        """Ask for a round; asked for several times before one begins, it is one."""
        with self._lock:
            if reason not in self._reasons:
                self._reasons.append(reason)

    def _follow(self) -> None:
        next_look = time.monotonic()
        while not self._stop.is_set():
            if time.monotonic() >= next_look:
                self._look()
                next_look = time.monotonic() + self._settings.look_s
            reason = self._take_reasons()
            if reason:
                if not self._try("round", partial(self._round, reason)):
                    self.want(reason)  # the store is away, say; the reason stays
                    self._stop.wait(self._settings.look_s)
                next_look = time.monotonic()
            self._stop.wait(_TICK_S)

    def _look(self) -> None:
        """Keep up with what happens, and see whether it is enough for a round."""
        self._keep_up()
        self._try("new labels", self._weigh)

    def _keep_up(self) -> None:
        """Take in what came and tell who wants to be told; also while a round is at work."""
        self._looks += 1
        self._try("intake", lambda: take_in(self._workspace))
        if self._looks % _ASK_EVERY == 1:
            self._try("watching", self._look_back)
            self._try("labels", lambda: fetch_labels(self._workspace, self._plan().task))
        self._try("webhooks", lambda: notify(self._workspace))

    def _look_back(self) -> None:
        plan = self._plan()
        look_back(self._workspace, plan.model, plan.task)

    def _weigh(self) -> None:
        """See whether there are labels enough for a round."""
        plan = self._plan()
        if self._fresh is None or self._fresh.dataset != plan.dataset:
            self._fresh = FreshLabels(plan.dataset, plan.task)
        count = self._fresh.count(self._workspace) - self._left_over(plan.task)
        wanted = self._settings.min_new_labels
        if wanted and count >= wanted:
            self.want(say("reason.labels", count=count))
            return
        enough = self._settings.on_drift and count >= max(1, wanted // _DRIFT_SHARE)
        if enough and (names := drifted_features(self._workspace, plan.model)):
            features = [say(f"feature.{name}") for name in names]
            self.want(say("reason.drift", features=features, count=count))

    def _left_over(self, task: str) -> float:
        """Labels that the last round could not use; infinite while another would change nothing."""
        newest = list_rounds(self._workspace, limit=1)
        if not newest or not newest[0].outcome:
            return 0
        last = newest[0]
        if last.outcome == "failed" and _age(last.ended) < _PAUSE_AFTER_FAILURE:
            return math.inf
        audit, freeze = last.steps.get("audit"), last.steps.get("freeze")
        if audit is not None and audit.state == "refused":
            return math.inf if audit.key == audit_key(self._workspace, task) else 0
        return int(freeze.outputs.get("left_out", 0)) if freeze is not None else 0

    def _newest(self) -> list[Round]:
        return list_rounds(self._workspace, limit=1)

    def _plan(self) -> Plan:
        return make_plan(self._workspace, dataset=self._dataset, model=self._model)

    def _catch_up(self) -> None:
        """Go on with an interrupted round; then moments of the clock while nobody watched."""
        rounds = list_rounds(self._workspace, limit=1)
        if rounds and not rounds[0].outcome:
            self.want(rounds[0].plan.reason)
            return
        if self._cron is None or not rounds:
            return
        began = datetime.fromisoformat(rounds[0].plan.at)
        missed = self._cron.get_next_fire_time(None, began + timedelta(seconds=1))
        if missed is None or missed > datetime.now(UTC):
            return
        if self._settings.missed == "once":
            since = f"{missed:%Y-%m-%d %H:%M}"
            self.want(say("reason.missed", cron=self._settings.cron, since=since))
        else:
            self._say(f"missed since {missed:%Y-%m-%d %H:%M}; the next moment counts (loop.missed)")

    def _round(self, reason: str) -> None:
        other = holder(self._workspace.store)
        if other is not None:
            self._tell("busy", f"waiting: {other['what']}, process {other['pid']}")
            self.want(reason)
            self._stop.wait(self._settings.look_s)
            return
        self._say(f"a round begins: {reason}")
        ended_before = {one.plan.number for one in self._newest() if one.outcome}
        command = [sys.executable, "-m", "nhan", "--workspace", str(self._workspace.root)]
        command += ["loop", "run", "--because", reason]
        command += ["--said", kept] if (kept := passed_on(reason)) else []
        for option, value in (("--dataset", self._dataset), ("--model", self._model)):
            command += [option, value] if value else []
        # Its own session: a Ctrl-C at the terminal reaches the watch alone, which then decides.
        process = subprocess.Popen(  # noqa: S603  our own program
            command, env={**os.environ}, start_new_session=True
        )
        next_look = time.monotonic() + self._settings.look_s
        while process.poll() is None:
            if self._stop.wait(_TICK_S):
                self._end(process)
                return
            if time.monotonic() >= next_look:
                self._keep_up()
                next_look = time.monotonic() + self._settings.look_s
        newest = self._newest()
        if not newest or newest[0].plan.number in ended_before:
            self._tell("begin", f"no round began (exit {process.returncode}); see above")
            self._stop.wait(self._settings.look_s)
            return
        self._said.pop("begin", None)
        self._say(f"round {newest[0].plan.number}: {newest[0].outcome or 'interrupted'}")
        if not newest[0].outcome:
            self._stop.wait(self._settings.look_s)  # it was killed: go on with it, without haste
            self.want(newest[0].plan.reason)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        self._say("stopping; the round goes on at the next start")
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _take_reasons(self) -> str:
        if self._demand.take():
            self.want(say("reason.signal"))
        with self._lock:
            reasons, self._reasons = self._reasons, []
        if len(reasons) > 1:
            return say("several", parts=reasons)
        return reasons[0] if reasons else ""

    def _try(self, what: str, work: Callable[[], object]) -> bool:
        """Whether it succeeded; else it may at the next look. The same trouble is told once."""
        try:
            work()
        except NhanError as error:
            self._tell(what, f"{what}: {error.message}")
        except Exception as error:  # a bug must cost one look, never the watch
            words = f"{what}: unexpected {type(error).__name__}: {error}"
            if self._said.get(what) != words:
                log.exception("the watch goes on after this")
            self._tell(what, words)
        else:
            self._said.pop(what, None)
            return True
        return False

    def _tell(self, what: str, words: str) -> None:
        if self._said.get(what) != words:
            self._said[what] = words
            self._say(words)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stop.set()

    def _on_demand(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._demand.set()


def _age(moment: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(moment)
