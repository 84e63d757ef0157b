"""Reasons for a round: the clock, what it missed, labels, a signal; and a watch that is stopped."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from small_rounds import numbers, settings

from nhan.errors import SettingsError, StorageError
from nhan.pipeline import schedule
from nhan.pipeline.cron import cron_trigger
from nhan.pipeline.plan import make_plan
from nhan.pipeline.rounds import begin_round, end_round, list_rounds, run_step
from nhan.pipeline.schedule import Watch
from nhan.workspace import Workspace


def said_and_wanted(workspace: Workspace, act: Callable[[Watch], object]) -> tuple[list[str], str]:
    said: list[str] = []
    watch = Watch(workspace, said.append)
    act(watch)
    return said, watch._take_reasons()


def began(workspace: Workspace, ago: timedelta) -> None:
    """A round that began some time ago and has ended."""
    moment = (datetime.now(UTC) - ago).isoformat()
    begin_round(workspace, make_plan(workspace))
    path = "rounds/000001/round.json"
    text = workspace.store.read(path).decode()
    at = list_rounds(workspace)[0].plan.at
    workspace.store.put(path, text.replace(at, moment).encode())
    end_round(workspace, 1, "nothing new", "a test")


def test_the_clock_is_in_utc_and_its_mistakes_are_told() -> None:
    after = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    assert cron_trigger("0 2 * * *").get_next_fire_time(None, after).hour == 2
    with pytest.raises(SettingsError, match=r"loop\.cron = '0 25 \* \* \*'"):
        cron_trigger("0 25 * * *")
    with pytest.raises(SettingsError):
        cron_trigger("daily")


@pytest.mark.parametrize(
    ("weekday", "days"),
    [
        ("0", "Sun"),
        ("7", "Sun"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("5-7", "Fri Sat Sun"),
        ("0-2", "Sun Mon Tue"),
        ("sat-mon", "Sat Sun Mon"),
        ("MON,3", "Mon Wed"),
        ("*/3", "Sun Wed Sat"),
        ("2/2", "Tue Thu Sat"),
        ("*", "Mon Tue Wed Thu Fri Sat Sun"),
    ],
)
def test_weekdays_are_counted_as_cron_counts_them(weekday: str, days: str) -> None:
    trigger, now = cron_trigger(f"0 2 * * {weekday}"), datetime(2026, 1, 1, tzinfo=UTC)
    found = set()
    for _ in range(7):
        now = trigger.get_next_fire_time(None, now + timedelta(hours=1))
        found.add(f"{now:%a}")
    assert found == set(days.split())


@pytest.mark.parametrize("weekday", ["8", "monday", "1-", "*/0", "mon-xyz"])
def test_what_is_no_weekday_is_told(weekday: str) -> None:
    with pytest.raises(SettingsError, match=r"loop\.cron"):
        cron_trigger(f"0 2 * * {weekday}")


@pytest.mark.parametrize(("rule", "rounds"), [("once", 1), ("skip", 0)])
def test_moments_that_nobody_watched_are_made_up_for_once_or_not_at_all(
    loop: Workspace, rule: str, rounds: int
) -> None:
    settings(loop.root, cron="0 * * * *", missed=rule)
    with Workspace.open(loop.root) as workspace:
        began(workspace, timedelta(days=3))  # 72 moments ago
        said, wanted = said_and_wanted(workspace, Watch._catch_up)
    assert wanted.count("the clock") == rounds
    assert ("missed since" in wanted) == bool(rounds)
    assert len(said) == 1 - rounds


def test_nothing_was_missed_since_a_round_that_just_began(loop: Workspace) -> None:
    half_an_hour_away = (datetime.now(UTC).minute + 30) % 60
    settings(loop.root, cron=f"{half_an_hour_away} * * * *")
    with Workspace.open(loop.root) as workspace:
        began(workspace, timedelta(seconds=5))
        assert said_and_wanted(workspace, Watch._catch_up) == ([], "")


def test_an_interrupted_round_is_gone_on_with_at_the_start(loop: Workspace) -> None:
    begin_round(loop, make_plan(loop, reason="forty labels"))
    assert said_and_wanted(loop, Watch._catch_up)[1] == "forty labels"


def test_new_labels_are_a_reason_once_there_are_enough(
    loop: Workspace, add_lines: Callable[..., None]
) -> None:
    loop.settings.loop.min_new_labels = 5
    add_lines(numbers(0, 4))
    assert said_and_wanted(loop, Watch._weigh)[1] == ""
    add_lines(numbers(100, 101))
    assert said_and_wanted(loop, Watch._weigh)[1] == "5 new labels"
    loop.settings.loop.min_new_labels = 0
    assert said_and_wanted(loop, Watch._weigh)[1] == ""


def test_while_uploads_drift_a_tenth_of_the_labels_is_enough(
    loop: Workspace, add_lines: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.settings.loop.min_new_labels = 50
    monkeypatch.setattr(schedule, "drifted_features", lambda *_: ["brightness"])
    add_lines(numbers(0, 5))
    assert said_and_wanted(loop, Watch._weigh)[1] == ""
    loop.settings.loop.on_drift = True
    wanted = said_and_wanted(loop, Watch._weigh)[1]
    assert wanted == "drift of brightness of pictures, 5 new labels"
    monkeypatch.setattr(schedule, "drifted_features", lambda *_: [])
    assert said_and_wanted(loop, Watch._weigh)[1] == ""


def test_labels_that_the_doctor_refuses_begin_one_round_not_one_after_another(
    loop: Workspace, add_lines: Callable[..., None]
) -> None:
    loop.settings.loop.min_new_labels = 3
    add_lines(numbers(0, 4), label=lambda text: text.replace("x", "\u0456"))
    begin_round(loop, make_plan(loop))
    for name in ("intake", "pull", "audit"):
        run_step(loop, 1, name, say=lambda _: None)
    end_round(loop, 1, "refused", "audit")
    watch = Watch(loop, lambda _: None)
    assert watch._left_over("text") == math.inf
    add_lines(numbers(50, 51))
    assert watch._left_over("text") == 0


def test_a_failure_is_not_repeated_at_once(loop: Workspace, add_lines: Callable[..., None]) -> None:
    loop.settings.loop.min_new_labels = 3
    add_lines(numbers(0, 4))
    begin_round(loop, make_plan(loop))
    end_round(loop, 1, "failed", "train: the disk is full")
    assert said_and_wanted(loop, Watch._weigh)[1] == ""


def test_a_round_that_cannot_even_begin_is_not_taken_for_the_last_one(
    loop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    began(loop, timedelta(hours=1))
    settings(loop.root, look_s=0.01)
    monkeypatch.setenv("NHAN_LOOP__DATASET", "a/b")  # no dataset can be called so
    monkeypatch.setattr(Watch, "_keep_up", lambda _: None)  # that says it too
    with Workspace.open(loop.root) as workspace:
        said, wanted = said_and_wanted(workspace, lambda watch: watch._round("a test"))
    assert said == ["a round begins: a test", "no round began (exit 2); see above"]
    assert wanted == ""


def test_a_store_that_is_away_ends_no_watch_and_no_reason_is_lost(
    loop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(loop.root, look_s=0.01)
    asked = []

    def away(_: object) -> None:
        asked.append(1)
        if len(asked) == 3:
            watch._stop.set()
        raise StorageError("the store is away")

    monkeypatch.setattr(schedule, "holder", away)
    monkeypatch.setattr(Watch, "_look", lambda _: None)
    said: list[str] = []
    with Workspace.open(loop.root) as workspace:
        watch = Watch(workspace, said.append)
        watch.want("forty labels")
        watch._follow()
    assert said == ["round: the store is away"]
    assert watch._take_reasons() == "forty labels"


def test_an_error_that_nobody_foresaw_costs_one_look_not_the_watch(
    loop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Workspace) -> None:
        raise ZeroDivisionError("one odd upload")

    monkeypatch.setattr(schedule, "take_in", fail)
    said, _ = said_and_wanted(loop, lambda watch: (watch._look(), watch._look()))
    assert [one for one in said if one.startswith("intake")] == [
        "intake: unexpected ZeroDivisionError: one odd upload"
    ]


def test_while_a_round_is_at_work_uploads_are_taken_in_and_webhooks_sent(
    loop: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A training may take hours; receivers of webhooks do not wait for its end."""
    settings(loop.root, look_s=0.01)
    enough = tmp_path / "enough"
    at_work = (
        "import pathlib, time\n"
        "end = time.monotonic() + 60\n"
        f"while time.monotonic() < end and not pathlib.Path({str(enough)!r}).exists():\n"
        "    time.sleep(0.02)"
    )
    begin = subprocess.Popen
    monkeypatch.setattr(
        schedule.subprocess, "Popen",
        lambda _, **options: begin([sys.executable, "-c", at_work], **options),
    )  # fmt: skip
    done: list[str] = []

    def note(what: str) -> Callable[[Workspace], None]:
        def act(_: Workspace) -> None:
            done.append(what)
            if {"intake", "webhooks"} <= set(done):
                enough.touch()

        return act

    monkeypatch.setattr(schedule, "take_in", note("intake"))
    monkeypatch.setattr(schedule, "notify", note("webhooks"))
    with Workspace.open(loop.root) as workspace:
        said_and_wanted(workspace, lambda watch: watch._round("a test"))
    assert {"intake", "webhooks"} <= set(done)


def test_a_signal_waits_for_no_lock_that_the_interrupted_code_may_hold(loop: Workspace) -> None:
    """Starting a thread or setting an event takes one, in the very thread that may have it."""
    asked: list[str] = []

    def handle(watch: Watch) -> None:
        with watch._lock, threading._active_limbo_lock:  # type: ignore[attr-defined]
            watch._on_demand(signal.SIGUSR1, None)
            watch._on_stop(signal.SIGTERM, None)
        asked.append(watch._take_reasons())
        assert watch._stop.wait(60)

    worker = threading.Thread(target=said_and_wanted, args=(loop, handle), daemon=True)
    worker.start()
    worker.join(120)
    assert asked == ["on demand (SIGUSR1)"]


def test_a_signal_begins_a_round_and_another_ends_the_watch(
    loop: Workspace, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "nhan", "--workspace", str(loop.root), "loop", "watch"],
            stdout=out, stderr=out, env={**os.environ, "NHAN_LOOP__LOOK_S": "0.2"},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while not _catches(process.pid, signal.SIGUSR1):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGUSR1)
        while not (found := list_rounds(loop)) or not found[0].outcome:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        assert found[0].plan.reason == "on demand (SIGUSR1)"
        assert found[0].outcome == "refused"  # there is no label to learn from
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False
